"""Phones and browsers that can be notified while they are away.

apns_token    iOS devices, as the original keeps them
push_device   those of the other providers                        (ours)
apns_msg      the original's dead store of notifications
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.orm.base import Base, Created, Id, Number, Ref, Updated, Utc, exact, options


class ApnsToken(Base):
    """A device token of Apple. One belongs to one user at a time."""

    __tablename__ = "apns_token"
    __table_args__ = options(sa.UniqueConstraint("apns_token"), sa.Index(None, "user_id"))

    id: Mapped[Id]
    user_id: Mapped[Ref]
    device_id: Mapped[str] = mapped_column(exact(255), default="", server_default="")
    apns_token: Mapped[str] = mapped_column(exact(255), default="", server_default="")
    created: Mapped[Created]
    updated: Mapped[Updated]


class PushDevice(Base):
    """A device of another provider. `address`: the FCM token, or the Web Push subscription as JSON."""

    __tablename__ = "push_device"
    __table_args__ = options(sa.UniqueConstraint("address_digest"), sa.Index(None, "user_id"))

    id: Mapped[Id]
    user_id: Mapped[Ref]
    provider: Mapped[str] = mapped_column(sa.String(16))  # fcm, webpush
    device_id: Mapped[str] = mapped_column(exact(255), default="", server_default="")
    address: Mapped[str] = mapped_column(sa.Text)
    address_digest: Mapped[str] = mapped_column(sa.String(64))  # SHA-256: a Text has no unique key
    created: Mapped[Created]
    updated: Mapped[Updated]


class ApnsMsg(Base):
    """Nothing writes it, in the original neither."""

    __tablename__ = "apns_msg"

    id: Mapped[Id]
    type: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    apns_token: Mapped[str] = mapped_column(exact(255), default="", server_default="")
    cnt: Mapped[Number]
    tenant_id: Mapped[Ref]
    pushed: Mapped[datetime | None] = mapped_column(Utc)
    created: Mapped[Created]
    updated: Mapped[Updated]
