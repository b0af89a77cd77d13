"""What `Database` promises, on each kind of server."""

import threading
from collections.abc import Iterable
from functools import partial

import pytest
import sqlalchemy as sa
import trio
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.core.units import Duration
from appmodel.errors import Unavailable
from appmodel.io.database import Database
from appmodel.orm.changes import Change, note_change
from appmodel.orm.organisations import Customer, OrgUser
from tests.databases import KINDS, a_new_database, an_empty_database, limits

WAIT = 60.0  # seconds after which a test has failed
SLOW = {"postgresql": "SELECT pg_sleep(60)", "mariadb": "SELECT SLEEP(60)"}


def kind_of(database: Database) -> str:
    """The dialect of its server."""
    return database.engine.dialect.name


async def names(database: Database) -> list[str]:
    """Those of all customers, sorted."""
    return await database.read(
        lambda session: list(session.scalars(sa.select(Customer.name).order_by(Customer.name)))
    )


def new(id: str, name: str = "") -> Customer:
    """A row of the simplest table."""
    return Customer(id=id, name=name or id)


async def test_what_was_written_is_read(database: Database) -> None:
    """A write is committed when it has returned, with what its work returned."""

    def work(session: Session) -> str:
        session.add(new("c1"))
        return "done"

    assert await database.write(work) == "done"

    assert await names(database) == ["c1"]
    assert database.trouble is None


async def test_an_error_of_a_statement_does_not_say_its_values(database: Database) -> None:
    """It may be logged: with digests of passwords, tokens of devices, and what people write."""
    await database.write(lambda session: session.add(new("c1")))

    with pytest.raises(IntegrityError) as caught:
        await database.write(lambda session: session.add(new("c1", "a secret")))

    assert "a secret" not in str(caught.value)


async def test_work_that_raises_has_not_happened(database: Database) -> None:
    """Whatever it raises comes out as it is."""

    def work(session: Session) -> None:
        session.add(new("c1"))
        session.flush()
        raise LookupError("nobody there")

    with pytest.raises(LookupError, match="nobody there"):
        await database.write(work)

    assert await names(database) == []


async def test_a_read_changes_nothing(database: Database) -> None:
    """Even if its work tries."""

    def work(session: Session) -> None:
        session.add(new("c1"))
        session.flush()

    await database.read(work)

    assert await names(database) == []


async def test_a_unique_key_is_told_to_the_caller_at_once(database: Database) -> None:
    """He knows what it means; to try again would not help."""
    tries = []

    def work(session: Session) -> None:
        tries.append(1)
        for id in ("1", "2"):
            session.add(OrgUser(id=id, org_id="o1", user_id="u1"))

    with pytest.raises(IntegrityError):
        await database.write(work)

    assert len(tries) == 1
    assert await database.read(lambda session: session.scalars(sa.select(OrgUser)).all()) == []


async def test_keys_are_exact(database: Database) -> None:
    """ "A", "a" and "a " are three ids, and sort by their bytes."""
    await database.write(lambda session: session.add_all([new("b"), new("a "), new("a"), new("B")]))

    found = await database.read(
        lambda session: session.scalars(sa.select(Customer.id).order_by(Customer.id)).all()
    )

    assert found == ["B", "a", "a ", "b"]


async def test_who_is_in_the_way_of_another_is_tried_again(database: Database) -> None:
    """Two transactions that lock the same rows in the opposite order both go through."""
    await database.write(lambda session: session.add_all([new("c1", "0"), new("c2", "0")]))
    meeting = threading.Barrier(2, timeout=WAIT)
    tries: list[str] = []

    async def add(first: str, second: str) -> None:
        def work(session: Session) -> None:
            is_first_try = first not in tries
            tries.append(first)
            for number, id in enumerate((first, second)):
                row = session.scalars(sa.select(Customer).filter_by(id=id).with_for_update()).one()
                row.name = str(int(row.name) + 1)
                session.flush()
                if number == 0 and is_first_try and kind_of(database) != "sqlite":
                    meeting.wait()  # each has locked its first row

        await database.write(work)

    with trio.fail_after(WAIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(add, "c1", "c2")
            nursery.start_soon(add, "c2", "c1")

    assert await names(database) == ["2", "2"]
    assert len(tries) == 2 if kind_of(database) == "sqlite" else len(tries) > 2


async def test_changes_are_heard_after_the_commit(database: Database) -> None:
    """Those of a transaction that came to nothing are not heard."""
    heard: list[set[str]] = []
    committed: list[int] = []

    def hear(subjects: Iterable[str]) -> None:
        heard.append(set(subjects))
        with Session(database.engine) as session:  # another connection sees only what is committed
            committed.append(session.query(Change).count())

    database.on_change(hear)

    def spoiled(session: Session) -> None:
        note_change(session, "g0@qun")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(spoiled)
    await database.write(lambda session: note_change(session, "g1@qun", "u1@user"))
    await database.write(lambda session: session.add(new("c1")))

    assert heard == [{"g1@qun", "u1@user"}]
    assert committed == [2]


async def test_a_change_that_was_tried_twice_is_heard_once(database: Database) -> None:
    """And only what the last try has noted."""
    heard: list[set[str]] = []
    database.on_change(lambda subjects: heard.append(set(subjects)))
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        note_change(session, f"try{len(tries)}@user")
        if len(tries) == 1:
            raise clash(kind_of(database))

    await database.write(work)

    assert heard == [{"try2@user"}]


def clash(kind: str) -> sa.exc.OperationalError:
    """What SQLAlchemy raises when others are in the way."""
    import sqlite3

    import psycopg
    import pymysql

    errors = {
        "sqlite": sqlite3.OperationalError("database is locked"),
        "postgresql": psycopg.errors.DeadlockDetected("deadlock detected"),
        "mysql": pymysql.OperationalError(1213, "Deadlock found"),
        "mariadb": pymysql.OperationalError(1213, "Deadlock found"),
    }
    return sa.exc.OperationalError("UPDATE", {}, errors[kind])


async def test_who_is_in_the_way_for_good_is_told(database: Database) -> None:
    """After a few tries, in words that every caller knows."""
    tries = []

    def work(session: Session) -> None:
        tries.append(1)
        raise clash(kind_of(database))

    with pytest.raises(Unavailable):
        await database.write(work)

    assert len(tries) == 5


async def test_no_more_threads_than_allowed(database: Database) -> None:
    """Two here, however many ask."""
    lock, busy, most = threading.Lock(), 0, 0

    def work(session: Session) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        session.execute(sa.select(1))
        with lock:
            busy -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(database.read, work)

    assert 1 <= most <= 2
    assert database.waiting == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_who_finds_no_thread_in_time_is_refused(kind: str) -> None:
    """Nothing was done, and later it goes on."""
    with an_empty_database(kind) as url:
        database = Database(limits(url, threads=1, timeout=Duration(0.2)))
        has_begun, may_end = trio.Event(), threading.Event()

        def work(session: Session) -> None:
            trio.from_thread.run_sync(has_begun.set)
            may_end.wait(WAIT)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.read, work)
            await has_begun.wait()
            with pytest.raises(Unavailable, match=r"no time within 0\.2 s"):
                await names(database)
            may_end.set()

        assert await names(database) == []
        database.close()


