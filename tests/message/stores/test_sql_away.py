"""A database that goes away, hangs, or loses its mind: what callers hear, and how the store recovers."""

import itertools
import random
import signal
import threading
import time as clock
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest
import trio
from structlog.testing import capture_logs

from appmodel.core.message import Saved
from appmodel.core.names import Key
from appmodel.errors import NotStored, OutcomeUnknown, PushError, Unavailable
from appmodel.io.engines import PatientConnection
from message.config import MessageConfig
from message.stores.sql import SqlStore, open_sql
from message.stores.sql_rounds import Turn
from message.stores.sql_session import Session
from tests.contract.saves import NOW, A, Time, ids, push
from tests.message.stores.cutting_proxy import cutting_proxy
from tests.message.stores.databases import (
    DATABASE,
    KINDS,
    new_database,
    own_server,
    sql_config,
)
from tools.servers.databases import DatabaseServer

KEYS = [Key("", f"u{number}", "user") for number in range(5)]
PATIENCE = 60.0  # seconds after which a test has failed
QUICK: dict[str, Any] = {"retry_pause": 0.01, "max_retry_pause": 0.1}
SHORT = {**QUICK, "timeout": 1.0}  # also the calls that a hanging server keeps waiting

Answer = TypeVar("Answer")


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """One of these tests' own: they kill it."""
    with own_server(str(request.param)) as server:
        yield server


@pytest.fixture
def config(server: DatabaseServer) -> MessageConfig:
    """Of a store in a new database. There is only one: after a crash PostgreSQL syncs every file."""
    new_database(server)
    return sql_config(server, **QUICK)


@pytest.fixture
async def store(config: MessageConfig) -> AsyncIterator[SqlStore]:
    """An empty store."""
    async with open_sql(config, Time()) as store:
        yield store


