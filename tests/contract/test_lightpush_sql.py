"""Who is present and what was pushed, in the application's database: the contracts, on each of the three."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appmodel.core.lightpush_stores import Attendance, PushBook
from appmodel.io.database import Database
from appmodel.io.lightpush_attendance import SqlAttendance
from appmodel.io.lightpush_pushes import SqlPushBook
from tests.contract.lightpush_attendance import AttendanceContract
from tests.contract.lightpush_pushes import BOUNDS, PushBookContract


class TestSqlAttendance(AttendanceContract):
    @asynccontextmanager
    async def open_store(self, database: Database) -> AsyncIterator[Attendance]:
        yield SqlAttendance(database)


class TestSqlPushBook(PushBookContract):
    @asynccontextmanager
    async def open_store(self, database: Database) -> AsyncIterator[PushBook]:
        yield SqlPushBook(database, BOUNDS)