@pytest.mark.parametrize("kind", SLOW)
async def test_a_statement_that_takes_too_long_is_ended_by_the_server(kind: str) -> None:
    """It must not go on there for nobody."""
    with an_empty_database(kind) as url:
        database = Database(limits(url, timeout=Duration(1)))

        with trio.fail_after(WAIT), pytest.raises(Unavailable):
            await database.read(lambda session: session.execute(sa.text(SLOW[kind])).all())

        assert await names(database) == []
        database.close()


@pytest.mark.parametrize("how", ["read", "write"])
@pytest.mark.parametrize("kind", KINDS)
async def test_who_may_leave_leaves_at_once(kind: str, how: str) -> None:
    """A database that hangs keeps nobody from ending; the thread keeps its place as long as it hangs."""
    with an_empty_database(kind) as url:
        database = Database(limits(url, threads=1, timeout=Duration(0.5)))
        has_begun, may_end = trio.Event(), threading.Event()
        leaving = partial(database.write, may_leave=True)

        def work(session: Session) -> None:
            trio.from_thread.run_sync(has_begun.set)
            may_end.wait(WAIT)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.read if how == "read" else leaving, work)
            await has_begun.wait()
            nursery.cancel_scope.cancel()
        assert not may_end.is_set()

        with pytest.raises(Unavailable, match="no time"):
            await names(database)
        may_end.set()
        assert await names(database) == []
        database.close()


async def test_what_a_call_left_behind_has_open_is_closed_when_it_ends(database: Database) -> None:
    """Also if the database was closed before that: no connection is lost."""
    opened, closed = threading.Semaphore(0), threading.Semaphore(0)
    sa.event.listen(database.engine, "connect", lambda *_: opened.release())
    sa.event.listen(database.engine, "close", lambda *_: closed.release())
    has_begun, may_end = trio.Event(), threading.Event()

    def work(session: Session) -> None:
        session.execute(sa.select(1))
        trio.from_thread.run_sync(has_begun.set)
        may_end.wait(WAIT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.read, work)
        await has_begun.wait()
        nursery.cancel_scope.cancel()
    database.close()
    may_end.set()

    assert opened.acquire(timeout=WAIT)
    assert await trio.to_thread.run_sync(partial(closed.acquire, timeout=WAIT))


async def test_cancelling_waits_for_what_is_under_way(database: Database) -> None:
    """A transaction is done or not done; nobody leaves it behind."""
    has_begun, may_end = trio.Event(), threading.Event()

    def work(session: Session) -> None:
        session.add(new("c1"))
        trio.from_thread.run_sync(has_begun.set)
        may_end.wait(WAIT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, work)
        await has_begun.wait()
        nursery.cancel_scope.cancel()
        may_end.set()

    assert await names(database) == ["c1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_table_is_no_database_that_is_away(kind: str) -> None:
    """An operator reads what to do. Columns count as tables do."""
    with a_new_database(kind) as url:
        database = Database(limits(url))
        column = sa.select(sa.text("no_such_thing")).select_from(sa.text("t"))

        with pytest.raises(
            Unavailable, match="lacks a table of this version: run `appmsg migrate`"
        ):
            await names(database)
        assert "appmsg migrate" in str(database.trouble)
        await database.write(lambda session: session.execute(sa.text("CREATE TABLE t (a int)")))
        with pytest.raises(Unavailable, match="appmsg migrate"):
            await database.read(lambda session: session.execute(column).all())

        database.close()


async def test_our_own_mistakes_are_not_taken_for_its(database: Database) -> None:
    """A statement that no server takes is a bug, and looks like one."""
    with pytest.raises(sa.exc.SQLAlchemyError):
        await database.read(lambda session: session.execute(sa.select(sa.text("1 1 1"))).all())
