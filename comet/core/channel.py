"""Everything that a comet holds for one key: its subscribers, its cursor, and what is due to them.

A stored message names its predecessor (`prev`), so a hole is seen (cluster.md section 3):

    cursor >= id      drop       already delivered
    cursor >= prev    deliver    cursor = id, if it is stored
    cursor <  prev    hole       set it aside, fetch (cursor, prev] once, deliver all in order

A message that is not stored is checked like any other and never moves the cursor; it is dropped if it
is not above everything delivered (`top`), for nothing tells a late one from one that came twice. While the
cursor is unknown (the store was away when the channel was made) everything is delivered and sets it.

A channel whose key another comet owns has a `home`: the books in which that owner is told of it.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from appmodel.core.names import Key
from comet.core.attaching import Books, Reading
from comet.core.message import Message
from comet.protocol.dialect import Encoder

BEHIND = 2**53  # above every id
MAX_ASIDE = 256  # messages that wait for a hole to be filled; past it the subscribers are let go


class Subscriber(Protocol):
    """What the core knows of a connection: a dialect, a place, and what it has had already."""

    cursor: int  # nothing at or below this id is due to it; BEHIND while it is being replayed
    held: list[Message] | None  # what came while it is being replayed; else None
    place: int  # its index in the channel

    @property
    def name(self) -> str:
        """As `Push.without` may name it: a client of Socket.IO; others have none."""

    @property
    def dialect(self) -> Encoder:
        """How messages are written for it."""

    def offer(self, frames: bytes) -> bool:
        """Queue or write `frames` without waiting, all or nothing; False if refused."""

    def hold(self, messages: Sequence[Message]) -> None:
        """Keep them until the replay has come so far."""


class Verdict(enum.Enum):
    """What a channel made of a message."""

    DROPPED = enum.auto()
    DUE = enum.auto()
    ASIDE = enum.auto()
    OVERRUN = enum.auto()  # too many wait for the hole: it will not heal in time


# an enum's member is looked up by a Python function: too much for each key of each push
DROPPED, DUE, ASIDE, OVERRUN = Verdict


class Hole(NamedTuple):
    """Stored ids with after < id <= until have not been seen."""

    after: int
    until: int


class Channel:
    """One key on one comet. Lives while it has a subscriber, or one is on its way."""

    __slots__ = (
        "acknowledged",
        "aside",
        "blind",
        "cursor",
        "due",
        "home",
        "inbox",
        "joining",
        "key",
        "listed",
        "missed",
        "subscribers",
        "top",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.inbox = key.inbox  # of a session: its user's key
        self.cursor: int | None = None  # the last stored id delivered; None = unknown
        self.subscribers: list[Subscriber] = []
        self.joining = 0  # handshakes that will join: they keep the channel alive
        self.due: list[Message] | None = None  # of this round, ids ascending; nearly always nothing
        self.listed = False  # the hub has it for the next round
        self.blind = False  # made while the store was away: what it missed cannot be known
        self.aside: list[tuple[Message, int]] | None = None  # (message, prev) behind a hole
        self.missed = 0  # a mark of the store that was above the cursor
        self.acknowledged = 0
        self.top = 0  # the highest id delivered, stored or not
        self.home: Books | None = None  # None: the key is ours

    def learn_mark(self, mark: int) -> None:
        """The store's mark, read before anyone joined: all up to it is for replay, not for us.

        Somebody who joined meanwhile may still wait for what that mark counts: then it says nothing.
        """
        if not self.subscribers and (self.cursor is None or self.cursor < mark):
            self.cursor = mark

    def accept(self, message: Message, prev: int) -> Verdict:
        """Take a message that its owner has given an id. `prev`: the key's mark before it."""
        if self.aside is not None:
            self.aside.append((message, prev))
            return ASIDE if len(self.aside) <= MAX_ASIDE else OVERRUN
        cursor, message_id = self.cursor, message.id
        if cursor is not None:
            if cursor >= message_id:
                return DROPPED
            if cursor < prev:
                self.aside = [(message, prev)]
                return ASIDE
        if message.stored:
            self.cursor = message_id
        elif message_id <= self.top:
            return DROPPED
        self._append(message)
        return DUE

    def _append(self, message: Message) -> None:
        if self.due is None:
            self.due = [message]
        else:
            self.due.append(message)
        if message.id > self.top:
            self.top = message.id

    @property
    def hole(self) -> Hole | None:
        """What must be fetched before anything else is delivered."""
        if self.aside is None or self.cursor is None:
            return None
        return Hole(self.cursor, max(self.missed, self.aside[0][1] if self.aside else 0))

    def fill(self, until: int, messages: Sequence[Message]) -> None:
        """The stored messages of the hole up to `until` are here: they and what waited are due.

        What has expired or was deleted meanwhile is simply not there. A second hole behind the
        first leaves the rest aside: see `hole` again.
        """
        waiting, self.aside = self.aside or [], None
        for message in messages:
            if self.cursor is None or self.cursor < message.id:
                self._append(message)
        self.cursor = max(self.cursor or 0, until)
        for message, prev in waiting:
            self.accept(message, prev)
        if self.cursor < self.missed:
            self._open_hole()

    def miss(self, mark: int) -> bool:
        """The store has ids up to `mark`: whether that opens a hole that nobody is filling yet."""
        if self.cursor is None or self.cursor >= mark:
            return False
        # also while a hole is being filled: it is the next one
        self.missed = max(self.missed, mark)
        return self._open_hole()

    def _open_hole(self) -> bool:
        """Hold back what comes; False if that is so already."""
        if self.aside is not None:
            return False
        self.aside = []
        return True

    def take_due(self) -> list[Message]:
        """What this round owes to the subscribers; the next round starts empty."""
        due, self.due = self.due, None
        return due or []

    def join(self, subscriber: Subscriber) -> None:
        """From the next accepted message on, `subscriber` is due everything above its cursor."""
        subscriber.place = len(self.subscribers)
        self.subscribers.append(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """In constant time, however many there are: the last one takes the free place."""
        last = self.subscribers.pop()
        if last is not subscriber:
            self.subscribers[subscriber.place] = last
            last.place = subscriber.place

    @property
    def reading(self) -> Reading:
        """What the owner of its key is told."""
        return Reading(len(self.subscribers), self.acknowledged)

    @property
    def is_idle(self) -> bool:
        """Nobody is here or on the way: the hub may forget the channel."""
        return not self.subscribers and not self.joining
