"""Quotas: exact however many nodes take, and counted without a loss."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
import trio
from sqlalchemy.orm import Session
from trio.testing import wait_all_tasks_blocked

from appmodel.core.units import Duration
from appmodel.errors import CallQuota, OutcomeUnknown, PushQuota, Unavailable
from appmodel.io.caching import Changes
from appmodel.io.database import Database
from appmodel.orm.changes import note_change
from appmodel.orm.counting import ApiCall, PushCnt, Quota
from tests.databases import limits
from web.config import QuotaConfig
from web.core.quota import Consumer
from web.services import counting
from web.services.quotas import Quotas, quota_subject

LOGIN = "/app/client/device/login"
ANN = Consumer("c1", "t1", "ann", "ios")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0
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

    async def knows_changes(self) -> None:
        """From now on what it remembers counts: it polls the notes of changes."""
        while not self.changes.is_fresh:
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def a_node(
    database: Database, config: QuotaConfig | None = None, now: float = NOON
) -> AsyncIterator[Desk]:
    """A node that stops cleanly when the block ends."""
    desk = Desk(database, config or QuotaConfig(), now)
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.changes.run)
        await nursery.start(desk.quotas.run)
        yield desk
        nursery.cancel_scope.cancel()


async def at_once(desks: Sequence[Desk], count: int = 1) -> list[bool]:
    """Everybody pushes; what became of each."""
    granted: list[bool] = []

    async def push(desk: Desk) -> None:
        granted.append(await desk.pushes(count))

    async with trio.open_nursery() as nursery:
        for desk in desks:
            nursery.start_soon(push, desk)
    return granted


@contextmanager
def others(database: Database, count: int) -> Iterator[list[Database]]:
    """The same database, as other processes have it."""
    found = [Database(limits(url_of(database))) for _ in range(count)]
    yield found
    for each in found:
        each.close()


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


async def put(database: Database, *rows: Quota | PushCnt | ApiCall) -> None:
    """Rows, and what a change of them is noted as."""

    def add(session: Session) -> None:
        session.add_all(rows)
        note_change(session, *{quota_subject(row.customer_id) for row in rows})

    await database.write(add)


async def change(database: Database, **columns: Any) -> None:
    """All quotas."""

    def update(session: Session) -> None:
        session.execute(sa.update(Quota).values(**columns))
        note_change(session, quota_subject("c1"))

    await database.write(update)


def lift(session: Session) -> None:
    """All limits of c1."""
    session.execute(sa.delete(Quota))
    note_change(session, quota_subject("c1"))


def quota(value: object, **columns: Any) -> Quota:
    """A row of push_cnt of t1, or what the test says."""
    columns = {"customer_id": "c1", "tenant_id": "t1", "type": "push_cnt"} | columns
    return Quota(value=str(value), **columns)


def counter(count: int, period: str, tenant: str = "t1", **columns: Any) -> PushCnt:
    return PushCnt(customer_id="c1", tenant_id=tenant, period=period, count=count, **columns)


async def total(database: Database, table: type[ApiCall] | type[PushCnt], period: str) -> int:
    """What the counters of a period hold."""
    asked = sa.select(sa.func.sum(table.count)).where(table.period == period)
    return await database.read(lambda session: int(session.scalar(asked) or 0))


async def used(database: Database) -> list[tuple[int, str]]:
    """Of each quota: how much, in which period."""
    asked = sa.select(Quota.used, Quota.used_in).order_by(Quota.period)
    return await database.read(lambda s: [(row.used, row.used_in) for row in s.execute(asked)])


async def test_a_limit_is_exact_however_many_nodes_take(database: Database) -> None:
    """Three nodes of 40 callers each want 120 of 50: 50 have it, and the row says so."""
    await put(database, quota(50))
    with others(database, 2) as (second, third):
        async with a_node(database) as a, a_node(second) as b, a_node(third) as c:
            granted = await at_once([a, b, c] * 40)

    assert granted.count(True) == 50
    assert await used(database) == [(50, "total")]


async def test_several_limits_are_taken_from_together(database: Database) -> None:
    """What does not fit into one leaves the others as they were, also under two nodes at once."""
    await put(database, quota(100), quota(7, period="day"), quota(30, period="month"))
    with others(database, 1) as (second,):
        async with a_node(database) as a, a_node(second) as b:
            granted = await at_once([a, b] * 10, count=2)

    assert granted.count(True) == 3
    assert await used(database) == [(6, "2026-11-21"), (6, "2026-11"), (6, "total")]


async def test_a_new_day_begins_at_nothing(database: Database) -> None:
    """And a node whose clock is still in yesterday takes from the new day: it never goes back."""
    await put(database, quota(3, period="day"))
    with others(database, 1) as (second,):
        async with a_node(database) as ahead, a_node(second) as behind:
            assert await ahead.pushes(3)
            assert not await ahead.pushes()

            ahead.now += DAY
            assert await ahead.pushes(2)
            assert await behind.pushes()
            assert not await behind.pushes()
            assert not await ahead.pushes()

    assert await used(database) == [(3, "2026-11-22")]


async def test_days_begin_in_the_configured_zone(database: Database) -> None:
    """Eight hours earlier in Shanghai, for limits and for counters."""
    await put(database, quota(3, period="day"))
    async with a_node(database, QuotaConfig(zone="Asia/Shanghai"), now=NOON + 5 * 3600) as desk:
        assert await desk.pushes()
        desk.quotas.note_push(ANN, "@user", 1)

    assert await used(database) == [(1, "2026-11-22")]
    assert await total(database, PushCnt, "2026-11-22") == 1


async def test_a_limit_begins_with_what_was_counted_before(database: Database) -> None:
    """In its own period; that of "*" with all tenants of the customer that have none of their own."""
    await put(
        database,
        quota(10),
        quota(10, period="day", tenant_id="*"),
        quota(10, period="day", tenant_id="t3"),
        counter(8, "total", sharding=1),
        counter(1, "total", sharding=2),
        counter(3, "2026-11-21"),
        counter(9, "2026-11-20"),
        counter(4, "2026-11-21", tenant="t2"),
        counter(7, "2026-11-21", tenant="t3"),
        PushCnt(customer_id="c2", tenant_id="t4", period="2026-11-21", count=9),
    )
    async with a_node(database) as desk:
        assert await desk.pushes(1)
        assert not await desk.pushes(1)  # t1: its total is used up
        assert await desk.pushes(2, Consumer("c1", "t2", "bob", "app"))
        assert not await desk.pushes(1, Consumer("c1", "t2", "bob", "app"))  # 3 + 4 + 1 + 2

    assert sorted(await used(database)) == [(0, ""), (10, "2026-11-21"), (10, "total")]


async def test_a_limit_that_was_none_begins_with_what_was_counted(database: Database) -> None:
    """-1 is only counted; what then becomes a limit of 5 has used what the counters say."""
    await put(database, quota(-1), counter(3, "total"))
    async with a_node(database) as desk:
        assert await desk.pushes(1)
        await change(database, value="5", used_in="")

        assert not await desk.pushes(3)
        assert await desk.pushes(2)


async def test_a_changed_limit_is_heard_of(database: Database) -> None:
    """By a node that knows the old one: raised, lowered, lifted."""
    await put(database, quota(2))
    async with a_node(database) as desk:
        await desk.knows_changes()
        assert await desk.pushes(2)
        assert not await desk.pushes(1)

        await change(database, value="3")
        assert await desk.pushes(1)
        await change(database, value="1")
        assert not await desk.pushes(1)
        await database.write(lift)
        assert await desk.pushes(1000)


@ON_SQLITE
async def test_what_it_costs(database: Database) -> None:
    """Nothing for those without a limit, one look-up for those who come first, one statement for a round."""
    await put(database, quota(10_000, tenant_id="t2"))
    limited = Consumer("c1", "t2", "bob", "ios")
    async with a_node(database, QuotaConfig(flush=Duration(3600))) as desk:
        await desk.knows_changes()
        with asked_of_quotas(database) as look_up:
            await desk.quotas.take_push(ANN, 1)
        await desk.quotas.take_push(limited, 1)  # its period begins
        with asked_of_quotas(database) as unlimited:
            for _ in range(20):
                await desk.quotas.take_push(ANN, 5)
                await desk.quotas.take_call(ANN, LOGIN)
                desk.quotas.note_push(ANN, "@user", 5)
        with asked_of_quotas(database) as alone:
            await desk.quotas.take_push(limited, 1)
        with asked_of_quotas(database) as together:
            async with trio.open_nursery() as nursery:
                for _ in range(1000):
                    nursery.start_soon(desk.quotas.take_push, limited, 1)

    assert (len(look_up), len(unlimited), len(alone)) == (1, 0, 1)
    assert len(together) <= 3


@contextmanager
def asked_of_quotas(database: Database) -> Iterator[list[str]]:
    """The statements about quotas and counters; others are polls of the notes of changes."""
    found: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if any(table in statement for table in ("quota", "push_cnt", "api_call")):
            found.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", hear)
    yield found
    sa.event.remove(database.engine, "before_cursor_execute", hear)


@ON_SQLITE
async def test_without_a_tenant_the_default_decides(database: Database) -> None:
    """Whatever rows there are."""
    nobody = Consumer("", "", "joe", "ios")
    await put(database, quota(0, customer_id="", tenant_id="*"))
    async with a_node(database) as lenient:
        await lenient.quotas.take_push(nobody, 100)
        await lenient.quotas.take_call(nobody, LOGIN)
    async with a_node(database, QuotaConfig(default="refuse")) as strict:
        with pytest.raises(PushQuota):
            await strict.quotas.take_push(nobody, 1)
        with pytest.raises(CallQuota):
            await strict.quotas.take_call(nobody, LOGIN)


@ON_SQLITE
async def test_calls_have_quotas_of_their_own(database: Database) -> None:
    """By path, counted as they are allowed; a refused one is not counted."""
    await put(database, quota(2, type="api_cnt", api_name=LOGIN, period="day"))
    async with a_node(database) as desk:
        for _ in range(2):
            await desk.quotas.take_call(ANN, LOGIN)
        with pytest.raises(CallQuota, match="over the 2 of 2026-11-21"):
            await desk.quotas.take_call(ANN, LOGIN)
        await desk.quotas.take_call(ANN, "/app/client/device/push")

    assert await total(database, ApiCall, "total") == 3


@ON_SQLITE
async def test_nobody_takes_while_the_database_is_away(database: Database) -> None:
    """Unavailable, and nothing was taken; afterwards all is as before."""
    await put(database, quota(5))
    hasty = Database(limits(url_of(database), timeout=Duration(1)))
    async with a_node(hasty) as desk:
        assert await desk.pushes(1)
        with locked(database), pytest.raises(Unavailable):
            await desk.pushes(1)

        assert await desk.pushes(4)
        assert not await desk.pushes(1)
    hasty.close()


@ON_SQLITE
async def test_too_many_do_not_wait(database: Database) -> None:
    """More than web.quota.waiting are refused at once; a taker that is cancelled has left."""
    await put(database, quota(5))
    async with a_node(database, QuotaConfig(waiting=2)) as desk:
        await desk.knows_changes()
        outcomes: list[str] = []

        async def take() -> None:
            try:
                outcomes.append(str(await desk.pushes()))
            except Unavailable as error:
                outcomes.append(str(error))

        assert await desk.pushes()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(take)
        with trio.CancelScope() as gone:
            gone.cancel()
            await desk.pushes()
        assert await desk.pushes()

    assert sorted(outcomes) == ["True", "True", "quota: 2 calls wait for the database already"]
    assert await used(database) == [(4, "total")]


@ON_SQLITE
async def test_who_leaves_before_the_round_takes_nothing(database: Database) -> None:
    """A caller that hangs up while others' round is under way."""
    await put(database, quota(5))
    with others(database, 1) as (somebody,):
        async with a_node(database) as desk:
            assert await desk.pushes()
            async with trio.open_nursery() as nursery:
                with locked(somebody):
                    nursery.start_soon(desk.pushes)  # its round has begun
                    await wait_all_tasks_blocked(0.01)
                    with trio.move_on_after(0.01):
                        await desk.pushes()
            assert await desk.pushes()

    assert await used(database) == [(3, "total")]


