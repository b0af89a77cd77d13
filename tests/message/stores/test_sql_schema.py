"""How a database gets our tables: made, taken over from the original, or refused with a reason."""

from collections.abc import Iterator

import pytest
import trio
from structlog.testing import capture_logs

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Saved
from appmodel.core.names import Key
from appmodel.errors import ConfigError
from appmodel.runtime.config import Password
from message.config import MessageConfig, SqlConfig
from message.stores.sql import open_sql
from message.stores.sql_dialects import MariaDb, PostgreSql
from message.stores.sql_schema import VERSION
from message.stores.sql_tables import METADATA
from tests.contract.saves import NOW, START, A, B, Time, ids, push
from tests.message.stores.databases import KINDS, a_server, sql_config
from tools.servers.databases import DatabaseServer

LATER = int(START) + 3600
TABLES = {table.name for table in METADATA.sorted_tables}

# sql/install.sql of the original; servers of its time took zero timestamps
MYSQL_ORIGINAL = """
    CREATE TABLE private_msg (
        id bigint unsigned NOT NULL AUTO_INCREMENT,
        skey varchar(64) NOT NULL,
        mid bigint unsigned NOT NULL,
        ttl bigint NOT NULL,
        msg blob NOT NULL,
        ctime timestamp NOT NULL DEFAULT '0000-00-00 00:00:00',
        mtime timestamp NOT NULL DEFAULT '0000-00-00 00:00:00',
        PRIMARY KEY (id), UNIQUE KEY ux_private_msg_1 (skey, mid), KEY ix_private_msg_1 (ttl)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8"""
# the same as a tool that copies it into PostgreSQL leaves it
POSTGRESQL_ORIGINAL = """
    CREATE TABLE private_msg (
        id bigserial PRIMARY KEY,
        skey varchar(64) NOT NULL,
        mid numeric NOT NULL,
        ttl bigint NOT NULL,
        msg bytea NOT NULL,
        ctime timestamptz NOT NULL,
        mtime timestamptz NOT NULL,
        UNIQUE (skey, mid)
    )"""
ORIGINAL = {"mariadb": MYSQL_ORIGINAL, "postgresql": POSTGRESQL_ORIGINAL}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of database."""
    return str(request.param)


@pytest.fixture
def server(kind: str) -> DatabaseServer:
    """The server that tests share."""
    return a_server(kind)


@pytest.fixture
def database(server: DatabaseServer) -> Iterator[str]:
    """The name of an empty database."""
    server.execute("CREATE DATABASE empty")
    yield "empty"
    server.execute("DROP DATABASE empty")


@pytest.fixture
def original(kind: str, server: DatabaseServer, database: str) -> str:
    """The name of a database with the original's table and some rows."""
    server.execute(ORIGINAL[kind], database)
    rows = [("a@user", NOW), ("a@user", NOW + 5), ("b@user", NOW + 2), ("old@user", MAX_ID + 1)]
    for skey, mid in rows:
        server.execute(
            "INSERT INTO private_msg (skey, mid, ttl, msg, ctime, mtime) VALUES "
            f"('{skey}', {mid}, {LATER}, '{{\"n\":{mid}}}', '2014-05-09', '2014-05-09')",
            database,
        )
    return database


async def refusal(config: MessageConfig) -> str:
    """Why a store does not open."""
    with pytest.raises(ConfigError) as caught:
        async with open_sql(config, Time()):
            pass
    assert "secret" not in str(caught.value)
    return str(caught.value)


def tables(server: DatabaseServer, database: str) -> set[str]:
    """Those of ours that are there."""
    places = f"table_schema IN ('public', '{database}')"  # MariaDB shows all databases
    found = server.execute(
        f"SELECT table_name FROM information_schema.tables WHERE {places}", database
    )
    return {name for (name,) in found} & TABLES


