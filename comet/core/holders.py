"""An owner's books: which comets hold subscribers of its keys, and what they are to be sent.

Soft state: a holder tells it (attaching.py), renews it, and loses all of it at once when it leaves the
registry or falls silent. What is sent to a holder waits in its queue, bounded in bytes; a queue that is
full is emptied, and nothing but that is lost: the holder sees the hole of what is stored.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from appmodel.core.cluster import Node
from appmodel.core.message import ClientName, MessageId, Sessions, Tally, check_tails
from appmodel.core.names import Key
from appmodel.errors import LimitReached
from comet.core.attaching import GONE, Report, digest_of
from comet.core.message import Message

ENVELOPE = 64  # bytes of an item besides body and keys, at most
KEY_SIZE = 300  # bytes of a key and its prev on their way, at most
MAX_KEYS = 2000  # of an item: 600 KB, far below the limit of an RPC frame


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One message for some keys of a holder."""

    id: MessageId
    stored: bool
    body: bytes
    keys: tuple[Key, ...]
    prevs: tuple[MessageId, ...]  # in the order of the keys
    tails: tuple[bytes, ...] = ()  # of each key; () = none
    sessions: Sessions | None = None  # also to these sessions of the keys
    without: ClientName = ""  # see `Push`
    tally: Tally = 0

    def __post_init__(self) -> None:
        check_tails(self.keys, self.body, self.tails)


class Parcel:
    """An item while keys are still added to it."""

    __slots__ = ("keys", "message", "prevs", "sessions", "tails")

    def __init__(self, message: Message, sessions: Sessions | None) -> None:
        self.message, self.sessions = message, sessions
        self.keys: list[Key] = []
        self.prevs: list[int] = []
        self.tails: list[bytes] = []

    def fits(self, message: Message, sessions: Sessions | None, tail: bytes) -> bool:
        """Whether one more key of this message can travel with the others."""
        return (
            self.message is message
            and self.sessions is sessions
            and len(self.keys) < MAX_KEYS
            and bool(tail) is bool(self.tails)
        )

    @property
    def size(self) -> int:
        """Bytes on its way, at most."""
        tails = sum(map(len, self.tails))
        return len(self.message.body) + ENVELOPE + KEY_SIZE * len(self.keys) + tails

    @property
    def item(self) -> Item:
        """As it travels."""
        message = self.message
        return Item(
            message.id,
            message.stored,
            message.body,
            tuple(self.keys),
            tuple(self.prevs),
            tuple(self.tails),
            self.sessions,
            message.without,
            message.tally,
        )


class Holder:
    """One comet that holds subscribers of ours."""

    def __init__(self, node: Node, *, limit: int, wake: Callable[["Holder"], None]) -> None:
        """`limit`: bytes that may wait for it. `wake(holder)`: its queue is not empty any more."""
        self.node = node
        self.keys: set[Key] = set()
        self.digest = 0
        self.heard_at = 0.0  # when it last spoke, on the caller's clock
        self.said_at = 0.0  # and on its own, Unix seconds
        self.dropped = 0  # messages that a full queue or its silence cost it
        self.is_served = False  # a task is sending to it
        self._limit, self._wake = limit, wake
        self._parcels: list[Parcel] = []
        self._size = 0

    def add(
        self,
        message: Message,
        key: Key,
        prev: int,
        *,
        tail: bytes = b"",
        sessions: Sessions | None = None,
    ) -> None:
        """Send it `message` of `key`, in this order; keys of one message travel together."""
        parcels = self._parcels
        if not parcels:
            self._wake(self)
        if not parcels or not parcels[-1].fits(message, sessions, tail):
            self._size += len(message.body) + ENVELOPE
            parcels.append(Parcel(message, sessions))
        parcel = parcels[-1]
        parcel.keys.append(key)
        parcel.prevs.append(prev)
        if tail:
            parcel.tails.append(tail)
        self._size += KEY_SIZE + len(tail)
        if self._size > self._limit:
            self.clear()

    def take(self, limit: int) -> list[Item]:
        """The next items: `limit` bytes of them, and at least one."""
        size = taken = 0
        for parcel in self._parcels:
            if taken and size + parcel.size > limit:
                break
            size += parcel.size
            taken += 1
        parcels, self._parcels = self._parcels[:taken], self._parcels[taken:]
        self._size -= size
        return [parcel.item for parcel in parcels]

    def clear(self) -> None:
        """Nothing of what waits is sent to it."""
        self.dropped += len(self._parcels)
        self._parcels.clear()
        self._size = 0

    @property
    def has_mail(self) -> bool:
        """Whether something waits for it."""
        return bool(self._parcels)


class Seat(NamedTuple):
    """A key at one holder."""

    holder: Holder
    online: int
    acknowledged: int


