"""The original's tables of public and group messages. Nothing writes them, in the original neither.

`private_msg`, the one that is used, is the message store's own: message/stores/sql_tables.py.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.orm.base import Base, Utc, now, options

Body = sa.LargeBinary().with_variant(mysql.BLOB(), "mysql", "mariadb")
Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")


class GroupMsg(Base):
    """A message to a numbered group."""

    __tablename__ = "group_msg"
    __table_args__ = options(sa.UniqueConstraint("gid", "mid"), sa.Index(None, "ttl"))

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    gid: Mapped[int] = mapped_column(sa.BigInteger)
    mid: Mapped[int] = mapped_column(sa.BigInteger)
    ttl: Mapped[int] = mapped_column(sa.BigInteger)
    msg: Mapped[bytes] = mapped_column(Body)
    ctime: Mapped[datetime] = mapped_column(Utc, default=now)
    mtime: Mapped[datetime] = mapped_column(Utc, default=now)


class PublicMsg(Base):
    """A message to everybody."""

    __tablename__ = "public_msg"
    __table_args__ = options(sa.Index(None, "ttl"))

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    mid: Mapped[int] = mapped_column(sa.BigInteger)
    ttl: Mapped[int] = mapped_column(sa.BigInteger)
    msg: Mapped[bytes] = mapped_column(Body)
    ctime: Mapped[datetime] = mapped_column(Utc, default=now)
    mtime: Mapped[datetime] = mapped_column(Utc, default=now)


class PublicMsgLog(Base):
    """When a message to everybody went out."""

    __tablename__ = "public_msg_log"

    mid: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    stime: Mapped[datetime] = mapped_column(Utc, default=now)
    ftime: Mapped[datetime] = mapped_column(Utc, default=now)
