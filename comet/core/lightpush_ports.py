"""What the rules of light-push ask of the comet around them.

Records      namespaces as they are now             comet/io/lightpush_namespaces.py
BackEnds     the callbacks of namespaces            comet/io/lightpush_callbacks.py
Roll         who is here, written behind            comet/io/lightpush_roll.py
Receipts     acknowledgements, written behind       comet/io/lightpush_receipts.py
Pushing      a push that a client makes             appmodel/io/lightpush_pushing.py
Claims, Clients, PushBook                           appmodel/core/realms.py, lightpush_stores.py
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Ack, Arrival, Namespace
from appmodel.core.lightpush_stores import Clients, PushBook
from appmodel.core.realms import Claims
from comet.core.lightpush_calling import Call, Reply


class Records(Protocol):
    """Namespaces. What is told of one is never older than `database.staleness`."""

    async def find(self, namespace: str) -> Namespace | None:
        """None: there is none. Does not wait if it is known. Raises Unavailable."""

    def entered(self, record: Namespace) -> None:
        """A client is in it: from now on `current` knows it."""

    def emptied(self, namespace: str) -> None:
        """Its last client has gone."""

    def current(self, namespace: str) -> Namespace | None:
        """A namespace with clients, as it is now; None: it was removed."""


class BackEnds(Protocol):
    """The callbacks."""

    async def ask(self, call: Call) -> Reply:
        """What it answers, within a deadline. Raises PushError."""

    def tell(self, call: Call) -> None:
        """It hears of it, soon."""


class Roll(Protocol):
    """Who is here and in which rooms: notes that are written in batches. Only `settled` waits."""

    def came(self, arrival: Arrival) -> None:
        """A client is here."""

    def went(self, arrival: Arrival, seats: int, *, reason: str) -> None:
        """It is not; `arrival`: how it came, `seats`: rooms that it had joined and not left."""

    def joined(self, arrival: Arrival, room: str) -> None:
        """It is in a room, and a member for good."""

    def left(self, arrival: Arrival, room: str) -> None:
        """It is not in that room."""

    async def settled(self, arrival: Arrival) -> None:
        """Return when what was noted of this client is written. Raises Unavailable: not in time."""


class Receipts(Protocol):
    """What clients have acknowledged."""

    def acknowledge(self, ack: Ack) -> None:
        """Note it. Dropped if too much waits."""


class Made(Protocol):
    """A push that is kept."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def expected(self) -> int:
        """Clients that were there to get it."""


class Pushing(Protocol):
    """Makes pushes."""

    async def push(self, fields: Mapping[str, object], namespace: Namespace | None) -> Made:
        """See `LightPushing.push`."""


class Place(NamedTuple):
    """Where clients are, as `ok` tells them."""

    system: str  # the name of the host
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may do."""

    rooms: int  # of one client
    push_interval: float  # seconds between two pushes of one client
    broadcasts: bool  # whether any client is announced to others in its rooms


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All of it. `now`: Unix seconds, steady."""

    records: Records
    back_ends: BackEnds
    roll: Roll
    receipts: Receipts
    pushing: Pushing
    claims: Claims
    clients: Clients
    pushes: PushBook
    limits: Limits
    place: Callable[[], Place]
    now: Callable[[], float]


@dataclass(slots=True)
class Guest:
    """What the rules keep of a client that is in: `Client.state`."""

    arrival: Arrival
    named: str  # the user id that it gave; `arrival.userid` is what the back end made of it
    announces: bool
    asked: Mapping[str, str]  # parameters of its connect that its URL lacks
    pushed_at: float = 0.0  # Unix seconds of its last push
    seats: int = 0  # rooms that it is in, or about to be
    is_on_roll: bool = False

    @property
    def platform(self) -> Platform:
        """What it runs on."""
        return self.arrival.platform
