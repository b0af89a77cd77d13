"""Sending clients to the comet that owns their key now, at a bounded rate.

A direct connection is cheaper than an attachment, so the clients of keys that have left are moved: those of
version 2 are told where to (4000 `moved <url>`), others are closed in their protocol's own way and
look the key up anew. Who may stay, stays attached and misses nothing.

    ring change   keys that were ours: rate `move_rate`, in random order
    drain         everybody: the same rate, or as fast as the deadline demands
"""

import random
from collections import deque
from collections.abc import Callable, Iterable

import structlog
import trio

from appmodel.core.cluster import Handover, Node
from appmodel.core.names import Key
from comet.config import ClusterConfig
from comet.core.standing import Standing
from comet.io.live import Live
from comet.io.subscriber import Subscriber
from comet.protocol.native import MOVED, Goodbye

log = structlog.get_logger("comet")

STEP = 0.05  # seconds between two handfuls
HASTE = 0.7  # of the time to the deadline in which everybody should have been told
LOOKS = 1000  # keys of a handful besides those whose clients are moved: 5 ms


class Mover:
    """One per comet. `run` must be running."""

    def __init__(
        self, *, live: Live, standing: Callable[[], Standing], config: ClusterConfig, tls: bool
    ) -> None:
        """`tls`: WebSocket clients are told wss:// addresses."""
        self._live, self._standing, self._config = live, standing, config
        self._scheme = "wss" if tls else "ws"
        self._keys: deque[Key] = deque()
        self._wanted = trio.Event()
        self._deadline: float | None = None  # of a drain, on trio's clock
        self._unheard_before: int | None = (
            None  # goodbyes before the last drain; None: there was none
        )
        self._moved = 0
        self._second, self._this_second, self._peak = 0, 0, 0

    @property
    def handover(self) -> Handover:
        """How far it is."""
        unheard = self._live.counts.unheard
        before = unheard if self._unheard_before is None else self._unheard_before
        return Handover(self._moved, len(self._live.poller), unheard - before, self._peak)

    def move(self, keys: Iterable[Key]) -> None:
        """Send the clients of these keys to their new owner, soon and at the rate."""
        late = list(keys)
        random.shuffle(late)  # neighbours on the ring go to one new owner
        self._keys.extend(late)
        self._wanted.set()

    async def run(self) -> None:
        """Move whom there is to move, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            before = self._moved
            while self._keys:
                self._move_some(self._handful())
                await trio.sleep(STEP)
            if self._moved > before:
                log.info("clients moved", count=self._moved - before, peak=self._peak)

    async def drain(self, deadline: float) -> Handover:
        """Move everybody by then, and wait until they have gone; who is left stays.

        Cancelled, it leaves everybody who is still here, attached where another comet owns the key.
        """
        live, self._deadline = self._live, deadline
        self._unheard_before = live.counts.unheard
        try:
            while len(live.poller) and trio.current_time() < deadline:
                if live.hub.subscribers and not self._keys:
                    self.move(channel.key for channel in live.hub.channels())
                await trio.sleep(STEP)
        except trio.Cancelled:
            self._keys.clear()
            raise
        finally:
            if self._deadline == deadline:  # else a later drain is under way
                self._deadline = None
        return self.handover

    def _handful(self) -> int:
        rate = float(self._config.move_rate)
        if self._deadline is not None:
            left = max(STEP, (self._deadline - trio.current_time()) * HASTE)
            rate = max(rate, self._live.hub.subscribers / left)
        return max(1, round(rate * STEP * random.uniform(0.5, 1.5)))  # noqa: S311  jitter, no secret

    def _move_some(self, clients: int) -> None:
        looks = clients + LOOKS
        while self._keys and clients > 0 and looks > 0:
            clients -= self._move(self._keys.popleft())
            looks -= 1

    def _move(self, key: Key) -> int:
        """Move the clients of one key; how many were."""
        channel = self._live.hub.find(key)
        owner = self._standing().elsewhere(key)
        if channel is None or owner is None:  # they have gone, or the key has come back
            return 0
        moved = 0
        for subscriber in tuple(channel.subscribers):
            if not isinstance(subscriber, Subscriber) or self._may_stay(subscriber):
                continue  # clients of Socket.IO have one address for ever: they stay, attached
            subscriber.hang_up(self._goodbye(owner, subscriber))
            moved += 1
        self._count(moved)
        return moved

    def _may_stay(self, subscriber: Subscriber) -> bool:
        stays = not (subscriber.dialect.resumes or self._config.move_legacy)
        return stays and self._deadline is None

    def _goodbye(self, owner: Node, subscriber: Subscriber) -> Goodbye:
        if subscriber.dialect.transport == "ws":
            return _moved([f"{self._scheme}://{address}" for address in owner.ws])
        return _moved([f"tcp://{address}" for address in owner.tcp])

    def _count(self, moved: int) -> None:
        second = int(trio.current_time())
        if second != self._second:
            self._second, self._this_second = second, 0
        self._this_second += moved
        self._peak = max(self._peak, self._this_second)
        self._moved += moved
        self._live.counts.moved += moved


def _moved(urls: list[str]) -> Goodbye:
    """With the new address, if there is one and it fits into a close frame."""
    if urls and len(urls[0]) < 100:
        return Goodbye(MOVED.code, f"{MOVED.reason} {urls[0]}")
    return MOVED
