"""What light-push knows: namespaces, clients, pushes. All times are Unix milliseconds, as its answers have them.

Rows that comets write in batches are NamedTuples, and sort by what names them: namespace, then room or client.
Whatever is secret is `Hidden` and shows in no log and no error.

Source: spec/liutian-push.md sections 5.5, 6.2, 7 and 14.5.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from appmodel.core.lightpush import Platform


class Hidden(str):
    """A text that is shown to nobody: `str(hidden)` is the text, its repr is not."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'" if self else "''"


# Namespaces


@dataclass(frozen=True, slots=True)
class ApnsConfig:
    """A named way to Apple. Unset fields are None. `environment`: "production", else development."""

    name: str
    environment: str | None = None
    expiration: str | None = None
    topic: str | None = None
    dev_cert: Hidden | None = None  # PEM, as the other three
    dev_key: Hidden | None = None
    production_cert: Hidden | None = None
    production_key: Hidden | None = None
    token_key: Hidden | None = None  # PEM of a .p8; wins over certificates
    token_key_id: str | None = None
    token_team_id: str | None = None


@dataclass(frozen=True, slots=True)
class Namespace:
    """A tenant, for caches of comets and web nodes. What of it is secret and seldom needed is asked for apart."""

    key: str
    name: str | None = None
    connect_callback: str | None = None
    disconnect_callback: str | None = None
    callback_auth: Hidden | None = None  # sent verbatim to the callbacks
    password_digest: Hidden | None = None  # for Sealing.matches; None = nobody can log in
    is_offline: bool = False
    update_date: int = 0  # ms


class ApnsChange(msgspec.Struct, frozen=True, kw_only=True):
    """One element of `apns_list` in a save: only the fields that are given change."""

    name: str
    is_deleted: bool = False  # `del`
    environment: str | UnsetType | None = UNSET
    expiration: str | UnsetType | None = UNSET
    topic: str | UnsetType | None = UNSET
    dev_cert: Hidden | UnsetType | None = UNSET
    dev_key: Hidden | UnsetType | None = UNSET
    production_cert: Hidden | UnsetType | None = UNSET
    production_key: Hidden | UnsetType | None = UNSET
    token_key: Hidden | UnsetType | None = UNSET
    token_key_id: str | UnsetType | None = UNSET
    token_team_id: str | UnsetType | None = UNSET


class NamespaceChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a save says: only the fields that are given change."""

    name: str | UnsetType | None = UNSET
    connect_callback: str | UnsetType | None = UNSET
    disconnect_callback: str | UnsetType | None = UNSET
    callback_auth: Hidden | UnsetType | None = UNSET
    auth_passwd: Hidden | UnsetType | None = UNSET  # None or "" = nobody can log in
    is_offline: bool | UnsetType = UNSET  # without effect on a namespace that is made by this save
    apns: Sequence[ApnsChange] = ()  # merged by name, in this order


@dataclass(frozen=True, slots=True)
class NamespaceQuery:
    """Which namespaces are listed. Unset = any."""

    key: str = ""  # a part of it
    name: str = ""  # a part of it
    is_offline: bool | None = None


# Clients


class Arrival(NamedTuple):
    """A client has connected. Its first one makes it known for good."""

    namespace: str
    client: str
    userid: str  # as the callback said, if it said so
    platform: Platform
    uuid: str
    at: int  # ms


class Departure(NamedTuple):
    """A connection has ended. It says nothing about a client that has connected again since."""

    namespace: str
    client: str
    arrived: int  # ms: `Arrival.at` of the connection that ended
    at: int  # ms
    reason: str = "network"  # or "clear"


class Enrolment(NamedTuple):
    """A client is a member of a room, for good: whether it is connected or has left plays no part."""

    namespace: str
    room: str
    client: str
    platform: Platform


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """What is kept of a client, whether it is connected or not. Unset = None."""

    namespace: str
    id: str
    userid: str
    platform: Platform
    uuid: str
    first_connect_time: int  # ms, as all times here
    last_connect_time: int
    last_disconnect_time: int | None = None
    disconnect_reason: str | None = None
    update_date: int | None = None
    device_token: str | None = None
    mobile: str | None = None
    system: str | None = None
    leave_message: bool | None = None  # False: nothing is kept for it or sent to Apple
    longitude: float | None = None
    latitude: float | None = None
    muted: tuple[str, ...] = ()  # rooms of which Apple is not told: no_send_apns


class ClientChange(msgspec.Struct, frozen=True, kw_only=True):
    """What changes of a client: only the fields that are given."""

    device_token: str | UnsetType = UNSET  # "" = none
    mobile: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    leave_message: bool | UnsetType = UNSET
    longitude: float | UnsetType = UNSET  # both or neither
    latitude: float | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class MuteEdit:
    """Rooms added first, then removed: remove wins."""

    add: Sequence[str] = ()
    remove: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A client near another one; without its token and phone number (W2)."""

    id: str
    userid: str
    platform: Platform
    distance: float  # km
    longitude: float
    latitude: float


