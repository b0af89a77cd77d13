"""Which streams of an HTTP/2 connection may be opened, and in which order. Asyncio inside.

Source: aioapns/common.py, DynamicBoundedSemaphore, which lets more through after its bound was lowered.
"""

import asyncio
import collections

from aioapns.exceptions import ConnectionClosed
from h2.connection import H2Connection

MAX_STREAMS = 1000  # at once on a connection, whatever the server allows


class Channels:
    """Which streams may be opened: in their order, no more at once than the server allows."""

    def __init__(self) -> None:
        self.bound = 0  # nothing before the server has said how many
        self.open = 0
        self._last = -1
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    @property
    def is_busy(self) -> bool:
        """Whether who comes now would have to wait."""
        return self.open + len(self._waiting) >= self.bound

    @property
    def load(self) -> int:
        """Streams that are open or wanted."""
        return self.open + len(self._waiting)

    async def acquire(self) -> int:
        """The id of a stream; `release` gives back its place. The next one to open is this."""
        if self.is_busy:
            await self._turn()
        else:
            self.open += 1
        self._last += 2
        if self._last > H2Connection.HIGHEST_ALLOWED_STREAM_ID:
            self.release()
            raise ConnectionClosed("all stream ids are used")
        return self._last

    def release(self) -> None:
        """A stream has ended."""
        self.open -= 1
        self._wake()

    def allow(self, bound: int) -> None:
        """The server has said how many it takes."""
        self.bound = min(bound, MAX_STREAMS)
        self._wake()

    def destroy(self, error: Exception) -> None:
        """Nobody will get one any more."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    async def _turn(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self.release()  # it was given a place just now
            raise

    def _wake(self) -> None:
        while self._waiting and self.open < self.bound:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.open += 1
                waiter.set_result(None)
