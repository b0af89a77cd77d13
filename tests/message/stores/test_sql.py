"""The SQL store behind its contract: what is in the tables, and what they do not take."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from appmodel.core.clock import MAX_ID
from appmodel.core.message import DEDUPE_WINDOW, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import BadInput, NotStored, Unavailable
from message.stores.sql import SqlStore, open_sql
from message.stores.sql_rounds import Turn
from message.stores.sql_session import Session
from tests.contract.saves import NOW, START, A, B, C, Time, ids, push
from tests.message.stores.databases import (
    DATABASE,
    KINDS,
    a_server,
    open_database,
    sql_config,
)
from tools.servers.databases import DatabaseServer

MANY = [Key("", f"u{number}", "user") for number in range(2500)]  # several statements' worth
LATER = int(START) + 3600


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of database."""
    return str(request.param)


@pytest.fixture
def server(kind: str) -> DatabaseServer:
    """The server that the store lies on."""
    return a_server(kind)


@pytest.fixture
def time() -> Time:
    """The store's clock."""
    return Time()


@pytest.fixture
async def store(kind: str, time: Time) -> AsyncIterator[SqlStore]:
    """An empty store with a depth of three."""
    async with open_database(kind, time, depth=3) as store:
        yield store


def count(server: DatabaseServer, table: str) -> int:
    """How many rows a table has."""
    return int(server.execute(f"SELECT count(*) FROM {table}", DATABASE)[0][0])


def put(server: DatabaseServer, skey: str, mid: int, msg: str, ttl: int = LATER) -> None:
    """A row of a stranger."""
    columns = "skey, mid, ttl, msg"
    values = f"'{skey}', {mid}, {ttl}, '{msg}'"
    server.execute(f"INSERT INTO private_msg ({columns}) VALUES ({values})", DATABASE)


async def test_a_restart_forgets_nothing(server: DatabaseServer, store: SqlStore) -> None:
    """Messages, marks, receipts, ids and the feed's position are as before."""
    first = await store.save([push(1, [A, B]), push(2, [A])])
    await store.delete(B)
    end = (await store.feed(-1, limit=1)).position

    async with open_sql(sql_config(server), Time()) as again:
        assert await again.save([push(1, [A, B], at=NOW + 50), push(2, [A])]) == first
        assert ids(await again.fetch(A, 0, limit=10)) == [NOW, NOW + 1]
        assert await again.marks([A, B]) == [NOW + 1, NOW]
        assert (await again.feed(-1, limit=1)).position == end
        assert await again.save([push(3, [B, C])]) == [Saved((NOW + 1, NOW), (NOW, 0))]
        assert dict((await again.feed(end, limit=9)).marks) == {B: NOW + 1, C: NOW}


async def test_many_keys_at_once(store: SqlStore) -> None:
    """Ids, retries, marks and the depth are right also where one statement does not hold all."""
    [first] = await store.save([push(1, MANY)])
    for number in range(2, 5):
        await store.save([push(number, MANY)])

    [again] = await store.save([push(1, MANY)])
    pages = [await store.fetch(key, 0, limit=10) for key in MANY[::500]]

    assert again == first
    assert await store.marks(MANY) == [NOW + 3] * len(MANY)
    assert [ids(page) for page in pages] == [[NOW + 1, NOW + 2, NOW + 3]] * 5


async def test_a_batch_may_be_larger_than_a_packet(kind: str, time: Time) -> None:
    """MariaDB takes 16 MiB at a time, and bodies may hold anything."""
    body = b'"' + bytes(range(128, 256)) * 8000 + b'"'
    async with open_database(kind, time) as store:
        await store.save([push(number, at=NOW + number, body=body) for number in range(20)])

        [(size,)] = a_server(kind).execute(
            "SELECT sum(octet_length(msg)) FROM private_msg", DATABASE
        )

    assert size == 20 * len(body)


async def test_a_body_is_kept_once(server: DatabaseServer, store: SqlStore, time: Time) -> None:
    """However many keys it goes to; with a single key it lies in the original's column."""
    await store.save([push(1, [A, B, C], body=b'"shared"'), push(2, [A], body=b'"own"')])

    [(body,)] = server.execute("SELECT msg FROM msg_body", DATABASE)
    own = server.execute("SELECT msg FROM private_msg WHERE body IS NULL", DATABASE)
    page = await store.fetch(A, 0, limit=10)

    assert (bytes(body), [bytes(row[0]) for row in own]) == (b'"shared"', [b'"own"'])
    assert [message.body for message in page.messages] == [b'"shared"', b'"own"']


