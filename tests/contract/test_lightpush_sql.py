"""Who is present and what was pushed, in the application's database: the contracts, on each of the three."""

import threading

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.lightpush_records import Ack, Job, Tally, Unit
from appmodel.core.lightpush_stores import Attendance, PushBook
from appmodel.io.database import Database
from appmodel.io.lightpush_attendance import SqlAttendance
from appmodel.io.lightpush_pushes import SqlPushBook
from appmodel.orm import lightpush_offline_queries
from appmodel.orm.lightpush import NspAck, NspInbox, NspPush, NspStat, NspTally
from tests.contract.lightpush_attendance import AttendanceContract
from tests.contract.lightpush_pushes import BOUNDS, C1, HOUR, NOW, WEB, PushBookContract, a_push
from tests.databases import PATIENCE


class TestSqlAttendance(AttendanceContract):
    @pytest.fixture
    def store(self, database: Database) -> Attendance:
        return SqlAttendance(database)


class TestSqlPushBook(PushBookContract):
    @pytest.fixture
    def store(self, database: Database) -> PushBook:
        return SqlPushBook(database, BOUNDS)

    @pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
    async def test_of_two_that_read_the_same_job_one_gets_it(
        self, store: PushBook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both have found it due before either claims it. (SQLite lets only one write at a time.)"""
        both = threading.Barrier(2)

        def token() -> str:
            return str(both.wait(PATIENCE))

        await store.create(a_push(), offline_after=0)
        monkeypatch.setattr(lightpush_offline_queries, "new_token", token)
        claimed: list[Job] = []

        async def claim() -> None:
            claimed.extend(await store.claim_jobs(now=NOW, lease=HOUR, limit=1))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(claim)
            nursery.start_soon(claim)

        assert len(claimed) == 1

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
