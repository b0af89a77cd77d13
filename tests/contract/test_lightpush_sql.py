"""Who is present and what was pushed, in the application's database: the contracts, on each of the three."""

import pytest
import sqlalchemy as sa

from appmodel.core.lightpush_records import Ack, Tally, Unit
from appmodel.core.lightpush_stores import Attendance, PushBook
from appmodel.io.database import Database
from appmodel.io.lightpush_attendance import SqlAttendance
from appmodel.io.lightpush_pushes import SqlPushBook
from appmodel.orm.lightpush import NspAck, NspInbox, NspPush, NspStat, NspTally
from tests.contract.lightpush_attendance import AttendanceContract
from tests.contract.lightpush_pushes import BOUNDS, C1, HOUR, NOW, WEB, PushBookContract, a_push


class TestSqlAttendance(AttendanceContract):
    @pytest.fixture
    def store(self, database: Database) -> Attendance:
        return SqlAttendance(database)


class TestSqlPushBook(PushBookContract):
    @pytest.fixture
    def store(self, database: Database) -> PushBook:
        return SqlPushBook(database, BOUNDS)

    async def test_sweeping_frees_what_has_expired(
        self, store: PushBook, database: Database
    ) -> None:
        """Pushes, their acks and inboxes, and old counters: of each nothing is left but what is alive."""
        for lives, ago in ((1000, 0), (HOUR, 0), (HOUR, 61 * Unit.MINUTE.length)):
            push_id = await store.create(a_push(lives=lives, at=NOW - ago))
            await store.acknowledge(
                [Ack("/a", push_id, f"c{n}", WEB) for n in range(3)], now=NOW - ago
            )
            push = await store.find("/a", push_id, now=NOW - ago)
            assert push is not None
            await store.put_in_inboxes(push, ["c1"], now=NOW - ago)
        await store.tally(Tally(C1, 1, {}), now=NOW - 2 * Unit.DAY.length)

        while await store.sweep(now=NOW + 1000, limit=2):
            pass

        models = (NspPush, NspAck, NspInbox, NspStat, NspTally)
        counts = await database.read(
            lambda session: [
                session.scalar(sa.select(sa.func.count()).select_from(model)) for model in models
            ]
        )
        assert counts == [1, 3, 1, 5, 0]  # of the old one its hour and its day are kept still
