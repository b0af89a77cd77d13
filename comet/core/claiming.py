"""An arbiter's book: who may already have a client id, asked when another connection wants it.

    held        by a client of this comet                  from its claim until it has gone
    granted     by this comet, as owner, to another one    until that one has attached the key, or a while
    seated      another comet has attached the key         holders.py: until it detaches, leaves, or is silent

Each of them is only a rumour of the past: before an id is refused, the client itself is asked. So
nothing here must be exact but this: whoever was told yes is found as a rival by who asks next; and who
has not been told yes is nobody's rival on another comet, or two could be each other's, and none come in.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple

from appmodel.core.cluster import Node
from appmodel.core.names import Key
from appmodel.core.realms import Claimant
from comet.core.holders import Holders

Process = tuple[str, int]  # name and incarnation of a comet


@dataclass(slots=True)
class Held:
    """A client id of a connection here, or of one that wants to come in."""

    claimant: Claimant
    number: int  # of this claim on this comet
    since: float  # Unix seconds: of two connections the younger one has to go
    is_settled: bool = False  # the owner has said yes


class Rival(NamedTuple):
    """Another comet that may have a client id."""

    node: Node
    number: int | None  # of the claim that we have granted; None: whichever is settled there


class Grant(NamedTuple):
    """The word that we gave as owner."""

    rival: Rival
    at: float  # on the caller's clock


class ClaimBook:
    """What one comet knows of client ids."""

    def __init__(self, holders: Holders) -> None:
        """`holders`: which comets have attached which keys."""
        self.held: dict[Key, Held] = {}
        self.granted: dict[Key, Grant] = {}
        self._holders = holders

    def rival(self, key: Key, asking: Node, cleared: Container[Process]) -> Rival | None:
        """Who else than `asking` may have `key`; None if there is nobody.

        `cleared`: comets that have said meanwhile that they have not; only what they were granted
        after that counts.
        """
        grant = self.granted.get(key)
        if grant is not None and not grant.rival.node.is_same_process(asking):
            return grant.rival
        remote = self._holders.get(key)
        for seat in remote.seats if remote is not None else ():
            node = seat.holder.node
            if not node.is_same_process(asking) and process(node) not in cleared:
                return Rival(node, None)
        return None

    def rivals(self, key: Key, asking: Node) -> list[Rival]:
        """All other comets that may have `key`."""
        grant, remote = self.granted.get(key), self._holders.get(key)
        found = {} if grant is None else {process(grant.rival.node): grant.rival}
        for seat in remote.seats if remote is not None else ():
            node = seat.holder.node
            found.setdefault(process(node), Rival(node, None))
        found.pop(process(asking), None)
        return list(found.values())

    def has_granted_newer(self, key: Key, asking: Rival) -> bool:
        """Whether a later claim of the same comet has been granted."""
        grant = self.granted.get(key)
        if grant is None or not grant.rival.node.is_same_process(asking.node):
            return False
        return (grant.rival.number or 0) > (asking.number or 0)

    def grant(self, key: Key, rival: Rival, now: float) -> None:
        """We tell that comet that its client may come in."""
        self.granted.pop(key, None)  # they stay in the order of their time
        self.granted[key] = Grant(rival, now)

    def revoke(self, key: Key, rival: Rival) -> None:
        """That comet has said that it has not, or no more, what we granted."""
        grant = self.granted.get(key)
        if grant is not None and grant.rival == rival:
            del self.granted[key]

    def forget_grants(self, before: float) -> None:
        """Those given before that time: whoever made use of one has attached the key since."""
        for key, grant in list(self.granted.items()):
            if grant.at >= before:
                break
            del self.granted[key]

    def candidates(self, key: Key) -> list[Node]:
        """Other comets that have attached `key`, if more than one connection may have it."""
        remote = self._holders.get(key)
        seats = remote.seats if remote is not None else []
        if len(seats) + (key in self.held) < 2:
            return []
        return [seat.holder.node for seat in seats]


def process(node: Node) -> Process:
    """What tells one start of a comet from another."""
    return node.name, node.incarnation
