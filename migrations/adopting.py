"""Takes over a database of appmsgsrv: is it one, what are its names, and what its operators must know.

checked     its tables and columns; nothing is changed if one is missing
renamed     SESSION -> session: on some servers names tell upper from lower case, and the original uses both
upgraded    from revision 0001, which it has without knowing it
told        what people have to do: passwords, ids, groups
"""

from collections.abc import Iterator

import sqlalchemy as sa

from appmodel.errors import PushError
from migrations import REVISIONS
from migrations.fitting import MARIADB, Say, columns_of
from migrations.original import MESSAGES, METADATA
from migrations.ours import METADATA as OURS
from migrations.running import migrate, stamp
from migrations.state import State, advice, state_of

HASHES = ("$argon2", "md5+$argon2")  # how passwords begin that were hashed by us


def adopt(connection: sa.Connection, say: Say) -> None:
    """Make a database of the original ours.

    Raises:
        PushError: it is none: it is empty, ours already, or something else.
    """
    state = state_of(connection)
    if state is State.CURRENT:
        raise PushError("the database is ours already, and up to date")
    if state is State.BEHIND:  # it was interrupted
        _upgrade(connection, say)
        return
    if state is not State.FOREIGN:
        raise PushError(f"the database {advice(state)}")
    names = _spelled(connection)
    wrong = list(_missing(connection, names))
    if wrong:
        raise PushError(f"this is no database of appmsgsrv: it has no {', '.join(wrong)}")
    for name, spelled in names.items():
        if spelled != name:
            _rename(connection, spelled, name)
            say(f"table {spelled} is called {name} now")
    stamp(connection, REVISIONS[0], say)
    _upgrade(connection, say)


def _upgrade(connection: sa.Connection, say: Say) -> None:
    migrate(connection, say)
    for line in findings(connection):
        say(line)


def findings(connection: sa.Connection) -> Iterator[str]:
    """What the operators of an adopted database have to know."""
    user, qun, member = OURS.tables["user"], OURS.tables["qun"], OURS.tables["qun_user"]
    kept = sa.or_(*(user.c.password.like(f"{mark}%") for mark in HASHES))
    old = ~kept & (user.c.password != "")
    owner = sa.exists().where(member.c.qun_id == qun.c.id, member.c.role == 0)
    marks = user.c.id.contains("_", autoescape=True) | user.c.id.contains("@")
    stranger = ~sa.exists().where(user.c.id == member.c.user_id)
    logins = sa.select(user.c.name).where(user.c.name != "").group_by(user.c.name)
    doubled = logins.having(sa.func.count() > 1).subquery()
    counts = (
        (user, old, "users have an old password: it is replaced when they log in"),
        (user, user.c.password == "", "users have no password and cannot log in"),
        (user, marks, 'users cannot log in: their id has "_" or "@" in it'),
        (doubled, sa.true(), "login names belong to several users"),
        (qun, ~owner, "groups have no owner: their creator has left"),
        (member, stranger, "members of groups are no users that we know"),
        (OURS.tables["org"], OURS.tables["org"].c.location == "", "departments found no place"),
    )
    for table, condition, meaning in counts:
        number = connection.scalar(sa.select(sa.func.count()).select_from(table).where(condition))
        yield f"{number} {meaning}"


def _spelled(connection: sa.Connection) -> dict[str, str]:
    """How the database writes the names of the original's tables; an exact one goes first."""
    there = sa.inspect(connection).get_table_names()
    names = {name.lower(): name for name in sorted(there)}  # lower case sorts last, and wins
    return {name: names[name] for name in METADATA.tables if name in names}


def _missing(connection: sa.Connection, names: dict[str, str]) -> Iterator[str]:
    for table in METADATA.sorted_tables:
        if table.name not in names:
            if table.name not in MESSAGES:
                yield f"table {table.name}"
            continue
        there = {name.lower() for name in columns_of(connection, names[table.name])}
        yield from (f"{table.name}.{c.name}" for c in table.columns if c.name not in there)


def _rename(connection: sa.Connection, old: str, new: str) -> None:
    quote = connection.dialect.identifier_preparer.quote_identifier
    if connection.dialect.name in MARIADB:
        connection.exec_driver_sql(f"RENAME TABLE {quote(old)} TO {quote(new)}")
    else:
        connection.exec_driver_sql(f"ALTER TABLE {quote(old)} RENAME TO {quote(new)}")
