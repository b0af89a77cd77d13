"""What all tables of the application layer are made of.

Tables and columns have appmsgsrv's names, so that an existing database can be adopted. Ids and names are
compared byte by byte on every server (MariaDB's usual collations take "A" for "a" and "a " for "a"; PostgreSQL's
sort by language, and find no prefix by an index). Times are UTC: a column holds them without a zone, as the
original does, and code sees them with it.

There are no foreign keys: databases to be adopted hold rows that point nowhere. Relations are for reading,
and load only when a query asks for them (`lazy="raise"`).

Source: appmsgsrv sql/install.sql; spec/appmsgsrv.md section 12.
"""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, mapped_column

from appmodel.core.people import DISABLED as DISABLED  # of columns `status`

NAMES = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Utc(sa.types.TypeDecorator[datetime]):
    """A time in UTC: aware in Python, without a zone and with microseconds in the database."""

    impl = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To the database. A time without a zone is a bug of ours."""
        if value is None:
            return None
        assert value.tzinfo is not None, f"a time without a zone: {value}"
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


def exact(length: int) -> sa.types.TypeEngine[str]:
    """A text of at most `length` characters that is compared and sorted byte by byte."""
    exactly = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    text = sa.String(length).with_variant(exactly, "mysql", "mariadb")
    return text.with_variant(sa.String(length, collation="C"), "postgresql")


def now() -> datetime:
    """This moment, as `created` and `updated` have it."""
    return datetime.now(UTC)


def new_id() -> str:
    """The id of a new row: a random UUID, as the original makes them."""
    return str(uuid4())


Id = Annotated[str, mapped_column(exact(64), primary_key=True, default=new_id)]
Ref = Annotated[str, mapped_column(exact(64), default="", server_default="")]  # another row's id
Number = Annotated[int, mapped_column(sa.Integer, default=0, server_default="0")]
Created = Annotated[datetime | None, mapped_column(Utc, default=now)]
Updated = Annotated[datetime | None, mapped_column(Utc, default=now, onupdate=now)]


MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4"}
"""Said in full: SQLAlchemy passes over "mysql_..." there, and a server's default may be latin1."""


class Base(DeclarativeBase):
    """Root of the models."""

    metadata = sa.MetaData(naming_convention=NAMES)
    __table_args__: Any = MARIADB


def options(*constraints: sa.schema.SchemaItem) -> tuple[Any, ...]:
    """The `__table_args__` of a model with constraints or indexes."""
    return (*constraints, MARIADB)
