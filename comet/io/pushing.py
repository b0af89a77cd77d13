"""A comet as the owner of keys: give ids, save, deliver, answer (design laws 1 to 3).

Group commit: what arrived while the last batch was being saved is the next batch, in the order of
arrival, and only one batch is under way. So order per key holds without a lock, and a busy store sees
large batches. What is not stored goes out at once, unless its key has something in the queue: then it
waits behind it, for a client drops what comes with a lower id. A user's inbox and his sessions count as
one key there, for a session hears both.

A batch whose fate is unknown is answered so, and saved again under the same push ids before the next one:
else a message that is not stored could overtake one that was. To subscribers on other comets
everything goes by way of their holders' queues, in the same order.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Delivery, Presence, Push, Save, Saved, Sessions
from appmodel.core.names import QUEUE_STEP, Key
from appmodel.errors import LimitReached, NotStored, OutcomeUnknown, PushError
from comet.config import PushConfig
from comet.core.holders import Holder, Holders, Remote
from comet.core.hub import Hub
from comet.core.message import Message
from comet.io.delivering import Delivering
from comet.io.live import Counts
from comet.io.sweeper import STEP, Sweeper

log = structlog.get_logger("comet")

KEY_SIZE = 288  # bytes of a key on its way to the store, at most: MAX_KEY and its framing
UNSAVED_STEP = (
    16  # between unsaved ids while the clock is ahead of the time: the store counts on by 1
)
# from marks that others may have raised meanwhile, and should not come to the same id
DOUBT_TRIES = 3  # of finding out what became of a save, before the next batch is begun anyway

Outcome = Delivery | PushError


class _Job:
    """A push in the queue, and where its outcome goes."""

    __slots__ = ("call", "index", "push")

    def __init__(self, push: Push, call: "_Call", index: int) -> None:
        self.push, self.call, self.index = push, call, index


class _Call:
    """One call of `push`: its outcomes, and how many are still missing."""

    __slots__ = ("done", "ids", "missing", "outcomes")

    def __init__(self, size: int) -> None:
        self.ids: dict[bytes, int] = {}  # by push id: pushes of one are one message
        self.outcomes: list[Outcome | None] = [None] * size
        self.missing = size
        self.done = trio.Event()


class OwnerPusher:
    """Pushes to keys that this comet owns; whether it does was asked before."""

    def __init__(
        self,
        *,
        hub: Hub,
        sweeper: Sweeper,
        delivering: Delivering,
        holders: Holders,
        counts: Counts,
        clock: MessageClock,
        store: OfflineStore,
        config: PushConfig,
        now: Callable[[], float],
    ) -> None:
        self._hub, self._sweeper, self._delivering = hub, sweeper, delivering
        self._holders, self._counts = holders, counts
        self._clock, self._store, self._now = clock, store, now
        self._config = config
        self._queue: deque[_Job] = deque()
        self._queued_bytes = 0
        self._waiting: Counter[Key] = Counter()  # lines of pushes that are not delivered yet
        self._wanted = trio.Event()
        self.predecessor: Callable[[Key], Holder | None] | None = None
        """While a ring change is young: who owned the key before, and may not have attached yet."""

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        """See `Pusher.push`. Cancelling leaves what was accepted on its way."""
        call = _Call(len(pushes))
        for index, push in enumerate(pushes):
            self._accept(_Job(push, call, index))
        if pushes:
            await call.done.wait()
        outcomes = [outcome for outcome in call.outcomes if outcome is not None]
        assert len(outcomes) == len(pushes), "a push was left without an outcome"
        return outcomes

    async def run(self) -> None:
        """Save and deliver what is queued, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            while self._queue:
                await self._serve_batch()

    def presence(self, key: Key) -> Presence:
        """Who is online, here and at the holders of `key`; of an inbox, on all its sessions."""
        here = [self._hub.get(key), *self._hub.sessions(key)]
        readings = [channel.reading for channel in here if channel is not None]
        online = sum(reading.online for reading in readings)
        acknowledged = max((reading.acknowledged for reading in readings), default=0)
        for name in (key, *self._holders.sessions(key)):
            if (remote := self._holders.get(name)) is not None:
                online += remote.online
                acknowledged = max(acknowledged, remote.acknowledged)
        return Presence(online, acknowledged)

    def _accept(self, job: _Job) -> None:
        push = job.push
        if push.expires_at and self._queued_bytes > self._config.queue_limit:
            waiting = f"more than {self._config.queue_limit} bytes wait for the store"
            self._answer(job, LimitReached(waiting))
            return
        self._counts.pushes += 1
        alone = len(push.keys) <= STEP and not (self._waiting and self._waits(push.keys))
        if not push.expires_at and alone:
            self._deliver_unsaved(job)
            return
        self._queue.append(job)
        self._queued_bytes += _size(push)
        for key in push.keys:
            self._waiting[_line(key)] += 1
        self._wanted.set()

    def _waits(self, keys: Sequence[Key]) -> bool:
        waiting = self._waiting
        return any(_line(key) in waiting for key in keys)

    async def _serve_batch(self) -> None:
        batch = self._take_batch()
        stored = [job for job in batch if job.push.expires_at]
        verdict = await self._store_all(stored) if stored else []
        saved = iter(verdict) if isinstance(verdict, list) else None
        for job in batch:
            if not job.push.expires_at:
                self._deliver_unsaved(job)
            elif saved is None:
                assert isinstance(verdict, PushError)
                self._answer(job, verdict)
                self._counts.pushes_failed += 1
            else:
                await self._deliver_saved(job, next(saved))
            self._release(job)
        self._sweeper.wake()

    def _take_batch(self) -> list[_Job]:
        """Saved pushes, then unsaved ones: an id is given to these when all before them are delivered."""
        batch: list[_Job] = []
        size = 0
        while self._queue and (not batch or size < self._config.batch_limit):
            if batch and self._queue[0].push.expires_at > batch[-1].push.expires_at == 0:
                break
            job = self._queue.popleft()
            batch.append(job)
            size += _size(job.push)
        self._queued_bytes -= size
        return batch

    async def _store_all(self, jobs: list[_Job]) -> list[Saved] | PushError:
        """Save; a doubt is told to the callers at once, and then resolved as far as that goes."""
        now_us = int(self._now() * 1e6)
        saves = [self._save_of(job, now_us) for job in jobs]
        verdict = await self._save(saves)
        for attempt in range(DOUBT_TRIES):
            if not isinstance(verdict, OutcomeUnknown):
                break
            for job in jobs:
                self._answer(job, verdict)
            await trio.sleep(random.uniform(0, 0.5) * attempt)  # noqa: S311  jitter is no secret
            verdict = await self._save(saves)
        return verdict

    def _save_of(self, job: _Job, now_us: int) -> Save:
        push, ids = job.push, job.call.ids
        proposed = ids.get(push.push_id)
        if proposed is None:
            proposed = ids[push.push_id] = _fitting(self._clock.next_id(now_us), push.keys)
        return Save(push.push_id, proposed, push.keys, push.body, push.expires_at, push.tails)

    async def _save(self, saves: list[Save]) -> list[Saved] | PushError:
        try:
            with trio.fail_after(self._config.save_timeout):
                saved = await self._store.save(saves)
        except trio.TooSlowError:
            log.warning("save not answered", pushes=len(saves), timeout=self._config.save_timeout)
            return OutcomeUnknown(f"the store did not answer in {self._config.save_timeout:g} s")
        except PushError as error:
            log.warning("not saved", pushes=len(saves), error=str(error))
            return error
        if len(saved) != len(saves):
            return NotStored(f"the store answered {len(saved)} of {len(saves)} saves")
        return saved

    async def _deliver_saved(self, job: _Job, saved: Saved) -> None:
        """To thousands of keys in steps: nothing else of these keys is delivered before this is settled."""
        messages: dict[int, Message] = {}
        online: list[int] = []
        push = job.push
        for at, (key, message_id, prev) in enumerate(
            zip(push.keys, saved.ids, saved.prevs, strict=True)
        ):
            if len(online) % STEP == STEP - 1:
                await trio.lowlevel.checkpoint()
            message = messages.get(message_id)
            if message is None:
                message = messages[message_id] = _message(message_id, push, stored=True)
            # also of a retry: they have had it
            online.append(self._send(key, message, prev, push, at))
        self._clock.observe_mark(max(saved.ids, default=0), int(self._now() * 1e6))
        self._answer(job, Delivery(saved.ids, tuple(online), stored=True))

    def _deliver_unsaved(self, job: _Job) -> None:
        push, known = job.push, job.call.ids
        message_id = known.get(push.push_id)
        if message_id is None:
            fresh = self._clock.next_id(int(self._now() * 1e6), UNSAVED_STEP)
            message_id = known[push.push_id] = _fitting(fresh, push.keys)
            self._clock.observe(message_id)
        message = _message(message_id, push, stored=False)
        online = [self._send(key, message, None, push, at) for at, key in enumerate(push.keys)]
        ids = (message_id,) * len(online)
        self._answer(job, Delivery(ids, tuple(online), stored=False))

    def _send(self, key: Key, message: Message, prev: int | None, push: Push, at: int) -> int:
        """To all subscribers of `key`, here and elsewhere; how many there are.

        Args:
            prev: None = the highest id that is known to be stored.
            at: the place of `key` in the push.
        """
        tail = push.tails[at] if push.tails else b""
        online = self._delivering.deliver(key, message, prev, tail=tail, sessions=push.sessions)
        remote = self._holders.get(key)
        known = 0
        if remote is not None:
            known = remote.mark
            if message.stored:
                remote.mark = max(known, message.id)
        before = known if prev is None else prev
        if remote is not None or (push.sessions is not None and len(self._holders)):
            for holder, there in self._holding(key, remote, push.sessions).items():
                online += there
                holder.add(message, key, before, tail=tail, sessions=push.sessions)
        if self.predecessor is not None:
            former = self.predecessor(key)
            if former is not None and key not in former.keys:  # it may not have attached yet
                former.add(message, key, prev or 0, tail=tail, sessions=push.sessions)
        return online

    def _holding(
        self, key: Key, remote: Remote | None, sessions: Sessions | None
    ) -> dict[Holder, int]:
        """Comets with subscribers of `key`, or of its sessions that get a copy; and how many."""
        seats = list(remote.seats) if remote is not None else []
        if sessions is not None:
            for session in self._holders.sessions(key):
                held = self._holders.get(session)
                if held is not None and sessions.include(session):
                    seats += held.seats
        online: dict[Holder, int] = {}
        for seat in seats:
            online[seat.holder] = online.get(seat.holder, 0) + seat.online
        return online

    def _answer(self, job: _Job, outcome: Outcome) -> None:
        """Tell the caller, once, and let it go on when it has all its outcomes."""
        call = job.call
        if call.outcomes[job.index] is None:
            call.outcomes[job.index] = outcome
            call.missing -= 1
            if not call.missing:
                self._sweeper.wake(call.done)

    def _release(self, job: _Job) -> None:
        """Nothing of this push is on its way any more."""
        for line in map(_line, job.push.keys):
            if self._waiting[line] <= 1:
                del self._waiting[line]
            else:
                self._waiting[line] -= 1


def _fitting(message_id: int, keys: Sequence[Key]) -> int:
    """The next id that a message of all these keys can have: of queues ids are whole milliseconds."""
    if any(key.is_queue for key in keys):
        return -(-message_id // QUEUE_STEP) * QUEUE_STEP
    return message_id


def _line(key: Key) -> Key:
    """What is pushed to keys of one line is delivered in the order of arrival: see the module."""
    return key.inbox or key


def _message(message_id: int, push: Push, *, stored: bool) -> Message:
    return Message(message_id, push.body, stored=stored, without=push.without, tally=push.tally)


def _size(push: Push) -> int:
    """Bytes of a push on its way to the store, at most."""
    return len(push.body) + KEY_SIZE * len(push.keys) + sum(map(len, push.tails))
