"""Statements on one connection to a database, until a deadline; and how connections are made.

    server = Server(config, limit)       knows where the database is; connects to nothing yet
    Session(server.connect(), server, until).rows("SELECT ... WHERE skey = %b", skey)

A server that hangs is given up by the clock here: psycopg waits as long as it is told, PyMySQL for each
answer. The server gives up a statement of ours after the same time, so that no lock outlives its use.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from appmodel.errors import ConfigError
from appmodel.io.engines import PatientConnection
from appmodel.io.sql_faults import Fault, Kind, fault_of
from message.config import SqlConfig
from message.stores.sql_dialects import Dialect, MariaDb, Parameters, PostgreSql, Query, Rows

SETTING = "message.sql.url"
EXPECTED = "expected postgresql://user:password@host:port/database, or mariadb://..."
DIALECTS: Mapping[str, Dialect] = {
    "postgresql": PostgreSql(),
    "postgres": PostgreSql(),
    "mariadb": MariaDb(),
    "mysql": MariaDb(),
}
MAX_PORT = 65535
IDLE = 1.0  # seconds that a transaction of ours may stand still: others wait for its rows


class Server:
    """A database, and how to connect to it.

    Args:
        limit: seconds that a transaction may take.

    Raises:
        ConfigError: the URL is none, or of another kind of database.
    """

    def __init__(self, config: SqlConfig, limit: float) -> None:
        try:
            url = sa.make_url(str(config.url))
        except (ArgumentError, ValueError):
            raise ConfigError(SETTING, config.url, EXPECTED) from None
        dialect = DIALECTS.get(url.get_backend_name())
        if dialect is None or not url.database or (url.port or 0) > MAX_PORT:
            raise ConfigError(SETTING, config.url, EXPECTED)
        self.dialect = dialect
        self.limit = limit
        self.where = f"{url.host or 'localhost'}/{url.database}"  # the rest may be secret
        if url.port:
            self.where = f"{url.host}:{url.port}/{url.database}"
        self._connect_timeout = config.connect_timeout
        self._engine = sa.create_engine(
            url.set(drivername=self.dialect.driver),
            poolclass=sa.NullPool,  # each thread keeps its own
            isolation_level="READ COMMITTED",
            hide_parameters=True,  # messages of people, in an error that is logged
            connect_args={
                **self.dialect.settings(limit=self.limit, idle=IDLE),
                "connect_timeout": max(math.ceil(config.connect_timeout), 2),  # libpq: 2 or more
            },
        )
        sa.event.listen(self._engine, "do_connect", self._make)

    def connect(self, *, reads: bool = False) -> sa.Connection:
        """A new connection. Raises DBAPIError; InvalidRequestError for a MySQL that is no MariaDB.

        Args:
            reads: nothing is changed on it, so each statement is a transaction of its own.
        """
        connection = self._engine.connect()
        return connection.execution_options(isolation_level="AUTOCOMMIT") if reads else connection

    def _make(self, dialect: Any, _record: Any, args: Any, settings: Any) -> Any:
        if dialect.name != "postgresql":
            return None  # SQLAlchemy makes it
        connection = PatientConnection.connect(*args, **settings)
        connection.until = time.monotonic() + self._connect_timeout + self.limit
        return connection


class Session:
    """Each call raises `Fault`."""

    def __init__(self, connection: sa.Connection, server: Server, until: float) -> None:
        """`until` is monotonic."""
        self.connection = connection  # for what SQLAlchemy does by itself: tables
        self.dialect, self.where = server.dialect, server.where
        self._until = until
        driver = connection.connection.driver_connection
        if isinstance(driver, PatientConnection):
            driver.until = until

    def rows(self, statement: str, *parameters: Any) -> Rows:
        """What one statement answers; its parameters are single values."""
        return self._run((self.dialect.plain(statement), parameters))

    def among(self, statement: str, values: Sequence[Any], *after: Any) -> Rows:
        """The same for one that first asks for `= ANY(%b)` of `values`, perhaps in pieces."""
        queries = self.dialect.among(statement, values, after) if values else ()
        return [row for query in queries for row in self._run(query)]

    def insert(self, statement: str, *columns: Sequence[Any], after: Parameters = ()) -> Rows:
        """Put in rows, given column by column, perhaps in pieces; what it answers.

        Args:
            after: the parameters that come after the rows.
        """
        queries = self.dialect.inserts(statement, columns, after) if columns[0] else ()
        return [row for query in queries for row in self._run(query)]

    def for_each(self, select: str, asked: Mapping[str, Sequence[Any]], *after: Any) -> Rows:
        """What a SELECT answers for each row of `asked`, perhaps in pieces.

        Args:
            asked: columns of texts or integers, which it calls asked.<name>; no rows, no answers.
            after: its other parameters, the same for all rows.
        """
        is_asked = any(asked.values())
        queries = self.dialect.for_each(select, asked, after) if is_asked else ()
        return [row for query in queries for row in self._run(query)]

    def commit(self) -> None:
        """Make it last."""
        with faults():
            self.connection.commit()

    def rollback(self) -> None:
        """Take all back."""
        with faults():
            self.connection.rollback()

    def _run(self, query: Query) -> Rows:
        if time.monotonic() >= self._until:
            raise Fault(Kind.AWAY, "it takes too long")
        statement, parameters = query
        with faults():
            result = self.connection.exec_driver_sql(statement, tuple(parameters))
            return [tuple(row) for row in result] if result.returns_rows else []


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """What a driver raises becomes a `Fault`."""
    try:
        yield
    except DBAPIError as error:
        raise fault_of(error) from None
