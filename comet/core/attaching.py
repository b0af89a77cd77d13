"""What a holder tells an owner: which keys of yours have subscribers here (cluster.md section 4).

    holder -> owner   Report    entries that changed, and the count and digest of all that are attached
    owner -> holder   Answer    whether the owner has the same count and digest; if not: send all again

A holder has one report under way per owner, so changes arrive in order. A report without entries is
the heartbeat that renews all attachments of that holder at once. An entry says how many subscribers
a key has here and what they have acknowledged, so that the owner can answer for all of them without
asking; `GONE` detaches the key.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from appmodel.core.cluster import Node
from appmodel.core.message import Instant, MessageId
from appmodel.core.names import Key

GONE = -1  # subscribers of a key that is detached
ENTRIES = 2000  # of one report: 200 KB
MAX_ENTRIES = 10_000  # of one report of another version


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A key of the owner, as the holder has it now."""

    key: Key
    online: Annotated[int, Meta(ge=GONE, lt=2**31)]  # here, or GONE; 0 = one is on its way
    acknowledged: MessageId  # the highest id that one of them has acknowledged


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What a holder tells one owner."""

    holder: Node  # its name and incarnation, and the address where it takes forwards
    entries: Annotated[tuple[Entry, ...], Meta(max_length=MAX_ENTRIES)]
    restart: bool  # forget what you knew of this holder; these entries are the first of all
    count: Annotated[int, Meta(ge=0)]  # keys that are attached after these entries
    digest: Annotated[int, Meta(ge=0)]  # of all of them: see `digest_of`
    clock: MessageId  # the highest id that the holder has given or seen
    now: Instant  # there: clocks that differ are noticed


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What the owner says to it."""

    in_step: bool  # count and digest agree
    clock: MessageId
    now: Instant  # at the owner


class Reading(NamedTuple):
    """A key as the holder's hub has it."""

    online: int
    acknowledged: int


def digest_of(key: Key) -> int:
    """63 bits of a key; digests of several keys are combined by xor, in any order."""
    return int.from_bytes(blake2b(key.stored.encode(), digest_size=8).digest(), "big") >> 1


class Books:
    """A holder's books of one owner: what it was told, and what it must still hear."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake()` is called when there is something new to report."""
        self._wake = wake
        self._told: set[Key] = set()  # attached, as far as the owner has been told
        self._unanswered: set[Key] = set()  # of these: in the report that is under way
        self._changed: dict[Key, None] = {}  # to be reported, in order
        self._under_way: frozenset[Key] = frozenset()  # in the report that is under way
        self._restart = True
        self.digest = 0

    def __len__(self) -> int:
        return len(self._told)

    def touch(self, key: Key) -> None:
        """Something about `key` has changed here."""
        self._changed[key] = None
        self._wake()

    def has_told(self, key: Key) -> bool:
        """Whether the owner knows of `key`: it has said so."""
        return key in self._told and key not in self._unanswered and not self._restart

    def has_told_all(self, key: Key) -> bool:
        """Whether the owner knows `key` as it is here now: nothing about it is still to be said, or on its way."""
        return self.has_told(key) and key not in self._changed and key not in self._under_way

    @property
    def is_due(self) -> bool:
        """Whether there is anything to report besides the heartbeat."""
        return bool(self._changed) or self._restart

    @property
    def is_empty(self) -> bool:
        """Nothing is attached, and nothing is to be told: the owner need not hear of us."""
        return not self._told and not self._changed

    def take(
        self, look: Callable[[Key, "Books"], Reading | None], limit: int
    ) -> tuple[list[Entry], bool]:
        """The next entries, at most `limit`, and whether the owner begins anew with them.

        `look`: a key as it is here now, for these books; None if nobody is here.
        """
        restart = self._restart
        if restart:
            self._changed = dict.fromkeys([*self._told, *self._changed])
            self._told, self.digest, self._restart = set(), 0, False
            self._unanswered.clear()
        entries: list[Entry] = []
        for key in list(self._changed)[:limit]:
            del self._changed[key]
            entry = self._entry(key, look(key, self))
            if entry is not None:
                entries.append(entry)
        self._under_way = frozenset(entry.key for entry in entries)
        return entries, restart

    def _entry(self, key: Key, found: Reading | None) -> Entry | None:
        """Note what the owner will know of `key`; None if there is nothing to say."""
        known = key in self._told
        if found is None:
            if not known:
                return None
            self._told.remove(key)
            self.digest ^= digest_of(key)
            return Entry(key, GONE, 0)
        if not known:
            self._told.add(key)
            self._unanswered.add(key)
            self.digest ^= digest_of(key)
        return Entry(key, found.online, found.acknowledged)

    def settle(self) -> None:
        """The report was answered, and the owner is in step."""
        self._unanswered.clear()
        self._under_way = frozenset()

    def lose(self, entries: Sequence[Entry]) -> None:
        """A report with these entries may not have arrived: begin anew."""
        self._changed.update(dict.fromkeys(entry.key for entry in entries))
        self._under_way = frozenset()
        self._restart = True
