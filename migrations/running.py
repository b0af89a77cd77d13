"""Runs revisions on a database, one process at a time.

    with alone(limits, say) as connection:      whoever comes now waits until the block ends
        migrate(connection, say)                to the newest revision
        step_down(connection, say)              one revision back

Who has waited finds nothing to do. SQLite's write lock, pg_advisory_xact_lock and GET_LOCK see to it. `say`
hears each step as a line for people. All of this blocks: call it in a thread.

On PostgreSQL and SQLite a migration that fails has not happened. MariaDB keeps what was done before; run it again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from appmodel.errors import PushError, Unavailable
from appmodel.io.engines import DatabaseLimits, is_away, make_engine, parse_url, place_of
from appmodel.io.sql_faults import Kind, fault_of
from migrations import REVISIONS
from migrations.fitting import MARIADB, Say
from migrations.state import State, advice, revision_of, state_of

LOCK = 0x6170706D7367  # "appmsg": for pg_advisory_xact_lock
OLDEST = {"mariadb": (10, 6), "postgresql": (12,), "sqlite": (3, 35)}  # versions


@contextmanager
def alone(limits: DatabaseLimits, say: Say) -> Iterator[sa.Connection]:
    """A connection to a database that nobody else migrates; committed in the end.

    Args:
        limits: `timeout` is how long one statement, or another migration, may take.

    Raises:
        Unavailable: it is away, or another migration took too long.
        PushError: what it was asked, it cannot do: too old a server, no right to, no room.
    """
    with connected(limits, writes=True) as connection:
        _wait_for_turn(connection, limits.timeout, say)
        yield connection
        connection.commit()


@contextmanager
def connected(limits: DatabaseLimits, *, writes: bool = False) -> Iterator[sa.Connection]:
    """A connection that waits for nobody; rolled back in the end. Raises as `alone` does."""
    where = place_of(parse_url(limits.url))
    engine = make_engine(limits)
    try:
        with engine.connect().execution_options(writes=writes) as connection:
            _check_server(connection)
            yield connection
    except SQLAlchemyError as error:
        raise _explained(error, where) from error
    finally:
        engine.dispose()


def migrate(connection: sa.Connection, say: Say) -> None:
    """To the newest revision, whatever it has.

    Raises:
        PushError: its tables are the original's, or a newer version's.
    """
    state, revision = state_of(connection), revision_of(connection)
    if state in (State.FOREIGN, State.NEWER):
        raise PushError(f"the database {advice(state)}")
    done = 0 if revision is None else REVISIONS.index(revision) + 1
    for step in REVISIONS[done:]:
        say(f"up to {step}")
        command.upgrade(_config(connection, say), step)


def step_down(connection: sa.Connection, say: Say) -> None:
    """One revision back.

    Raises:
        PushError: it has none of ours, or is at the first one and holds rows.
    """
    revision = revision_of(connection)
    if revision not in REVISIONS:
        raise PushError(f"the database {advice(state_of(connection))}")
    below = REVISIONS.index(revision)
    target = REVISIONS[below - 1] if below else "base"
    say(f"down to {target}")
    command.downgrade(_config(connection, say), target)


def stamp(connection: sa.Connection, revision: str, say: Say) -> None:
    """Write down that the database has this revision, and change nothing else."""
    command.stamp(_config(connection, say), revision)


def _config(connection: sa.Connection, say: Say) -> Config:
    config = Config()
    here = str(Path(__file__).parent)
    config.set_main_option("script_location", here.replace("%", "%%"))
    config.attributes["connection"], config.attributes["say"] = connection, say
    return config


def _check_server(connection: sa.Connection) -> None:
    dialect = connection.dialect
    name = "mariadb" if dialect.name in MARIADB else dialect.name
    found = dialect.server_version_info or ()
    if found < OLDEST[name]:
        shown = [".".join(map(str, version)) for version in (found, OLDEST[name])]
        raise PushError(f"{name} {shown[0]} is too old: {shown[1]} or newer is needed")


def _wait_for_turn(connection: sa.Connection, patience: float, say: Say) -> None:
    if connection.dialect.name == "postgresql":
        if not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(LOCK))):
            say("another migration is running: waiting for it")
            connection.scalar(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    elif connection.dialect.name in MARIADB:
        name = sa.func.concat("appmsg ", sa.func.md5(sa.func.database()))  # of the whole server
        if not connection.scalar(sa.select(sa.func.get_lock(name, 0))):
            say("another migration is running: waiting for it")
            if not connection.scalar(sa.select(sa.func.get_lock(name, patience))):
                raise Unavailable(f"another migration is not done after {patience:g} s")
    else:
        connection.execute(sa.text("SELECT 1"))  # begins; and so waits for the lock


def _explained(error: SQLAlchemyError, where: str) -> PushError:
    if not isinstance(error, DBAPIError):
        return PushError(f"{where}: {str(error).partition(chr(10))[0]}")
    if isinstance(error.orig, sqlite3.Error):
        return (Unavailable if is_away(error) else PushError)(f"{where}: {error.orig}")
    fault = fault_of(error)
    is_passing = fault.kind in (Kind.AWAY, Kind.CLASH)
    return (Unavailable if is_passing else PushError)(f"{where}: {fault.text}")
