"""What the frozen shapes of tables are made of.

A revision never looks at appmodel/orm: that moves on, and what was done to a database does not.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

Column = sa.Column[Any]

NAMES = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
EPOCH = "1970-01-01 00:00:00"  # a time that must be there and is not known

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")  # UTC


def new_metadata() -> sa.MetaData:
    """For the tables of one revision."""
    return sa.MetaData(naming_convention=NAMES)


def exact(length: int) -> sa.types.TypeEngine[str]:
    """A text that is compared and sorted byte by byte."""
    exactly = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    text = sa.String(length).with_variant(exactly, "mysql", "mariadb")
    return text.with_variant(sa.String(length, collation="C"), "postgresql")


def filling(column: Column) -> str | int | None:
    """What a row without a value for `column` gets; None if it may do without."""
    if column.nullable:
        return None
    if isinstance(column.type, sa.DateTime):
        return EPOCH
    default = column.server_default
    given = default.arg if isinstance(default, sa.DefaultClause) else ""
    assert isinstance(given, str), f"{column}: what is its default?"
    return int(given or 0) if isinstance(column.type, sa.Integer) else given
