"""A comet as the owner of keys: give ids, save, deliver, answer (design laws 1 to 3).

Group commit: what arrived while the last batch was being saved is the next batch, in the order of
arrival, and only one batch is under way. So order per key holds without a lock, and a busy store sees
large batches. What is not stored goes out at once, unless its key has something in the queue: then it
waits behind it, for a client drops what comes with a lower id.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.cluster import ClusterView
from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Delivery, Presence, Push, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import LimitReached, NotOwner, NotStored, OutcomeUnknown, PushError
from comet.config import PushConfig
from comet.core.channel import ASIDE, OVERRUN, Channel
from comet.core.hub import Hub
from comet.core.message import Message
from comet.io.live import Counts
from comet.io.sweeper import STEP, Sweeper

log = structlog.get_logger("comet")

KEY_SIZE = 288  # bytes of a key on its way to the store, at most: MAX_KEY and its framing

Outcome = Delivery | PushError


class _Job:
    """A push in the queue, and where its outcome goes."""

    __slots__ = ("call", "index", "push")

    def __init__(self, push: Push, call: "_Call", index: int) -> None:
        self.push, self.call, self.index = push, call, index


class _Call:
    """One call of `push`: its outcomes, and how many are still missing."""

    __slots__ = ("done", "missing", "outcomes")

    def __init__(self, size: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * size
        self.missing = 0  # outcomes that wait in the queue
        self.done = trio.Event()


class CometPusher:
    """Implements `Pusher` for the keys that this comet owns."""

    def __init__(
        self,
        *,
        name: str,
        hub: Hub,
        sweeper: Sweeper,
        counts: Counts,
        clock: MessageClock,
        store: OfflineStore,
        view: Callable[[], ClusterView],
        config: PushConfig,
        now: Callable[[], float],
        on_hole: Callable[[Channel], None],
    ) -> None:
        self._name, self._view = name, view
        self._hub, self._sweeper, self._counts = hub, sweeper, counts
        self._clock, self._store, self._now = clock, store, now
        self._config = config
        self._on_hole = on_hole
        self._queue: deque[_Job] = deque()
        self._queued_bytes = 0
        self._waiting: Counter[Key] = Counter()  # keys of pushes that are not delivered yet
        self._wanted = trio.Event()

    async def push(self, pushes: Sequence[Push], *, passed_on: bool = False) -> list[Outcome]:
        """See `Pusher.push`. Cancelling leaves what was accepted on its way."""
        call = _Call(len(pushes))
        for index, push in enumerate(pushes):
            refusal = self._refusal(push)
            if refusal is not None:
                call.outcomes[index] = refusal
            else:
                self._counts.pushes += 1
                self._accept(_Job(push, call, index))
        if not call.missing:
            self._sweeper.wake(call.done)
        await call.done.wait()
        outcomes = [outcome for outcome in call.outcomes if outcome is not None]
        assert len(outcomes) == len(pushes), "a push was left without an outcome"
        return outcomes

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        """See `Pusher.presence`."""
        await trio.lowlevel.checkpoint()
        return [self._presence(key) for key in keys]

    async def run(self) -> None:
        """Save and deliver what is queued, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            while self._queue:
                await self._serve_batch()

    def _refusal(self, push: Push) -> PushError | None:
        view = self._view()
        if view.sole_owner != self._name:
            for key in push.keys:
                owner = view.owner(key)
                if owner is None or owner.name != self._name:
                    return NotOwner(key, owner.name if owner else None)
        if push.expires_at and self._queued_bytes > self._config.queue_limit:
            return LimitReached(f"more than {self._config.queue_limit} bytes wait for the store")
        return None

    def _accept(self, job: _Job) -> None:
        push = job.push
        alone = len(push.keys) <= STEP and not (self._waiting and self._waits(push.keys))
        if not push.expires_at and alone:
            self._deliver_unsaved(job)
            return
        job.call.missing += 1
        self._queue.append(job)
        self._queued_bytes += _size(push)
        for key in push.keys:
            self._waiting[key] += 1
        self._wanted.set()

    def _waits(self, keys: Sequence[Key]) -> bool:
        waiting = self._waiting
        return any(key in waiting for key in keys)

    async def _serve_batch(self) -> None:
        batch = self._take_batch()
        stored = [job for job in batch if job.push.expires_at]
        verdict: list[Saved] | PushError = await self._save(stored) if stored else []
        saved = iter(verdict) if isinstance(verdict, list) else None
        for job in batch:
            if not job.push.expires_at:
                self._deliver_unsaved(job)
            elif saved is None:
                assert isinstance(verdict, PushError)
                job.call.outcomes[job.index] = verdict
                self._counts.pushes_failed += 1
            else:
                await self._deliver_saved(job, next(saved))
            self._settle(job)
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

    async def _save(self, jobs: list[_Job]) -> list[Saved] | PushError:
        proposed = self._clock.next_id
        now_us = int(self._now() * 1e6)
        saves = [
            Save(p.push_id, proposed(now_us), p.keys, p.body, p.expires_at)
            for p in (job.push for job in jobs)
        ]
        try:
            with trio.fail_after(self._config.save_timeout):
                saved = await self._store.save(saves)
        except trio.TooSlowError:
            # XXX what is not stored may now be given a higher id than this save, if it does commit, and
            # a client that saw it drops the late one. Hold such pushes back until the outcome is known?
            log.warning("save not answered", pushes=len(jobs), timeout=self._config.save_timeout)
            return OutcomeUnknown(f"the store did not answer in {self._config.save_timeout:g} s")
        except PushError as error:
            log.warning("not saved", pushes=len(jobs), error=str(error))
            return error
        if len(saved) != len(saves):
            return NotStored(f"the store answered {len(saved)} of {len(saves)} saves")
        return saved

    async def _deliver_saved(self, job: _Job, saved: Saved) -> None:
        """To thousands of keys in steps: nothing else of these keys is delivered before this is settled."""
        messages: dict[int, Message] = {}
        online: list[int] = []
        hub, body = self._hub, job.push.body
        for key, message_id, prev in zip(job.push.keys, saved.ids, saved.prevs, strict=True):
            if len(online) % STEP == STEP - 1:
                await trio.lowlevel.checkpoint()
            channel = hub.get(key)
            if channel is None:
                online.append(0)
                continue
            message = messages.get(message_id)
            if message is None:
                message = messages[message_id] = Message(message_id, body, stored=True)
            online.append(len(channel.subscribers))  # also of a retry: they have had it
            self._hand_over(channel, message, prev)
        self._clock.observe(max(saved.ids, default=0))
        job.call.outcomes[job.index] = Delivery(saved.ids, tuple(online), stored=True)

    def _deliver_unsaved(self, job: _Job) -> None:
        message_id = self._clock.next_id(int(self._now() * 1e6))
        message = Message(message_id, job.push.body, stored=False)
        online: list[int] = []
        for key in job.push.keys:
            channel = self._hub.get(key)
            if channel is None:
                online.append(0)
                continue
            online.append(len(channel.subscribers))
            self._hand_over(channel, message, channel.cursor or 0)
        ids = (message_id,) * len(online)
        job.call.outcomes[job.index] = Delivery(ids, tuple(online), stored=False)

    def _hand_over(self, channel: Channel, message: Message, prev: int) -> None:
        whole = channel.aside is None
        verdict = self._hub.accept(channel, message, prev)
        if verdict is OVERRUN or (verdict is ASIDE and whole):
            self._on_hole(channel)

    def _settle(self, job: _Job) -> None:
        for key in job.push.keys:
            if self._waiting[key] <= 1:
                del self._waiting[key]
            else:
                self._waiting[key] -= 1
        call = job.call
        call.missing -= 1
        if not call.missing:
            self._sweeper.wake(call.done)

    def _presence(self, key: Key) -> Presence:
        channel = self._hub.get(key)
        if channel is None:
            return Presence(0, 0)
        return Presence(len(channel.subscribers), channel.acknowledged)


def _size(push: Push) -> int:
    """Bytes of a push on its way to the store, at most."""
    return len(push.body) + KEY_SIZE * len(push.keys)
