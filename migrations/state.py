"""Which revision a database has, and so what can be done with it. Knows no Alembic: it is asked at each start."""

import enum

import sqlalchemy as sa

from migrations import HEAD, REVISIONS
from migrations.original import MESSAGES, METADATA

VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))


class State(enum.Enum):
    """What a database is to this version of the code."""

    CURRENT = "up to date"
    EMPTY = "without tables"
    BEHIND = "behind"
    FOREIGN = "appmsgsrv's own"  # has its tables, and no revision
    NEWER = "of a newer version"


def revision_of(connection: sa.Connection) -> str | None:
    """The revision that is written in the database; None if there is none."""
    if not sa.inspect(connection).has_table(VERSION.name):
        return None
    return connection.scalar(sa.select(VERSION.c.version_num))


def state_of(connection: sa.Connection) -> State:
    """Whether the database can be used, and if not, why."""
    revision = revision_of(connection)
    if revision == HEAD:
        return State.CURRENT
    if revision is not None:
        return State.BEHIND if revision in REVISIONS else State.NEWER
    inspector = sa.inspect(connection)
    names = {name.lower() for name in inspector.get_table_names()}
    if not names & (METADATA.tables.keys() - MESSAGES):
        return State.EMPTY
    return State.BEHIND if VERSION.name in names else State.FOREIGN  # behind: interrupted


def advice(state: State) -> str:
    """What an operator does about it, as the end of a sentence; "" if nothing has to be done."""
    match state:
        case State.CURRENT:
            return ""
        case State.FOREIGN:
            return "has tables of appmsgsrv: run `appmsg migrate adopt`"
        case State.NEWER:
            return f"is of a newer version than {HEAD}: install that"
        case State.EMPTY:
            return "has no tables yet: run `appmsg migrate`"
        case State.BEHIND:
            return "is behind this version: run `appmsg migrate`"
