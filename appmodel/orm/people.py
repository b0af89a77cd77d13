"""Users, their devices and their tokens.

user            who can log in; `password` holds an argon2 hash, or what an adopted database had until
                the next login
user_token      who has logged in: the digest of each token, never the token       (ours)
client          the device of the last login, per user and type
client_version  the newest programs that users can get
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from appmodel.orm.base import Base, Created, Id, Number, Ref, Updated, Utc, exact, now, options
from appmodel.orm.organisations import Tenant


class User(Base):
    """Somebody. `id` is the uid of names and tokens, and has no "_" and no "@"."""

    __tablename__ = "user"
    __table_args__ = options(
        sa.Index(None, "name"), sa.Index(None, "email"), sa.Index(None, "tenant_id", "nickname")
    )

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(exact(45), default="", server_default="")  # for the login
    nickname: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    avatar: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    name_py: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    name_quanpin: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    status: Mapped[Number]  # see Status
    rand: Mapped[Number]  # the original's; unused
    password: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    tenant_id: Mapped[Ref]
    level: Mapped[Number]
    email: Mapped[str] = mapped_column(exact(64), default="", server_default="")
    mobile: Mapped[str] = mapped_column(sa.String(32), default="", server_default="")
    area: Mapped[str] = mapped_column(sa.String(128), default="", server_default="")
    created: Mapped[datetime] = mapped_column(Utc, default=now)
    updated: Mapped[datetime] = mapped_column(Utc, default=now, onupdate=now)
    role: Mapped[str] = mapped_column(sa.String(16), default="member", server_default="member")

    tenant: Mapped[Tenant | None] = relationship(
        primaryjoin="foreign(User.tenant_id) == Tenant.id", viewonly=True, lazy="raise"
    )


class UserToken(Base):
    """A login. Sliding: `expires` moves on with use."""

    __tablename__ = "user_token"
    __table_args__ = options(sa.Index(None, "user_id"), sa.Index(None, "expires"))

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)  # SHA-256, hexadecimal
    user_id: Mapped[Ref]
    device_id: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    device_type: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    issued: Mapped[datetime] = mapped_column(Utc, default=now)
    expires: Mapped[datetime] = mapped_column(Utc)


class Client(Base):
    """The device from which a user came last."""

    __tablename__ = "client"
    __table_args__ = options(sa.UniqueConstraint("user_id", "type", "device_id"))

    id: Mapped[Id]
    user_id: Mapped[Ref]
    type: Mapped[str] = mapped_column(exact(45), default="", server_default="")
    device_id: Mapped[str] = mapped_column(exact(255), default="", server_default="")
    latest_login_time: Mapped[Created]
    created: Mapped[Created]
    updated: Mapped[Updated]


class ClientVersion(Base):
    """A program that users can get."""

    __tablename__ = "client_version"
    __table_args__ = options(sa.UniqueConstraint("type", "ver_code"))

    id: Mapped[Id]
    type: Mapped[str] = mapped_column(exact(45), default="", server_default="")
    ver_code: Mapped[Number]
    ver_name: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    ver_description: Mapped[str] = mapped_column(sa.Text, default="")
    download_url: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    file_name: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    created: Mapped[Created]
    updated: Mapped[Updated]
