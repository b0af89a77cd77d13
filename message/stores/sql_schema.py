"""How a database gets our tables: made, taken over from the original, or found wanting.

    nothing there                  all tables are made
    the original's private_msg     it is widened and gets `body`; each key's mark is that of its rows
    ours                           nothing is done; a newer version is refused

With `create_tables = false` a start only looks, and says what is missing. The original must not write
into its table any more: it would give ids that we have given.
"""

import time
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from appmodel.core.clock import MAX_ID
from appmodel.errors import ConfigError
from appmodel.io.sql_faults import Fault, Kind, fault_of
from message.config import SqlConfig
from message.stores.notices import Notices
from message.stores.sql_dialects import MariaDb, PostgreSql
from message.stores.sql_link import connected
from message.stores.sql_session import Server, Session
from message.stores.sql_tables import MAX_SKEY, METADATA, MSG_END, MSG_KEY, PRIVATE_MSG

VERSION = 1  # of the tables
URL, CREATE = "message.sql.url", "message.sql.create_tables"
LIMIT = 3600.0  # seconds that all of it may take: a large table of the original is written anew

log = structlog.get_logger(__name__)


def prepare(session: Session, config: SqlConfig, notices: Notices) -> None:
    """See to it that our tables are there.

    Raises:
        ConfigError: the server is too old, tables are missing and may not or cannot be made, or those
            that are there are no use.
        Fault: the server is away.
    """
    try:
        _check_version(session)
        if missing := _missing(session):
            if not config.create_tables:
                raise ConfigError(CREATE, False, _wanted(session.where, missing))
            session.rollback()  # who stands still in a transaction is cut
            _make_patiently(config, notices)
            if missing := _missing(session):
                raise ConfigError(URL, session.where, f"it has no {', '.join(missing)}")
        _check_tables(session)
    except DBAPIError as error:
        raise _explained(fault_of(error), session.where) from None
    except Fault as fault:
        raise _explained(fault, session.where) from None


def _explained(fault: Fault, where: str) -> Exception:
    if fault.kind in (Kind.AWAY, Kind.CLASH):
        return fault
    return ConfigError(URL, where, f"its tables cannot be made or read: {fault.text}")


def _wanted(where: str, missing: Sequence[str]) -> str:
    return (
        f"{where} has no {', '.join(missing)}: start once with create_tables = true and a user "
        "that may make tables"
    )


def _check_version(session: Session) -> None:
    found = session.connection.dialect.server_version_info or ()
    wanted = session.dialect.oldest_version
    if found < wanted:
        text = f"a server of version {_dotted(found)}, expected {_dotted(wanted)} or newer"
        raise ConfigError(URL, session.where, text)


def _dotted(version: Sequence[object]) -> str:
    return ".".join(str(part) for part in version)


def _missing(session: Session) -> list[str]:
    """The tables and columns that are not there; and msg_end's row."""
    found: dict[str, set[str]] = {}
    for table, column in session.rows(COLUMNS[type(session.dialect)]):
        found.setdefault(table, set()).add(column)
    missing = []
    for wanted in METADATA.sorted_tables:
        columns = found.get(wanted.name)
        if columns is None:
            missing.append(wanted.name)
        else:
            missing += [f"{wanted.name}.{c.name}" for c in wanted.columns if c.name not in columns]
    if MSG_END.name in found and not session.rows(VERSION_OF):
        missing.append("the row of msg_end")
    return missing


def _make_patiently(config: SqlConfig, notices: Notices) -> None:
    """Make what is missing, on a connection of its own, which may take its time."""
    server = Server(config, LIMIT)
    connection = connected(server)
    try:
        session = Session(connection, server, time.monotonic() + LIMIT)
        _make(session, notices)
        session.commit()
    finally:
        connection.invalidate()
        connection.close()