async def test_a_body_with_tails_is_kept_once(server: DatabaseServer, store: SqlStore) -> None:
    """The tail lies where a body of its own would; a copy for one key is whole, as the original's."""
    tails = [b'"t":1', b'"t":2']
    await store.save([push(1, [A, B], body=b'{"n":1}', tails=tails)])
    await store.save([push(2, [A], body=b'{"n":2}', tails=tails[:1])])

    bodies = server.execute("SELECT msg FROM msg_body", DATABASE)
    own = server.execute("SELECT msg FROM private_msg ORDER BY mid, skey", DATABASE)

    assert [bytes(row[0]) for row in bodies] == [b'{"n":1}']
    assert [bytes(row[0]) for row in own] == [*tails, b'{"n":2,"toUserKey":"a@user","t":1}']


async def test_the_sweep_leaves_only_marks(
    server: DatabaseServer, store: SqlStore, time: Time
) -> None:
    """When all times have passed, nothing is left but one row per key."""
    await store.save([push(1, [A, B, C]), push(2, [A])])
    await store.remember(b"name", b"value", kept_until=START + 9)
    await store.revoke("token:1", issued_before=START, kept_until=START + 9)
    time.now += DEDUPE_WINDOW + 1

    freed = [await store.sweep(limit=5) for _ in range(4)]

    assert freed == [5, 5, 1, 0]
    tables = ["private_msg", "msg_body", "msg_receipt", "msg_fact", "msg_revocation", "msg_key"]
    assert [count(server, table) for table in tables] == [0, 0, 0, 0, 0, 3]
    assert await store.marks([A, B, C]) == [NOW + 1, NOW, NOW]


async def test_what_was_swept_takes_nobodys_place(store: SqlStore, time: Time) -> None:
    """A batch of different lives: when the short ones are gone, there is room for others."""
    lives = enumerate([600, 10, 10], start=1)
    await store.save([push(n, at=NOW + n, expires_at=START + ttl) for n, ttl in lives])
    time.now += 11
    await store.sweep(limit=100)

    for number in (4, 5):
        await store.save([push(number, at=NOW + number, expires_at=START + 600)])

    assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 1, NOW + 4, NOW + 5]


async def test_a_receipt_whose_time_has_passed_is_none(store: SqlStore, time: Time) -> None:
    """Also when no sweep has found it yet: the same push id is a new push."""
    await store.save([push(1, [A, B])])
    time.now += DEDUPE_WINDOW + 1

    again = [push(1, [A, C], at=NOW + 9, expires_at=time.now + 60)]

    assert await store.save(again) == [Saved((NOW + 9, NOW + 9), (NOW, 0))]
    assert await store.save(again) == [Saved((NOW + 9, NOW + 9), (NOW, 0))]


async def test_keys_are_compared_byte_by_byte(store: SqlStore) -> None:
    """Case, accents, spaces at the end and realms make other keys."""
    names = ["a", "A", "á", "a\u0301", "a ", "a  ", "%", "_", "ä" * 120, "😀", "'", "\\"]
    keys = [Key(realm, name, "") for realm in ("", "r") for name in names]

    for number, key in enumerate(keys):
        await store.save([push(number, [key], at=NOW + number)])

    assert await store.marks(keys) == [NOW + number for number in range(len(keys))]
    for number, key in enumerate(keys):
        assert ids(await store.fetch(key, 0, limit=10)) == [NOW + number]


@pytest.mark.parametrize(
    ("save", "field"),
    [
        (push(1, [Key("", "\udc00", "user")]), "key"),
        (push(1, [Key("", "a\0b", "user")]), "key"),
        (push(1, [Key("", "a" * 600, "user")]), "key"),
        (push(1, expires_at=float("inf")), "expires_at"),
        (push(1, expires_at=float("nan")), "expires_at"),
        (Save(b"x" * 300, NOW, (A,), b"1", START), "push_id"),
    ],
)
async def test_what_no_table_holds_is_refused(store: SqlStore, save: Save, field: str) -> None:
    """With the field's name, and without a word to the database, where it would fail others."""
    with pytest.raises(BadInput) as caught:
        await store.save([push(2), save])

    assert caught.value.field == field
    assert await store.marks([A]) == [0]
    assert store.trouble is None


