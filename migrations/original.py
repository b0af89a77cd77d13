"""The tables as appmsgsrv's install.sql makes them, frozen: the shape of revision 0001.

There is no secondary index, and text is compared as MariaDB's utf8_general_ci does it. Tables of messages
come with the keys that they have. `private_msg` is not here: it is the message store's.

Source: appmsgsrv sql/install.sql (dump of 2014-12-11); spec/appmsgsrv.md section 12.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from migrations.shapes import new_metadata

METADATA = new_metadata()

UNSIGNED = sa.BigInteger().with_variant(mysql.BIGINT(unsigned=True), "mysql", "mariadb")
UNSIGNED_INT = sa.BigInteger().with_variant(mysql.INTEGER(unsigned=True), "mysql", "mariadb")
SERIAL = UNSIGNED.with_variant(sa.Integer(), "sqlite")
BLOB = sa.LargeBinary().with_variant(mysql.BLOB(), "mysql", "mariadb")
MOMENT = sa.TIMESTAMP()

Column = sa.Column[Any]


def _id() -> Column:
    return sa.Column("id", sa.String(64), primary_key=True)


def _texts(length: int, *names: str) -> list[Column]:
    return [sa.Column(name, sa.String(length)) for name in names]


def _numbers(*names: str) -> list[Column]:
    return [sa.Column(name, sa.Integer) for name in names]


def _times(*names: str) -> list[Column]:
    return [sa.Column(name, sa.DateTime) for name in names or ("created", "updated")]


def _given(*columns: Column) -> list[Column]:
    """The same, NOT NULL and with an empty default."""
    for column in columns:
        column.nullable = False
        if not isinstance(column.type, sa.DateTime):
            empty = "0" if isinstance(column.type, sa.Integer) else ""
            column.server_default = sa.DefaultClause(empty)
    return list(columns)


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(name, METADATA, *columns, mariadb_engine="InnoDB", mariadb_charset="utf8mb3")


API_CALL = _table(
    "api_call",
    *_given(*_texts(64, "id")),  # without a primary key
    *_texts(64, "customer_id", "tenant_id", "caller_id", "type"),
    *_texts(255, "api_name"),
    *_numbers("count", "sharding"),
    *_times(),
)
APNS_TOKEN = _table(
    "apns_token", _id(), *_texts(64, "user_id", "device_id", "apns_token"), *_times()
)
APPLICATION = _table(
    "application",
    _id(),
    *_texts(45, "name", "token", "type"),
    *_numbers("status", "sort", "level"),
    *_texts(255, "avatar"),
    *_texts(64, "tenant_id"),
    *_times(),
    *_texts(45, "name_py", "name_quanpin"),
)
CLIENT = _table(
    "client",
    _id(),
    *_texts(64, "user_id"),
    *_texts(45, "type"),
    *_texts(255, "device_id"),
    *_times("latest_login_time", "created", "updated"),
)
CLIENT_VERSION = _table(
    "client_version",
    _id(),
    *_texts(45, "type"),
    *_numbers("ver_code"),
    *_texts(45, "ver_name"),
    sa.Column("ver_description", sa.Text),
    *_texts(255, "download_url"),
    *_texts(45, "file_name"),
    *_times(),
)
CUSTOMER = _table("customer", _id(), *_texts(255, "name"), *_numbers("status"), *_times())
FILE_LINK = _table(
    "file_link",
    _id(),
    *_texts(64, "sender_id", "file_id"),
    *_texts(255, "file_name", "file_url"),
    *_numbers("size"),
    *_times(),
)
OPERATION = _table(
    "operation",
    _id(),
    *_texts(64, "app_id"),
    *_texts(45, "content"),
    *_texts(255, "action"),
    sa.Column("operation_type", sa.CHAR(1)),
    *_numbers("sort"),
    *_texts(64, "parent_id"),
)
ORG = _table(
    "org",
    _id(),
    *_given(*_texts(120, "name"), *_texts(60, "short_name"), *_texts(64, "parent_id")),
    *_given(*_texts(256, "location"), *_texts(64, "tenant_id"), *_numbers("sort")),
)
ORG_USER = _table("org_user", _id(), *_given(*_texts(64, "org_id", "user_id"), *_numbers("sort")))
PUSH_CNT = _table(
    "push_cnt",
    _id(),
    *_texts(64, "customer_id", "tenant_id", "caller_id", "type", "push_type"),
    *_numbers("count", "sharding"),
    *_times(),
)
QUN = _table(
    "qun",
    _id(),
    *_given(*_texts(64, "creator_id"), *_texts(45, "name"), *_texts(255, "description")),
    *_given(*_numbers("max_member"), *_texts(255, "avatar")),
    *_texts(64, "tenant_id"),
    *_times(),
)
QUN_USER = _table(
    "qun_user",
    _id(),
    *_given(*_texts(64, "qun_id", "user_id"), *_numbers("sort", "role")),
    *_times(),
)
QUOTA = _table(
    "quota",
    _id(),
    *_texts(64, "customer_id", "tenant_id"),
    *_texts(255, "api_name"),
    *_texts(45, "type", "value"),
    *_times(),
)
RESOURCE = _table(
    "resource",
    _id(),
    *_texts(64, "customer_id"),
    *_texts(45, "name"),
    *_texts(512, "description"),
    *_texts(45, "type"),
    *_texts(255, "content"),
    *_times(),
)
SESSION = _table(
    "session", _id(), *_texts(45, "type"), *_texts(64, "user_id"), *_texts(45, "state"), *_times()
)
TENANT = _table(
    "tenant",
    _id(),
    *_given(*_texts(64, "code"), *_texts(128, "name"), *_numbers("status")),
    *_texts(64, "customer_id"),
    *_times(),
)
USER = _table(
    "user",
    _id(),
    *_given(*_texts(45, "name", "nickname", "avatar", "name_py"), *_texts(255, "name_quanpin")),
    *_given(*_numbers("status", "rand"), *_texts(32, "password"), *_texts(64, "tenant_id")),
    *_given(*_numbers("level"), *_texts(64, "email"), *_texts(11, "mobile")),
    *_given(*_texts(128, "area"), *_times()),
)
USER_USER = _table(
    "user_user",
    _id(),
    *_texts(64, "from_user_id", "to_user_id"),
    *_texts(45, "remark_name"),
    *_numbers("sort"),
    *_times(),
)


def _message(*columns: sa.schema.SchemaItem) -> list[sa.schema.SchemaItem]:
    """A message, with the columns that its kind has besides."""
    return [
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        *columns,
        sa.Column("mid", UNSIGNED, nullable=False),
        sa.Column("ttl", sa.BigInteger, nullable=False),
        sa.Column("msg", BLOB, nullable=False),
        *(_moment(name) for name in ("ctime", "mtime")),
        sa.Index(None, "ttl"),
    ]


def _moment(name: str) -> Column:
    return sa.Column(name, MOMENT, nullable=False, server_default=sa.func.current_timestamp())


GROUP_MSG = _table(
    "group_msg",
    *_message(sa.Column("gid", UNSIGNED_INT, nullable=False)),
    sa.UniqueConstraint("gid", "mid"),
)
PUBLIC_MSG = _table("public_msg", *_message())
PUBLIC_MSG_LOG = _table(
    "public_msg_log",
    sa.Column("mid", UNSIGNED, nullable=False, autoincrement=False),
    *(_moment(name) for name in ("stime", "ftime")),
    sa.UniqueConstraint("mid"),
)
MESSAGES = frozenset({"group_msg", "public_msg", "public_msg_log"})
"""Tables that may be in another database, or nowhere: gopush-cluster.sql makes them in its own."""
