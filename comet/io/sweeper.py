"""The rounds: everything that became due since the last one is offered, one write per subscriber.

A round takes all dirty channels. Small channels are swept at once; a channel with very many subscribers
is swept in steps, between which everything else goes on, also rounds of other channels. What becomes
due to a channel in the middle of its sweep is swept right behind it, so order holds per subscriber.
"""

import trio

from comet.core.channel import Channel
from comet.core.fanout import Due, deliver
from comet.core.hub import Hub
from comet.io.live import Counts

STEP = 256  # writes between two checkpoints: 1 to 3 ms


class _Round:
    """Callers that wait until what they pushed has been offered."""

    __slots__ = ("left", "waiters")

    def __init__(self) -> None:
        self.left = 0  # channels that are not swept yet
        self.waiters: list[trio.Event] = []

    def finish_one(self) -> None:
        self.left -= 1
        if not self.left:
            for waiter in self.waiters:
                waiter.set()


class _LongSweep:
    """A channel that is being swept in steps, the rounds that wait for it, and those behind it."""

    __slots__ = ("at", "behind", "due", "rounds", "subscribers")

    def __init__(self, channel: Channel, rounds: list[_Round]) -> None:
        messages = channel.take_due()
        self.due = Due(messages) if messages else None
        self.subscribers = tuple(channel.subscribers)  # who joins later has a cursor above it
        self.at = 0
        self.rounds = rounds
        self.behind: list[_Round] = []

    def step(self) -> tuple[int, int]:
        """Offer to the next STEP subscribers; how many there were and how many took it."""
        part = self.subscribers[self.at : self.at + STEP]
        self.at += STEP
        assert self.due is not None
        return len(part), deliver(self.due, part)

    @property
    def is_done(self) -> bool:
        return self.due is None or self.at >= len(self.subscribers)


class Sweeper:
    """Runs the rounds. One per comet."""

    def __init__(self, hub: Hub, counts: Counts) -> None:
        self._hub = hub
        self._counts = counts
        self._wanted = trio.Event()
        self._open = _Round()  # the one that collects
        self._long: dict[Channel, _LongSweep] = {}

    def wake(self, waiter: trio.Event | None = None) -> None:
        """Run a round soon; set `waiter` when what is dirty now has been offered."""
        if waiter is not None:
            self._open.waiters.append(waiter)
        self._wanted.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            if not self._long:
                await self._wanted.wait()
            if self._wanted.is_set():
                self._wanted = trio.Event()
                await self._run_round()
            for channel in list(self._long):
                self._step(channel)
                await trio.lowlevel.checkpoint()

    async def _run_round(self) -> None:
        this, self._open = self._open, _Round()
        this.left = 1  # ours, until all channels are begun
        written = 0
        for channel in self._hub.take_dirty():
            if channel in self._long:
                self._long[channel].behind.append(this)
                this.left += 1
            elif len(channel.subscribers) > STEP:
                self._long[channel] = _LongSweep(channel, [this])
                this.left += 1
            else:
                self._sweep(channel)
                written += len(channel.subscribers) + 1
            if written >= STEP:
                written = 0
                await trio.lowlevel.checkpoint()
        this.finish_one()

    def _sweep(self, channel: Channel) -> None:
        messages = channel.take_due()
        if messages:
            offered = len(channel.subscribers)
            due = Due(messages)
            taken = deliver(due, tuple(channel.subscribers))
            self._count(taken, offered - taken, len(messages))
            self._tally(channel, due)

    def _step(self, channel: Channel) -> None:
        long = self._long[channel]
        if long.due is not None:
            offered, taken = long.step()
            self._count(taken, offered - taken, len(long.due.messages))
        if long.is_done:
            self._finish(channel, long)

    def _tally(self, channel: Channel, due: Due) -> None:
        for number, taken in due.tallies():
            self._hub.on_tally(channel.key.realm, number, taken)

    def _finish(self, channel: Channel, long: _LongSweep) -> None:
        if long.due is not None:
            self._tally(channel, long.due)
        if long.behind:
            self._long[channel] = _LongSweep(channel, long.behind)
        else:
            del self._long[channel]
        for waiting in long.rounds:
            waiting.finish_one()

    def _count(self, taken: int, refused: int, messages: int) -> None:
        counts = self._counts
        counts.frames_taken += taken
        counts.deliveries += taken * messages
        counts.failures += refused * messages
