"""What a database's errors mean to us.

    AWAY      no connection, it broke, or nothing came in time   try again, later
    CLASH     another node was in the way                        try again, at once
    REFUSED   full, read-only, forbidden, a table is missing     an operator must act
    INVALID   a value that the database does not take            only the call that brought it fails

Sources: PostgreSQL's table of SQLSTATEs (appendix A), MariaDB's of error codes. Texts are the server's
own first line: SQLAlchemy's would show the parameters.
"""

from enum import Enum

import psycopg
import sqlalchemy.exc


class Kind(Enum):
    """What to do about it."""

    AWAY = "away"
    CLASH = "clash"
    REFUSED = "refused"
    INVALID = "invalid"


class Fault(Exception):
    """A database did not do what it was asked. Stays within whoever speaks SQL."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text
        self.in_doubt = False  # the transaction may have been committed


def fault_of(error: sqlalchemy.exc.DBAPIError) -> Fault:
    """The meaning of an error of psycopg or PyMySQL, as SQLAlchemy brings it."""
    cause = error.orig
    if isinstance(cause, psycopg.Error):
        text = cause.diag.message_primary or _first_line(str(cause))
        return Fault(_of_postgresql(cause.sqlstate), text)
    code = cause.args[0] if cause is not None and cause.args else None
    text = str(cause.args[1]) if cause is not None and len(cause.args) > 1 else str(cause)
    return Fault(_of_mariadb(code), _first_line(text))


def refuses_login(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Whether a server answered and will not let us in: waiting does not help."""
    cause = error.orig
    if isinstance(cause, psycopg.ProgrammingError):  # an option that there is not
        return True
    if isinstance(cause, psycopg.Error):  # libpq tells no SQLSTATE of a connection that failed
        text = str(cause)
        return "FATAL:" in text and not any(word in text for word in POSTGRES_NOT_NOW)
    return cause is not None and bool(cause.args) and cause.args[0] in MARIADB_LOGINS


POSTGRES_NOT_NOW = ("starting up", "shutting down", "recovery", "too many", "accepting", "slots")
POSTGRES_AWAY = {"25P03", "57014"}  # we stood still, statement_timeout
POSTGRES_CLASHES = {"40001", "40P01", "55P03", "23505"}  # serialization, deadlock, lock, unique
MARIADB_LOGINS = {1044, 1045, 1049, 1130, 1698}  # database, password, no such database, host
MARIADB_AWAY = {1040, 1053, 1203, 1927, 1969}  # too many clients, shutdown, killed, too slow
MARIADB_CLASHES = {1020, 1062, 1205, 1213}  # changed since it was read, unique, lock, deadlock
MARIADB_INVALID = {1048, 1153, 1264, 1292, 1300, 1366, 1406, 3988}  # null, size, range, text
CLIENT_ERRORS = range(2000, 3000)  # of MariaDB's client: there is no answer


def _of_postgresql(state: str | None) -> Kind:
    if state is None or state.startswith(("08", "57P")) or state in POSTGRES_AWAY:
        return Kind.AWAY
    if state in POSTGRES_CLASHES:
        return Kind.CLASH
    return Kind.INVALID if state.startswith(("22", "23")) else Kind.REFUSED


def _of_mariadb(code: object) -> Kind:
    if not isinstance(code, int) or not code or code in CLIENT_ERRORS or code in MARIADB_AWAY:
        return Kind.AWAY
    if code in MARIADB_CLASHES:
        return Kind.CLASH
    return Kind.INVALID if code in MARIADB_INVALID else Kind.REFUSED


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
