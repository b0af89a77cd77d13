"""The SQLite store behind its contract: restarts, failures, and what is in the file."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from appmodel.core.message import DEDUPE_WINDOW, Saved
from appmodel.core.names import Key
from appmodel.errors import NotStored, OutcomeUnknown
from message.stores.sqlite import SqliteStore, open_sqlite
from message.stores.sqlite_saving import KeyState, KnownKeys
from tests.contract.saves import NOW, START, A, B, C, Time, ids, push
from tests.message.stores.opening import config, limit_pages, query, rows

BIG = b'"' + b"x" * 100_000 + b'"'
MANY = [Key("", f"u{number}", "user") for number in range(2500)]  # more than are kept in memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the store's file."""
    return tmp_path / "messages.db"


async def test_a_restart_forgets_nothing(path: Path) -> None:
    """Messages, marks, receipts, ids and the feed's position are as before."""
    async with open_sqlite(config(path), Time()) as store:
        first = await store.save([push(1, [A, B]), push(2, [A])])
        await store.delete(B)
        end = (await store.feed(-1, limit=1)).position

    async with open_sqlite(config(path), Time()) as store:
        assert await store.save([push(1, [A, B], at=NOW + 50), push(2, [A])]) == first
        assert ids(await store.fetch(A, 0, limit=10)) == [NOW, NOW + 1]
        assert ids(await store.fetch(B, 0, limit=10)) == []
        assert await store.marks([A, B]) == [NOW + 1, NOW]
        assert (await store.feed(-1, limit=1)).position == end
        assert await store.save([push(3, [B, C])]) == [Saved((NOW + 1, NOW), (NOW, 0))]
        assert dict((await store.feed(end, limit=9)).marks) == {B: NOW + 1, C: NOW}


async def test_the_numbering_survives_an_empty_store(path: Path) -> None:
    """Though all is swept and the process restarts, the feed goes on from where it was."""
    time = Time()
    async with open_sqlite(config(path), time) as store:
        await store.save([push(1, [A, B]), push(2, [A])])
        end = (await store.feed(-1, limit=1)).position
        time.now += 2 * DEDUPE_WINDOW
        while await store.sweep(limit=100):
            pass

    async with open_sqlite(config(path), time) as store:
        await store.save([push(3, [A], expires_at=time.now + 60)])

        feed = await store.feed(end, limit=10)

    assert feed.position == end + 1
    assert dict(feed.marks) == {A: NOW + 2}


async def test_keys_out_of_memory_are_read_again(path: Path) -> None:
    """More keys than are kept in memory: ids, retries and the depth stay right."""
    async with open_sqlite(config(path, depth=2), Time()) as store:
        [first] = await store.save([push(1, MANY)])
        for number in range(2, 5):
            for at in range(0, len(MANY), 500):
                await store.save([push(number * 100 + at, MANY[at : at + 500])])

        [again] = await store.save([push(1, MANY)])
        pages = [await store.fetch(key, 0, limit=10) for key in MANY[::250]]

    assert again == first
    assert [ids(page) for page in pages] == [[NOW + 2, NOW + 3]] * 10
    assert rows(path, "key") == len(MANY)


async def test_what_expired_during_a_restart_takes_no_place(path: Path) -> None:
    """The depth counts living messages, also of a key that has just been read."""
    time = Time()
    async with open_sqlite(config(path, depth=2), time) as store:
        await store.save([push(1, expires_at=START + 600), push(2, expires_at=START + 10)])
    time.now += 11
    async with open_sqlite(config(path, depth=2), time) as store:
        await store.save([push(3, expires_at=START + 600)])

        assert ids(await store.fetch(A, 0, limit=10)) == [NOW, NOW + 2]


def test_the_keys_used_last_are_known() -> None:
    """At least half of the limit, and never more than the limit."""
    known = KnownKeys(1000)
    states = {key: KeyState(number, 0, 0, 0.0) for number, key in enumerate(MANY)}

    for at in range(0, len(MANY), 100):
        known.update({key: states[key] for key in MANY[at : at + 100]})

    found = [key for key in MANY if known.get(key) == states[key]]
    assert found == MANY[-len(found) :]
    assert 500 <= len(found) <= 1000


