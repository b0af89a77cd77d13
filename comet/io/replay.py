"""Reading the store for the live path: marks, what a resuming client missed, and holes.

A resuming client joins closed: live messages wait in order while the store is read from its last id on;
then they are merged and it is live. No gap: what is not in the last page was saved after it was read, and
waits. No duplicate: what waited and was in a page is dropped by its id.
"""

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Stored
from appmodel.core.names import Key
from appmodel.errors import PushError
from comet.config import ReplayConfig
from comet.core.channel import Channel
from comet.core.hub import Hub
from comet.core.message import Message
from comet.io.live import Counts
from comet.io.subscriber import Subscriber
from comet.io.sweeper import Sweeper
from comet.protocol.native import SLOW, STORE_AWAY

log = structlog.get_logger("comet")

CHUNK = 64 * 1024  # bytes offered at once: a client that reads slowly is waited for between two
TRIES = 3  # of reading a hole before the channel's clients are let go


class _Question(NamedTuple):
    key: Key
    answer: "list[int | None]"
    done: trio.Event


class Reading:
    """The comet's reads. `run` must be running for `mark` to answer."""

    def __init__(
        self,
        *,
        hub: Hub,
        sweeper: Sweeper,
        counts: Counts,
        clock: MessageClock,
        store: OfflineStore,
        config: ReplayConfig,
        spawn: Callable[[Channel], None],
    ) -> None:
        self._hub, self._sweeper, self._counts = hub, sweeper, counts
        self._clock, self._store, self._config = clock, store, config
        self._spawn = spawn
        self._questions: list[_Question] = []
        self._asked = trio.Event()
        self._places = trio.CapacityLimiter(config.at_once)
        self.store_failed = False

    async def run(self) -> None:
        """Answer `mark`: all questions of a round are one read. Until cancelled."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            batch, self._questions = self._questions, []
            marks = await self._marks([question.key for question in batch])
            for question, mark in zip(batch, marks, strict=True):
                question.answer.append(mark)
                question.done.set()

    async def mark(self, key: Key) -> int | None:
        """The highest id ever stored for `key`; None while the store is away."""
        question = _Question(key, [], trio.Event())
        self._questions.append(question)
        self._asked.set()
        await question.done.wait()
        return question.answer[0]

    async def _marks(self, keys: list[Key]) -> list[int] | list[None]:
        try:
            with trio.fail_after(self._config.fetch_timeout):
                marks = await self._store.marks(keys)
        except (PushError, trio.TooSlowError) as error:
            self._note_failure(error)
            return [None] * len(keys)
        self.store_failed = False
        self._clock.observe(max(marks, default=0))
        return marks

    async def replay(self, subscriber: Subscriber, after: int) -> None:
        """Send everything stored that is newer than `after`, then let the client go live.

        The client has joined closed (`begin_replay`). Cancelling leaves it closed: hang up on it then.
        """
        async with self._places:
            while subscriber.is_open:
                subscriber.overran = False
                reached = await self._send_pages(subscriber, after)
                if reached is None:
                    return
                if not subscriber.overran:
                    subscriber.go_live(reached)
                    return
                after = reached

    async def _send_pages(self, subscriber: Subscriber, after: int) -> int | None:
        """Send page by page; the last id sent, or None if the client is gone or was let go."""
        key = subscriber.channel.key
        while subscriber.is_open:
            try:
                with trio.fail_after(self._config.fetch_timeout):
                    page = await self._store.fetch(key, after, limit=self._config.page)
            except (PushError, trio.TooSlowError) as error:
                self._note_failure(error)
                subscriber.hang_up(STORE_AWAY)
                return None
            if not await self._send(subscriber, page.messages):
                return None
            if page.messages:
                after = page.messages[-1].id
            if not page.more:
                return after
        return None

    async def _send(self, subscriber: Subscriber, messages: Iterable[Stored]) -> bool:
        frames: list[bytes] = []
        size = 0
        for message in messages:
            frames.append(subscriber.dialect.encode(message.id, message.body))
            size += len(frames[-1])
            if size >= CHUNK:
                if not await self._offer(subscriber, b"".join(frames)):
                    return False
                frames, size = [], 0
            self._counts.replayed += 1
        return not frames or await self._offer(subscriber, b"".join(frames))

    async def _offer(self, subscriber: Subscriber, frames: bytes) -> bool:
        with trio.move_on_after(self._config.stall_timeout) as waiting:
            await subscriber.drained()
        if waiting.cancelled_caught:
            subscriber.hang_up(SLOW)
            return False
        return subscriber.offer(frames)

    async def fill(self, channel: Channel) -> None:
        """Fetch the holes of `channel` and deliver what waits behind them, or let its clients go."""
        for attempt in range(TRIES):
            while (hole := channel.hole) is not None:
                self._counts.holes += 1
                try:
                    messages = await self._fetch_hole(channel.key, hole.after, hole.until)
                except (PushError, trio.TooSlowError) as error:
                    self._note_failure(error)
                    break
                self._hub.fill(channel, hole.until, messages)
                self._sweeper.wake()
            else:
                return
            await trio.sleep(random.uniform(0, 0.2 * 2**attempt))  # noqa: S311  # jitter, no secret
        self.give_up(channel)

    def give_up(self, channel: Channel) -> None:
        """Its clients come back with their last id, or fetch: nobody is left with a silent gap."""
        channel.aside, channel.cursor = None, None
        for subscriber in tuple(channel.subscribers):
            assert isinstance(subscriber, Subscriber)
            subscriber.hang_up(STORE_AWAY)

    async def _fetch_hole(self, key: Key, after: int, until: int) -> list[Message]:
        messages: list[Message] = []
        while True:
            with trio.fail_after(self._config.fetch_timeout):
                page = await self._store.fetch(key, after, limit=self._config.page, until=until)
            messages += [Message(found.id, found.body, stored=True) for found in page.messages]
            if not page.more:
                return messages
            after = page.messages[-1].id

    async def check_positions(self) -> None:
        """Compare the store's marks with the channels' cursors, for ever: nobody stays silently deaf.

        A mark above a cursor is a message that was stored and has not come; it gets one interval of
        grace, for it may be on its way. One read for all keys, however many.
        """
        position = -1
        suspects: dict[Key, int] = {}
        while True:
            await trio.sleep(self._config.position_check)
            for key, mark in suspects.items():
                channel = self._hub.get(key)
                if channel is not None and channel.miss(mark):
                    self._spawn(channel)
            try:
                with trio.fail_after(self._config.fetch_timeout):
                    feed = await self._store.feed(position, limit=10_000)
            except (PushError, trio.TooSlowError) as error:
                self._note_failure(error)
                continue
            self.store_failed = False
            position = feed.position
            suspects = {key: mark for key, mark in feed.marks if self._is_behind(key, mark)}

    def _is_behind(self, key: Key, mark: int) -> bool:
        channel = self._hub.get(key)
        return channel is not None and channel.cursor is not None and channel.cursor < mark

    def _note_failure(self, error: Exception) -> None:
        if not self.store_failed:
            log.warning("store away", error=str(error) or type(error).__name__)
        self.store_failed = True
