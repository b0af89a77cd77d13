"""Quotas: exact however many nodes take, and counted without a loss."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
import trio
from sqlalchemy.orm import Session

from appmodel.errors import CallQuota, LimitReached, OutcomeUnknown, PushQuota, Unavailable
from appmodel.io.database import Database
from appmodel.orm.changes import note_change
from appmodel.orm.counting import ApiCall, PushCnt, Quota
from tests.databases import limits
from web.config import QuotaConfig
from web.core.quota import Consumer
from web.services.caching import Changes
from web.services.quotas import Quotas, quota_subject

LOGIN = "/app/client/device/login"
ANN = Consumer("c1", "t1", "ann", "ios")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Desk:
    """A node's quotas, at a time that the test sets."""

    def __init__(self, database: Database, config: QuotaConfig, now: float) -> None:
        self.now = now
        self.database = database
        self.changes = Changes(database, staleness=1)
        self.quotas = Quotas(database, self.changes, config, now=lambda: self.now)

    async def pushes(self, count: int = 1, consumer: Consumer = ANN) -> bool:
        """Whether a push was allowed."""
        try:
            await self.quotas.take_push(consumer, count)
        except PushQuota:
            return False
        return True


@asynccontextmanager
async def a_node(
    database: Database, config: QuotaConfig | None = None, now: float = NOON
) -> AsyncIterator[Desk]:
    desk = Desk(database, config or QuotaConfig(), now)
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.changes.run)
        await nursery.start(desk.quotas.run)
        yield desk
        nursery.cancel_scope.cancel()


async def put(database: Database, *rows: Quota) -> None:
    def add(session: Session) -> None:
        session.add_all(rows)
        note_change(session, *{quota_subject(row.customer_id) for row in rows})

    await database.write(add)


def quota(value: object, **columns: Any) -> Quota:
    """A row of push_cnt of t1, or what the test says."""
    columns = {"customer_id": "c1", "tenant_id": "t1", "type": "push_cnt"} | columns
    return Quota(value=str(value), **columns)


async def total(database: Database, table: type[ApiCall] | type[PushCnt], period: str) -> int:
    asked = sa.select(sa.func.sum(table.count)).where(table.period == period)
    return int(await database.read(lambda session: session.scalar(asked)) or 0)


async def used(database: Database) -> list[int]:
    asked = sa.select(Quota.used).order_by(Quota.id)
    return await database.read(lambda session: list(session.scalars(asked)))


async def test_a_limit_is_exact_however_many_nodes_take(database: Database) -> None:
    """Three nodes of 40 callers each want 120 of 50: 50 have it, and the row says so."""
    await put(database, quota(50))
    granted = []

    async def calls(desk: Desk) -> None:
        granted.append(await desk.pushes())

    async with a_node(database) as first:
        others = [Database(limits(_url(database))) for _ in range(2)]
        async with a_node(others[0]) as second, a_node(others[1]) as third:
            async with trio.open_nursery() as nursery:
                for desk in (first, second, third) * 40:
                    nursery.start_soon(calls, desk)
        for other in others:
            other.close()

    assert granted.count(True) == 50
    assert await used(database) == [50]


async def test_counters_are_exact_however_many_nodes_count(database: Database) -> None:
    """What four nodes noted is there after their clean stop: of the day, the month and for ever."""
    others = [Database(limits(_url(database))) for _ in range(3)]

    async def counts(node: Database) -> None:
        async with a_node(node, QuotaConfig(flush=0.01)) as desk:
            for number in range(300):
                caller = Consumer("c1", "t1", f"u{number % 7}", ("ios", "app")[number % 2])
                desk.quotas.note_push(caller, "@user", number % 3)
                if number % 50 == 0:
                    await trio.sleep(0.01)
                await desk.quotas.take_call(caller, LOGIN)

    async with trio.open_nursery() as nursery:
        for node in (database, *others):
            nursery.start_soon(counts, node)
    for other in others:
        other.close()

    for period in ("2026-11-21", "2026-11", "total"):
        assert await total(database, PushCnt, period) == 4 * 300
        assert await total(database, ApiCall, period) == 4 * 300


def _url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)
