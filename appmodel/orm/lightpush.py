"""The tables of light-push. Each row names its namespace, and each key begins with it, so no query of one
tenant can meet a row of another. Times are Unix milliseconds, as light-push's answers have them.

    nsp           tenants; secrets are sealed (core/sealing.py)
    nsp_apns      their ways to Apple
    nsp_client    who was ever seen                         nsp_mute      rooms that a client mutes at Apple
    nsp_member    who was ever in a room                    the total layer
    nsp_online    who is connected, and to which process    the present layer, with
    nsp_present   who is in a room now, at which process    two rows where two processes say so
    nsp_push      pushes until they expire; `id` grows over all namespaces and is never used again
    nsp_ack       who has acknowledged                      nsp_inbox     what waits for an Android client
    nsp_stat      pushes by minute, hour and day            nsp_job       whose absent recipients are looked after
    nsp_tally     the last tally of each process, so that none is counted twice

Source: spec/liutian-push.md sections 7 and 14.5. Differences: one row per member and ack instead of sets beside
each other, so they cannot disagree.
"""

from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.core.lightpush import MAX_CLIENT_ID, MAX_NAMESPACE, MAX_USERID, MAX_UUID
from appmodel.core.realms import MAX_ROOM, USER_ROOM
from appmodel.orm.base import MARIADB, Base, Number, exact, options

LONG = sa.Text().with_variant(
    mysql.MEDIUMTEXT(), "mysql", "mariadb"
)  # of MariaDB's texts: above 64 KB
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")

NamespaceKey = Annotated[str, mapped_column(exact(MAX_NAMESPACE), primary_key=True)]
ClientKey = Annotated[str, mapped_column(exact(MAX_CLIENT_ID), primary_key=True)]
RoomKey = Annotated[str, mapped_column(exact(len(USER_ROOM) + MAX_ROOM), primary_key=True)]
NodeKey = Annotated[str, mapped_column(exact(64), primary_key=True)]
NumberKey = Annotated[int, mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)]
UserId = Annotated[str, mapped_column(exact(MAX_USERID))]
PlatformName = Annotated[str, mapped_column(exact(7))]
Ms = Annotated[int, mapped_column(sa.BigInteger)]
MaybeMs = Annotated[int | None, mapped_column(sa.BigInteger)]
Sealed = Annotated[str | None, mapped_column(LONG)]
Text = Annotated[str | None, mapped_column(sa.String(255))]
Url = Annotated[str | None, mapped_column(sa.String(2048))]
Degrees = Annotated[float | None, mapped_column(sa.Double)]


class Nsp(Base):
    """A tenant."""

    __tablename__ = "nsp"

    namespace: Mapped[NamespaceKey]
    name: Mapped[Text]
    connect_callback: Mapped[Url]
    disconnect_callback: Mapped[Url]
    callback_auth: Mapped[Sealed]
    auth_passwd: Mapped[Sealed]
    password_digest: Mapped[str | None] = mapped_column(sa.String(80))
    offline: Mapped[Number]  # 1 = on
    update_date: Mapped[Ms]


class NspApns(Base):
    """A named way to Apple. `secrets`: a sealed JSON object of its PEM texts."""

    __tablename__ = "nsp_apns"

    namespace: Mapped[NamespaceKey]
    name: Mapped[str] = mapped_column(exact(100), primary_key=True)
    position: Mapped[Number]
    environment: Mapped[Text]
    expiration: Mapped[Text]
    topic: Mapped[Text]
    token_key_id: Mapped[Text]
    token_team_id: Mapped[Text]
    secrets: Mapped[Sealed]


class NspClient(Base):
    """A device that was ever connected."""

    __tablename__ = "nsp_client"
    __table_args__ = options(
        sa.Index(None, "namespace", "last_connect_time"),
        sa.Index(None, "namespace", "located", "latitude"),
    )

    namespace: Mapped[NamespaceKey]
    client: Mapped[ClientKey]
    userid: Mapped[UserId]
    platform: Mapped[PlatformName]
    uuid: Mapped[str] = mapped_column(exact(MAX_UUID))
    first_connect_time: Mapped[Ms]
    last_connect_time: Mapped[Ms]
    last_disconnect_time: Mapped[MaybeMs]
    disconnect_reason: Mapped[str | None] = mapped_column(sa.String(16))
    update_date: Mapped[MaybeMs]
    device_token: Mapped[str | None] = mapped_column(exact(255))
    mobile: Mapped[Text]
    system: Mapped[Text]
    leave_message: Mapped[int | None] = mapped_column(sa.Integer)
    longitude: Mapped[Degrees]
    latitude: Mapped[Degrees]
    located: Mapped[Number]  # 1 = it has said where it is, and is connected


