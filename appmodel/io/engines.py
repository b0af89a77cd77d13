"""Connections to the application's database, of whichever kind it is.

    sqlite:///var/app.db                          a file beside the node
    postgresql://user:password@host:port/name     psycopg
    mariadb://user:password@host:port/name        PyMySQL

SQLite: write-ahead log, one writer at a time (a write begins with BEGIN IMMEDIATE, so that it never
finds out half-way that another was first). The others: READ COMMITTED, and a limit for each statement,
kept by the server and, if that hangs, by the client.
"""

import math
import sqlite3
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)

from appmodel.core.units import Duration
from appmodel.errors import ConfigError
from appmodel.io.sql_faults import Kind, fault_of

SETTING = "database.url"
EXPECTED = (
    "sqlite:///path, postgresql://user:password@host:port/database, or mariadb://user:password@..."
)
DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mariadb+pymysql",
}
MAX_PORT = 65535
SQLITE_TROUBLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}
UNKNOWN_NAMES = {"42P01", "42703", 1146, 1054}  # table, column: PostgreSQL's and MariaDB's codes


class DatabaseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine is used; see `DatabaseConfig` in appmodel/runtime/config.py."""

    url: str
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    timeout: Duration = Duration(5)
    connect_timeout: Duration = Duration(2)


def parse_url(text: str) -> sa.URL:
    """Where a database is, with the driver that we use.

    Raises:
        ConfigError: it names none that we speak to. The text may hold a password, and is not shown.
    """
    try:
        url = sa.make_url(text)
        port = url.port or 0
    except (ArgumentError, ValueError):
        raise ConfigError(SETTING, "********", f"expected {EXPECTED}") from None
    driver = DRIVERS.get(url.get_backend_name())
    if driver is None or not url.database or port > MAX_PORT:
        raise ConfigError(SETTING, "********", f"expected {EXPECTED}")
    return url.set(drivername=driver)


def place_of(url: sa.URL) -> str:
    """Where it is, for people: without user and password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = f"{url.host or 'localhost'}:{url.port}" if url.port else f"{url.host or 'localhost'}"
    return f"{host}/{url.database}"


def make_engine(limits: DatabaseLimits) -> sa.Engine:
    """An engine that has not connected yet. Its connections are used by one thread at a time.

    An execution option `writes=True` says that a transaction will write.

    Raises:
        ConfigError: see `parse_url`; or the folder of a SQLite file cannot be made.
    """
    url = parse_url(limits.url)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, limits)
    is_postgres = url.get_backend_name() == "postgresql"
    settings = _postgres(limits.timeout) if is_postgres else _mariadb(limits.timeout)
    settings["connect_timeout"] = max(math.ceil(limits.connect_timeout), 2)  # libpq: 2 or more
    engine = sa.create_engine(
        url,
        pool_size=limits.threads,
        max_overflow=0,
        pool_timeout=limits.timeout,
        pool_pre_ping=False,  # a connection that broke while idle is found by its first statement
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # in errors and logs: digests, device tokens, what people write
        connect_args=settings,
    )
    if is_postgres:
        sa.event.listen(engine, "do_connect", PatientConnection.make)
        sa.event.listen(engine, "checkout", _Patience(limits.timeout).begin)
    return engine


def is_clash(error: DBAPIError) -> bool:
    """Whether others were in the way, and the same transaction may go through if tried again."""
    if isinstance(error.orig, sqlite3.Error):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    return fault_of(error).kind is Kind.CLASH


def is_away(error: SQLAlchemyError) -> bool:
    """Whether the database is to blame, and not the statement: it is away, too slow, full or broken."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_BUSY) & 0xFF in SQLITE_TROUBLE
    return isinstance(error, sa.exc.TimeoutError | OperationalError | InterfaceError)


def lacks_tables(error: DBAPIError) -> bool:
    """Whether a table or a column is missing: the database is of another version than we are."""
    if isinstance(error.orig, sqlite3.Error):
        return "no such table" in str(error.orig) or "no such column" in str(error.orig)
    if isinstance(error.orig, psycopg.Error):
        return error.orig.sqlstate in UNKNOWN_NAMES
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return code in UNKNOWN_NAMES


class PatientConnection(psycopg.Connection[Any]):
    """One that waits for the server until a deadline; psycopg's own wait has no end."""

    until = math.inf  # monotonic

    @classmethod
    def make(cls, dialect: Any, _record: Any, args: Any, settings: Any) -> Any:
        """For SQLAlchemy's "do_connect". Connecting has libpq's time-out."""
        return cls.connect(*args, **settings)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """What psycopg calls for whatever takes a round trip."""
        left = max(self.until - time.monotonic(), 0.0)
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.OperationalError:
            if time.monotonic() >= self.until:
                self.close()  # it is busy for good: else its rollback fails, and the pool loses it
            raise


class _Patience:
    """Gives each use of a connection a deadline."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def begin(self, connection: Any, *_: Any) -> None:
        """A thread takes the connection out of the pool."""
        connection.until = time.monotonic() + 2 * self._limit  # the server gives up first


def _postgres(limit: float) -> dict[str, Any]:
    chosen = {
        "statement_timeout": f"{limit * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{limit * 1000:.0f}",
        "enable_seqscan": "off",  # a table that grew is not known to have grown for a minute
        "jit": "off",  # it takes 100 ms for a statement of 1 ms
    }
    options = " ".join(f"-c {name}={value}" for name, value in chosen.items())
    return {"options": options, "application_name": "appmsg"}


def _mariadb(limit: float) -> dict[str, Any]:
    chosen = {
        "max_statement_time": f"{limit:.3f}",
        "innodb_lock_wait_timeout": f"{max(limit, 1):.0f}",
        "sql_mode": "'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'",
        "time_zone": "'+00:00'",
    }
    return {
        "charset": "utf8mb4",
        "init_command": "SET SESSION " + ", ".join(f"{n} = {v}" for n, v in chosen.items()),
        "read_timeout": limit + 1,  # the server should be the first to give up
        "write_timeout": limit + 1,
    }


def _sqlite_engine(url: sa.URL, limits: DatabaseLimits) -> sa.Engine:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(0o600)  # what is known of people is for nobody else; -wal and -shm follow it
    except OSError as error:
        raise ConfigError(SETTING, str(path), f"cannot be made: {error.strerror}") from None
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=limits.threads,
        max_overflow=0,
        pool_timeout=limits.timeout,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": limits.timeout},
    )

    @sa.event.listens_for(engine, "connect")
    def open_file(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = normal")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
