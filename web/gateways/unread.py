"""The badge: how many messages a user has not read.

Unread are the stored messages of a user's inbox above the highest id that one of the user's clients has
acknowledged, as far as the inbox's owner knows. Who never acknowledges has as many as are stored.

Presence is asked once for all users of a batch, then the store once per user, a few at a time and for a
bounded number of users. Beyond it, and when nobody answers, the badge is unknown: it is left out, and
the app keeps the one that it shows.
"""

from collections.abc import Collection
from typing import Protocol

import trio

from appmodel.core.message import Page, Presence
from appmodel.core.names import Key
from appmodel.errors import PushError
from web.core.notifications import MAX_BADGE

AT_ONCE = 8  # reads of the store


class Inboxes(Protocol):
    """Who can be asked: `Reading`."""

    async def presence(self, keys: list[Key]) -> dict[Key, Presence | PushError]:
        """What the owners know of these."""

    async def page(self, key: Key, after: int, limit: int) -> Page:
        """Stored messages. Raises PushError."""


class Unread:
    """Counts of unread messages."""

    def __init__(self, inboxes: Inboxes, *, reads: int) -> None:
        """`reads`: of the store, for one batch of users."""
        self._inboxes = inboxes
        self._reads = reads

    async def count(self, user_ids: Collection[str]) -> dict[str, int]:
        """Unread messages of these users, at most MAX_BADGE each; who is missing is unknown."""
        keys = {user_id: Key("", user_id, "user") for user_id in list(user_ids)[: self._reads]}
        known = await self._inboxes.presence(list(keys.values()))
        counts: dict[str, int] = {}
        turns = trio.Semaphore(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for user_id, key in keys.items():
                found = known.get(key)
                if isinstance(found, Presence):
                    await turns.acquire()
                    nursery.start_soon(self._read, user_id, key, found, counts, turns)
        return counts

    async def _read(
        self, user_id: str, key: Key, known: Presence, counts: dict[str, int], turns: trio.Semaphore
    ) -> None:
        try:
            page = await self._inboxes.page(key, known.acknowledged, MAX_BADGE)
            counts[user_id] = len(page.messages)
        except PushError:  # unknown, then
            return
        finally:
            turns.release()
