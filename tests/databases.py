"""The application layer's database for tests: migrated, empty, one of each kind.

    async def test_x(database: Database) -> None: ...                      on SQLite, PostgreSQL and MariaDB
    @pytest.mark.parametrize("database", ["sqlite"], indirect=True)        on these only
    with an_empty_database("mariadb") as url: ...                          for nodes of a test's own

`database` needs no import: tests/conftest.py has it. The servers are those of tests/message/stores/databases.py,
one of each kind per process of pytest; what is not installed here skips the test that wants it. The
tables are made once; between tests all their rows are deleted, so counters of ids go on.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from appmodel.core.units import Duration
from appmodel.io.database import Database
from appmodel.io.engines import DatabaseLimits, make_engine
from appmodel.orm import Base
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
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(table.delete())
        yield url
        return
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "app.db"
        shutil.copy(_sqlite_file(), path)
        yield f"sqlite:///{path}"


def limits(url: str, *, threads: int = 2, timeout: Duration = PATIENCE) -> DatabaseLimits:
    """Of a database that may take its time."""
    return DatabaseLimits(url=url, threads=threads, timeout=timeout, connect_timeout=PATIENCE)


def make_tables(url: str) -> None:
    """All tables of the newest version, in an empty database."""
    engine = make_engine(limits(url))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
    engine.dispose()


@cache
def _on_server(kind: str) -> tuple[str, sa.Engine]:
    server = a_server(kind)
    server.execute(f"CREATE DATABASE {DATABASE}")
    url = server.url(DATABASE)
    make_tables(url)
    return url, make_engine(limits(url, threads=1))


@cache
def _sqlite_file() -> Path:
    path = Path(_folder().name) / "app.db"
    make_tables(f"sqlite:///{path}")
    return path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
