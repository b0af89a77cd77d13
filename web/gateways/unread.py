"""The badge: how many messages a user has not read.

Unread are the stored messages of a user's inbox since the user was here last: above the highest id that one of
the user's clients has acknowledged, and newer than the last use of one of the user's logins. The first is what
the inbox's owner knows while somebody is connected, the second is what stays when everybody has gone; ids
are microseconds since 1970, so the two compare. Who was never seen has as many unread as are stored.

Presence and logins are asked for once for all users of a batch, then the store once per user, a few at a
time and for a bounded number of users. Beyond it, and when nobody answers, the badge is unknown: it is left
out, and the app keeps the one that it shows.
"""

from collections.abc import Collection, Mapping
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


class Logins(Protocol):
    """Who knows when users were here: Addressing."""

    async def last_seen(self, user_ids: Collection[str]) -> Mapping[str, float]:
        """Unix seconds, of those who are known. Raises PushError."""


class Unread:
    """Counts of unread messages."""

    def __init__(self, inboxes: Inboxes, logins: Logins, *, reads: int) -> None:
        """`reads`: of the store, for one batch of users."""
        self._inboxes = inboxes
        self._logins = logins
        self._reads = reads

    async def count(self, user_ids: Collection[str]) -> dict[str, int]:
        """Unread messages of these users, at most MAX_BADGE each; who is missing is unknown."""
        keys = {user_id: Key("", user_id, "user") for user_id in list(user_ids)[: self._reads]}
        try:
            seen = await self._logins.last_seen(keys)
        except PushError:
            return {}
        known = await self._inboxes.presence(list(keys.values()))
        counts: dict[str, int] = {}
        turns = trio.Semaphore(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for user_id, key in keys.items():
                found = known.get(key)
                if isinstance(found, Presence):
                    after = max(found.acknowledged, int(seen.get(user_id, 0.0) * 1e6))
                    await turns.acquire()
                    nursery.start_soon(self._read, user_id, key, after, counts, turns)
        return counts

    async def _read(
        self, user_id: str, key: Key, after: int, counts: dict[str, int], turns: trio.Semaphore
    ) -> None:
        try:
            page = await self._inboxes.page(key, after, MAX_BADGE)
            counts[user_id] = len(page.messages)
        except PushError:  # unknown, then
            return
        finally:
            turns.release()