async def test_a_body_is_kept_once_and_as_long_as_it_is_needed(path: Path) -> None:
    """However many keys; it goes with the last message that has it, or when it expires."""
    time = Time()
    bodies = "SELECT push_id, body IS NOT NULL FROM push"
    async with open_sqlite(config(path, depth=2), time) as store:
        await store.save([push(1, [A, B, C])])
        assert query(path, "SELECT count(body) FROM push") == [(1,)]

        await store.delete(A)
        await store.save([push(2, [B]), push(3, [B])])  # trims the first
        kept = dict(query(path, bodies))
        await store.delete(C, [NOW])
        freed = dict(query(path, bodies))
        time.now += 61
        await store.sweep(limit=100)
        expired = dict(query(path, bodies))

    numbers = [number.to_bytes(16, "big") for number in (1, 2, 3)]
    assert kept == dict.fromkeys(numbers, 1)
    assert freed == dict(zip(numbers, [0, 1, 1], strict=True))
    assert expired == dict.fromkeys(numbers, 0)


async def test_a_body_with_tails_is_kept_once(path: Path) -> None:
    """What differs lies with each message; one without a tail has none."""
    async with open_sqlite(config(path), Time()) as store:
        await store.save([push(1, [A, B], body=b'{"n":1}', tails=[b'"t":1', b'"t":2']), push(2)])

    assert query(path, "SELECT body FROM push") == [(b'{"n":1}',), (b'"body"',)]
    assert query(path, "SELECT tail FROM message ORDER BY push, key_id") == [
        (b'"t":1',),
        (b'"t":2',),
        (None,),
    ]


async def test_the_sweep_leaves_keys_and_the_newest_push(path: Path) -> None:
    """Messages at their expiry, receipts after their window, facts after their time."""
    time = Time()
    async with open_sqlite(config(path), time) as store:
        await store.save([push(1, MANY), push(2, [A]), push(3, [A], expires_at=START + 90)])
        await store.remember(b"name", b"value", kept_until=START + 60)
        await store.revoke("token:1", issued_before=START, kept_until=START + 60)
        time.now += 61
        while await store.sweep(limit=100):
            pass
        after_expiry = [
            rows(path, table) for table in ("message", "receipt", "answer", "revocation")
        ]
        time.now += DEDUPE_WINDOW
        while await store.sweep(limit=100):
            pass

    assert after_expiry == [1, len(MANY) + 2, 0, 0]
    assert [rows(path, table) for table in ("message", "receipt", "push", "key")] == [
        0,
        1,
        1,
        len(MANY) + 1,
    ]


async def test_a_sweep_resumes_where_a_restart_cut_it(path: Path) -> None:
    """A slice may end within a push."""
    time = Time()
    async with open_sqlite(config(path), time) as store:
        await store.save([push(1, MANY)])
        time.now += 61
        assert await store.sweep(limit=1000) == 1000
    assert rows(path, "message") == 1500

    async with open_sqlite(config(path), time) as store:
        slices = [await store.sweep(limit=1000) for _ in range(3)]

    assert slices == [1000, 500, 0]
    assert rows(path, "message") == 0


async def test_a_full_disk_refuses_and_changes_nothing(path: Path) -> None:
    """Neither the file nor what is in memory; when there is room again the store goes on."""
    async with open_sqlite(config(path), Time()) as store:
        await store.save([push(1, [A])])
        await limit_pages(store, 5)

        with capture_logs() as logs, pytest.raises(NotStored, match="full"):
            await store.save([push(2, [A, B], body=BIG)])
        with pytest.raises(NotStored, match="full"):
            await store.save([push(3, [A], body=BIG)])
        assert "full" in str(store.trouble)
        assert await store.marks([A, B]) == [NOW, 0]
        assert [entry["event"] for entry in logs] == ["store not written"]

        assert await store.save([push(4, [A])]) == [Saved((NOW + 1,), (NOW,))]  # it fits
        assert str(store.trouble) == "None"
        await limit_pages(store, -1)
        assert await store.save([push(2, [A, B], body=BIG)]) == [
            Saved((NOW + 2, NOW), (NOW + 1, 0))
        ]

    async with open_sqlite(config(path), Time()) as store:
        assert ids(await store.fetch(A, 0, limit=10)) == [NOW, NOW + 1, NOW + 2]
    assert rows(path, "key") == 2


async def test_a_save_that_fails_does_not_fail_its_round(path: Path) -> None:
    """Those who wait for the same transaction are tried again without it."""
    outcomes: dict[int, list[Saved] | NotStored] = {}

    async with open_sqlite(config(path), Time()) as store:
        await limit_pages(store, 20)

        async def save(number: int, body: bytes = b"1", at: int = NOW) -> None:
            try:
                outcomes[number] = await store.save([push(number, [A], body=body, at=at)])
            except NotStored as error:
                outcomes[number] = error

        async with trio.open_nursery() as nursery:
            for number in range(1, 9):
                nursery.start_soon(save, number, BIG if number == 4 else b"1")
            nursery.start_soon(save, 9, b"1", NOW + 10**12)
        found = await store.fetch(A, 0, limit=100)

    refused = {number for number, outcome in outcomes.items() if isinstance(outcome, NotStored)}
    assert refused == {4, 9}
    assert ids(found) == sorted(
        outcome[0].ids[0] for outcome in outcomes.values() if not isinstance(outcome, NotStored)
    )
    assert len(found.messages) == 7


