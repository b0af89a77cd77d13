"""The store in memory: for tests, and for nodes whose messages may die with the process.

The same contract as the other stores, in plain dicts. Bounded: above `memory_limit` a push is refused.

"Durable" means: as long as this process lives. Whatever ends it loses everything: messages, marks, and
the push ids by which a retry is known.
"""

import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from appmodel.core.message import Feed, Page, Revocation, Save, Saved, Stored
from appmodel.core.names import Key
from appmodel.errors import NotStored
from message.config import MessageConfig
from message.core.retention import (
    NO_TAILS,
    copy_for,
    kept_until,
    message_id,
    runs_away,
    size_of,
    step_of,
    tails_of,
    take_page,
)
from message.stores.notices import Notices

KEY_SIZE = 400  # bytes that a key and its mark take, about
RECEIPT_SIZE = 300  # bytes that a push takes per key, beside its body


@dataclass(slots=True, eq=False)
class StoredPush:
    """A push, while it is live or may be retried."""

    push_id: bytes
    body: bytes
    tails: Mapping[Key, bytes]
    size: int  # bytes of the body and the tails; they go together, with the last message
    expires_at: float
    kept_until: float
    live: int = 0  # messages that share the body
    freed: int = 0  # receipts that the sweep has freed of their message, from the first
    receipts: dict[Key, tuple[int, int]] = field(default_factory=dict)  # (id, prev)


@dataclass(slots=True, eq=False)
class KeyLog:
    """The mark of a key and its messages, ids ascending."""

    mark: int = 0
    messages: dict[int, StoredPush] = field(default_factory=dict)
    soonest: float = math.inf  # none of them expires before


