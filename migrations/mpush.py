"""The tables of Mpush, frozen: the shape of revision 0004. What each is for says appmodel/orm/mpush.py."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from migrations.shapes import Column, exact, new_metadata

METADATA = new_metadata()

LONG = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def _key(*columns: tuple[str, int]) -> list[Column]:
    """Columns of the primary key: names and lengths of texts, 0 = a number."""
    return [
        sa.Column(name, exact(length), primary_key=True)
        if length
        else sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)
        for name, length in columns
    ]


def _empty(name: str, length: int) -> Column:
    return sa.Column(name, exact(length), nullable=False, server_default="")


def _big(*names: str) -> list[Column]:
    return [sa.Column(n, sa.BigInteger, nullable=False, server_default="0") for n in names]


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(name, METADATA, *columns, mariadb_engine="InnoDB", mariadb_charset="utf8mb4")


def _index(*names: str) -> sa.Index:
    return sa.Index(None, *names)


NAME = ("name", 200)

MPUSH_DEVICE = _table(
    "mpush_device",
    *_key(NAME),
    _empty("group_name", 200),
    *_big("created_at", "logged_in_at", "floor"),
    _index("group_name", "name"),
)
MPUSH_DONE = _table("mpush_done", *_key(NAME, ("id", 0)))
MPUSH_RECEIVER = _table(
    "mpush_receiver",
    *_key(NAME, ("kind", 8), ("digest", 32)),
    sa.Column("address", LONG, nullable=False),
    sa.Column("secrets", LONG, nullable=False),
    *_big("created_at", "cursor", "wanted"),
    sa.Column("due_at", sa.BigInteger),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    _empty("lease", 32),
    _index("due_at"),
)
MPUSH_DELAYED = _table(
    "mpush_delayed",
    *_key(("id", 32), ("is_group", 0), ("target", 200)),
    *_big("due_at", "next_at", "ttl", "created_at"),
    _empty("lease", 32),
    sa.Column("body", BLOB, nullable=False),
    _index("next_at"),
    _index("target", "is_group", "due_at"),
)
