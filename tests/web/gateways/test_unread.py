"""Badges."""

from collections.abc import Collection
from dataclasses import dataclass, field

import trio

from appmodel.core.message import Page, Presence, Stored
from appmodel.core.names import Key
from appmodel.errors import NoNode, PushError, Unavailable
from web.core.notifications import MAX_BADGE
from web.gateways.unread import AT_ONCE, Unread


@dataclass
class Inboxes:
    """Messages 1 to 10 of everybody; what was acknowledged is in `read`."""

    stored: int = 10
    read: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)  # owners of these do not answer
    broken: bool = False  # the store does not answer
    seen: dict[str, float] = field(default_factory=dict)  # Unix seconds
    lost: bool = False  # the database does not answer
    presences: int = 0
    reads: int = 0
    now: int = 0
    most: int = 0

    async def presence(self, keys: list[Key]) -> dict[Key, Presence | PushError]:
        self.presences += 1
        return {
            key: NoNode("none") if key.id in self.away else Presence(0, self.read.get(key.id, 0))
            for key in keys
        }

    async def last_seen(self, user_ids: Collection[str]) -> dict[str, float]:
        if self.lost:
            raise Unavailable("the database is away")
        return self.seen

    async def page(self, key: Key, after: int, limit: int) -> Page:
        self.reads += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await trio.lowlevel.checkpoint()
        self.now -= 1
        if self.broken:
            raise Unavailable("the store is away")
        found = [Stored(number, b"{}", 0.0) for number in range(after + 1, self.stored + 1)]
        return Page(tuple(found[:limit]), more=len(found) > limit)


async def test_unread_is_what_is_stored_above_the_acknowledged() -> None:
    """By whichever of the user's clients."""
    inboxes = Inboxes(read={"u1": 7, "u2": 10})

    counts = await Unread(inboxes, inboxes, reads=100).count(["u1", "u2", "u3"])

    assert counts == {"u1": 3, "u2": 0, "u3": 10}
    assert inboxes.presences == 1


async def test_what_came_before_a_user_left_is_read() -> None:
    """Nobody acknowledges while away; ids are microseconds, so the last use of a login says it."""
    inboxes = Inboxes(seen={"u1": 4e-6, "u2": 9e-6}, read={"u1": 7, "u2": 7})

    counts = await Unread(inboxes, inboxes, reads=100).count(["u1", "u2", "u3"])

    assert counts == {"u1": 3, "u2": 1, "u3": 10}


async def test_a_badge_has_an_end() -> None:
    """No app shows more, and nobody reads a thousand messages to count them."""
    inboxes = Inboxes(stored=5000)

    counts = await Unread(inboxes, inboxes, reads=100).count(["u1"])

    assert counts == {"u1": MAX_BADGE}


async def test_who_cannot_be_counted_is_unknown() -> None:
    """Rather than wrong: the app keeps its number."""
    inboxes = Inboxes(away={"u1"})
    assert await Unread(inboxes, inboxes, reads=100).count(["u1", "u2"]) == {"u2": 10}

    inboxes.lost = True
    assert await Unread(inboxes, inboxes, reads=100).count(["u1", "u2"]) == {}
    inboxes.lost, inboxes.broken = False, True
    assert await Unread(inboxes, inboxes, reads=100).count(["u1", "u2"]) == {}


async def test_a_large_group_costs_so_many_reads() -> None:
    """A few at a time, and not one for each of thousands."""
    inboxes = Inboxes()

    counts = await Unread(inboxes, inboxes, reads=100).count(
        [f"u{number}" for number in range(500)]
    )

    assert (len(counts), inboxes.reads) == (100, 100)
    assert inboxes.most <= AT_ONCE
