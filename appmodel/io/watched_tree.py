"""The part of ZooKeeper's tree that we look at, kept up to date by watches.

    tree = WatchedTree(roots)
    await tree.read(client)     asks for what is not known, in three steps of pipelined reads
    tree.forget(path)           a watch fired: what is at that path is asked for again

What was read is watched, so it is known until its watch fires, however large the tree is: a change costs
two or three questions. Whoever cannot be sure of the watches (the connection was lost, or time has
passed) forgets all.

A watch may fire before the answer that set it has come to us: they come by different threads. So what is
forgotten while we read is used once, and not kept.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from appmodel.core.cluster import Role
from appmodel.core.znodes import Roots, Tree, Znode

MAX_NODES = 1000  # looked at below one root: a bound for strangers' trees
MAX_PROCESSES = 16  # looked at of one comet


class Reader(Protocol):
    """What a tree asks of ZooKeeper: a `ZooKeeperClient`."""

    async def children(self, paths: Sequence[str]) -> list[list[str] | None]: ...

    async def read(self, paths: Sequence[str]) -> list[Znode | None]: ...

    async def make(self, path: str) -> bool: ...


class WatchedTree:
    """What lies under the roots. One task reads."""

    def __init__(self, roots: Roots) -> None:
        self._roots = [roots.of(role) for role in Role]
        self._comets = roots.comet
        self._children: dict[str, list[str]] = {}  # names, sorted
        self._znodes: dict[str, Znode] = {}
        self._forgotten: set[str | None] = set()  # since the read that is under way began
        self.excess: Mapping[str, str] = {}  # by path: what there is too much of

    def forget(self, path: str | None) -> None:
        """Ask again for what lies at `path`, and for its children; None: for all."""
        self._forgotten.add(path)
        if path is None:
            self._children.clear()
            self._znodes.clear()
        else:
            self._children.pop(path, None)
            self._znodes.pop(path, None)

    async def read(self, client: Reader, ours: Collection[str] = ()) -> Tree:
        """The tree as it is now, with the entries that are `ours`; roots that are missing are made.

        Where there is more than is looked at, ours must not look like missing: we would make another.

        Raises:
            Unavailable, OutcomeUnknown, Forbidden: see `ZooKeeperClient`. What was learned is kept.
        """
        self._forgotten.clear()
        excess: dict[str, str] = {}
        below = await self._list(client, self._roots)
        first = {root: _paths(root, below[root], MAX_NODES, excess) for root in self._roots}
        comets = first[self._comets]
        second = await self._list(client, comets)
        processes = [_paths(comet, second[comet], MAX_PROCESSES, excess) for comet in comets]
        paths = [path for group in (*first.values(), *processes, ours) for path in group]
        paths = list(dict.fromkeys(paths))
        tree = await self._get(client, paths)
        self._keep_only(paths)
        self.excess = excess
        return tree

    async def _list(self, client: Reader, paths: list[str]) -> dict[str, list[str]]:
        """The children of each path; none of those that are gone."""
        found = {path: self._children[path] for path in paths if path in self._children}
        asked = [path for path in paths if path not in found]
        for path, names in zip(asked, await client.children(asked), strict=True):
            if names is None and path in self._roots:
                await client.make(path)
                (names,) = await client.children([path])
            found[path] = names or []
            if names is not None and self._is_fresh(path):
                self._children[path] = names
        return found

    async def _get(self, client: Reader, paths: list[str]) -> dict[str, Znode]:
        """What lies at each path, without those that are gone."""
        found = {path: self._znodes[path] for path in paths if path in self._znodes}
        asked = [path for path in paths if path not in found]
        for path, znode in zip(asked, await client.read(asked), strict=True):
            if znode is not None:
                found[path] = znode
                if self._is_fresh(path):
                    self._znodes[path] = znode
        return found

    def _is_fresh(self, path: str) -> bool:
        return path not in self._forgotten and None not in self._forgotten

    def _keep_only(self, paths: list[str]) -> None:
        """What has gone is not kept for ever."""
        kept = {*paths, *self._roots}
        self._children = {path: it for path, it in self._children.items() if path in kept}
        self._znodes = {path: it for path, it in self._znodes.items() if path in kept}


def _paths(above: str, names: list[str], limit: int, excess: dict[str, str]) -> list[str]:
    """Of these children, as many as are looked at."""
    if len(names) > limit:
        excess[above] = f"{len(names)} children: only {limit} are read"
    return [f"{above}/{name}" for name in names[:limit]]
