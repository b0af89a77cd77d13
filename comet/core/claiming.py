"""An arbiter's book: who may already have a client id, asked when another connection wants it.

    held        by a client of this comet                  from its claim until it has gone
    granted     by this comet, as owner, to another one    until that one has attached the key, or a while
    seated      another comet has attached the key         holders.py: until it detaches, leaves, or is silent

Each of them is only a rumour of the past: before an id is refused, the client itself is asked. So
nothing here must be exact but this: whoever was told yes is found as a rival by who asks next.
"""

from collections.abc import Container
from typing import NamedTuple

from appmodel.core.cluster import Node
from appmodel.core.names import Key
from appmodel.core.realms import Claimant
from comet.core.holders import Holders

Process = tuple[str, int]  # name and incarnation of a comet


class Held(NamedTuple):
    """A client id of a connection here."""

    claimant: Claimant
    since: float  # Unix seconds: of two connections the younger one has to go


class Grant(NamedTuple):
    """The word that we gave as owner."""

    holder: Node
    at: float  # on the caller's clock


class ClaimBook:
    """What one comet knows of client ids."""

    def __init__(self, holders: Holders) -> None:
        """`holders`: which comets have attached which keys."""
        self.held: dict[Key, Held] = {}
        self.granted: dict[Key, Grant] = {}
        self._holders = holders

    def rival(self, key: Key, asking: Node, cleared: Container[Process]) -> Node | None:
        """Another comet than `asking` that may have `key`, and is not us; None if there is none.

        `cleared`: comets that have said meanwhile that they have not; only what they were granted
        after that counts.
        """
        grant = self.granted.get(key)
        if grant is not None and not grant.holder.is_same_process(asking):
            return grant.holder
        remote = self._holders.get(key)
        for seat in remote.seats if remote is not None else ():
            node = seat.holder.node
            if not node.is_same_process(asking) and process(node) not in cleared:
                return node
        return None

    def grant(self, key: Key, holder: Node, now: float) -> None:
        """We tell that comet that its client may come in."""
        self.granted.pop(key, None)  # they stay in the order of their time
        self.granted[key] = Grant(holder, now)

    def revoke(self, key: Key, holder: Node) -> None:
        """That comet has said that it has not what we granted."""
        grant = self.granted.get(key)
        if grant is not None and grant.holder.is_same_process(holder):
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
