"""Our tables: every key and index, the missing tables and columns, exact ids, and rows in order.

    rows that say the same            one stays, counters are added up
    application.token                 its SHA-256 in token_digest; the text is gone for good
    qun_user.role                     the creator is the owner, other "owners" are members
    org.location                      right where it was empty, doubled, or not below its parent's
    session                           empty: comets tell anew who is connected

Downgrading gives the original's tables back. What does not come back: tokens of applications and users,
passwords that have been hashed anew, sessions, mutes, credentials of providers, files that we keep,
periods of quotas and counters, characters beyond U+FFFF (MariaDB). It is all said, with numbers.
"""

import sqlalchemy as sa
from alembic import op

from migrations.cleaning import Unique, add_up, give_ids, merge
from migrations.fitting import MARIADB, Say, columns_of, drop, fit_values, say_losses
from migrations.original import METADATA as ORIGINAL
from migrations.ours import METADATA as OURS
from migrations.repairs import digest_tokens, forget_sessions, give_roles, place_departments
from migrations.reshaping import reshape

revision = "0002_our_tables"
down_revision = "0001_appmsgsrv"
branch_labels = None
depends_on = None

UNIQUE = {
    unique.table: unique
    for unique in (
        Unique("org_user", ["org_id", "user_id"], ["sort"], "department and user"),
        Unique("qun_user", ["qun_id", "user_id"], ["role", "created"], "group and user"),
        Unique("client", ["user_id", "type", "device_id"], ["-latest_login_time"], "device"),
        Unique("client_version", ["type", "ver_code"], ["-updated"], "version"),
        Unique("user_user", ["from_user_id", "to_user_id"], ["-updated"], "contact"),
        Unique("shield_msg", ["source_id", "target_id", "type"], ["created"], "mute"),
        Unique("apns_token", ["apns_token"], ["-updated", "-created"], "device token"),
        Unique("quota", ["customer_id", "tenant_id", "api_name", "type"], ["-updated"], "limit"),
        Unique("file_link", ["sender_id", "file_id"], ["-updated"], "sender and file"),
    )
}
COUNTERS = {
    "api_call": ["tenant_id", "caller_id", "type", "api_name", "sharding"],
    "push_cnt": ["tenant_id", "caller_id", "type", "push_type", "sharding"],
}


def upgrade() -> None:
    """Table by table: values that fit, one row of each, the new shape, and then what rows mean."""
    connection, say = op.get_bind(), _say()
    for table in OURS.sorted_tables:
        if columns_of(connection, table.name):
            fit_values(connection, table, say)
            _clean(connection, table.name, say)
        reshape(connection, table)
    digest_tokens(connection, say)
    give_roles(connection, say)
    place_departments(connection, say)
    forget_sessions(connection, say)
    no_limit = OURS.tables["qun"].update().where(sa.column("max_member") <= 0)
    connection.execute(no_limit.values(max_member=100))  # what the original gives every group


def downgrade() -> None:
    """The original's tables, as they were but for what the head of this file says."""
    connection, say = op.get_bind(), _say()
    if connection.dialect.name in MARIADB:  # "?" for characters that its utf8 does not have
        connection.exec_driver_sql("SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION'")
    _forget_what_has_no_place(connection, say)
    for table in OURS.sorted_tables:
        original = ORIGINAL.tables.get(table.name)
        if original is None:
            drop(connection, table, say)
            continue
        gone = set(table.columns.keys()) - set(original.columns.keys())
        say_losses(connection, table, gone, say)
        fit_values(connection, original, say)
        reshape(connection, original, gone=gone)


def _clean(connection: sa.Connection, name: str, say: Say) -> None:
    if name == "apns_token":
        tokens = OURS.tables[name]
        empty = connection.execute(tokens.delete().where(tokens.c.apns_token == "")).rowcount
        if empty:
            say(f"{name}: {empty} rows without a token removed")
    if name == "api_call":
        give_ids(connection, name, say)
    if name in UNIQUE:
        merge(connection, UNIQUE[name], say)
    if name in COUNTERS:
        add_up(connection, name, COUNTERS[name], say)


def _forget_what_has_no_place(connection: sa.Connection, say: Say) -> None:
    users = OURS.tables["user"]
    hashed = users.update().where(sa.func.length(users.c.password) > 32).values(password="")
    if lost := connection.execute(hashed).rowcount:
        say(f"user.password: {lost} hashes are lost: the original's column holds 32 characters")
    forget_sessions(connection, say)
    for name in ("quota", *COUNTERS):
        table = OURS.tables[name]
        if "period" not in columns_of(connection, name):
            continue  # interrupted, and behind this already
        lost = connection.execute(table.delete().where(table.c.period != "total")).rowcount
        if lost:
            say(f"{name}: {lost} rows of days and months are lost")
    for name in COUNTERS:
        table = OURS.tables[name]
        most = 2**31 - 1
        connection.execute(table.update().where(table.c.count > most).values(count=most))


def _say() -> Say:
    say: Say = op.get_context().config.attributes["say"]  # type: ignore[union-attr]  # running.py gives one
    return say
