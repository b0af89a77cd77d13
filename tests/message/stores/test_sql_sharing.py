"""Several message nodes on one database: two stores that know nothing of each other."""

import math
import random
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.message import Saved
from appmodel.core.names import Key
from message.stores import sql_changes
from message.stores.sql import SqlStore, open_sql
from message.stores.sql_rounds import Turn
from message.stores.sql_session import Session
from tests.contract.saves import NOW, START, A, B, Time, ids, push
from tests.message.stores.databases import (
    DATABASE,
    KINDS,
    a_server,
    engine,
    open_database,
    sql_config,
)

LATER = int(START) + 60
KEYS = [Key("", f"u{number}", "user") for number in range(8)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of database."""
    return str(request.param)


@pytest.fixture
def time() -> Time:
    """Both stores' clock."""
    return Time()


@pytest.fixture
async def pair(kind: str, time: Time) -> AsyncIterator[list[SqlStore]]:
    """Two stores on one empty database."""
    async with (
        open_database(kind, time) as first,
        open_sql(sql_config(a_server(kind)), time) as second,
    ):
        yield [first, second]


async def test_nodes_that_race_on_a_key_chain_up(pair: list[SqlStore]) -> None:
    """Whatever ids they propose: ids rise, and each prev is the id before."""
    chain: list[tuple[int, int]] = []

    async def own(store: SqlStore, owner: int) -> None:
        for number in range(20):
            at = NOW + random.Random(owner * 100 + number).randrange(1000)
            [saved] = await store.save([push(owner * 100 + number, [A, B], at=at)])
            chain.append((saved.ids[0], saved.prevs[0]))

    async with trio.open_nursery() as nursery:
        for owner in range(6):
            nursery.start_soon(own, pair[owner % 2], owner)

    chain.sort()
    assert [prev for _, prev in chain] == [0, *[mid for mid, _ in chain[:-1]]]
    assert ids(await pair[0].fetch(A, 0, limit=200)) == [mid for mid, _ in chain]


async def test_a_push_that_two_nodes_save_is_one(pair: list[SqlStore]) -> None:
    """At the same time, as a caller does who finds the first one slow: both give the same answer."""
    answers: dict[tuple[int, int], Saved] = {}

    async def save(number: int, which: int) -> None:
        keys = random.Random(number * 2 + which).sample(KEYS, 4)  # each asks in its own order
        chosen = sorted(keys) if which else keys
        [saved] = await pair[which].save([push(number, chosen, at=NOW + which)])
        pairs = dict(zip(chosen, zip(saved.ids, saved.prevs, strict=True), strict=True))
        answers[number, which] = Saved(*zip(*(pairs.get(key, (0, 0)) for key in KEYS), strict=True))

    for begin in range(0, 40, 8):
        async with trio.open_nursery() as nursery:
            for number in range(begin, begin + 8):
                nursery.start_soon(save, number, 0)
                nursery.start_soon(save, number, 1)

    for number in range(40):
        one, other = answers[number, 0], answers[number, 1]
        for mine, theirs in zip(one.ids, other.ids, strict=True):
            assert mine == theirs or 0 in (mine, theirs)
    for key in KEYS:
        stored = ids(await pair[0].fetch(key, 0, limit=200))
        told = {
            mid
            for answer in answers.values()
            for known, mid in zip(KEYS, answer.ids, strict=True)
            if known == key and mid
        }
        assert stored == sorted(told)


async def test_nodes_with_the_same_keys_do_not_fail(pair: list[SqlStore]) -> None:
    """They wait for each other, and none is refused because others are in the way."""

    async def save(store: SqlStore, owner: int) -> None:
        for number in range(15):
            keys = random.Random(owner * 1000 + number).sample(KEYS, 5)
            saves = [push(owner * 1000 + number * 10 + at, [key]) for at, key in enumerate(keys)]
            await store.save(saves)

    async with trio.open_nursery() as nursery:
        for owner in range(8):
            nursery.start_soon(save, pair[owner % 2], owner)

    assert pair[0].notices.failures == pair[1].notices.failures == 0


async def test_keys_are_locked_in_their_order(kind: str, pair: list[SqlStore]) -> None:
    """So nodes never wait in a circle: who waits for a key holds none that comes after it."""
    first, second = KEYS[:2]
    await pair[0].save([push(1, [first, second])])

    async with trio.open_nursery() as nursery:
        with engine(kind).begin() as another:
            another.execute(LOCK, {"skey": first.stored})
            nursery.start_soon(pair[0].save, [push(2, [second, first])])
            await until_somebody_waits(kind)

            with engine(kind).begin() as third:
                third.execute(LOCK, {"skey": second.stored})  # at once, or an error


LOCK = sa.text("SELECT mark FROM msg_key WHERE skey = :skey FOR UPDATE NOWAIT")
WAITING = {
    "postgresql": "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    "mariadb": "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


async def until_somebody_waits(kind: str) -> None:
    """For a row that another has locked."""
    with trio.fail_after(60):
        while not a_server(kind).execute(WAITING[kind]):  # noqa: ASYNC110 (no event says so)
            await trio.sleep(0.2)  # MariaDB takes a new look only if nobody has asked for 0.1 s


async def test_a_reader_of_the_feed_skips_nobody(pair: list[SqlStore]) -> None:
    """Positions become visible in order, whichever node commits first."""
    seen: dict[Key, int] = {}
    done = trio.Event()

    async def follow() -> None:
        position = 0
        while True:
            last = done.is_set()
            feed = await pair[0].feed(position, limit=5)
            while feed.position != position:
                for key, mark in feed.marks:
                    assert mark > seen.get(key, 0)
                seen.update(dict(feed.marks))
                position = feed.position
                feed = await pair[1].feed(position, limit=5)
            if last:
                return

    async def save(store: SqlStore, owner: int) -> None:
        for number in range(25):
            keys = KEYS[(number + owner) % 7 :]
            await store.save([push(owner * 100 + number, keys, at=NOW + number)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        async with trio.open_nursery() as savers:
            for owner in range(4):
                savers.start_soon(save, pair[owner % 2], owner)
        done.set()

    assert seen == dict(zip(KEYS, await pair[0].marks(KEYS), strict=True))


async def test_two_nodes_sweep_side_by_side(pair: list[SqlStore], time: Time) -> None:
    """Each row is freed by one of them, and neither waits for the other."""
    await pair[0].save([push(number, KEYS) for number in range(20)])
    time.now = START + 61
    freed = [0, 0]

    async def sweep(which: int) -> None:
        while some := await pair[which].sweep(limit=10):
            freed[which] += some

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep, 0)
        nursery.start_soon(sweep, 1)

    assert sum(freed) == 20 * len(KEYS) + 20  # messages and bodies
    assert all(freed)


async def test_a_sweep_passes_by_what_another_holds(kind: str, pair: list[SqlStore]) -> None:
    """It frees the next rows instead, and does not wait for the other's commit."""
    await pair[0].save([push(n, at=NOW + n, expires_at=START + n) for n in range(1, 6)])
    holds, goes_on = threading.Event(), threading.Event()

    def sweep_and_wait(session: Session) -> None:
        sql_changes.sweep(session, LATER, 2)
        holds.set()
        goes_on.wait(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair[0].writer.ask, Turn(sweep_and_wait, math.inf))
        await trio.to_thread.run_sync(holds.wait)
        await pair[1].writer.ask(Turn(partial(sql_changes.sweep, second=LATER, limit=2), math.inf))
        left = a_server(kind).execute("SELECT mid FROM private_msg ORDER BY mid", DATABASE)
        goes_on.set()

    assert [mid - NOW for (mid,) in left] == [1, 2, 5]


async def test_a_clock_that_ran_away_is_measured_by_all_marks(pair: list[SqlStore]) -> None:
    """A mark that the other node has given counts as well."""
    far = NOW + 299_000_000
    await pair[0].save([push(1, [A], at=far)])

    [saved] = await pair[1].save([push(2, [B], at=far + 299_000_000)])

    assert saved.ids == (far + 299_000_000,)


async def test_a_reader_of_revocations_skips_nobody(pair: list[SqlStore]) -> None:
    """Who asks for those above the last one that it has seen, hears of all in the end."""
    seen: list[str] = []
    done = trio.Event()

    async def follow() -> None:
        position, last = 0, False
        while not last:
            last = done.is_set()
            for revocation in await pair[0].revocations(position):
                assert revocation.position > position
                position = revocation.position
                seen.append(revocation.subject)

    async def revoke(which: int) -> None:
        for number in range(25):
            subject = f"token:{which}-{number}"
            await pair[which].revoke(subject, issued_before=START, kept_until=START + 60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        async with trio.open_nursery() as callers:
            callers.start_soon(revoke, 0)
            callers.start_soon(revoke, 1)
        done.set()

    assert sorted(seen) == sorted(f"token:{which}-{n}" for which in (0, 1) for n in range(25))
