"""What is watched is asked for once, and nothing that changed meanwhile is taken for known."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import trio
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.znodes import DEFAULT_ROOTS, Znode
from appmodel.io.watched_tree import MAX_PROCESSES, WatchedTree

ROOT = DEFAULT_ROOTS.comet


T = TypeVar("T")


class FakeZooKeeper:
    """A tree that counts questions. `on_answer` runs while an answer is on its way."""

    def __init__(self) -> None:
        self.nodes: dict[str, Znode] = {DEFAULT_ROOTS.message: Znode(), DEFAULT_ROOTS.web: Znode()}
        self.asked: list[str] = []
        self.on_answer: Callable[[], None] = lambda: None

    def put(self, path: str, data: bytes = b"") -> None:
        self.nodes[path] = Znode(data)

    async def children(self, paths: Sequence[str]) -> list[list[str] | None]:
        return await self._answer(paths, self._names)

    async def read(self, paths: Sequence[str]) -> list[Znode | None]:
        return await self._answer(paths, self.nodes.get)

    async def make(self, path: str) -> bool:
        await trio.lowlevel.checkpoint()
        self.put(path)
        return True

    async def _answer(self, paths: Sequence[str], answer: Callable[[str], T]) -> list[T]:
        self.asked += paths
        answers = [answer(path) for path in paths]
        await trio.lowlevel.checkpoint()
        self.on_answer()
        return answers

    def _names(self, path: str) -> list[str] | None:
        if path not in self.nodes:
            return None
        below = (other.rpartition("/") for other in self.nodes)
        return sorted(name for above, _, name in below if above == path)


def below_roots(server: FakeZooKeeper) -> dict[str, Znode]:
    """What a tree should say."""
    return {path: znode for path, znode in server.nodes.items() if path.count("/") > 1}


async def test_what_is_known_is_not_asked_again() -> None:
    """Only what a watch told of: a change costs a few questions, however large the tree is."""
    server, tree = FakeZooKeeper(), WatchedTree(DEFAULT_ROOTS)
    for i in range(100):
        server.put(f"{ROOT}/c{i}")
        server.put(f"{ROOT}/c{i}/0000000000")
    server.put(ROOT)
    assert await tree.read(server) == below_roots(server)
    server.asked.clear()

    server.put(f"{ROOT}/c7/0000000000", b"new")
    tree.forget(f"{ROOT}/c7/0000000000")

    assert await tree.read(server) == below_roots(server)
    assert await tree.read(server) == below_roots(server)
    assert server.asked == [f"{ROOT}/c7/0000000000"]


async def test_a_root_that_is_missing_is_made() -> None:
    """Otherwise nobody could watch it."""
    server, tree = FakeZooKeeper(), WatchedTree(DEFAULT_ROOTS)

    await tree.read(server)

    assert ROOT in server.nodes


@given(st.integers(0, 3))
async def test_a_watch_that_fires_on_the_way_is_not_lost(turn: int) -> None:
    """It may come before the answer that set it: the answer is used, and asked for again."""
    server, tree = FakeZooKeeper(), WatchedTree(DEFAULT_ROOTS)
    server.put(ROOT)
    server.put(f"{ROOT}/c1")
    server.put(f"{ROOT}/c1/0000000000", b"old")
    turns = iter(range(10))

    def change() -> None:
        if next(turns) == turn:
            server.put(f"{ROOT}/c1/0000000000", b"new")
            tree.forget(f"{ROOT}/c1/0000000000")
            server.put(f"{ROOT}/c2")
            tree.forget(ROOT)

    server.on_answer = change
    await tree.read(server)

    if next(turns) <= turn:
        change()
    assert await tree.read(server) == below_roots(server)


async def test_who_is_forgotten_meanwhile_is_still_there() -> None:
    """What was known before is used for this reading: nobody leaves because he changes."""
    server, tree = FakeZooKeeper(), WatchedTree(DEFAULT_ROOTS)
    for path in (ROOT, f"{ROOT}/c1", f"{ROOT}/c1/0000000000"):
        server.put(path)
    await tree.read(server)
    tree.forget(f"{ROOT}/c1")
    server.on_answer = lambda: tree.forget(None)

    assert await tree.read(server) == below_roots(server)


async def test_what_there_is_too_much_of_is_cut_and_told() -> None:
    """Strangers cannot make us read for ever."""
    server, tree = FakeZooKeeper(), WatchedTree(DEFAULT_ROOTS)
    server.put(ROOT)
    server.put(f"{ROOT}/c1")
    for i in range(MAX_PROCESSES + 5):
        server.put(f"{ROOT}/c1/{i:010}")

    found = await tree.read(server)

    assert len(found) == 1 + MAX_PROCESSES
    assert tree.excess == {f"{ROOT}/c1": f"21 children: only {MAX_PROCESSES} are read"}


async def test_what_has_gone_is_asked_for_when_it_is_back() -> None:
    """It is not remembered from before."""
    server, tree = FakeZooKeeper(), WatchedTree(DEFAULT_ROOTS)
    for path in (ROOT, f"{ROOT}/c1", f"{ROOT}/c1/0000000000"):
        server.put(path)
    await tree.read(server)
    gone = server.nodes.pop(f"{ROOT}/c1/0000000000")
    tree.forget(f"{ROOT}/c1")
    assert f"{ROOT}/c1/0000000000" not in await tree.read(server)

    server.put(f"{ROOT}/c1/0000000000", b"another")
    tree.forget(f"{ROOT}/c1")

    assert (await tree.read(server))[f"{ROOT}/c1/0000000000"] != gone
