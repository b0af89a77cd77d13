"""Where Mpush keeps what it knows, beside the messages, which lie in the message store: four books, all in SQL.

    Devices      who may be pushed to, in which group
    AckBook      what each device has acknowledged        written behind by comets, in batches
    Receivers    webhooks, Web Push, FCM: who gets a copy beside the socket, and how far it has come
    Delays       pushes whose time has not come yet

What a device still has to get is told by two of them together: stored, above its floor, and not among the ids
that are done above it. Nothing is deleted at an ack, so history can be read.

Names are checked (`mpush.check_name`), ids are message ids, times are Unix milliseconds and arguments. All
calls raise `Unavailable` (nothing was done) or `OutcomeUnknown` (it may have been); what changes something may be
repeated after either, unless it says otherwise. Reads may be cancelled at any time; writes that have begun may be
done even so. A `now` that is behind another node's by seconds makes a lease end later or earlier, and nothing worse.

Proved by tests/contract/test_mpush_books.py. Source: spec/mpush.md sections 5, 6, 11.8, 11.9 and 13.
"""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from appmodel.core.lightpush_records import Hidden

MAX_DONE = 1000  # ids above its floor that are kept of a device; the highest of more are forgotten
MAX_ADDRESS = 4096  # characters of a receiver's address


@dataclass(frozen=True, slots=True)
class Device:
    """Who may be pushed to."""

    name: str
    group: str = ""  # "" = in none
    created_at: int = 0  # ms
    logged_in_at: int | None = None  # ms; None: never, it is there by configuration


@dataclass(frozen=True, slots=True)
class AckState:
    """What a device has acknowledged: every id up to `floor`, and those in `done`, which are above it."""

    floor: int = 0
    done: frozenset[int] = frozenset()  # at most MAX_DONE

    def has(self, message_id: int) -> bool:
        """Whether this message need not be delivered any more."""
        return message_id <= self.floor or message_id in self.done


class AckNews(NamedTuple):
    """What a device has acknowledged, as a comet tells it: all up to `floor`, and `done`."""

    name: str
    floor: int = 0  # 0 = nothing new
    done: tuple[int, ...] = ()