class Remote:
    """A key of ours that other comets hold."""

    __slots__ = ("mark", "seats")

    def __init__(self) -> None:
        self.mark = 0  # the highest id of it that was stored since it is attached; 0 = none
        self.seats: list[Seat] = []  # nearly always one

    @property
    def online(self) -> int:
        """Subscribers on other comets."""
        return sum(seat.online for seat in self.seats)

    @property
    def acknowledged(self) -> int:
        """The highest id that one of them has acknowledged."""
        return max((seat.acknowledged for seat in self.seats), default=0)


class Holders:
    """All of them, and all keys that they hold."""

    def __init__(self, *, limit: int, most_keys: int, wake: Callable[[Holder], None]) -> None:
        """See `Holder`. `most_keys`: that all of them may hold, as each of them counts."""
        self._limit, self._most_keys, self._wake = limit, most_keys, wake
        self._seats = 0  # keys that are held, by holder
        self._holders: dict[tuple[str, int], Holder] = {}
        self._keys: dict[Key, Remote] = {}
        self._sessions: dict[Key, dict[Key, None]] = {}  # by inbox: the keys of its sessions
        self._dropped = 0  # by holders that are gone
        self.get: Callable[[Key], Remote | None] = self._keys.get
        """A key at its holders, if there are any."""

    def sessions(self, inbox: Key) -> Iterable[Key]:
        """The keys of this user's sessions that others hold."""
        return self._sessions.get(inbox, ())

    @property
    def dropped(self) -> int:
        """Messages that holders never got from us."""
        return self._dropped + sum(holder.dropped for holder in self._holders.values())

    def __len__(self) -> int:
        """Keys that are held elsewhere."""
        return len(self._keys)

    @property
    def keys(self) -> list[Key]:
        """All that are held elsewhere, as they are now."""
        return list(self._keys)

    def __iter__(self) -> Iterator[Holder]:
        return iter(tuple(self._holders.values()))

    def at(self, node: Node) -> Holder:
        """The books of that comet, opened if need be."""
        name = node.name, node.incarnation
        holder = self._holders.get(name)
        if holder is None:
            holder = Holder(node, limit=self._limit, wake=self._wake)
            self._holders[name] = holder
        holder.node = node
        return holder

    def apply(self, report: Report, now: float) -> bool:
        """Note what a holder says; whether we are in step with it then.

        A report that a newer one has overtaken says nothing: the holder gave it up long ago.

        Raises:
            LimitReached: there is no room for so many keys; nothing was noted.
        """
        holder = self.at(report.holder)
        self._check_room(holder, report)
        holder.heard_at = now
        if report.now < holder.said_at:
            return False
        holder.said_at = report.now
        if report.restart:
            self._detach_all(holder)
        for entry in report.entries:
            self._unseat(holder, entry.key)
            if entry.online != GONE:
                self._seat(holder, entry.key, entry.online, entry.acknowledged)
        return len(holder.keys) == report.count and holder.digest == report.digest

    def _check_room(self, holder: Holder, report: Report) -> None:
        known: set[Key] = set() if report.restart else holder.keys
        new = sum(entry.online != GONE and entry.key not in known for entry in report.entries)
        seats = self._seats - (len(holder.keys) if report.restart else 0)
        if new and seats + new > self._most_keys:
            raise LimitReached(
                f"other comets hold {seats} keys, expected {self._most_keys} at most"
            )

    def drop(self, holder: Holder) -> None:
        """It is gone, with all that it held."""
        self._detach_all(holder)
        holder.clear()
        self._dropped += holder.dropped
        del self._holders[holder.node.name, holder.node.incarnation]

    def _detach_all(self, holder: Holder) -> None:
        for key in tuple(holder.keys):
            self._unseat(holder, key)

    def _seat(self, holder: Holder, key: Key, online: int, acknowledged: int) -> None:
        remote = self._keys.get(key)
        if remote is None:
            remote = self._keys[key] = Remote()
            if (inbox := key.inbox) is not None:
                self._sessions.setdefault(inbox, {})[key] = None
        remote.seats.append(Seat(holder, online, acknowledged))
        self._seats += 1
        holder.keys.add(key)
        holder.digest ^= digest_of(key)

    def _unseat(self, holder: Holder, key: Key) -> None:
        if key not in holder.keys:
            return
        self._seats -= 1
        holder.keys.remove(key)
        holder.digest ^= digest_of(key)
        remote = self._keys[key]
        remote.seats = [seat for seat in remote.seats if seat.holder is not holder]
        if not remote.seats:
            del self._keys[key]
            if (inbox := key.inbox) is not None:
                del self._sessions[inbox][key]
                if not self._sessions[inbox]:
                    del self._sessions[inbox]