async def test_odd_numbers_are_harmless(store: SqlStore) -> None:
    """Cursors, positions and ids of any size: a peer may send what it likes."""
    await store.save([push(1, at=-5), push(2, at=2**62 * -1)])

    assert ids(await store.fetch(A, -(2**63), limit=10, until=2**63)) == [1, 2]
    assert ids(await store.fetch(A, 2**64 - 1, limit=10)) == []
    assert await store.delete(A, [2**64 - 1, -1, 2**70, 1]) == 1
    assert (await store.feed(2**64 - 1, limit=1)).marks == ()
    assert await store.revocations(2**64 - 1) == []


async def test_who_has_waited_too_long_is_refused(store: SqlStore) -> None:
    """There is no time left to answer him in, so it is not begun."""
    done: list[Session] = []
    late = Turn(done.append, latest=0.0)

    with pytest.raises(NotStored, match="too slow"):
        await store.writer.ask(late)
    with pytest.raises(Unavailable, match="too slow"):
        await store.reader.ask(late)

    assert done == []


async def test_a_strangers_rows_are_skipped_and_counted(
    server: DatabaseServer, store: SqlStore
) -> None:
    """A body that is not JSON would spoil its page (L10); an id above 2^53 fits no client."""
    await store.save([push(1, at=NOW + 2)])
    for offset, msg in enumerate(["not json", "", '{"a":1} x']):
        put(server, "a@user", NOW + offset * 2 + 1, msg)
    put(server, "a@user", NOW + 9, '"theirs"')
    put(server, "a@user", MAX_ID + 1, '"beyond"')

    with capture_logs() as logs:
        pages = [await store.fetch(A, 0, limit=limit) for limit in (1, 2, 10)]

    assert [ids(page) for page in pages] == [[NOW + 2], [NOW + 2, NOW + 9], [NOW + 2, NOW + 9]]
    assert [page.more for page in pages] == [True, False, False]
    assert store.notices.foreign == 9
    assert [entry["event"] for entry in logs] == ["foreign data in the store"] * 3


async def test_a_stranger_in_the_place_of_a_message_has_to_go(
    server: DatabaseServer, store: SqlStore
) -> None:
    """Else nothing could be saved for the key any more. The mark says which ids are ours."""
    await store.save([push(1)])
    put(server, "a@user", NOW + 1, '"theirs"')

    [saved] = await store.save([push(2, body=b'"ours"')])

    page = await store.fetch(A, NOW, limit=10)
    assert saved == Saved((NOW + 1,), (NOW,))
    assert [message.body for message in page.messages] == [b'"ours"']


async def test_a_shared_body_that_is_gone_hides_nothing(
    server: DatabaseServer, store: SqlStore
) -> None:
    """Somebody took it out of its table: the other messages come all the same."""
    tails = [b'"t":1', b'"t":2']
    await store.save([push(1, [A, B]), push(2, [A, B], body=b'{"n":1}', tails=tails), push(3, [A])])
    server.execute("DELETE FROM msg_body", DATABASE)

    assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 2]
    assert store.notices.foreign == 2


async def test_the_count_of_a_key_follows_what_is_there(
    server: DatabaseServer, store: SqlStore, time: Time
) -> None:
    """After trims, deletions, expiry and sweeps the depth is still three, and never less."""
    for number in range(1, 30):
        ttl = 20 if number % 3 else 600
        await store.save([push(number, at=NOW + number, expires_at=time.now + ttl)])
        if number % 7 == 0:
            await store.delete(A, [NOW + number])
        if number % 5 == 0:
            time.now += 15
            await store.sweep(limit=100)
    for number in range(30, 36):
        await store.save([push(number, at=NOW + number, expires_at=time.now + 600)])

        rows: list[tuple[Any, ...]] = server.execute(
            f"SELECT mid FROM private_msg WHERE ttl > {int(time.now)} ORDER BY mid", DATABASE
        )
        assert len(rows) <= 3
        assert ids(await store.fetch(A, 0, limit=10)) == [row[0] for row in rows]
    assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 33, NOW + 34, NOW + 35]
