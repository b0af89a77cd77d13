"""Real databases for tests: one server of each kind, started when first needed, ended with the tests.

    async with open_database("mariadb", time, depth=3) as store: ...      an empty store in it
    server = a_server("postgresql"); server.execute("SELECT ...", DATABASE)    what lies behind it

What is not installed here skips the test that wants it.
"""

import atexit
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from appmodel.core.units import Duration, Size
from appmodel.runtime.config import Password
from message.config import MessageConfig, SqlConfig
from message.stores.sql import SqlStore, open_sql
from message.stores.sql_tables import METADATA
from tools.servers.daemon import Missing
from tools.servers.databases import DATABASES, DatabaseServer

KINDS = list(DATABASES)
DATABASE = "appmsg"
HASTY = {
    "postgresql": ["fsync=off", "synchronous_commit=off", "autovacuum=off"],
    "mariadb": ["debug-no-sync", "innodb-flush-method=nosync"],
}
_STARTED = ExitStack()
atexit.register(_STARTED.close)


@cache
def a_server(kind: str) -> DatabaseServer:
    """The server that tests share, with an empty database. Skips the test if there can be none.

    It does not wait for the disk: nobody crashes it.
    """
    return _STARTED.enter_context(own_server(kind, HASTY[kind]))


@contextmanager
def own_server(kind: str, settings: Sequence[str] = ()) -> Iterator[DatabaseServer]:
    """One that a test may stop and kill."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        folder.chmod(0o755)  # the users as whom they run go through it
        try:
            server = running.enter_context(DATABASES[kind](folder / kind, settings))
        except Missing as missing:
            pytest.skip(str(missing))
        server.execute(f"CREATE DATABASE {DATABASE}")
        yield server


def sql_config(server: DatabaseServer, database: str = DATABASE, **options: Any) -> MessageConfig:
    """Of a store in that database; `depth` and sizes are the store's, the rest of [message.sql]."""
    depths = ("depth", "queue_depth")
    common: dict[str, Any] = {name: options.pop(name) for name in depths if name in options}
    for name in ("page_limit", "queue_limit", "round_limit"):
        if name in options:
            common[name] = Size(options.pop(name))
    options.setdefault("timeout", 40.0)  # how long it takes says nothing about a law
    for name in ("timeout", "connect_timeout", "retry_pause", "max_retry_pause"):
        if name in options:
            options[name] = Duration(options[name])
    url = Password(options.pop("url", server.url(database)))
    return MessageConfig(store="sql", sql=SqlConfig(url=url, **options), **common)


def new_database(server: DatabaseServer) -> None:
    """Begin anew on a server of the test's own."""
    server.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
    server.execute(f"CREATE DATABASE {DATABASE}")


def clear(kind: str) -> None:
    """Take everything out of the tables of the shared server."""
    with engine(kind).begin() as connection:
        METADATA.create_all(connection)
        for table in METADATA.sorted_tables:
            if table.name != "msg_end":
                connection.execute(table.delete())
        end = METADATA.tables["msg_end"]
        connection.execute(end.update().values(position=0, highest=0, revocation=0))


@cache
def engine(kind: str) -> sa.Engine:
    """For what tests do beside the store. It keeps a connection until they end."""
    url = sa.make_url(a_server(kind).url(DATABASE))
    driver = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}[kind]
    engine = sa.create_engine(url.set(drivername=driver), pool_size=1)
    _STARTED.callback(engine.dispose)
    return engine


@asynccontextmanager
async def open_database(
    kind: str, now: Callable[[], float], **options: Any
) -> AsyncIterator[SqlStore]:
    """An empty store on the server that tests share."""
    clear(kind)
    async with open_sql(sql_config(a_server(kind), **options), now) as store:
        yield store