async def test_counters_are_exact_however_many_nodes_count(database: Database) -> None:
    """What four nodes noted is there after their clean stop: of the day, the month and for ever."""

    async def counts(node: Database) -> None:
        async with a_node(node, QuotaConfig(flush=Duration(0.01))) as desk:
            for number in range(300):
                caller = Consumer("c1", "t1", f"u{number % 7}", ("ios", "app")[number % 2])
                desk.quotas.note_push(caller, "@user", number % 3)
                if number % 50 == 0:
                    await trio.sleep(0.01)
                await desk.quotas.take_call(caller, LOGIN)

    with others(database, 3) as nodes:
        async with trio.open_nursery() as nursery:
            for node in (database, *nodes):
                nursery.start_soon(counts, node)

    for period in ("2026-11-21", "2026-11", "total"):
        assert await total(database, PushCnt, period) == 4 * 300
        assert await total(database, ApiCall, period) == 4 * 300


async def test_a_counter_has_one_row_for_each_period_and_shard(database: Database) -> None:
    """Users one, as the original has them; applications at most ten. `updated` tells the last time."""
    application = Consumer("c1", "t1", "shop", "app")
    async with a_node(database) as desk:
        for _ in range(30):
            desk.quotas.note_push(ANN, "@user", 2)
            desk.quotas.note_push(application, "@user", 1)
            await desk.quotas.counters.flush()

    asked = sa.select(PushCnt).where(PushCnt.period == "total")
    rows = await database.read(lambda session: list(session.scalars(asked)))
    mine = [row for row in rows if row.caller_id == "ann"]
    shop = [row for row in rows if row.caller_id == "shop"]
    assert [(row.count, row.sharding, row.type, row.push_type) for row in mine] == [
        (60, 1, "ios", "@user")
    ]
    assert mine[0].created is not None
    assert mine[0].updated is not None
    assert mine[0].updated > mine[0].created
    assert sum(row.count for row in shop) == 30
    assert 1 < len(shop) <= 10
    assert {row.sharding for row in shop} <= set(range(10))