class MemoryStore:
    """An `OfflineStore` and a `Ledger`."""

    def __init__(self, config: MessageConfig, now: Callable[[], float] = time.time) -> None:
        self._config, self._now = config, now
        self.notices = Notices()
        self.trouble: str | None = None  # there is no disk to fail
        self.waiting = 0  # nor to wait for
        self._keys: dict[Key, KeyLog] = {}
        self._pushes: dict[bytes, list[StoredPush]] = {}
        self._feed: deque[tuple[float, Key, int]] = deque()  # kept until, key, mark
        self._position = 0  # of the end of the feed
        self._due: list[tuple[float, int, StoredPush]] = []  # heap, by expiry, then by kept_until
        self._order = itertools.count()
        self._highest = 0
        self._size = 0  # bytes, about
        self._answers: dict[bytes, tuple[bytes, float]] = {}
        self._ends: list[tuple[float, bytes]] = []  # heap: until when which answer is kept
        self._revocations: deque[Revocation] = deque()
        self._last_revocation = 0

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        await trio.lowlevel.checkpoint()
        now = self._now()
        size = sum(size_of(s) + (RECEIPT_SIZE + KEY_SIZE) * len(s.keys) for s in saves)
        if self._size + size > self._config.memory_limit:
            raise NotStored(f"memory store: full at {self._config.memory_limit} bytes")
        for save in saves:  # before anything is changed
            if runs_away(save.proposed_id, now=now, highest=self._highest) and any(
                self._first_answer(save.push_id, key, now) is None for key in save.keys
            ):
                raise self.notices.runaway(save.proposed_id, now)
        begin = self._position
        saved = [self._save(save, now) for save in saves]
        self.notices.saved += self._position - begin
        return saved

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        await trio.lowlevel.checkpoint()
        now, log = self._now(), self._keys.get(key, KeyLog())
        found = (
            Stored(mid, copy_for(key, push.body, push.tails.get(key, b"")), push.expires_at)
            for mid, push in log.messages.items()
            if after < mid and (until is None or mid <= until) and push.expires_at > now
        )
        return take_page(found, limit=limit, max_bytes=self._config.page_limit)

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        await trio.lowlevel.checkpoint()
        return [log.mark if (log := self._keys.get(key)) else 0 for key in keys]

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        await trio.lowlevel.checkpoint()
        now, log = self._now(), self._keys.get(key, KeyLog())
        gone = [mid for mid in (list(log.messages) if ids is None else ids) if mid in log.messages]
        return sum(self._drop(log, mid).expires_at > now for mid in gone)

    async def feed(self, position: int, *, limit: int) -> Feed:
        await trio.lowlevel.checkpoint()
        begin = self._position - len(self._feed)
        if position < 0 or position >= self._position:
            return Feed(self._position, ())
        first = max(position, begin)
        news = list(itertools.islice(self._feed, first - begin, first - begin + limit))
        return Feed(first + len(news), tuple({key: mark for _, key, mark in news}.items()))

    async def sweep(self, *, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        now, done = self._now(), 0
        while self._due and self._due[0][0] <= now and done < limit:
            done += self._sweep_push(heapq.heappop(self._due)[2], now, limit - done)
        while self._feed and self._feed[0][0] <= now and done < limit:
            self._feed.popleft()
            done += 1
        while self._revocations and self._revocations[0].kept_until <= now and done < limit:
            self._revocations.popleft()
            done += 1
        while self._ends and self._ends[0][0] <= now and done < limit:
            until, name = heapq.heappop(self._ends)
            if self._answers.get(name, (b"", 0.0))[1] == until:  # else it was remembered anew
                self._size -= len(self._answers.pop(name)[0])
            done += 1
        self.notices.swept += done
        return done

    async def remember(self, name: bytes, value: bytes, *, kept_until: float) -> bytes:
        await trio.lowlevel.checkpoint()
        kept = self._answers.get(name)
        if kept is None or kept[1] <= self._now():
            kept = self._answers[name] = (value, kept_until)
            heapq.heappush(self._ends, (kept_until, name))
            self._size += len(value)
        return kept[0]

    async def recall(self, name: bytes) -> bytes | None:
        await trio.lowlevel.checkpoint()
        value, until = self._answers.get(name, (None, 0.0))
        return value if until > self._now() else None

    async def revoke(self, subject: str, *, issued_before: float, kept_until: float) -> None:
        await trio.lowlevel.checkpoint()
        self._last_revocation += 1
        self._revocations.append(
            Revocation(self._last_revocation, subject, issued_before, kept_until)
        )

    async def revocations(self, position: int) -> list[Revocation]:
        await trio.lowlevel.checkpoint()
        now = self._now()
        return [r for r in self._revocations if r.position > position and r.kept_until > now]

    def _first_answer(self, push_id: bytes, key: Key, now: float) -> tuple[int, int] | None:
        for push in self._pushes.get(push_id, ()):
            if key in push.receipts and push.kept_until > now:
                return push.receipts[key]
        return None

    def _save(self, save: Save, now: float) -> Saved:
        push = StoredPush(
            save.push_id,
            save.body,
            tails_of(save),
            size_of(save),
            save.expires_at,
            kept_until(now, save.expires_at),
        )
        answers = []
        for key in save.keys:
            answer = self._first_answer(save.push_id, key, now)
            answers.append(answer or self._put(push, key, save.proposed_id, now))
        if push.receipts:
            self._pushes.setdefault(push.push_id, []).append(push)
            heapq.heappush(self._due, (push.expires_at, next(self._order), push))
        return Saved(tuple(mid for mid, _ in answers), tuple(prev for _, prev in answers))

    def _put(self, push: StoredPush, key: Key, proposed: int, now: float) -> tuple[int, int]:
        log = self._keys.get(key)
        if log is None:
            log = self._keys[key] = KeyLog()
            self._size += KEY_SIZE
        prev, mid = log.mark, message_id(proposed, log.mark, step_of(key))
        log.mark = mid
        if not push.receipts:
            self._size += push.size
        log.messages[mid] = push
        log.soonest = min(log.soonest, push.expires_at)
        push.live += 1
        push.receipts[key] = (mid, prev)
        self._highest = max(self._highest, mid)
        self._position += 1
        self._feed.append((push.kept_until, key, mid))
        self._size += RECEIPT_SIZE
        self._trim(key, log, now)
        return mid, prev

    def _trim(self, key: Key, log: KeyLog, now: float) -> None:
        depth = self._config.depth_of(key)
        if len(log.messages) <= depth:
            return
        if log.soonest <= now:  # else nobody has to look at all of them
            for mid in [mid for mid, push in log.messages.items() if push.expires_at <= now]:
                self._drop(log, mid)
            log.soonest = min((push.expires_at for push in log.messages.values()), default=math.inf)
        excess = max(len(log.messages) - depth, 0)
        oldest = list(itertools.islice(log.messages, excess))
        for mid in oldest:
            self._drop(log, mid)
        if oldest:
            self.notices.trim(key, len(oldest))

    def _drop(self, log: KeyLog, mid: int) -> StoredPush:
        push = log.messages.pop(mid)
        push.live -= 1
        if not push.live:
            self._size -= push.size
            push.body, push.tails = b"", NO_TAILS
        return push

    def _sweep_push(self, push: StoredPush, now: float, limit: int) -> int:
        """Free up to `limit` messages of an expired push; forget it once no retry can come."""
        some = list(itertools.islice(push.receipts.items(), push.freed, push.freed + limit))
        if not some:
            return self._forget(push)
        for key, (mid, _) in some:
            if mid in self._keys[key].messages:
                self._drop(self._keys[key], mid)
        push.freed += len(some)
        due = push.kept_until if push.freed == len(push.receipts) else push.expires_at
        heapq.heappush(self._due, (due, next(self._order), push))
        return len(some)

    def _forget(self, push: StoredPush) -> int:
        others = self._pushes[push.push_id]
        others.remove(push)
        if not others:
            del self._pushes[push.push_id]
        self._size -= RECEIPT_SIZE * len(push.receipts)
        return 1
