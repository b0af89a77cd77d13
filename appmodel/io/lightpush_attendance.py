"""Who is present in light-push, in the application's database: see Attendance in core/lightpush_stores.py.

The default, for one node or few; lightpush_attendance_redis.py is for many clients that come and go.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from appmodel.core.lightpush_records import (
    AttendanceNews,
    Lists,
    Overview,
    Presence,
    Process,
    RoomOverview,
)
from appmodel.io.database import Database
from appmodel.io.lightpush_clients import BATCH, parts
from appmodel.orm import lightpush_attendance_queries as queries


class SqlAttendance:
    """See Attendance."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, process: Process, news: AttendanceNews) -> None:
        """See Attendance. In their order, BATCH of one kind in each transaction."""
        pieces = [AttendanceNews(went=part) for part in parts(news.went)]
        pieces += [AttendanceNews(came=part) for part in parts(news.came)]
        pieces += [AttendanceNews(left=part) for part in parts(news.left)]
        pieces += [AttendanceNews(joined=part) for part in parts(news.joined)]
        if sum(map(len, (news.went, news.came, news.left, news.joined))) <= BATCH:
            pieces = [news]
        for piece in pieces:
            write = partial(queries.record, process=process, news=piece)
            await self._database.write(write, may_leave=True)

    async def processes(self) -> Sequence[Process]:
        """See Attendance."""
        return await self._database.read(queries.processes)

    async def count_at(self, process: Process) -> tuple[int, int]:
        """See Attendance."""
        return await self._database.read(lambda session: queries.count_at(session, process))

    async def present_at(
        self, process: Process, *, after: tuple[str, str] = ("", ""), limit: int
    ) -> Sequence[Presence]:
        """See Attendance."""
        return await self._database.read(
            lambda session: queries.present_at(session, process, after, limit)
        )

    async def seats_of(self, process: Process, namespace: str, client: str) -> Sequence[str]:
        """See Attendance."""
        return await self._database.read(
            lambda session: queries.seats_of(session, process, namespace, client)
        )

    async def is_present(self, namespace: str, room: str, client: str) -> bool:
        """See Attendance."""
        return await self._database.read(
            lambda session: queries.is_present(session, namespace, room, client)
        )

    async def overviews(self, namespaces: Collection[str]) -> Mapping[str, Overview]:
        """See Attendance."""
        return await self._database.read(lambda session: queries.overviews(session, namespaces))

    async def platform(self) -> Overview:
        """See Attendance."""
        found = await self._database.read(lambda session: queries.overviews(session, None))
        return Overview(*map(sum, zip(*found.values(), strict=True))) if found else Overview()

    async def lists(self, namespace: str, *, most: int) -> Lists:
        """See Attendance."""
        return await self._database.read(lambda session: queries.lists(session, namespace, most))

    async def rooms(self, namespace: str, rooms: Collection[str]) -> Mapping[str, RoomOverview]:
        """See Attendance."""
        return await self._database.read(lambda session: queries.rooms(session, namespace, rooms))

    async def room_lists(
        self, namespace: str, rooms: Collection[str], *, most: int
    ) -> Mapping[str, Lists]:
        """See Attendance."""
        return await self._database.read(
            lambda session: queries.room_lists(session, namespace, rooms, most)
        )

    async def online(self, namespace: str, *, after: str = "", limit: int) -> Sequence[Presence]:
        """See Attendance."""
        return await self._database.read(
            lambda session: queries.online(session, namespace, after, limit)
        )

    async def clear(self, namespace: str) -> None:
        """See Attendance."""
        while await self._database.write(lambda session: queries.clear(session, namespace, BATCH)):
            pass
