"""The tables with all that we need, frozen: the shape of revision 0002.

Ids and names are exact; what must be unique is; every look-up has its index. What each table is for says
appmodel/orm, which describes the same tables.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from migrations.shapes import MOMENT, Column, exact, new_metadata

METADATA = new_metadata()

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BLOB = sa.LargeBinary().with_variant(mysql.BLOB(), "mysql", "mariadb")


def _id() -> Column:
    return sa.Column("id", exact(64), primary_key=True)


def _exact(name: str, length: int, default: str | None = "") -> Column:
    return sa.Column(name, exact(length), nullable=False, server_default=default)


def _refs(*names: str) -> list[Column]:
    return [_exact(name, 64) for name in names]


def _text(name: str, length: int, default: str | None = "") -> Column:
    return sa.Column(name, sa.String(length), nullable=False, server_default=default)


def _long(*names: str) -> list[Column]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _numbers(*names: str, default: str = "0") -> list[Column]:
    return [sa.Column(n, sa.Integer, nullable=False, server_default=default) for n in names]


def _times(*names: str, nullable: bool = True) -> list[Column]:
    return [sa.Column(n, MOMENT, nullable=nullable) for n in names or ("created", "updated")]


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(name, METADATA, *columns, mariadb_engine="InnoDB", mariadb_charset="utf8mb4")


def _unique(*names: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*names)


def _index(*names: str) -> sa.Index:
    return sa.Index(None, *names)


# Organisations

CUSTOMER = _table("customer", _id(), _text("name", 255), *_numbers("status"), *_times())
TENANT = _table(
    "tenant",
    _id(),
    _exact("code", 64),
    _text("name", 128),
    *_numbers("status"),
    *_refs("customer_id"),
    *_times(),
    _index("code"),
    _index("customer_id"),
)
ORG = _table(
    "org",
    _id(),
    _text("name", 120),
    _text("short_name", 60),
    *_refs("parent_id"),
    _exact("location", 256),
    *_refs("tenant_id"),
    *_numbers("sort"),
    _index("tenant_id", "location"),
    _index("parent_id", "location"),
)
ORG_USER = _table(
    "org_user",
    _id(),
    *_refs("org_id", "user_id"),
    *_numbers("sort"),
    _unique("org_id", "user_id"),
    _index("user_id"),
)

# People

USER = _table(
    "user",
    _id(),
    _exact("name", 45),
    _text("nickname", 45),
    _text("avatar", 255),
    _text("name_py", 45),
    _text("name_quanpin", 255),
    *_numbers("status", "rand"),
    _text("password", 255),
    *_refs("tenant_id"),
    *_numbers("level"),
    _exact("email", 64),
    _text("mobile", 32),
    _text("area", 128),
    *_times(nullable=False),
    _text("role", 16, "member"),
    _index("name"),
    _index("email"),
    _index("tenant_id", "nickname"),
)
USER_TOKEN = _table(
    "user_token",
    sa.Column("digest", sa.String(64), primary_key=True),
    *_refs("user_id"),
    _text("device_id", 255),
    _text("device_type", 45),
    *_times("issued", "expires", nullable=False),
    _index("user_id"),
    _index("expires"),
)
CLIENT = _table(
    "client",
    _id(),
    *_refs("user_id"),
    _exact("type", 45),
    _exact("device_id", 255),
    *_times("latest_login_time", "created", "updated"),
    _unique("user_id", "type", "device_id"),
)
CLIENT_VERSION = _table(
    "client_version",
    _id(),
    _exact("type", 45),
    *_numbers("ver_code"),
    _text("ver_name", 45),
    *_long("ver_description"),
    _text("download_url", 255),
    _text("file_name", 45),
    *_times(),
    _unique("type", "ver_code"),
)

# Sessions

SESSION = _table(
    "session",
    sa.Column("id", exact(255), primary_key=True),
    _text("type", 45),
    *_refs("user_id"),
    _exact("state", 45, "init"),
    *_times(),
    _index("user_id", "state"),
)
SESSION_HOLDER = _table(
    "session_holder",
    sa.Column("session_id", exact(255), primary_key=True),
    sa.Column("node", exact(64), primary_key=True),
    sa.Column("incarnation", sa.BigInteger, primary_key=True, autoincrement=False),
    _index("node", "incarnation", "session_id"),
)

# Groups, contacts, mutes

QUN = _table(
    "qun",
    _id(),
    *_refs("creator_id"),
    _text("name", 45),
    _text("description", 255),
    *_numbers("max_member", default="100"),
    _text("avatar", 255),
    *_refs("tenant_id"),
    *_times(),
    _index("tenant_id", "name"),
)
QUN_USER = _table(
    "qun_user",
    _id(),
    *_refs("qun_id", "user_id"),
    *_numbers("sort"),
    *_numbers("role", default="2"),
    *_times(),
    _unique("qun_id", "user_id"),
    _index("user_id"),
)
USER_USER = _table(
    "user_user",
    _id(),
    *_refs("from_user_id", "to_user_id"),
    _text("remark_name", 45),
    *_numbers("sort"),
    *_times(),
    _unique("from_user_id", "to_user_id"),
)
SHIELD_MSG = _table(
    "shield_msg",
    _id(),
    *_refs("source_id", "target_id"),
    *_numbers("type"),
    _text("memo", 255),
    *_times(),
    _unique("source_id", "target_id", "type"),
    _index("target_id", "type"),
)

# Applications

APPLICATION = _table(
    "application",
    _id(),
    _text("name", 45),
    sa.Column("token", exact(45)),
    _text("type", 45),
    *_numbers("status", "sort", "level"),
    _text("avatar", 255),
    *_refs("tenant_id"),
    *_times(),
    _text("name_py", 45),
    _text("name_quanpin", 45),
    *_long("description", "follow"),
    sa.Column("token_digest", sa.String(64)),
    _text("permissions", 255),
    _unique("token_digest"),
    _index("tenant_id"),
)
OPERATION = _table(
    "operation",
    _id(),
    *_refs("app_id"),
    _text("content", 45),
    _text("action", 255),
    _text("operation_type", 1, "1"),
    *_numbers("sort"),
    sa.Column("parent_id", exact(64)),
    _index("app_id", "sort"),
)
RESOURCE = _table(
    "resource",
    _id(),
    *_refs("customer_id"),
    _text("name", 45),
    _text("description", 512),
    _exact("type", 45),
    _text("content", 255),
    *_times(),
    _index("customer_id", "type"),
)
PUSH_CREDENTIAL = _table(
    "push_credential",
    _id(),
    *_refs("tenant_id"),
    _text("provider", 16, None),
    _text("kind", 16, None),
    _exact("topic", 128),
    _text("environment", 16, None),
    *_long("content"),
    *_times(),
    _unique("tenant_id", "provider", "topic", "environment"),
)
EXTERNAL_INTERFACE = _table(
    "external_interface",
    _id(),
    *_refs("customer_id"),
    _text("type", 45),
    *_numbers("owner"),
    _text("http_url", 255),
    *_times(),
)

# Devices that can be notified

APNS_TOKEN = _table(
    "apns_token",
    _id(),
    *_refs("user_id"),
    _exact("device_id", 255),
    _exact("apns_token", 255),
    *_times(),
    _unique("apns_token"),
    _index("user_id"),
)
PUSH_DEVICE = _table(
    "push_device",
    _id(),
    *_refs("user_id"),
    _text("provider", 16, None),
    _exact("device_id", 255),
    *_long("address"),
    _text("address_digest", 64, None),
    *_times(),
    _unique("address_digest"),
    _index("user_id"),
)
APNS_MSG = _table(
    "apns_msg",
    _id(),
    _text("type", 45),
    _exact("apns_token", 255),
    *_numbers("cnt"),
    *_refs("tenant_id"),
    *_times("pushed", "created", "updated"),
)

# Quotas and counters


def _count(name: str) -> Column:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _counted(*columns: Column) -> list[Column]:
    period = _exact("period", 10, "total")
    return [*columns, _count("count"), *_numbers("sharding"), period, *_times()]


QUOTA = _table(
    "quota",
    _id(),
    *_refs("customer_id", "tenant_id"),
    _exact("api_name", 255),
    _exact("type", 45),
    _text("value", 45),
    _exact("period", 8, "total"),
    _count("used"),
    _exact("used_in", 10),
    *_times(),
    _unique("customer_id", "tenant_id", "api_name", "type", "period"),
)
API_CALL = _table(
    "api_call",
    _id(),
    *_counted(*_refs("customer_id", "tenant_id", "caller_id", "type"), _exact("api_name", 255)),
    _unique("tenant_id", "caller_id", "type", "api_name", "period", "sharding"),
    _index("period", "customer_id"),
)
PUSH_CNT = _table(
    "push_cnt",
    _id(),
    *_counted(*_refs("customer_id", "tenant_id", "caller_id", "type", "push_type")),
    _unique("tenant_id", "caller_id", "type", "push_type", "period", "sharding"),
    _index("period", "customer_id"),
)

# Files

FILE_LINK = _table(
    "file_link",
    _id(),
    *_refs("sender_id", "file_id"),
    _text("file_name", 255),
    _text("file_url", 255),
    *_numbers("size"),
    *_times(),
    _unique("sender_id", "file_id"),
    _index("updated"),
    _index("file_id"),
)
STORED_FILE = _table(
    "stored_file",
    _id(),
    *_refs("tenant_id"),
    _exact("owner_id", 70),
    _text("name", 255),
    _text("media_type", 128),
    *_numbers("size"),
    _text("digest", 64),
    *_times("created", "expires"),
    _index("expires"),
    _index("tenant_id"),
)

# What has changed, and who does what alone; messages that nobody writes

CHANGE = _table(
    "change",
    sa.Column("position", SERIAL, primary_key=True, autoincrement=True),
    _exact("subject", 128, None),
    *_times("created"),
    _index("created"),
)
LEASE = _table(
    "lease",
    sa.Column("name", exact(128), primary_key=True),
    *_refs("holder"),
    *_times("expires", nullable=False),
)


def _message(*columns: sa.schema.SchemaItem) -> list[sa.schema.SchemaItem]:
    """A message, with the columns that its kind has besides."""
    numbers = [sa.Column(name, sa.BigInteger, nullable=False) for name in ("mid", "ttl")]
    body: sa.Column[Any] = sa.Column("msg", BLOB, nullable=False)
    serial = sa.Column("id", SERIAL, primary_key=True, autoincrement=True)
    return [serial, *columns, *numbers, body, *_times("ctime", "mtime", nullable=False)]


GROUP_MSG = _table(
    "group_msg",
    *_message(sa.Column("gid", sa.BigInteger, nullable=False)),
    _unique("gid", "mid"),
    _index("ttl"),
)
PUBLIC_MSG = _table("public_msg", *_message(), _index("ttl"))
PUBLIC_MSG_LOG = _table(
    "public_msg_log",
    sa.Column("mid", sa.BigInteger, primary_key=True, autoincrement=False),
    *_times("stime", "ftime", nullable=False),
)
