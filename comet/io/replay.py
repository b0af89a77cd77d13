"""Reading the store for the live path: marks, what a resuming client missed, and holes.

A resuming client joins closed: live messages wait in order while the store is read from its last id on;
then they are merged and it is live. No gap: what is not in the last page was saved after it was read, and
waits. No duplicate: what waited and was in a page is dropped by its id.
"""

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Page, Stored
from appmodel.core.names import Key
from appmodel.errors import BadInput, PushError
from appmodel.protocol.envelope import checked_json
from comet.config import ReplayConfig
from comet.core.channel import Channel, Hole
from comet.core.hub import Hub
from comet.core.message import Message
from comet.io.following import Following
from comet.io.live import Counts
from comet.io.sweeper import Sweeper
from comet.protocol.dialect import Encoder
from comet.protocol.native import SLOW, STORE_AWAY, Goodbye

log = structlog.get_logger("comet")

CHUNK = 64 * 1024  # bytes offered at once: a client that reads slowly is waited for between two
MAX_HOLE = (
    512 * 1024
)  # bytes of a hole that is filled for all; past it each client reads for itself
FEED = 5_000  # marks of one read: a few milliseconds of the loop
MARKS = 1_000  # marks of one read that compares all channels
LONG_PAUSE = (
    10.0  # seconds between two reads of the feed; it holds more than a minute of the heaviest load
)
BLIND_AT_ONCE = 500  # channels a second whose clients are asked to come anew
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
        on_hole: Callable[[Channel], None],
        now: Callable[[], float],
    ) -> None:
        self._hub, self._sweeper, self._counts = hub, sweeper, counts
        self._clock, self._store, self._config = clock, store, config
        self._on_hole, self._now = on_hole, now
        self._saw_future = False  # a mark so far ahead that somebody else must have written it
        self._questions: list[_Question] = []
        self._asked = trio.Event()
        self._places = trio.CapacityLimiter(config.at_once)
        self._some_blind = False  # whether any channel was made while the store was away
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

    async def wait_store(self) -> None:
        """Return once the store has answered. Cancelling is safe."""
        while None in await self._marks([Key("", "", "")]):  # noqa: ASYNC110  nobody can set an event
            await trio.sleep(random.uniform(0.1, 0.5))  # noqa: S311  # jitter, no secret

    async def learn_mark(self, channel: Channel) -> None:
        """Tell a new channel the mark of its key. If that cannot be had, it is blind for now."""
        mark = await self.mark(channel.key)
        if mark is None:
            channel.blind = self._some_blind = True
        else:
            channel.learn_mark(mark)

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
        self._observe(max(marks, default=0))
        return marks

    async def replay(self, subscriber: Following[Encoder], after: int) -> None:
        """Send everything stored that is newer than `after`, then let the client go live.

        The client has joined closed (`begin_replay`): what comes meanwhile is kept for it. It is never
        left joined and closed: whatever goes wrong here, it is hung up on.
        """
        try:
            await self._catch_up(subscriber, after)
        finally:
            if subscriber.held is not None:
                subscriber.hang_up(STORE_AWAY)

    async def _catch_up(self, subscriber: Following[Encoder], after: int) -> None:
        reached: int | None = after
        while reached is not None and subscriber.is_open:
            subscriber.read_on()
            reached = await self._send_stored(subscriber, reached)
            if reached is not None and not subscriber.overran:
                reached = await self._send_held(subscriber, reached)
            if reached is not None and not subscriber.overran:
                subscriber.go_live(reached)
                return

    async def _send_stored(self, subscriber: Following[Encoder], after: int) -> int | None:
        """Send page by page; the last id sent, or None if the client is gone or was let go."""
        key = subscriber.channel.key
        while subscriber.is_open:
            try:
                page = await self._fetch(key, after)
            except (PushError, trio.TooSlowError) as error:
                self._note_failure(error)
                subscriber.hang_up(STORE_AWAY)
                return None
            encode = subscriber.dialect.encode
            readable = [found for found in page.messages if _is_readable(key, found)]
            if not await self._send(subscriber, [encode(f.id, f.body) for f in readable]):
                return None
            if page.messages:
                after = page.messages[-1].id
            if not page.more:
                return after
        return None

    async def _send_held(self, subscriber: Following[Encoder], reached: int) -> int | None:
        """Send what was kept, until nothing is; then no turn of another task lies before going live.

        Not past an overrun: what is kept after it lies above what it lost.
        """
        while not subscriber.overran and (held := subscriber.take_held(reached)):
            if not await self._send(subscriber, [m.frame(subscriber.dialect) for m in held]):
                return None
            reached = max([reached, *(message.id for message in held if message.stored)])
        return reached

    async def _send(self, subscriber: Following[Encoder], frames: Sequence[bytes]) -> bool:
        """Offer `frames` in pieces, each when the one before has gone; False if the client has."""
        piece: list[bytes] = []
        size = 0
        for frame in frames:
            piece.append(frame)
            size += len(frame)
            if size >= CHUNK:
                if not await self._offer(subscriber, piece):
                    return False
                piece, size = [], 0
        return not piece or await self._offer(subscriber, piece)

    async def _fetch(self, key: Key, after: int, until: int | None = None) -> Page:
        """One page. Only `at_once` tasks read at the same time; nobody waits here for a client."""
        async with self._places:
            with trio.fail_after(self._config.fetch_timeout):
                page = await self._store.fetch(key, after, limit=self._config.page, until=until)
        if page.messages:
            self._observe(page.messages[-1].id)
        self.store_failed = False
        return page

    async def _offer(self, subscriber: Following[Encoder], frames: list[bytes]) -> bool:
        with trio.move_on_after(self._config.stall_timeout) as waiting:
            await subscriber.drained()
        if waiting.cancelled_caught:
            subscriber.hang_up(SLOW)
            return False
        taken = subscriber.offer(b"".join(frames))
        self._counts.replayed += len(frames) * taken
        return taken

    async def fill(self, channel: Channel) -> None:
        """Fetch the holes of `channel` and deliver what waits behind them, or let its clients go."""
        for attempt in range(TRIES):
            while (hole := channel.hole) is not None and not channel.is_idle:
                self._counts.holes += 1
                try:
                    messages = await self._fetch_hole(channel.key, hole)
                except (PushError, trio.TooSlowError) as error:
                    self._note_failure(error)
                    break
                if channel.hole != hole:  # it was given up meanwhile
                    continue
                if messages is None:
                    self.give_up(channel, SLOW)
                    return
                self._hub.fill(channel, hole.until, messages)
                self._observe(hole.until)
                self._sweeper.wake()
            else:
                return
            await trio.sleep(random.uniform(0, 0.2 * 2**attempt))  # noqa: S311  # jitter, no secret
        self.give_up(channel, STORE_AWAY)

    def give_up(self, channel: Channel, goodbye: Goodbye) -> None:
        """Its clients come back with their last id, or fetch: nobody is left with a silent gap."""
        channel.aside, channel.cursor, channel.blind = None, None, False
        for subscriber in tuple(channel.subscribers):
            assert isinstance(subscriber, Following)
            subscriber.hang_up(goodbye)

    async def _fetch_hole(self, key: Key, hole: Hole) -> list[Message] | None:
        """What is missing; None if it is so much that each client had better read it at its own pace."""
        messages: list[Message] = []
        size, after = 0, hole.after
        while True:
            page = await self._fetch(key, after, hole.until)
            for found in page.messages:
                size += len(found.body)
                if _is_readable(key, found):
                    messages.append(Message(found.id, found.body, stored=True))
            if size > MAX_HOLE:
                return None
            if not page.more:
                return messages
            after = page.messages[-1].id

    async def check_positions(self) -> None:
        """Compare the store's marks with the channels' cursors, for ever: nobody stays silently deaf.

        A mark above a cursor is a message that was stored and has not come; it gets one interval of
        grace, for it may be on its way. One read for all keys, however many. A feed is not kept for ever:
        after a long pause (this process was frozen, or the store away) every channel is compared.
        """
        position = -1  # asks for the end
        suspects: dict[Key, int] = {}
        read_at = trio.current_time()
        with contextlib.suppress(PushError, trio.TooSlowError):
            position, _ = await self._read_feed(position)
        while True:
            await trio.sleep(self._config.position_check)
            for key, mark in suspects.items():
                channel = self._hub.get(key)
                if channel is not None and channel.miss(mark):
                    self._on_hole(channel)
            try:
                position, suspects = await self._read_feed(position)
                if trio.current_time() - read_at > LONG_PAUSE:
                    suspects |= await self._compare_all()
                read_at = trio.current_time()
            except (PushError, trio.TooSlowError) as error:
                self._note_failure(error)
                suspects = {}
            else:
                self.store_failed = False
                self._let_blind_go()

    async def _read_feed(self, position: int) -> tuple[int, dict[Key, int]]:
        """Where the feed ends now, and the marks since `position` that channels of ours lack."""
        behind: dict[Key, int] = {}
        while True:
            with trio.fail_after(self._config.fetch_timeout):
                feed = await self._store.feed(position, limit=FEED)
            self._observe(max((mark for _, mark in feed.marks), default=0))
            behind.update((key, mark) for key, mark in feed.marks if self._is_behind(key, mark))
            if feed.position == position or position < 0:
                return feed.position, behind
            position = feed.position

    async def _compare_all(self) -> dict[Key, int]:
        """The marks that channels of ours lack, whatever the feed says."""
        behind: dict[Key, int] = {}
        keys = [channel.key for channel in self._hub.channels()]
        for start in range(0, len(keys), MARKS):
            part = keys[start : start + MARKS]
            with trio.fail_after(self._config.fetch_timeout):
                marks = await self._store.marks(part)
            found = zip(part, marks, strict=True)
            behind.update((key, mark) for key, mark in found if self._is_behind(key, mark))
        return behind

    def _let_blind_go(self) -> None:
        """The store is back: whoever came while it was away may have missed something, and comes anew."""
        if self._some_blind:
            blind = [channel for channel in self._hub.channels() if channel.blind]
            self._some_blind = len(blind) > BLIND_AT_ONCE
            for channel in blind[:BLIND_AT_ONCE]:
                self.give_up(channel, STORE_AWAY)

    def _is_behind(self, key: Key, mark: int) -> bool:
        channel = self._hub.get(key)
        return channel is not None and channel.cursor is not None and channel.cursor < mark

    def _observe(self, mark: int) -> None:
        """Give no id at or below it; unless it cannot be one of ours."""
        if not self._clock.observe_mark(mark, int(self._now() * 1e6)) and not self._saw_future:
            self._saw_future = True
            log.warning("store has ids of the future", id=mark, then="our clock does not follow")

    def _note_failure(self, error: Exception) -> None:
        if not self.store_failed:
            log.warning("store away", error=str(error) or type(error).__name__)
        self.store_failed = True


def _is_readable(key: Key, found: Stored) -> bool:
    """Whether a store's row holds JSON: we wrote it, but others may write there too."""
    try:
        checked_json(found.body, "msg")
    except BadInput as error:
        log.warning("unreadable message skipped", key=str(key), id=found.id, error=str(error))
        return False
    return True
