"""The tables of Mpush, beside the message store, which keeps the messages. Times are Unix milliseconds.

    mpush_device     who may be pushed to, in which group, and up to which id everything is acknowledged
    mpush_done       ids above that floor that are acknowledged too
    mpush_receiver   who gets a copy beside the socket, and how far it has come
    mpush_delayed    pushes whose time has not come
    mpush_key        keys that are made once: with which we are known to push services

What may change is told to caches by notes (changes.py). Source: spec/mpush.md sections 5, 11.8, 11.9 and 13.
"""

from typing import Annotated

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.core.mpush import MAX_NAME
from appmodel.orm.base import Base, Number, exact, options

LONG = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")

NameKey = Annotated[str, mapped_column(exact(MAX_NAME), primary_key=True)]
NumberKey = Annotated[int, mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)]
Big = Annotated[int, mapped_column(sa.BigInteger, default=0, server_default="0")]
Lease = Annotated[str, mapped_column(exact(32), default="", server_default="")]  # "" = nobody's


class MpushDevice(Base):
    """Who may be pushed to. `logged_in_at`: 0 = never."""

    __tablename__ = "mpush_device"
    __table_args__ = options(sa.Index(None, "group_name", "name"))

    name: Mapped[NameKey]
    group_name: Mapped[str] = mapped_column(exact(MAX_NAME), default="", server_default="")
    created_at: Mapped[Big]
    logged_in_at: Mapped[Big]
    floor: Mapped[Big]  # all ids up to it are acknowledged


class MpushDone(Base):
    """An acknowledged id above its device's floor."""

    __tablename__ = "mpush_done"

    name: Mapped[NameKey]
    id: Mapped[NumberKey]


class MpushReceiver(Base):
    """Who gets a copy. `digest`: of its address, which is too long for a key."""

    __tablename__ = "mpush_receiver"
    __table_args__ = options(sa.Index(None, "due_at"))

    name: Mapped[NameKey]
    kind: Mapped[str] = mapped_column(exact(8), primary_key=True)
    digest: Mapped[str] = mapped_column(exact(32), primary_key=True)
    address: Mapped[str] = mapped_column(LONG)
    secrets: Mapped[str] = mapped_column(LONG)  # sealed
    created_at: Mapped[Big]
    cursor: Mapped[Big]
    wanted: Mapped[Big]
    due_at: Mapped[int | None] = mapped_column(sa.BigInteger)  # None = it has all
    failures: Mapped[Number]
    lease: Mapped[Lease]


class MpushDelayed(Base):
    """A push whose time has not come. `next_at`: when it is to be claimed, from `due_at` on."""

    __tablename__ = "mpush_delayed"
    __table_args__ = options(
        sa.Index(None, "next_at"), sa.Index(None, "target", "is_group", "due_at")
    )

    id: Mapped[str] = mapped_column(exact(32), primary_key=True)
    is_group: Mapped[NumberKey]  # 1 = `target` is a group
    target: Mapped[NameKey]
    due_at: Mapped[Big]
    next_at: Mapped[Big]
    ttl: Mapped[Big]  # seconds
    created_at: Mapped[Big]
    lease: Mapped[Lease]
    body: Mapped[bytes] = mapped_column(BLOB)


class MpushKey(Base):
    """A key pair of the whole installation."""

    __tablename__ = "mpush_key"

    name: Mapped[str] = mapped_column(exact(32), primary_key=True)
    secret: Mapped[str] = mapped_column(LONG)  # its private part, sealed