@ON_SQLITE
async def test_counters_wait_for_the_database(database: Database) -> None:
    """What it does not take stays, and comes when it is back; nobody who counts waits or hears of it."""
    hasty = Database(limits(url_of(database), timeout=Duration(0.3)))
    async with a_node(hasty, QuotaConfig(flush=Duration(3600))) as desk:
        with locked(database):
            desk.quotas.note_push(ANN, "@user", 3)
            await desk.quotas.counters.flush()
            desk.quotas.note_push(ANN, "@user", 4)
            await desk.quotas.counters.flush()
    hasty.close()

    assert await total(database, PushCnt, "total") == 7
    assert desk.quotas.counters.lost == 0


@ON_SQLITE
async def test_what_waits_is_bounded(database: Database) -> None:
    """Beyond web.quota.gathered different counters nothing is gathered: what is lost, is counted."""
    async with a_node(database, QuotaConfig(flush=Duration(3600), gathered=2)) as desk:
        for uid in ("u1", "u2", "u3", "u1"):
            desk.quotas.note_push(Consumer("c1", "t1", uid, "ios"), "@user", 5)

    assert await total(database, PushCnt, "total") == 15
    assert desk.quotas.counters.lost == 5


@ON_SQLITE
async def test_a_batch_in_doubt_is_not_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting twice would be worse: a bill can be too low."""

    async def doubt(*_: object) -> None:
        raise OutcomeUnknown("the database was lost in a commit")

    async with a_node(database, QuotaConfig(flush=Duration(3600))) as desk:
        desk.quotas.note_push(ANN, "@user", 3)
        with monkeypatch.context() as patched:
            patched.setattr(database, "write", doubt)
            await desk.quotas.counters.flush()
        desk.quotas.note_push(ANN, "@user", 4)

    assert await total(database, PushCnt, "total") == 4
    assert desk.quotas.counters.lost == 3


async def test_old_days_are_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before web.quota.keep_days, in steps; months and totals stay."""
    monkeypatch.setattr(counting, "PER_BATCH", 2)
    old = [counter(1, f"2026-11-{day:02}") for day in range(10, 22)]
    await put(database, *old, counter(5, "2026-01"), counter(5, "total"))
    async with a_node(database, QuotaConfig(keep_days=2, flush=Duration(0))) as desk:
        desk.quotas.note_push(ANN, "@user", 1)
        with trio.fail_after(10):
            while await total(database, PushCnt, "2026-11-18"):  # noqa: ASYNC110  it is in SQL
                await trio.sleep(0.01)

    asked = sa.select(PushCnt.period).distinct().order_by(PushCnt.period)
    periods = await database.read(lambda session: list(session.scalars(asked)))
    days = ["2026-11-19", "2026-11-20", "2026-11-21"]
    assert periods == ["2026-01", "2026-11", *days, "total"]


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    with database.engine.connect().execution_options(writes=True) as connection:
        connection.execute(sa.text("SELECT 1"))
        yield
        connection.rollback()
