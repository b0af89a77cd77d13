"""Who has missed a push of light-push and wants to hear of it.

    members that the room ever had, on Android or iOS
    without those that forbade it      leaveMessage false; iOS: no token, or this room is muted    (Clients.reachable)
    without those that have it         who acknowledged, `except`, who sent it

Web clients hear nothing. Source: spec/liutian-push.md 8.2.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import ClientRecord, Reachable, StoredPush
from appmodel.core.lightpush_stores import Clients, PushBook
from web.core.lightpush_offline import spared


class Page(NamedTuple):
    """Some members of a room."""

    missed: Sequence[Reachable]  # those that have missed the push, by their ids
    last: str  # behind whom the next page begins
    is_last: bool

    def on(self, platform: Platform) -> list[Reachable]:
        """Those that run on it."""
        return [one for one in self.missed if one.platform is platform]


class Recipients:
    """Of any push. All calls raise PushError if a store is away, and may be cancelled."""

    def __init__(self, clients: Clients, pushes: PushBook, page: int) -> None:
        """`page`: members that are looked up together."""
        self._clients, self._pushes, self._limit = clients, pushes, page

    async def page(self, push: StoredPush, after: str) -> Page:
        """From behind a client."""
        draft = push.draft
        found = await self._clients.reachable(
            draft.namespace, draft.room, after=after, limit=self._limit
        )
        last = found[-1].client if found else after
        return Page(await self._who_missed(push, found), last, len(found) < self._limit)

    async def again(self, push: StoredPush, clients: Collection[str]) -> Sequence[Reachable]:
        """Those of these iOS clients that still want to hear of it, and where they are reached now."""
        draft = push.draft
        records = [await self._clients.find(draft.namespace, client) for client in clients]
        return await self._who_missed(push, _reachable(draft.room, records))

    async def _who_missed(
        self, push: StoredPush, found: Sequence[Reachable]
    ) -> Sequence[Reachable]:
        not_meant = spared(push.draft)
        meant = [one for one in found if one.client not in not_meant]
        if not meant:
            return []
        names = [one.client for one in meant]
        have = await self._pushes.acknowledged(push.draft.namespace, push.id, names)
        return [one for one in meant if one.client not in have]


def _reachable(room: str, records: Sequence[ClientRecord | None]) -> list[Reachable]:
    """As Clients.reachable says it."""
    return [
        Reachable(record.id, record.platform, record.device_token)
        for record in records
        if record is not None
        and record.device_token
        and record.leave_message is not False
        and room not in record.muted
    ]