class ReceiverKind(enum.StrEnum):
    """How a copy reaches somebody beside the socket."""

    WEBHOOK = "webhook"
    WEBPUSH = "webpush"
    FCM = "fcm"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody who gets a copy of what is pushed to a device."""

    name: str  # the device
    kind: ReceiverKind
    address: str  # a URL, a subscription's endpoint, a token of FCM; at most MAX_ADDRESS
    secrets: Hidden | None = (
        None  # JSON between who adds and who sends; None: sealed by another auth.secret
    )
    created_at: int = 0  # ms


@dataclass(frozen=True, slots=True)
class Errand:
    """A receiver for whom something was pushed, and who brings it until when.

    What is to be brought: what is stored for the device above `cursor`, one after the other, but for what the
    device has acknowledged by now.
    """

    receiver: Receiver
    cursor: int  # id of the last message that was brought, or is not to be any more
    wanted: int  # id of the newest that was pushed
    failures: int  # in a row, since the last one that was brought
    lease: str  # proves that the errand is still one's own


@dataclass(frozen=True, slots=True)
class Delayed:
    """A push that waits for its time, to one device or to the members that a group has then.

    A call that names several targets makes one for each, all with one `id`.
    """

    id: str  # 32 hex digits: may serve as the push id of the push that it becomes
    target: str  # name of a device or a group
    due_at: int  # ms: its time, whatever is tried when
    body: bytes  # as `mpush.write_body` makes it
    ttl: int  # seconds to live, from its time on
    is_group: bool = False
    created_at: int = 0  # ms
    lease: str = field(default="", compare=False)  # of who claimed it


class Devices(Protocol):
    """The registry. A device stays until it is forgotten. Changes are noted, for caches."""

    async def register(self, name: str, *, group: str | None = None, now: int) -> AckState:
        """A login: the device is there, durably, once this returns; what it has acknowledged so far.

        Args:
            group: it is in this one from now on ("" = in none); None leaves it where it is.

        Raises:
            LimitReached: it is new, and there are as many devices as may be; nothing was changed.
        """

    async def preregister(self, names: Collection[str], *, now: int) -> None:
        """These exist, though they never logged in. Raises LimitReached, as `register`: then none is made."""

    async def find(self, names: Collection[str]) -> Mapping[str, Device]:
        """Those of `names` that there are."""

    async def members(self, group: str, *, after: str = "", limit: int) -> Sequence[str]:
        """Devices in a group, by their names, from behind `after`."""

    async def page(self, *, after: str = "", limit: int) -> Sequence[Device]:
        """All devices, by their names, from behind `after`."""

    async def forget(self, name: str) -> bool:
        """Forget the device, what it acknowledged, its receivers and what is delayed for it. False: there was none.

        Its messages are the caller's to delete, before: what is left of them would reach who logs in anew.
        """


class AckBook(Protocol):
    """What devices have acknowledged. A floor never falls, whoever tells what in which order."""

    async def acknowledge(self, news: Sequence[AckNews]) -> None:
        """Raise floors, and add ids above them. Of devices that are not there nothing is kept.

        May be repeated, and done in part when it fails. Above MAX_DONE ids the highest are forgotten: those
        messages are delivered once more.
        """

    async def states(self, names: Collection[str]) -> Mapping[str, AckState]:
        """For all of `names`; nothing is acknowledged by who is not known."""


class Receivers(Protocol):
    """Who gets a copy, and errands: who brings it. One web node at a time serves a receiver."""

    async def add(self, receiver: Receiver, *, cursor: int, now: int) -> None:
        """Add it, or change its secrets.

        Args:
            cursor: the newest id of the device: only what is pushed after it is brought. One that is there
                already keeps its own.

        Raises:
            LimitReached: the device has as many as it may have; nothing was changed.
            NotFound: there is no such device.
        """

    async def of(self, names: Collection[str]) -> Mapping[str, Sequence[Receiver]]:
        """The receivers of each, oldest first; without those that have none."""

    async def remove(self, name: str, kind: ReceiverKind, address: str) -> bool:
        """It gets nothing any more. False: there was none."""

    async def want(self, pushed: Mapping[str, int], *, now: int) -> None:
        """Something was pushed: newest id by device. Its receivers are due, unless they wait after a failure."""

    async def claim(
        self,
        *,
        now: int,
        lease: int,
        limit: int,
        kinds: Collection[ReceiverKind] = tuple(ReceiverKind),
    ) -> Sequence[Errand]:
        """Errands of these kinds that are due, the longest first, each given to one caller for `lease` ms; then
        due again.
        """

    async def advance(self, errand: Errand, cursor: int, *, until: int) -> bool:
        """All up to `cursor` is brought; the errand is one's own until `until` ms, and its failures are over.

        False: it is not one's own any more; nothing was noted.
        """

    async def postpone(self, errand: Errand, *, until: int) -> bool:
        """It failed: give it back, with one failure more; it is due at `until` ms. False: not one's own any more."""

    async def finish(self, errand: Errand, cursor: int, *, now: int) -> bool:
        """All up to `cursor` is brought: give it back. It is due again at once if more was wanted meanwhile.

        False: it is not one's own any more; nothing was noted.
        """


class Delays(Protocol):
    """Pushes whose time has not come. Kept over a restart; each is given to one web node at a time."""

    async def put(self, pushes: Sequence[Delayed]) -> None:
        """Keep them: all or none. One whose id and target are there already is left as it is.

        Raises:
            LimitReached: more would wait than may, of one target or in all; the limit is named.
        """

    async def of(
        self, target: str, *, is_group: bool = False, since: int = 0, limit: int
    ) -> Sequence[Delayed]:
        """What waits for a target and is due at `since` (ms) or later, the next one first."""

    async def find(self, delayed_id: str) -> Sequence[Delayed]:
        """What waits under this id, by its targets."""

    async def cancel(
        self, delayed_id: str, *, target: str | None = None, is_group: bool = False
    ) -> int:
        """Take it back, for one target or (None) for all; how many were. What is being pushed cannot be: 0."""

    async def claim(self, *, now: int, lease: int, limit: int) -> Sequence[Delayed]:
        """Those whose time has come, the longest due first, each given to one caller for `lease` ms."""

    async def postpone(self, delayed: Delayed, *, until: int) -> bool:
        """It could not be pushed: tried again at `until` ms. False: it is not one's own any more."""

    async def done(self, delayed: Delayed) -> bool:
        """It is pushed, and forgotten. False: it is not one's own any more."""
