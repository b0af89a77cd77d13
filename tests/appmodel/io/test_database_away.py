"""A server that restarts, crashes, hangs, or is lost in a commit: what callers of `Database` hear."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
import sqlalchemy as sa
import trio
from structlog.testing import capture_logs

from appmodel.core.units import Duration
from appmodel.errors import OutcomeUnknown, Unavailable
from appmodel.io.database import Database
from appmodel.io.engines import DatabaseLimits
from appmodel.orm.organisations import Customer
from tests.databases import make_tables
from tests.message.stores.cutting_proxy import cutting_proxy
from tests.message.stores.databases import DATABASE, KINDS, own_server
from tools.servers.databases import DatabaseServer

Answer = TypeVar("Answer")

PATIENCE = 60.0  # seconds after which a test has failed


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """One of these tests' own: they kill it."""
    with own_server(str(request.param)) as server:
        make_tables(server.url(DATABASE))
        yield server


@pytest.fixture
async def patient(server: DatabaseServer) -> AsyncIterator[Database]:
    """For what is not on trial; without a customer. A commit may take seconds on a busy disk."""
    database = opened(server.url(DATABASE), Duration(PATIENCE))
    await database.write(lambda session: session.execute(sa.delete(Customer)))
    yield database
    database.close()


@pytest.fixture
async def database(server: DatabaseServer, patient: Database) -> AsyncIterator[Database]:
    """With short time-outs; `patient` has emptied it."""
    database = opened(server.url(DATABASE), Duration(1))
    yield database
    database.close()


def opened(url: str, timeout: Duration) -> Database:
    """A database that is given up after `timeout`."""
    limits = DatabaseLimits(url=url, threads=2, timeout=timeout, connect_timeout=timeout)
    return Database(limits)


async def count(database: Database) -> int:
    """Of customers."""
    return await database.read(
        lambda session: session.scalar(sa.select(sa.func.count(Customer.id))) or 0
    )


async def add(database: Database, id: str) -> None:
    """A customer."""
    await database.write(lambda session: session.add(Customer(id=id)))


async def eventually(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Its answer, as soon as it is not refused."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                return await call()
            except (Unavailable, OutcomeUnknown):
                await trio.sleep(0.01)


def is_troubled(database: Database) -> bool:
    """What /readyz looks at."""
    return database.trouble is not None


@asynccontextmanager
async def stopped(server: DatabaseServer) -> AsyncIterator[None]:
    """It is not there within the block."""
    await trio.to_thread.run_sync(server.daemon.stop)
    try:
        yield
    finally:
        await trio.to_thread.run_sync(server.daemon.start)


async def test_a_restart_between_two_calls_is_not_seen(
    server: DatabaseServer, patient: Database
) -> None:
    """The broken connections are noticed, and the work is done on new ones."""
    async with trio.open_nursery() as nursery:  # so there are two connections
        nursery.start_soon(count, patient)
        nursery.start_soon(count, patient)
    async with stopped(server):
        pass

    await add(patient, "c1")
    assert await count(patient) == 1


async def test_a_server_that_is_away_is_unavailable_and_then_serves_again(
    server: DatabaseServer, database: Database, patient: Database
) -> None:
    """Told once in the log, without the password."""
    await add(patient, "c1")
    await eventually(lambda: count(database))
    with capture_logs() as logs:
        async with stopped(server):
            for _ in range(3):
                with trio.fail_after(PATIENCE), pytest.raises(Unavailable):
                    await count(database)
            with trio.fail_after(PATIENCE), pytest.raises(Unavailable):
                await add(database, "c2")
            assert is_troubled(database)

        assert await eventually(lambda: count(database)) == 1

    assert not is_troubled(database)
    states = [entry["state"] for entry in logs if "state" in entry]
    assert states == ["does not serve", "serves again"]
    assert "secret" not in str(logs)


async def test_a_crash_in_the_middle_is_unavailable(
    server: DatabaseServer, patient: Database
) -> None:
    """What was not committed has not happened."""
    has_begun, is_gone = trio.Event(), trio.Event()

    def work(session: sa.orm.Session) -> None:
        session.add(Customer(id="c1"))
        session.flush()
        trio.from_thread.run_sync(has_begun.set)
        trio.from_thread.run(is_gone.wait)

    async def call() -> None:
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await patient.write(work)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await has_begun.wait()
        await trio.to_thread.run_sync(server.kill)
        is_gone.set()
    await trio.to_thread.run_sync(server.daemon.start)

    assert await eventually(lambda: count(patient)) == 0


async def test_a_server_that_hangs_is_unavailable_and_costs_no_connection(
    server: DatabaseServer, database: Database, patient: Database
) -> None:
    """Both when it hangs in a statement and when it is asked for a new connection.

    A pool that has lost its connections refuses everybody until Python happens to find them.
    """
    pool = database.engine.pool
    assert isinstance(pool, sa.QueuePool)
    errors = []  # kept, as a cycle of references may keep them
    await add(patient, "c1")
    await eventually(lambda: count(database))

    async def ask() -> None:
        with pytest.raises(Unavailable) as refused:
            await count(database)
        errors.append(refused.value)

    server.signal(signal.SIGSTOP)
    try:
        with trio.fail_after(PATIENCE):
            async with (
                trio.open_nursery() as nursery
            ):  # there is one connection; one has to be made
                nursery.start_soon(ask)
                nursery.start_soon(ask)
    finally:
        server.signal(signal.SIGCONT)

    assert pool.checkedout() == 0, errors
    assert await eventually(lambda: count(database)) == 1


async def test_a_commit_whose_answer_is_lost_is_unknown(server: DatabaseServer) -> None:
    """It has happened here; nobody may say that it has not."""
    async with cutting_proxy(server.port) as proxy:
        url = sa.make_url(server.url(DATABASE)).set(port=proxy.port)
        database = opened(url.render_as_string(hide_password=False), Duration(PATIENCE))
        await database.write(lambda session: session.execute(sa.delete(Customer)))
        proxy.cut()

        with pytest.raises(OutcomeUnknown):
            await add(database, "c1")

        assert await count(database) == 1
        database.close()
