"""The rounds: everything that became due since the last one is offered, one write per subscriber.

A round takes all dirty channels. Small channels are swept at once; a channel with very many subscribers
is swept in steps, between which everything else goes on, also rounds of other channels. What becomes
due to a channel in the middle of its sweep is swept right behind it, so order holds per subscriber.
"""

from collections.abc import Iterator

import trio

from comet.core.channel import Channel
from comet.core.fanout import sweep
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

    __slots__ = ("behind", "messages", "rounds", "steps")

    def __init__(self, channel: Channel, rounds: list[_Round]) -> None:
        due = channel.take_due()
        self.messages = len(due)
        self.steps: Iterator[bool] = sweep(channel, due) if due else iter(())
        self.rounds = rounds
        self.behind: list[_Round] = []


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
                written += self._sweep_small(channel)
            if written >= STEP:
                written = 0
                await trio.lowlevel.checkpoint()
        this.finish_one()

    def _sweep_small(self, channel: Channel) -> int:
        due = channel.take_due()
        taken = offered = 0
        for took in sweep(channel, due):
            offered += 1
            taken += took
        self._count(taken, offered - taken, len(due))
        return offered + 1

    def _step(self, channel: Channel) -> None:
        long = self._long[channel]
        taken = offered = 0
        for took in long.steps:
            offered += 1
            taken += took
            if offered == STEP:
                break
        self._count(taken, offered - taken, long.messages)
        if offered < STEP:
            self._finish(channel, long)

    def _finish(self, channel: Channel, long: _LongSweep) -> None:
        if long.behind:
            self._long[channel] = _LongSweep(channel, long.behind)
        else:
            del self._long[channel]
        for waiting in long.rounds:
            waiting.finish_one()

    def _count(self, taken: int, refused: int, messages: int) -> None:
        counts = self._counts
        counts.frames_taken += taken
        counts.frames_refused += refused
        counts.deliveries += taken * messages
        counts.failures += refused * messages