async def test_tables_are_made_where_there_are_none(server: DatabaseServer, database: str) -> None:
    """All constraints and indexes have names that say whose they are."""
    async with open_sql(sql_config(server, database), Time()) as store:
        await store.save([push(1)])

    assert tables(server, database) == TABLES
    named = "SELECT constraint_name FROM information_schema.table_constraints"
    names = {name.lower() for (name,) in server.execute(named, database)}
    assert {"uq_private_msg_skey_mid", "uq_msg_receipt_push_id_skey"} <= names


async def test_two_nodes_may_start_at_once(server: DatabaseServer, database: str) -> None:
    """One makes the tables, the other waits for it."""
    opened = 0

    async def start() -> None:
        nonlocal opened
        async with open_sql(sql_config(server, database), Time()) as store:
            opened += store.trouble is None

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(start)

    assert opened == 4
    assert tables(server, database) == TABLES


async def test_tables_that_may_not_be_made_are_named(server: DatabaseServer, database: str) -> None:
    """The operator hears what is missing, and nothing is changed."""
    config = sql_config(server, database, create_tables=False)

    text = await refusal(config)

    assert "create_tables" in text
    assert all(name in text for name in TABLES)
    assert tables(server, database) == set()


async def test_an_operators_tables_are_enough(server: DatabaseServer, database: str) -> None:
    """Once made, they need no right to make tables."""
    async with open_sql(sql_config(server, database), Time()):
        pass

    config = sql_config(server, database, create_tables=False)
    async with open_sql(config, Time()) as store:
        assert await store.save([push(1)]) == [Saved((NOW,), (0,))]


async def test_a_missing_column_is_named(server: DatabaseServer, database: str) -> None:
    """A table of ours that somebody has changed."""
    async with open_sql(sql_config(server, database), Time()):
        pass
    server.execute("ALTER TABLE msg_key DROP COLUMN soonest", database)

    assert "msg_key.soonest" in await refusal(sql_config(server, database))


async def test_the_originals_table_is_taken_over(server: DatabaseServer, original: str) -> None:
    """Its messages are there, ids go on from them, and keys may be longer than they were."""
    long = Key("realm", "ä" * 120, "user")
    with capture_logs() as logs:
        async with open_sql(sql_config(server, original), Time()) as store:
            assert await store.marks([A, B]) == [NOW + 5, NOW + 2]
            page = await store.fetch(A, 0, limit=10)
            saved = await store.save([push(1, [A, long], body=b'"new"'), push(2, [B])])

            assert ids(await store.fetch(A, 0, limit=10)) == [NOW, NOW + 5, NOW + 6]
            assert ids(await store.fetch(long, 0, limit=10)) == [NOW]
            assert ids(await store.fetch(Key("", "old", "user"), 0, limit=10)) == []
            assert await store.delete(A, [NOW]) == 1
            assert store.notices.foreign == 1

    assert [m.body for m in page.messages] == [b'{"n":%d}' % NOW, b'{"n":%d}' % (NOW + 5)]
    assert [m.expires_at for m in page.messages] == [LATER, LATER]
    assert saved == [Saved((NOW + 6, NOW), (NOW + 5, 0)), Saved((NOW + 3,), (NOW + 2,))]
    assert "foreign data in the store" in [entry["event"] for entry in logs]


async def test_the_originals_rows_count_for_the_depth(
    server: DatabaseServer, original: str
) -> None:
    """Above it the oldest go, whoever wrote them."""
    async with open_sql(sql_config(server, original, depth=2), Time()) as store:
        await store.save([push(1)])

        assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 5, NOW + 6]


async def test_a_table_of_zero_timestamps_is_taken_over() -> None:
    """The original's defaults, which a strict server refuses."""
    server = a_server("mariadb")
    server.execute("CREATE DATABASE zero")
    try:
        server.execute(ORIGINAL["mariadb"], "zero")
        row = (
            f"INSERT INTO private_msg (skey, mid, ttl, msg) VALUES ('a@user', {NOW}, {LATER}, '1')"
        )
        server.execute(row, "zero")

        async with open_sql(sql_config(server, "zero"), Time()) as store:
            await store.save([push(1)])

            assert ids(await store.fetch(A, 0, limit=10)) == [NOW, NOW + 1]
    finally:
        server.execute("DROP DATABASE zero")


