"""Rounds are fair: a giant channel is swept in steps, and order holds all the same."""

import trio

from appmodel.core.names import parse_key
from comet.core.channel import Channel
from comet.core.hub import Hub
from comet.core.message import Message
from comet.io.live import Counts
from comet.io.sweeper import STEP, Sweeper
from comet.protocol.gopush_tcp import TcpDialect
from tests.comet.fakes import Taker

DIALECT = TcpDialect(version="1")


class Stage:
    """A hub with channels of takers, and a sweeper."""

    def __init__(self) -> None:
        self.hub, self.counts = Hub(), Counts()
        self.sweeper = Sweeper(self.hub, self.counts)
        self.takers: list[Taker] = []
        self._ids = 0

    def channel(self, key: str, size: int) -> tuple[Channel, list[Taker]]:
        takers = [Taker(DIALECT) for _ in range(size)]
        self.takers += takers
        channel = self.hub.open(parse_key(key))
        channel.joining += size - 1
        for taker in takers:
            self.hub.join(channel, taker)
        return channel, takers

    @property
    def written(self) -> int:
        """How often anybody was written to."""
        return sum(len(taker.writes) for taker in self.takers)

    def push(self, *channels: Channel) -> tuple[bytes, trio.Event]:
        """One message for these channels; its frame, and the event of its caller."""
        self._ids += 1
        message = Message(self._ids, b"{}", stored=False)
        for channel in channels:
            self.hub.accept(channel, message, 0)
        offered = trio.Event()
        self.sweeper.wake(offered)
        return message.frame(DIALECT), offered


async def test_a_giant_channel_is_swept_in_steps(nursery: trio.Nursery) -> None:
    """Between two turns of another task are two steps at most: trio shuffles the tasks of a turn."""
    stage = Stage()
    giant, takers = stage.channel("giant", 10 * STEP + 7)
    nursery.start_soon(stage.sweeper.run)
    _, offered = stage.push(giant)

    most = seen = 0
    while not offered.is_set():
        await trio.lowlevel.checkpoint()
        most, seen = max(most, stage.written - seen), stage.written

    assert seen == len(takers)
    assert 0 < most <= 2 * STEP
    assert stage.counts.deliveries == len(takers)
    nursery.cancel_scope.cancel()


async def test_many_small_channels_are_swept_in_steps(nursery: trio.Nursery) -> None:
    """One push to thousands of keys leaves room for others too."""
    stage = Stage()
    channels = [stage.channel(f"k{i}", 1)[0] for i in range(3 * STEP)]
    nursery.start_soon(stage.sweeper.run)
    _, offered = stage.push(*channels)

    most = seen = 0
    while not offered.is_set():
        await trio.lowlevel.checkpoint()
        most, seen = max(most, stage.written - seen), stage.written

    assert seen == 3 * STEP
    assert most <= 2 * STEP
    nursery.cancel_scope.cancel()


async def test_a_small_channel_does_not_wait_for_a_giant(nursery: trio.Nursery) -> None:
    """What is pushed to others in the middle of a sweep goes out in the middle of it."""
    stage = Stage()
    giant, takers = stage.channel("giant", 20 * STEP)
    small, [taker] = stage.channel("small", 1)
    nursery.start_soon(stage.sweeper.run)
    _, giant_done = stage.push(giant)
    while not stage.written:
        await trio.lowlevel.checkpoint()

    _, small_done = stage.push(small)
    await small_done.wait()

    assert len(taker.writes) == 1
    assert stage.written < len(takers)
    assert not giant_done.is_set()
    await giant_done.wait()
    nursery.cancel_scope.cancel()


async def test_order_holds_over_a_sweep_in_steps(nursery: trio.Nursery) -> None:
    """What becomes due in the middle of a sweep comes behind it, to everybody, once."""
    stage = Stage()
    giant, takers = stage.channel("giant", 5 * STEP)
    nursery.start_soon(stage.sweeper.run)
    first, _ = stage.push(giant)
    while not stage.written:
        await trio.lowlevel.checkpoint()

    second, _ = stage.push(giant)
    await trio.lowlevel.checkpoint()
    third, last = stage.push(giant)
    await last.wait()

    assert {b"".join(taker.writes) for taker in takers} == {first + second + third}
    nursery.cancel_scope.cancel()


async def test_who_leaves_in_the_middle_costs_nobody_a_message(nursery: trio.Nursery) -> None:
    """Another takes its place in the channel, and is still written to once."""
    stage = Stage()
    giant, takers = stage.channel("giant", 4 * STEP)
    nursery.start_soon(stage.sweeper.run)
    _, offered = stage.push(giant)
    while not stage.written:
        await trio.lowlevel.checkpoint()

    gone = takers[1]
    stage.hub.leave(giant, gone)
    await offered.wait()

    assert all(len(taker.writes) == 1 for taker in takers if taker is not gone)
    nursery.cancel_scope.cancel()


async def test_a_caller_is_told_when_its_own_push_has_been_offered(nursery: trio.Nursery) -> None:
    """Not before, although other rounds end earlier."""
    stage = Stage()
    giant, takers = stage.channel("giant", 5 * STEP)
    small, _ = stage.channel("small", 1)
    nursery.start_soon(stage.sweeper.run)
    stage.push(giant)
    while not stage.written:
        await trio.lowlevel.checkpoint()

    frame, both = stage.push(giant, small)
    _, only_small = stage.push(small)
    await only_small.wait()
    await both.wait()

    assert all(frame in taker.writes[-1] for taker in takers)
    nursery.cancel_scope.cancel()
