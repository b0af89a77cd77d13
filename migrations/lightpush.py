"""The tables of light-push, frozen: the shape of revision 0003. What each is for says appmodel/orm/lightpush.py."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from migrations.shapes import Column, exact, new_metadata

METADATA = new_metadata()

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def _key(*columns: tuple[str, int]) -> list[Column]:
    """Columns of the primary key: names and lengths of texts, 0 = a number."""
    return [
        sa.Column(name, exact(length), primary_key=True)
        if length
        else sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)
        for name, length in columns
    ]


def _exact(name: str, length: int, *, nullable: bool = False) -> Column:
    return sa.Column(name, exact(length), nullable=nullable)


def _empty(name: str, length: int) -> Column:
    return sa.Column(name, exact(length), nullable=False, server_default="")


def _texts(*names: str, length: int = 255) -> list[Column]:
    return [sa.Column(name, sa.String(length)) for name in names]


def _long(*names: str, nullable: bool = True) -> list[Column]:
    return [sa.Column(name, LONG, nullable=nullable) for name in names]


def _counts(*names: str) -> list[Column]:
    return [sa.Column(n, sa.Integer, nullable=False, server_default="0") for n in names]


def _big(*names: str, nullable: bool = False) -> list[Column]:
    return [sa.Column(name, sa.BigInteger, nullable=nullable) for name in names]


def _table(name: str, *columns: sa.schema.SchemaItem, serial: bool = False) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        *columns,
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        sqlite_autoincrement=serial,
    )


def _index(*names: str) -> sa.Index:
    return sa.Index(None, *names)


NAMESPACE, CLIENT, ROOM, NODE = ("namespace", 50), ("client", 260), ("room", 105), ("node", 64)
INCARNATION, PUSH_ID = ("incarnation", 0), ("push_id", 0)

NSP = _table(
    "nsp",
    *_key(NAMESPACE),
    *_texts("name"),
    *_texts("connect_callback", "disconnect_callback", length=2048),
    *_long("callback_auth", "auth_passwd"),
    *_texts("password_digest", length=80),
    *_counts("offline"),
    *_big("update_date"),
)
NSP_APNS = _table(
    "nsp_apns",
    *_key(NAMESPACE, ("name", 100)),
    *_counts("position"),
    *_texts("environment", "expiration", "topic", "token_key_id", "token_team_id"),
    *_long("secrets"),
)
NSP_CLIENT = _table(
    "nsp_client",
    *_key(NAMESPACE, CLIENT),
    _exact("userid", 100),
    _exact("platform", 7),
    _exact("uuid", 100),
    *_big("first_connect_time", "last_connect_time"),
    *_big("last_disconnect_time", nullable=True),
    *_texts("disconnect_reason", length=16),
    *_big("update_date", nullable=True),
    _exact("device_token", 255, nullable=True),
    *_texts("mobile", "system"),
    sa.Column("leave_message", sa.Integer),
    sa.Column("longitude", sa.Double),
    sa.Column("latitude", sa.Double),
    *_counts("located"),
    _index("namespace", "last_connect_time"),
    _index("namespace", "located", "latitude"),
)
NSP_MUTE = _table("nsp_mute", *_key(NAMESPACE, CLIENT, ROOM))
NSP_MEMBER = _table(
    "nsp_member",
    *_key(NAMESPACE, ROOM, CLIENT),
    _exact("platform", 7),
    _index("namespace", "client"),
)
NSP_ONLINE = _table(
    "nsp_online",
    *_key(NAMESPACE, CLIENT, NODE, INCARNATION),
    _exact("userid", 100),
    _exact("platform", 7),
    *_big("at"),
    _index("node", "incarnation", "namespace", "client"),
)
NSP_PRESENT = _table(
    "nsp_present",
    *_key(NAMESPACE, ROOM, CLIENT, NODE, INCARNATION),
    _exact("userid", 100),
    _exact("platform", 7),
    _index("node", "incarnation", "namespace", "client"),
)
NSP_PUSH = _table(
    "nsp_push",
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    _exact("namespace", 50),
    _exact("room", 100),
    *_long("push_data", nullable=False),
    sa.Column("expire", sa.Double, nullable=False),
    *_big("send_date", "expires_at"),
    _exact("without", 260, nullable=True),
    *_texts("apns_name", "extra", "sender"),
    *_counts("leave_message", "acks", "ios_acks", "android_acks", "online_clients"),
    sa.Column("apns_count", sa.Integer),
    sa.Column("apns_success_count", sa.Integer),
    *_long("result"),
    _index("namespace", "id"),
    _index("expires_at"),
    serial=True,
)
NSP_ACK = _table("nsp_ack", *_key(NAMESPACE, PUSH_ID, CLIENT), _exact("platform", 7))
NSP_INBOX = _table(
    "nsp_inbox", *_key(NAMESPACE, CLIENT, PUSH_ID), *_big("expires_at"), _index("expires_at")
)
NSP_STAT = _table(
    "nsp_stat",
    *_key(NAMESPACE, ("unit", 6), ("bucket", 0)),
    *_big("count"),
    _index("unit", "bucket"),
)
NSP_JOB = _table(
    "nsp_job",
    *_key(NAMESPACE, PUSH_ID),
    *_big("due_at"),
    *_counts("attempts"),
    _empty("lease", 32),
    *_long("cursor", nullable=False),
    _index("due_at"),
)
NSP_TALLY = _table("nsp_tally", *_key(NODE, INCARNATION), *_big("number", "at"))
