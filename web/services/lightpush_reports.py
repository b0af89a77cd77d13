"""Reports of the light-push REST: pushes of a namespace, how many there were, and who is online.

What is told of others than the caller's namespace is told to the administrator only; an id of another
namespace is an id that does not exist (W4). Numbers of who is online are as old as the batches of the comets.

Source: spec/liutian-push.md 5.3 and 5.4.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from appmodel.core.lightpush import Refusal
from appmodel.core.lightpush_records import Lists, RoomOverview, Totals, Unit
from appmodel.core.lightpush_stores import Attendance, Clients, PushBook
from appmodel.core.lightpush_texts import push_texts
from web.config import LightpushConfig
from web.core.lightpush_clients import is_any_room
from web.core.lightpush_reports import (
    MAX_ID,
    current_counts,
    namespace_report,
    past_counts,
    platform_report,
    push_id,
    push_report,
    room_report,
)

SLICE = 20  # pushes that are read together


class PushReports:
    """What became of pushes."""

    def __init__(self, book: PushBook, config: LightpushConfig) -> None:
        self._book, self._most = book, config.report_push_ack_detail_max_limit

    async def history(
        self, namespace: str, *, page: int, size: int, now: int
    ) -> AsyncGenerator[dict[str, str], None]:
        """A page, the newest first, as far back as the book shows. `page` begins with 1; `now`: ms.

        A few are read at a time, for each may be as large as a body. What is pushed meanwhile moves the
        others on, so those that were told already are passed over.
        """
        begin, end, last = (page - 1) * size, page * size, MAX_ID
        while begin < end:
            limit = min(SLICE, end - begin)
            some = await self._book.history(namespace, offset=begin, limit=limit, now=now)
            for push in some:
                if push.id < last:
                    last = push.id
                    yield push_texts(push)
            begin += limit
            if len(some) < limit:
                return

    async def push(
        self, namespace: str, number: str, *, with_acks: bool, now: int
    ) -> dict[str, Any]:
        """One push. Raises Refusal: this namespace has none of that id."""
        found = push_id(number)
        push = None if found is None else await self._book.find(namespace, found, now=now)
        if push is None:
            raise Refusal("this id not exists")
        details = None
        if with_acks:
            details = await self._book.details(namespace, push.id, most=self._most)
        return push_report(push, details)

    async def current(self, namespace: str, *, now: int) -> dict[str, str | int]:
        """How many there were in this minute, hour and day."""
        return current_counts({unit: await self._counts(namespace, unit, now) for unit in Unit})

    async def past(
        self, namespace: str, units: Sequence[Unit], *, now: int
    ) -> dict[str, list[dict[str, int]]]:
        """How many there were, as far back as they are counted."""
        return {
            unit.value: past_counts(unit, await self._counts(namespace, unit, now), now)
            for unit in units
        }

    async def _counts(self, namespace: str, unit: Unit, now: int) -> Sequence[int]:
        return await self._book.counts(namespace, unit, now=now)


class OnlineReports:
    """Who is online."""

    def __init__(self, attendance: Attendance, clients: Clients, config: LightpushConfig) -> None:
        self._attendance, self._clients = attendance, clients
        self._most = config.report_online_list_max_limit

    async def platform(self) -> dict[str, Any]:
        """All namespaces together."""
        return platform_report(await self._attendance.platform())

    async def namespaces(self, keys: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """Numbers of each."""
        overviews = await self._attendance.overviews(keys)
        totals = await self._clients.totals(keys)
        return {key: namespace_report(overviews[key], totals[key]) for key in keys}

    async def namespace(self, key: str, *, with_lists: bool) -> dict[str, Any]:
        """One, with the names of who is there if they are wanted and not too many."""
        overviews = await self._attendance.overviews([key])
        totals = await self._clients.totals([key])
        lists = await self._attendance.lists(key, most=self._most) if with_lists else None
        return namespace_report(overviews[key], totals[key], lists)

    async def rooms(
        self, namespace: str, rooms: Sequence[str], *, with_lists: bool
    ) -> list[dict[str, Any]]:
        """Rooms in the order in which they were asked for. One that there is not has nobody."""
        known = {room for room in rooms if is_any_room(room)}
        overviews: Mapping[str, RoomOverview] = {}
        totals: Mapping[str, Totals] = {}
        lists: Mapping[str, Lists] = {}
        if known:
            overviews = await self._attendance.rooms(namespace, known)
            totals = await self._clients.room_totals(namespace, known)
            if with_lists:
                lists = await self._attendance.room_lists(namespace, known, most=self._most)
        nobody = Lists((), (), ()) if with_lists else None
        return [
            room_report(
                room,
                overviews.get(room, RoomOverview()),
                totals.get(room, Totals()),
                lists.get(room, nobody),
            )
            for room in rooms
        ]