async def test_trouble_is_over_when_the_disk_takes_something(path: Path) -> None:
    """Without a push the sweep finds out, so that a node that is not ready becomes it again."""
    async with open_sqlite(config(path), Time()) as store:
        await limit_pages(store, 2)
        with pytest.raises(NotStored):
            await store.save([push(1, body=BIG)])
        assert "full" in str(store.trouble)

        await store.sweep(limit=10)

        assert store.trouble is None


async def test_what_may_be_on_the_disk_is_not_called_refused(path: Path) -> None:
    """A commit whose sync failed could come back after a crash: that is "unknown", not "nowhere"."""
    async with open_sqlite(config(path), Time()) as store:
        broken = BrokenCommit(store)

        with pytest.raises(OutcomeUnknown, match="disk I/O error"):
            await store.save([push(1)])
        broken.heal()

        assert await store.save([push(1)]) == [Saved((NOW,), (0,))]


class BrokenCommit:
    """Stands before the writer's connection: COMMIT fails as it does when fsync does.

    A disk that fails a sync cannot be had without root, so this one thing is not real.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._real = store._write_on
        store._write_on = self  # type: ignore[assignment]  # it is what a connection looks like

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
        if statement != "COMMIT":
            return self._real.execute(statement, *arguments)  # type: ignore[arg-type]  # any
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    def heal(self) -> None:
        self._store._write_on = self._real


async def test_a_call_that_is_not_ours_fails_alone(path: Path) -> None:
    """Whatever exception a request causes goes to whoever made it, and the store lives."""
    async with open_sqlite(config(path), Time()) as store:
        with pytest.raises(OverflowError):
            await store.revocations(2**70)
        with pytest.raises(UnicodeEncodeError):
            await store.save([push(1, [Key("", "\udc00", "user")])])

        assert await store.save([push(1)]) == [Saved((NOW,), (0,))]


async def test_a_trimmed_key_is_named_once(path: Path) -> None:
    """Every message is counted, the log hears of each key once."""
    with capture_logs() as logs:
        async with open_sqlite(config(path, depth=1), Time()) as store:
            await store.save([push(1, [A, B])])
            for number in range(2, 6):
                await store.save([push(number, [A, B])])

            assert store.notices.trimmed == 8

    assert [(entry["event"], entry["key"]) for entry in logs] == [
        ("messages of a key trimmed", "a@user"),
        ("messages of a key trimmed", "b@user"),
    ]


async def test_runaway_clocks_are_counted_and_logged_once_a_minute(path: Path) -> None:
    """A comet that proposes such ids does so with every push."""
    time = Time()
    with capture_logs() as logs:
        async with open_sqlite(config(path), time) as store:
            for number in range(3):
                with pytest.raises(NotStored):
                    await store.save([push(number, at=NOW + 10**12)])
            time.now += 61
            with pytest.raises(NotStored):
                await store.save([push(9, at=NOW + 10**12)])

            assert store.notices.runaways == 4

    assert [entry["event"] for entry in logs] == ["a comet's clock runs away"] * 2


async def test_a_full_queue_is_told_at_once(path: Path) -> None:
    """Nothing is buffered without bound, and what was taken is stored."""
    stored: list[int] = []
    refused: list[int] = []
    async with open_sqlite(config(path, queue_limit=300_000), Time()) as store:

        async def save(number: int) -> None:
            try:
                await store.save([push(number, body=BIG)])
                stored.append(number)
            except NotStored:
                refused.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(save, number)
        found = await store.fetch(A, 0, limit=100)

    assert refused
    assert len(stored) + len(refused) == 10
    assert len(found.messages) == len(stored)


async def test_what_was_asked_before_closing_is_stored(path: Path) -> None:
    """Leaving the block waits for it."""

    async def save(store: SqliteStore, started: Callable[[], None]) -> None:
        started()
        await store.save([push(1)])

    async with trio.open_nursery() as nursery, open_sqlite(config(path), Time()) as store:
        entered = trio.Event()
        nursery.start_soon(save, store, entered.set)
        await entered.wait()

    assert rows(path, "message") == 1