async def eventually(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Its answer, as soon as it is not refused."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                return await call()
            except (Unavailable, OutcomeUnknown):
                await trio.sleep(0.01)


@asynccontextmanager
async def stopped(server: DatabaseServer) -> AsyncIterator[None]:
    """It is not there within the block."""
    await trio.to_thread.run_sync(server.daemon.stop)
    try:
        yield
    finally:
        await trio.to_thread.run_sync(server.daemon.start)


@contextmanager
def frozen(server: DatabaseServer) -> Iterator[None]:
    """It hangs within the block."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


async def test_a_store_whose_server_is_away_refuses_at_once(
    server: DatabaseServer, store: SqlStore
) -> None:
    """With the reason, in the log once; and it works again when the server is back."""
    first = await store.save([push(1)])
    with capture_logs() as logs:
        async with stopped(server):
            for number in range(2, 20):
                with trio.fail_after(PATIENCE), pytest.raises(NotStored, match=r"127\.0"):
                    await store.save([push(number)])
            with pytest.raises(Unavailable, match=r"127\.0"):
                await store.fetch(A, 0, limit=10)
            with pytest.raises(NotStored):
                await store.sweep(limit=10)
            assert "127.0.0.1" in str(store.trouble)
            assert "secret" not in str(store.trouble)

        assert await eventually(lambda: store.save([push(1)])) == first
        assert ids(await eventually(lambda: store.fetch(A, 0, limit=10))) == [NOW]

    assert store.trouble is None
    events = [entry["event"] for entry in logs]
    assert events.count("database does not serve") == 2  # of the writer and the reader
    assert events.count("database is back") == 2
    assert store.notices.failures >= 18


async def test_a_server_that_is_away_is_left_alone_for_a_while(
    server: DatabaseServer, config: MessageConfig
) -> None:
    """Until the pause is over nobody tries to connect: calls fail at once, and it can come up."""
    pause: dict[str, Any] = {"retry_pause": 1000.0, "max_retry_pause": 1000.0}
    async with open_sql(sql_config(server, **pause), Time()) as store:
        await store.save([push(1)])
        async with stopped(server):
            with pytest.raises(NotStored):
                await store.save([push(2)])

        with pytest.raises(NotStored):
            await store.save([push(2)])


async def test_each_transaction_has_its_own_deadline(store: SqlStore) -> None:
    """That of the one before has passed, and says nothing."""
    await store.save([push(1)])
    connection = store._write_link._connection
    assert connection is not None
    driver = connection.connection.driver_connection
    if isinstance(driver, PatientConnection):
        driver.until = 0.0

    assert await store.save([push(2)]) == [Saved((NOW + 1,), (NOW,))]
    assert store._write_link._connection is connection


async def test_a_restart_between_two_saves_is_not_seen(
    server: DatabaseServer, store: SqlStore
) -> None:
    """The broken connection is noticed, and the save goes over a new one."""
    await store.save([push(1)])
    await store.fetch(A, 0, limit=1)
    async with stopped(server):
        pass

    assert await store.save([push(2)]) == [Saved((NOW + 1,), (NOW,))]
    assert ids(await store.fetch(A, 0, limit=10)) == [NOW, NOW + 1]


async def test_a_server_that_comes_later_is_taken_up(
    server: DatabaseServer, config: MessageConfig
) -> None:
    """A node may start before its database; then it makes the tables when it can."""
    async with stopped(server):
        opening = open_sql(config, Time())
        store = await opening.__aenter__()
        assert store.trouble is not None
        with pytest.raises(NotStored):
            await store.save([push(1)])

    assert await eventually(lambda: store.save([push(1)])) == [Saved((NOW,), (0,))]
    assert ids(await eventually(lambda: store.fetch(A, 0, limit=10))) == [NOW]
    await opening.__aexit__(None, None, None)


async def test_a_server_that_hangs_costs_no_more_than_the_timeout(
    server: DatabaseServer, config: MessageConfig
) -> None:
    """It was stopped in the middle of something: callers hear of it, and a retry is safe."""
    async with open_sql(sql_config(server, url=config.sql.url, **SHORT), Time()) as store:
        await eventually(lambda: store.save([push(1)]))
        await eventually(lambda: store.fetch(A, 0, limit=10))
        with frozen(server), trio.fail_after(PATIENCE):
            with pytest.raises((NotStored, OutcomeUnknown)):
                await store.save([push(2)])
            with pytest.raises(Unavailable):
                await store.fetch(A, 0, limit=10)

        [saved] = await eventually(lambda: store.save([push(2)]))

        assert ids(await eventually(lambda: store.fetch(A, 0, limit=10))) == [NOW, *saved.ids]


async def test_a_storm_over_crashes_loses_nothing(server: DatabaseServer, store: SqlStore) -> None:
    """SIGKILL of the server while eight callers save: what was answered is there, once, in order."""
    acknowledged: dict[int, tuple[tuple[Key, ...], Saved]] = {}
    reached = {goal: trio.Event() for goal in (100, 200, 300)}  # so many

    async def save(owner: int) -> None:
        number = owner * 10**6
        while not reached[300].is_set():
            number += 1
            keys = tuple(random.Random(number).sample(KEYS, 2))
            saves = [push(number, keys, at=NOW + number % 1000)]
            [saved] = await eventually(partial(store.save, saves))
            acknowledged[number] = (keys, saved)
            if len(acknowledged) in reached:
                reached[len(acknowledged)].set()

    async with trio.open_nursery() as nursery:
        for owner in range(8):
            nursery.start_soon(save, owner)
        for goal in (100, 200):
            await reached[goal].wait()
            await trio.to_thread.run_sync(server.kill)
            await trio.to_thread.run_sync(server.daemon.start)

    for key in KEYS:
        told = {
            mid: prev
            for keys, saved in acknowledged.values()
            for known, mid, prev in zip(keys, saved.ids, saved.prevs, strict=True)
            if known == key
        }
        assert ids(await store.fetch(key, 0, limit=10**6)) == sorted(told)
        assert sorted(told.values()) == [0, *sorted(told)[:-1]]


async def test_a_lost_answer_to_commit_is_asked_for_again(
    server: DatabaseServer, config: MessageConfig
) -> None:
    """It was committed: the same save over a new connection hears the first answer."""
    async with cutting_proxy(server.port) as proxy:
        through = sql_config(server, url=_via(config, server.port, proxy.port), **QUICK)
        async with open_sql(through, Time()) as store:
            await store.save([push(1)])
            proxy.cut()

            saved = await store.save([push(2)])

            assert proxy.done == 1
            assert saved == [Saved((NOW + 1,), (NOW,))]
            assert ids(await store.fetch(A, 0, limit=10)) == [NOW, NOW + 1]


async def test_a_commit_in_doubt_is_not_called_refused(
    server: DatabaseServer, config: MessageConfig
) -> None:
    """Its answer is lost and nobody can be asked: "unknown". A retry finds that it was stored."""
    async with cutting_proxy(server.port) as proxy:
        through = sql_config(server, url=_via(config, server.port, proxy.port), **QUICK)
        async with open_sql(through, Time()) as store:
            await store.save([push(1)])
            proxy.cut()
            proxy.is_open = False

            with pytest.raises(OutcomeUnknown):
                await store.save([push(2)])

            assert proxy.done == 1
            proxy.is_open = True
            saved = await eventually(lambda: store.save([push(2)]))
            assert saved == [Saved((NOW + 1,), (NOW,))]
            page = await eventually(lambda: store.fetch(A, 0, limit=10))
            assert ids(page) == [NOW, NOW + 1]


async def test_a_node_that_stands_still_is_cut(store: SqlStore, config: MessageConfig) -> None:
    """It was stopped while it held a key's row: the server lets the others through."""
    await store.save([push(1)])
    holds, wakes = threading.Event(), threading.Event()

    def stand_still(session: Session) -> None:
        session.rows("UPDATE msg_key SET messages = messages WHERE skey = %b", A.stored)
        holds.set()
        wakes.wait(PATIENCE)

    async with open_sql(config, Time()) as stalled, trio.open_nursery() as nursery:
        turn = Turn(stand_still, clock.monotonic() + PATIENCE)
        nursery.start_soon(stalled.writer.ask, turn)
        await trio.to_thread.run_sync(holds.wait)
        try:
            assert await eventually(lambda: store.save([push(2)])) == [Saved((NOW + 1,), (NOW,))]
        finally:
            wakes.set()


async def test_a_server_that_turns_read_only_says_so(
    server: DatabaseServer, config: MessageConfig
) -> None:
    """As after a fail-over: refused in its words, and tried again on a new connection."""
    is_mariadb = config.sql.url.startswith("mariadb")
    for statement in READ_ONLY_USER if is_mariadb else ():
        server.execute(statement)
    user = {"user": "guest"} if is_mariadb else {}
    config = sql_config(server, url=server.url(DATABASE, **user), **QUICK)
    async with open_sql(config, Time()) as store:
        await store.save([push(1)])
        for statement in READ_ONLY_ON[is_mariadb]:
            server.execute(statement)
        try:
            with trio.fail_after(PATIENCE), pytest.raises(NotStored, match="read-only"):
                await _save_for_ever(store)  # PostgreSQL hears of it a moment later
            assert store.trouble is not None
            assert ids(await store.fetch(A, 0, limit=10))[:1] == [NOW]
        finally:
            for statement in READ_ONLY_OFF[is_mariadb]:
                server.execute(statement)

        await eventually(lambda: store.save([push(1000)]))
        assert store.trouble is None


READ_ONLY_USER = [  # root writes all the same
    "CREATE OR REPLACE USER guest@'127.0.0.1' IDENTIFIED BY 'secret'",
    f"GRANT ALL ON {DATABASE}.* TO guest@'127.0.0.1'",
]
READ_ONLY_ON = {
    True: ["SET GLOBAL read_only = 1"],
    False: ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"],
}
READ_ONLY_OFF = {
    True: ["SET GLOBAL read_only = 0"],
    False: ["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"],
}


async def test_calls_wait_in_a_bounded_queue(server: DatabaseServer, config: MessageConfig) -> None:
    """What does not fit is refused at once, and nobody waits beyond his time."""
    config = sql_config(server, queue_limit=20_000, url=config.sql.url, **SHORT)
    refused = 0

    async def save(on: SqlStore, number: int) -> None:
        nonlocal refused
        try:
            await on.save([push(number, body=b'"' + b"x" * 2000 + b'"')])
        except PushError:
            refused += 1

    async with open_sql(config, Time()) as store:
        with frozen(server), trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(save, store, number)

        assert refused == 50
        assert store.waiting == 0


async def _save_for_ever(store: SqlStore) -> None:
    for number in itertools.count(2):
        await store.save([push(number)])


def _via(config: MessageConfig, port: int, proxy: int) -> str:
    return str(config.sql.url).replace(f":{port}/", f":{proxy}/")