class NspMute(Base):
    """A room of which Apple is not told."""

    __tablename__ = "nsp_mute"

    namespace: Mapped[NamespaceKey]
    client: Mapped[ClientKey]
    room: Mapped[RoomKey]


class NspMember(Base):
    """Somebody who was ever in a room."""

    __tablename__ = "nsp_member"
    __table_args__ = options(sa.Index(None, "namespace", "client"))

    namespace: Mapped[NamespaceKey]
    room: Mapped[RoomKey]
    client: Mapped[ClientKey]
    platform: Mapped[PlatformName]


class NspOnline(Base):
    """A client that is connected to a process."""

    __tablename__ = "nsp_online"
    __table_args__ = options(sa.Index(None, "node", "incarnation", "namespace", "client"))

    namespace: Mapped[NamespaceKey]
    client: Mapped[ClientKey]
    node: Mapped[NodeKey]
    incarnation: Mapped[NumberKey]
    userid: Mapped[UserId]
    platform: Mapped[PlatformName]
    at: Mapped[Ms]


class NspPresent(Base):
    """A client that is connected to a process, in a room."""

    __tablename__ = "nsp_present"
    __table_args__ = options(sa.Index(None, "node", "incarnation", "namespace", "client"))

    namespace: Mapped[NamespaceKey]
    room: Mapped[RoomKey]
    client: Mapped[ClientKey]
    node: Mapped[NodeKey]
    incarnation: Mapped[NumberKey]
    userid: Mapped[UserId]
    platform: Mapped[PlatformName]


class NspPush(Base):
    """A push."""

    __tablename__ = "nsp_push"
    __table_args__: Any = (
        sa.Index(None, "namespace", "id"),
        sa.Index(None, "expires_at"),
        {
            **MARIADB,
            "sqlite_autoincrement": True,
        },  # else the id of a push that was swept comes again
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    namespace: Mapped[str] = mapped_column(exact(MAX_NAMESPACE))
    room: Mapped[str] = mapped_column(exact(MAX_ROOM))
    push_data: Mapped[str] = mapped_column(LONG)
    expire: Mapped[float] = mapped_column(sa.Double)
    send_date: Mapped[Ms]
    expires_at: Mapped[Ms]
    without: Mapped[str | None] = mapped_column(exact(MAX_CLIENT_ID))
    apns_name: Mapped[Text]
    leave_message: Mapped[Number]
    extra: Mapped[Text]
    sender: Mapped[Text]
    acks: Mapped[Number]
    ios_acks: Mapped[Number]
    android_acks: Mapped[Number]
    online_clients: Mapped[Number]
    apns_count: Mapped[int | None] = mapped_column(sa.Integer)
    apns_success_count: Mapped[int | None] = mapped_column(sa.Integer)
    result: Mapped[str | None] = mapped_column(LONG)


class NspAck(Base):
    """A client that has acknowledged a push."""

    __tablename__ = "nsp_ack"

    namespace: Mapped[NamespaceKey]
    push_id: Mapped[NumberKey]
    client: Mapped[ClientKey]
    platform: Mapped[PlatformName]


class NspInbox(Base):
    """A push that waits for an Android client."""

    __tablename__ = "nsp_inbox"
    __table_args__ = options(sa.Index(None, "expires_at"))

    namespace: Mapped[NamespaceKey]
    client: Mapped[ClientKey]
    push_id: Mapped[NumberKey]
    expires_at: Mapped[Ms]


class NspStat(Base):
    """Pushes of a minute, an hour or a day; `bucket`: which one since 1970."""

    __tablename__ = "nsp_stat"
    __table_args__ = options(sa.Index(None, "unit", "bucket"))

    namespace: Mapped[NamespaceKey]
    unit: Mapped[str] = mapped_column(exact(6), primary_key=True)
    bucket: Mapped[NumberKey]
    count: Mapped[int] = mapped_column(sa.BigInteger)


class NspJob(Base):
    """A push whose absent recipients are looked after when it is due."""

    __tablename__ = "nsp_job"
    __table_args__ = options(sa.Index(None, "due_at"), sa.Index(None, "namespace", "due_at"))

    namespace: Mapped[NamespaceKey]
    push_id: Mapped[NumberKey]
    due_at: Mapped[Ms]
    attempts: Mapped[Number]
    lease: Mapped[str] = mapped_column(exact(32), default="", server_default="")
    cursor: Mapped[str] = mapped_column(LONG, default="")  # up to MAX_CURSOR bytes


class NspTally(Base):
    """The number of a process's last tally that was counted."""

    __tablename__ = "nsp_tally"

    node: Mapped[NodeKey]
    incarnation: Mapped[NumberKey]
    number: Mapped[int] = mapped_column(sa.BigInteger)
    at: Mapped[Ms]