def _make(session: Session, notices: Notices) -> None:
    is_mariadb = isinstance(session.dialect, MariaDb)
    session.rows(LOCK_MARIADB if is_mariadb else LOCK_POSTGRESQL)
    missing = _missing(session)  # now: another node may have made them
    if "private_msg.body" in missing:
        _take_over(session, is_mariadb=is_mariadb)
    METADATA.create_all(session.connection)
    if MSG_KEY.name in missing and PRIVATE_MSG.name not in missing:
        _make_marks(session, notices)
    if not session.rows(VERSION_OF):
        session.rows(ADD_END, VERSION)
    if missing:
        log.info("tables made", missing=missing)


def _take_over(session: Session, *, is_mariadb: bool) -> None:
    """Change the original's private_msg into ours. Its rows stay."""
    inspector = sa.inspect(session.connection)
    indexed = [index["column_names"] for index in inspector.get_indexes(PRIVATE_MSG.name)]
    unique = [u["column_names"] for u in inspector.get_unique_constraints(PRIVATE_MSG.name)]
    for statement in TAKE_OVER_MARIADB if is_mariadb else TAKE_OVER_POSTGRESQL:
        session.rows(statement)
    if ["skey", "mid"] not in unique:
        session.rows(
            "ALTER TABLE private_msg ADD CONSTRAINT uq_private_msg_skey_mid UNIQUE (skey, mid)"
        )
    if ["ttl"] not in indexed:
        session.rows("CREATE INDEX ix_private_msg_ttl ON private_msg (ttl)")


def _make_marks(session: Session, notices: Notices) -> None:
    session.rows(MAKE_MARKS, MAX_ID)
    [(beyond,)] = session.rows("SELECT count(*) FROM private_msg WHERE mid > %b", MAX_ID)
    if beyond:  # of the first gopush-cluster: units of 100 ns
        notices.foreign_data("private_msg.mid above 2^53", beyond)


def _check_tables(session: Session) -> None:
    [(version,)] = session.rows(VERSION_OF)
    if version > VERSION:
        text = f"tables of a newer program (version {version}), expected at most {VERSION}"
        raise ConfigError(URL, session.where, text)


COLUMNS = {
    PostgreSql: """
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = current_schema()""",
    MariaDb: """
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = database()""",
}
VERSION_OF = "SELECT version FROM msg_end WHERE id = 1"
ADD_END = """
    INSERT INTO msg_end (id, position, highest, revocation, version) SELECT 1,
        (SELECT coalesce(max(msg_receipt.position), 0) FROM msg_receipt),
        (SELECT coalesce(max(mark), 0) FROM msg_key),
        (SELECT coalesce(max(msg_revocation.position), 0) FROM msg_revocation), %b"""
# held while tables are made, as several nodes may start at once
LOCK_MARIADB = "SELECT GET_LOCK('appmsg tables', 60)"  # until the connection ends
LOCK_POSTGRESQL = "SELECT pg_advisory_xact_lock(1634757747)"  # "apms", until the commit
MAKE_MARKS = """
    INSERT INTO msg_key (skey, mark, prev, messages, soonest)
    SELECT skey, max(mid), 0, count(*), min(ttl) FROM private_msg WHERE mid <= %b GROUP BY skey"""
TAKE_OVER_MARIADB = [
    "SET sql_mode = ''",  # the original's zero timestamps are refused else
    f"""
    ALTER TABLE private_msg ENGINE = InnoDB,
        MODIFY skey VARCHAR({MAX_SKEY}) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
        MODIFY msg LONGBLOB NOT NULL,
        MODIFY ctime TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
        MODIFY mtime TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
        ADD COLUMN body BIGINT""",
]
TAKE_OVER_POSTGRESQL = [  # as tools that copy from MySQL leave it: numeric for unsigned, for one
    """
    ALTER TABLE private_msg
        ALTER skey TYPE text COLLATE "C", ALTER mid TYPE bigint, ALTER ttl TYPE bigint,
        ALTER ctime SET DEFAULT current_timestamp, ALTER mtime SET DEFAULT current_timestamp,
        ADD COLUMN body bigint"""
]