@dataclass(frozen=True, slots=True)
class Reachable:
    """A member of a room that wants to hear of what it missed, by Apple or from its inbox."""

    client: str
    platform: Platform  # ANDROID or IOS
    device_token: str  # "" for ANDROID


class Totals(NamedTuple):
    """How many clients were ever seen."""

    clients: int = 0
    ios: int = 0
    android: int = 0


# Who is present


class Process(NamedTuple):
    """One start of a comet: what it wrote of who is present goes with it."""

    node: str
    incarnation: int


class Presence(NamedTuple):
    """A client is connected to a process."""

    namespace: str
    client: str
    userid: str
    platform: Platform
    at: int  # ms: its Arrival.at


class Seat(NamedTuple):
    """A client that is connected is in a room."""

    namespace: str
    room: str
    client: str


@dataclass(frozen=True, slots=True)
class AttendanceNews:
    """What changed at one process, carried out in the order of the fields.

    A client that came and went in between is only in `went`. All of it may be repeated.
    """

    went: Sequence[tuple[str, str]] = ()  # namespace, client: it is in no room then
    came: Sequence[Presence] = ()
    left: Sequence[Seat] = ()
    joined: Sequence[Seat] = ()  # of clients that are here; others are left out


class Overview(NamedTuple):
    """How many are present in a namespace, or on the platform."""

    rooms: int = 0  # ordinary ones, with somebody in them
    users: int = 0
    clients: int = 0


@dataclass(frozen=True, slots=True)
class Lists:
    """Who is present, sorted. None: more than may be listed."""

    rooms: Sequence[str] | None
    clients: Sequence[str] | None
    users: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class RoomOverview:
    """Who is present in a room."""

    users: int = 0  # 0 in the room of a user
    clients: int = 0
    ios: int = 0
    android: int = 0


# Pushes


@dataclass(frozen=True, slots=True)
class Draft:
    """A push that was checked; see lightpush_push.py."""

    namespace: str
    room: str
    push_data: str  # compact JSON, with apsData
    expire: float  # hours, as it was asked for
    send_date: int  # ms
    expires_at: int  # ms
    without: str | None = None  # `except`: a client id
    apns_name: str | None = None
    leave_message: bool = False
    extra: str | None = None
    sender: str | None = None  # `from`


@dataclass(frozen=True, slots=True)
class StoredPush:
    """A push, and what became of it so far."""

    id: int
    draft: Draft
    acks: int = 0
    ios_acks: int = 0
    android_acks: int = 0
    online_clients: int = 0  # frames that were written, on all comets
    apns_count: int | None = None  # of the offline worker; None = it did nothing yet
    apns_success_count: int | None = None
    result: str | None = None


class Ack(NamedTuple):
    """A client has received a push."""

    namespace: str
    push_id: int
    client: str
    platform: Platform


@dataclass(frozen=True, slots=True)
class Tally:
    """Frames that a process has written since its last tally.

    `number` grows by each tally of a process. A tally whose outcome is not known is sent again as it was: what
    has the number of one that came through, or a lower one, is not counted again.
    """

    process: Process
    number: int
    frames: Mapping[tuple[str, int], int]  # namespace and push id -> frames


@dataclass(frozen=True, slots=True)
class AckDetails:
    """Who has acknowledged a push, sorted. None: as many as may be listed, or more."""

    ios: Sequence[str] | None
    android: Sequence[str] | None
    web: Sequence[str] | None


class Unit(enum.StrEnum):
    """How long a counter of pushes counts. Buckets are numbered since 1970, in UTC."""

    MINUTE = "minute"  # kept for 60 minutes
    HOUR = "hour"  # for 24 hours
    DAY = "day"  # for 100 days

    @property
    def length(self) -> int:
        """In ms."""
        return _LENGTHS[self][0]

    def bucket(self, at: int) -> int:
        """Which one a moment falls into. `at`: ms."""
        return at // self.length

    @property
    def kept(self) -> int:
        """Buckets that can be read, the current one included."""
        return _LENGTHS[self][1]


_LENGTHS = {
    Unit.MINUTE: (60_000, 60),
    Unit.HOUR: (3_600_000, 24),
    Unit.DAY: (86_400_000, 100),
}


@dataclass(frozen=True, slots=True)
class Job:
    """A push whose absent recipients are to be looked after, and who does that until when.

    `cursor`: how far it has come, "" = nothing is done yet: who takes over goes on from there. What it says is between
    workers; at most MAX_CURSOR bytes.
    """

    push: StoredPush
    cursor: str
    attempts: int  # that were begun, this one included
    lease: str  # proves to the book that the job is still one's own


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been done since the last one. `note`: added to the push's `result`."""

    cursor: str
    apns_count: int = 0
    apns_success_count: int = 0
    note: str = ""
