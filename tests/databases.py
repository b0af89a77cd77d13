"""The application layer's database for tests: migrated, empty, one of each kind.

    async def test_x(database: Database) -> None: ...                      on SQLite, PostgreSQL and MariaDB
    @pytest.mark.parametrize("database", ["sqlite"], indirect=True)        on these only
    with an_empty_database("mariadb") as url: ...                          for nodes of a test's own
    with a_new_database("mariadb") as url: ...                             without any table

`database` needs no import: tests/conftest.py has it. The servers are those of tests/message/stores/databases.py,
one of each kind per process of pytest; what is not installed here skips the test that wants it. The
tables are made once; between tests all their rows are deleted, so counters of ids go on.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from appmodel.core.units import Duration
from appmodel.io.database import Database
from appmodel.io.engines import DatabaseLimits, make_engine
from migrations.lightpush import METADATA as LIGHTPUSH
from migrations.mpush import METADATA as MPUSH
from migrations.mpush_keys import METADATA as MPUSH_KEYS
from migrations.ours import METADATA as OURS
from migrations.running import alone, migrate
from tests.message.stores.databases import a_server

KINDS = ["sqlite", "postgresql", "mariadb"]
DATABASE = "people"  # beside the message store's, on the same servers
PATIENCE = Duration(40)  # how long it takes says nothing about a law


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """All tables, no rows. Closed after the test."""
    with an_empty_database(str(request.param)) as url:
        database = Database(limits(url))
        yield database
        database.close()


@contextmanager
def an_empty_database(kind: str) -> Iterator[str]:
    """The URL of a database with all tables and no rows. One test at a time uses one of a kind."""
    if kind != "sqlite":
        url, engine = _on_server(kind)
        with engine.begin() as connection:
            for part in (OURS, LIGHTPUSH, MPUSH, MPUSH_KEYS):
                for table in part.sorted_tables:
                    connection.execute(table.delete())
        yield url
        return
    with tempfile.TemporaryDirectory(
        ignore_cleanup_errors=True
    ) as name:  # SQLite may be closing it
        path = Path(name) / "app.db"
        shutil.copy(_sqlite_file(), path)
        yield f"sqlite:///{path}"


def limits(url: str, *, threads: int = 2, timeout: Duration = PATIENCE) -> DatabaseLimits:
    """Of a database that may take its time."""
    return DatabaseLimits(url=url, threads=threads, timeout=timeout, connect_timeout=PATIENCE)


@contextmanager
def a_new_database(kind: str) -> Iterator[str]:
    """The URL of a database of the test's own, with nothing in it."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(
            ignore_cleanup_errors=True
        ) as name:  # SQLite may be closing it
            yield f"sqlite:///{name}/app.db"
        return
    server, name = a_server(kind), f"{DATABASE}_{next(_NUMBERS)}"
    server.execute(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name}")


def make_tables(url: str) -> None:
    """All tables of the newest version, in an empty database."""
    with alone(limits(url), lambda line: None) as connection:
        migrate(connection, lambda line: None)


_NUMBERS = count()


@cache
def _on_server(kind: str) -> tuple[str, sa.Engine]:
    server = a_server(kind)
    server.execute(f"CREATE DATABASE {DATABASE}")
    url = server.url(DATABASE)
    make_tables(url)
    engine = make_engine(limits(url, threads=1))
    atexit.register(engine.dispose)
    return url, engine


@cache
def _sqlite_file() -> Path:
    path = Path(_folder().name) / "app.db"
    make_tables(f"sqlite:///{path}")
    return path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
