"""The cluster as one node sees it: an immutable view, replaced as a whole when something changes."""

import enum
from collections.abc import Iterable
from functools import cached_property, lru_cache

import msgspec

from appmodel.core.names import Key
from appmodel.core.ring import MurmurRing, Ring, ShaRing


class Role(enum.StrEnum):
    """What a node is for."""

    COMET = "comet"
    MESSAGE = "message"
    WEB = "web"


class State(enum.StrEnum):
    """Where a node is in its life: only a ready comet is on the ring."""

    JOINING = "joining"  # not on the ring yet
    READY = "ready"
    DRAINING = "draining"  # not on the ring any more: it hands its clients over
    STANDBY = "standby"  # ready, behind an older process of the same name; the registry says so


class RingKind(enum.StrEnum):
    """Which original's ring the comets are on."""

    SHA = "sha"  # ring A, gopush-cluster 1.0.5
    MURMUR = "murmur"  # ring B, appmsgsrv


class Node(msgspec.Struct, frozen=True):
    """One registered process. Addresses are `host:port`, as others should dial them."""

    role: Role
    name: str
    incarnation: int = 0  # grows with each start: tells a restarted node from the one before
    weight: int = 1
    state: State = State.READY
    rpc: str = ""  # empty: reachable only inside its own process
    ws: tuple[str, ...] = ()
    tcp: tuple[str, ...] = ()
    capacity: int = 0  # connections that it takes; 0 = it does not say

    def is_same_process(self, other: "Node") -> bool:
        """Whether both are the same start of the same node.

        An incarnation of 0 is that of a configured node, which does not know when it was started.
        """
        return (
            self.role is other.role
            and self.name == other.name
            and (
                self.incarnation == other.incarnation or 0 in (self.incarnation, other.incarnation)
            )
        )


class Handover(msgspec.Struct, frozen=True, array_like=True):
    """How far a comet is in moving its clients to other comets."""

    moved: int  # clients that were told to go elsewhere, and went
    left: int  # clients that are still here
    lost: int  # clients that were cut off without a word
    peak: int  # clients moved in the busiest second


class Status(msgspec.Struct, frozen=True, array_like=True):
    """What a comet answers to an operator."""

    connections: int
    keys: int  # with a subscriber here
    attached: int  # of these keys: how many have their owner elsewhere
    forwarded: int  # keys owned here that have subscribers on other comets
    handover: Handover | None = None  # while clients are moved, and after


class ClusterView(msgspec.Struct, frozen=True, dict=True):
    """All nodes, with a version that orders the views of one registry client."""

    version: int
    nodes: tuple[Node, ...]
    ring_kind: RingKind = RingKind.SHA

    @cached_property
    def comets(self) -> dict[str, Node]:
        """The comets on the ring, by name."""
        return {n.name: n for n in self.nodes if n.role is Role.COMET and n.state is State.READY}

    @cached_property
    def messages(self) -> tuple[Node, ...]:
        """The message nodes that take calls."""
        return tuple(n for n in self.nodes if n.role is Role.MESSAGE and n.state is State.READY)

    @cached_property
    def ring(self) -> Ring:
        """The ring of this view."""
        weights = tuple(sorted((n.name, n.weight) for n in self.comets.values()))
        return _ring(self.ring_kind, weights)

    def find(self, node: Node) -> Node | None:
        """The process `node` as this view has it, whatever its state; None if it is not alive."""
        return next((known for known in self.nodes if known.is_same_process(node)), None)

    def owner(self, key: Key) -> Node | None:
        """The comet that owns `key` in this view; None if there is none."""
        name = self.ring.owner(key.routed)
        return self.comets[name] if name is not None else None

    @cached_property
    def sole_owner(self) -> str | None:
        """The comet that owns every key, if there is one: then nothing has to be hashed."""
        names = [name for name, node in self.comets.items() if node.weight > 0]
        return names[0] if len(names) == 1 and len(self.comets) == 1 else None

    def by_owner(self, keys: Iterable[Key]) -> dict[str | None, list[Key]]:
        """`keys` grouped by the name of their owner, order kept; None holds those without one."""
        if self.sole_owner is not None:
            return {self.sole_owner: list(keys)}
        groups: dict[str | None, list[Key]] = {}
        owner = self.ring.owner
        for key in keys:
            groups.setdefault(owner(key.routed), []).append(key)
        return groups


def with_absent(now: Iterable[Node], before: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes of `now`, and those of `before` of which no process is there, unless they were leaving.

    After the registry itself was away, all nodes register again, each in its time.
    """
    nodes = list(now)
    there = {(node.role, node.name) for node in nodes}
    nodes += [
        node
        for node in before
        if (node.role, node.name) not in there and node.state is not State.DRAINING
    ]
    return tuple(sorted(nodes, key=lambda node: (node.role, node.name)))


@lru_cache(maxsize=16)  # 3 ms a ring: views that differ in an address share it
def _ring(kind: RingKind, weights: tuple[tuple[str, int], ...]) -> Ring:
    if kind is RingKind.MURMUR:
        return MurmurRing([name for name, weight in weights if weight > 0])
    return ShaRing(dict(weights))