async def test_the_originals_table_needs_leave_too(server: DatabaseServer, original: str) -> None:
    """With `create_tables = false` it stays as it is."""
    text = await refusal(sql_config(server, original, create_tables=False))

    assert "private_msg.body" in text
    assert tables(server, original) == {"private_msg"}


async def test_a_row_that_was_taken_out_is_made_again(
    server: DatabaseServer, database: str
) -> None:
    """Numbering goes on from what the tables hold."""
    async with open_sql(sql_config(server, database), Time()) as store:
        await store.save([push(1, [A, B])])
        await store.revoke("token:1", issued_before=START, kept_until=START + 60)
    server.execute("DELETE FROM msg_end", database)

    async with open_sql(sql_config(server, database), Time()) as store:
        assert (await store.feed(-1, limit=1)).position == 2
        await store.save([push(2)])
        assert (await store.feed(2, limit=9)).marks == ((A, NOW + 1),)
        await store.revoke("token:2", issued_before=START, kept_until=START + 60)
        assert [r.position for r in await store.revocations(0)] == [1, 2]


async def test_tables_of_a_newer_program_are_refused(server: DatabaseServer, database: str) -> None:
    """An old program must not write into what it does not understand."""
    async with open_sql(sql_config(server, database), Time()):
        pass
    server.execute(f"UPDATE msg_end SET version = {VERSION + 1}", database)

    assert f"version {VERSION + 1}" in await refusal(sql_config(server, database))


async def test_who_is_not_let_in_hears_why(server: DatabaseServer, database: str) -> None:
    """A wrong password, a database that is not there: waiting would not help."""
    wrong = server.url(database, password="secret2")
    assert "password" in (await refusal(sql_config(server, url=wrong))).lower()
    missing = server.url("nowhere")
    assert "nowhere" in await refusal(sql_config(server, url=missing))


async def test_a_wrong_option_is_refused(server: DatabaseServer, database: str) -> None:
    """By its name; the driver's own error does not get out."""
    url = server.url(database)
    url += "&nonsense=1" if "?" in url else "?nonsense=1"

    assert "nonsense" in await refusal(sql_config(server, url=url))


async def test_a_user_who_may_not_make_tables_hears_it(
    kind: str, server: DatabaseServer, database: str
) -> None:
    """The server's own words, with the place."""
    host = "@'127.0.0.1'" if kind == "mariadb" else ""
    word = "IDENTIFIED BY" if kind == "mariadb" else "PASSWORD"
    server.execute(f"CREATE USER guest{host} {word} 'secret'")
    if kind == "mariadb":
        server.execute(f"GRANT SELECT ON {database}.* TO guest{host}")
    try:
        text = await refusal(sql_config(server, url=server.url(database, user="guest")))
    finally:
        server.execute(f"DROP USER guest{host}")

    assert "denied" in text
    assert f"/{database}" in text


async def test_a_server_that_is_too_old_is_refused(
    server: DatabaseServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its version and the one that is needed."""
    for dialect in (PostgreSql, MariaDb):
        monkeypatch.setattr(dialect, "oldest_version", (99, 1))

    assert "expected 99.1 or newer" in await refusal(sql_config(server, database))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite:///file",
        "oracle://u:secret@host/db",
        "postgresql://host",
        "postgresql://u:secret@host:five/db",
        "mariadb://u:secret@host:99999/db",
    ],
)
async def test_a_url_of_something_else_is_refused(url: str) -> None:
    """With what is expected, and without the URL: it may hold a password."""
    config = MessageConfig(store="sql", sql=SqlConfig(url=Password(url)))

    text = await refusal(config)

    assert "message.sql.url" in text
    assert "postgresql://user:password@host" in text
    assert not url or url not in text
