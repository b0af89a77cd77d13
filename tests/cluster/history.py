"""What callers and clients saw of a cluster, event by event, with the time of this process's clock.

    Asked        call 7 begins: order 3 for u1@user and u2@user, ttl 600, under an idempotency key
    Accepted     call 7 was told: id 1795272107326423 for u1@user
    Refused      call 7 was told: nothing happened for u2@user
    Doubtful     call 8 was told that nobody knows, or its connection broke
    Welcomed     connection 12 of client c1 was welcomed at u1@user; it resumes from an id, or from now
    Received     connection 12 brought an id; its body says which order it is
    Fetched      client c4 read what is kept above an id, as clients of gopush do after their welcome
    Acknowledged connection 12 said so
    Ended        connection 12 is over, and why
    Broken       a fault begins; Mended: it is over
    Settled      callers have stopped, faults are over, everything had time to arrive
    Kept         read back from the store at the end

An order is what a caller wants done: one message, whose body is the order's number. It is asked for by one
call or, when calls fail, by several. Keys are written as the store does: with their realm.

A history is JSON, so one that was found wrong can be kept and looked at again.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import trio

Id = int  # of a message
OrderNumber = int


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """`at`: seconds of a clock that only goes forward."""

    at: float = msgspec.field(default_factory=time.monotonic)


class Asked(Event, frozen=True, kw_only=True):
    """A call of the REST API leaves."""

    call: int
    order: OrderNumber
    keys: tuple[str, ...]
    ttl: float  # seconds; 0: for whoever is online
    idempotent: bool  # it names the order, so that a repetition is the same message
    via: str = ""


class Accepted(Event, frozen=True, kw_only=True):
    """A call was answered with the id that clients of `key` see."""

    call: int
    key: str
    id: Id
    stored: bool


class Refused(Event, frozen=True, kw_only=True):
    """A call was answered: nothing happened at `key`."""

    call: int
    key: str
    how: str


class Doubtful(Event, frozen=True, kw_only=True):
    """A call ended and nobody can say what happened at `key`."""

    call: int
    key: str
    how: str


class Welcomed(Event, frozen=True, kw_only=True):
    """A client is subscribed."""

    connection: int
    client: str
    key: str
    cursor: Id | None  # it wants what is newer; None: what comes from now on
    native: bool = True  # version 2; else one of gopush, which cannot resume
    server: str = ""


class Received(Event, frozen=True, kw_only=True):
    """A connection brought a message."""

    connection: int
    id: Id
    order: OrderNumber


class Fetched(Event, frozen=True, kw_only=True):
    """A client read what is kept for its key and newer than `after`."""

    client: str
    after: Id
    messages: tuple[tuple[Id, OrderNumber], ...]


class Acknowledged(Event, frozen=True, kw_only=True):
    """A client said that it has handled everything up to `id`."""

    connection: int
    id: Id


class Ended(Event, frozen=True, kw_only=True):
    """A connection is over."""

    connection: int
    why: str


class Broken(Event, frozen=True, kw_only=True):
    """Somebody breaks something."""

    what: str


class Mended(Event, frozen=True, kw_only=True):
    """And repairs it."""

    what: str


class Settled(Event, frozen=True, kw_only=True):
    """From here on nothing has to arrive any more."""


class Kept(Event, frozen=True, kw_only=True):
    """All that the store has for `key`."""

    key: str
    messages: tuple[tuple[Id, OrderNumber], ...]


AnyEvent = (
    Asked
    | Accepted
    | Refused
    | Doubtful
    | Welcomed
    | Received
    | Fetched
    | Acknowledged
    | Ended
    | Broken
    | Mended
    | Settled
    | Kept
)


class History:
    """Events in the order in which they were seen. For one trio run; not for several threads."""

    def __init__(self, events: Iterable[AnyEvent] = ()) -> None:
        self._events = list(events)
        self._grown = trio.Event()

    def __iter__(self) -> Iterator[AnyEvent]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: AnyEvent) -> None:
        """It happened."""
        self._events.append(event)
        self.touch()

    def touch(self) -> None:
        """Something changed that is no event of its own."""
        self._grown.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until that is so; it is asked again after each change. Cancelling is safe."""
        while not holds():
            self._grown = trio.Event()
            await self._grown.wait()

    def write(self, path: Path) -> None:
        """One event per line."""
        path.write_bytes(b"\n".join(map(msgspec.json.encode, self._events)))

    @classmethod
    def read(cls, path: Path) -> "History":
        """What `write` wrote."""
        decoder = msgspec.json.Decoder(AnyEvent)
        return cls(map(decoder.decode, path.read_bytes().splitlines()))
