"""Real databases for tests: one server of each kind, started when first needed, ended with the tests.

    async with open_database("mariadb", time, depth=3) as store: ...      an empty store in it
    server = a_server("postgresql"); server.execute("SELECT ...", DATABASE)    what lies behind it

What is not installed here skips the test that wants it.
"""

import atexit
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from appmodel.core.units import Duration, Size
from appmodel.runtime.config import Password
from message.config import MessageConfig, SqlConfig
from message.stores.sql import SqlStore, open_sql
from message.stores.sql_tables import METADATA
from tools.servers.daemon import Daemon, Missing
from tools.servers.mariadb import mariadb
from tools.servers.postgres import postgres

KINDS = ["postgresql", "mariadb"]
DATABASE = "appmsg"
_STARTED = ExitStack()
atexit.register(_STARTED.close)


class DatabaseServer(Protocol):
    """A server of either kind."""

    daemon: Daemon

    def url(self, database: str = ..., *, user: str = ..., password: str = ...) -> str: ...

    def execute(self, statement: str, database: str = ...) -> list[tuple[Any, ...]]: ...

    def kill(self) -> None: ...


@cache
def a_server(kind: str) -> DatabaseServer:
    """The server that tests share, with an empty database. Skips the test if there can be none."""
    return _STARTED.enter_context(own_server(kind))


@contextmanager
def own_server(kind: str) -> Iterator[DatabaseServer]:
    """One that a test may stop and kill."""
    start = {"postgresql": postgres, "mariadb": mariadb}[kind]
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        folder.chmod(0o755)  # the users as whom they run go through it
        try:
            server = running.enter_context(start(folder / kind))
        except Missing as missing:
            pytest.skip(str(missing))
        server.execute(f"CREATE DATABASE {DATABASE}")
        yield server


def sql_config(server: DatabaseServer, database: str = DATABASE, **options: Any) -> MessageConfig:
    """Of a store in that database; `depth` and sizes are the store's, the rest of [message.sql]."""
    common = {name: options.pop(name) for name in ("depth",) if name in options}
    for name in ("page_limit", "queue_limit", "round_limit"):
        if name in options:
            common[name] = Size(options.pop(name))
    for name in ("timeout", "connect_timeout", "retry_pause", "max_retry_pause"):
        if name in options:
            options[name] = Duration(options[name])
    url = Password(options.pop("url", server.url(database)))
    return MessageConfig(store="sql", sql=SqlConfig(url=url, **options), **common)


def clear(server: DatabaseServer) -> None:
    """Take everything out of the tables, if they are there."""
    tables = "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'msg\\_%'"
    if not server.execute(tables, DATABASE):
        return
    for table in METADATA.sorted_tables:
        if table.name != "msg_end":
            server.execute(f"DELETE FROM {table.name}", DATABASE)
    server.execute("UPDATE msg_end SET position = 0, highest = 0, revocation = 0", DATABASE)


@asynccontextmanager
async def open_database(
    kind: str, now: Callable[[], float], **options: Any
) -> AsyncIterator[SqlStore]:
    """An empty store on the server that tests share."""
    server = a_server(kind)
    clear(server)
    async with open_sql(sql_config(server, **options), now) as store:
        yield store
