"""What the database says of sessions is what is here, soon; and nobody waits for the database."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session as Rows
from trio.testing import MockClock

from appmodel.core.names import parse_key
from appmodel.core.sessions import Holder, SessionName, session_key, session_of
from appmodel.core.units import Duration
from appmodel.io.database import Database
from appmodel.orm.presence import Session, SessionHolder
from appmodel.orm.session_queries import write_here
from tests.comet.fakes import Taker
from tests.comet.sessions import NEVER, PATIENT, QUICK, holders, keeping, session_ids, until_there
from tests.comet.world import pass_time, request
from tests.databases import an_empty_database, limits

A, B, TV = "u1_Android-a", "u1_iOS-b", "u2_tv"
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@contextmanager
def a_locked(database: Database) -> Iterator[None]:
    """A SQLite database that takes no writes: an example of one that is away."""
    other = sqlite3.connect(str(database.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.fixture
def hasty() -> Iterator[Database]:
    """On SQLite, and soon out of patience."""
    with an_empty_database("sqlite") as url:
        database = Database(limits(url, timeout=Duration(0.2)))
        yield database
        database.close()


async def test_a_session_is_there_while_its_client_is(database: Database) -> None:
    """By TCP and by WebSocket alike: the original forgets to remove those of TCP (C4)."""
    async with keeping(database) as kept:
        tcp = await kept.world.subscriber(f"{A}@user")
        ws = await kept.world.ws(f"/sub?key={TV}@user&heartbeat=30&ver=2")
        await kept.until(A, TV)
        assert await holders(database) == {A: {Holder("node1", 1)}, TV: {Holder("node1", 1)}}

        await tcp.stream.aclose()
        await kept.until(TV)
        await ws.stream.aclose()
        await kept.until()
        assert await holders(database) == {}


@on_sqlite
async def test_two_connections_of_a_session_are_one(database: Database) -> None:
    """The first that ends takes nothing from the other."""
    async with keeping(database) as kept:
        first = await kept.world.subscriber(f"{A}@user")
        await kept.world.subscriber(f"{A}@user")
        await kept.until(A)

        await first.stream.aclose()
        await kept.world.until(lambda: kept.world.comet.live.hub.subscribers == 1)
        await kept.world.subscriber(f"{B}@user")  # whatever was to be written, was written by then
        await kept.until(A, B)


@on_sqlite
async def test_other_keys_cost_no_connection_to_the_database(
    database: Database, mock_clock: MockClock
) -> None:
    """An inbox, an application, an opaque key: who uses only those needs no database."""
    async with keeping(database, config=QUICK) as kept:
        hub = kept.world.comet.live.hub
        for key in ("u1@user", "a_1@app", "a_b", "g_1@qun"):
            hub.join(hub.open(parse_key(key)), Taker())
        await pass_time(mock_clock, 2 * QUICK.check)

        assert database.statements == 0
        assert kept.sessions.here == 0


@on_sqlite
async def test_state_outlives_a_reconnect_that_overlaps(database: Database) -> None:
    """A client that comes again before its old connection has ended is the same session."""
    async with keeping(database) as kept:
        old = await kept.world.subscriber(f"{A}@user")
        await kept.until(A)
        await database.write(
            lambda session: session.execute(sa.update(Session).values(state="active"))
        )

        await kept.world.subscriber(f"{A}@user")
        await old.stream.aclose()
        await kept.world.until(lambda: kept.world.comet.live.hub.subscribers == 1)
        await kept.until_settled()

        [row] = await database.read(lambda session: session.scalars(sa.select(Session)).all())
        assert row.state == "active"


async def test_5000_that_come_at_once_are_a_few_statements(database: Database) -> None:
    """Two for each 500 of them, not two for each; and three for each 500 that go."""
    ids = [f"u{number}_Android-d" for number in range(5000)]
    async with keeping(database) as kept:
        come = kept.come(*ids)
        await kept.world.until(lambda: kept.sessions.written == 5000)
        assert database.statements <= 20 + 1  # and a look for who is gone

        before = database.statements
        kept.go(*come)
        await kept.world.until(lambda: kept.sessions.written == 10_000)
        assert database.statements - before <= 30
        assert await session_ids(database) == set()


async def test_a_comet_that_stops_releases_all(database: Database) -> None:
    """Also what it could not write before; what another comet holds stays."""
    async with keeping(database) as other, keeping(database, name="node2") as kept:
        other.come(A)
        kept.come(A, B)
        await kept.until(A, B)
        await other.until_settled()

        await kept.sessions.leave()

        assert await holders(database) == {A: {Holder("node1", 1)}}
        assert await session_ids(database) == {A}


async def test_while_the_database_is_away_clients_come_and_receive(hasty: Database) -> None:
    """And when it is back, it has who is here then."""
    async with keeping(hasty) as kept:
        early = await kept.world.subscriber(f"{A}@user")
        await kept.until(A)
        with a_locked(hasty):
            late = await kept.world.subscriber(f"{B}@user", version="")
            await kept.world.until(lambda: kept.sessions.failures > 1)
            await kept.world.push(f"{B}@user", body=b'"hello"')
            assert b"hello" in await late.read_until(b"hello")
            await early.stream.aclose()
            await kept.world.until(lambda: kept.sessions.here == 1)
            assert await session_ids(hasty) == {A}

        await kept.until(B)
        await kept.until_settled()


async def test_news_that_could_not_be_kept_are_found_by_comparing(hasty: Database) -> None:
    """The backlog is bounded: what came and went beyond it is not written one by one."""
    config = msgspec.structs.replace(PATIENT, backlog=10, batch=5)
    async with keeping(hasty, config=config) as kept:
        first = kept.come(*(f"u{number}_old" for number in range(8)))
        await kept.world.until(lambda: kept.sessions.written == 8)
        with a_locked(hasty):
            kept.go(*first[:4])
            await kept.world.until(lambda: kept.sessions.failures > 0)
            kept.come(*(f"u{number}_new" for number in range(40)))
            assert kept.sessions.pending <= 10

        await kept.until(
            *(f"u{number}_old" for number in range(4, 8)),
            *(f"u{number}_new" for number in range(40)),
        )
        await kept.until_settled()


async def test_what_others_have_removed_is_written_again(database: Database) -> None:
    """A comet that was frozen and taken for dead comes back; numbers are compared again and again."""
    config = msgspec.structs.replace(QUICK, check=Duration(0.05), grace=NEVER)
    async with keeping(database, config=config) as kept:
        kept.come(A, B)
        await kept.until(A, B)

        for everything in (sa.delete(SessionHolder), sa.delete(Session)):
            await database.write(partial(Rows.execute, statement=everything))

        await kept.until(A, B)
        await kept.world.until(lambda: kept.sessions.repaired == 2)


async def test_what_is_written_and_not_here_is_removed(database: Database) -> None:
    """However it came there; what another comet holds is not looked at."""
    config = msgspec.structs.replace(QUICK, check=Duration(0.05), grace=NEVER)
    async with keeping(database, config=config) as kept:
        [(channel, _)] = kept.come(A)
        await kept.until(A)
        ghosts = list(_names("u7_ghost", "u8_ghost"))
        for names, holder in ((ghosts, Holder("node1", 1)), (ghosts[:1], Holder("node2", 1))):
            await database.write(partial(write_here, names=names, holder=holder))

        await kept.until(A, "u7_ghost")
        assert channel.subscribers


async def test_a_comet_that_was_killed_leaves_no_session_behind(database: Database) -> None:
    """Another one, or itself after its next start, releases what it held after a grace."""
    async with keeping(database, incarnation=1) as kept:
        kept.come(A, B)
        await kept.until(A, B)

    async with keeping(database, config=QUICK, incarnation=2) as kept:
        kept.come(B)

        await kept.until(B)
        await kept.world.until(lambda: kept.sessions.leftovers.released == 2)
        assert await holders(database) == {B: {Holder("node1", 2)}}


@on_sqlite
async def test_sessions_of_the_gone_are_found_without_one_of_our_own(database: Database) -> None:
    """Where the application layer is known to be used: after a crash at night nobody may come back."""
    async with keeping(database) as kept:
        kept.come(A)
        await kept.until(A)

    async with keeping(database, config=QUICK, incarnation=2, are_expected=True):
        await until_there(database)


async def test_a_refused_subscriber_is_no_session(database: Database) -> None:
    """Nothing is written of who was not let in."""
    async with keeping(database) as kept:
        client = await kept.world.tcp(request("sub", f"{A}@user", "nonsense"))
        assert await client.read_all() == b"-p\r\n"
        await kept.world.ws(f"/sub?key={B}@user&heartbeat=30&ver=2")

        await kept.until(B)


def _names(*ids: str) -> Iterator[SessionName]:
    for session_id in ids:
        name = session_of(session_key(session_id))
        assert name is not None
        yield name
