"""Writing behind what happens: every `gather`, in batches, one under way.

    noted ─> wake ─> gather ─> write ─> written
               ^                └ away: kept, and tried again at growing intervals; said once, and once more when it is over

What is kept, and how much of it, is the writer's: so is that it may be written twice, and counts once.
"""

import random
from abc import ABC, abstractmethod
from typing import NamedTuple

import structlog
import trio

from comet.io.leftovers import FAULTS
from comet.io.lightpush_absent import text_of

FIRST_PAUSE = 0.5  # seconds before the second try, at most; doubles up to `max_pause`

log = structlog.get_logger("comet")


class Lines(NamedTuple):
    """Of the log."""

    away: str
    again: str
    lost: str


class WriteBehind(ABC):
    """Who keeps news and writes them: `run` must be running."""

    def __init__(self, lines: Lines, *, gather: float, max_pause: float) -> None:
        """
        Args:
            gather: seconds in which news become one batch.
            max_pause: seconds between two tries.
        """
        self._lines, self._gather, self._max_pause = lines, gather, max_pause
        self._wanted = trio.Event()
        self.trouble: str | None = None  # why the last batch was not written
        self.failures = 0  # batches that were not

    @property
    @abstractmethod
    def pending(self) -> int:
        """How much is to be written."""

    @abstractmethod
    async def write_all(self) -> None:
        """Write all that is kept, and what comes meanwhile; what could not be written stays. Raises FAULTS."""

    def wake(self) -> None:
        """There is something to write."""
        self._wanted.set()

    async def run(self) -> None:
        """Write, until cancelled."""
        pause = 0.0
        while True:
            await self._wanted.wait()
            await trio.sleep(self._gather + random.uniform(pause / 2, pause))  # noqa: S311  jitter is no secret
            try:
                await self._write()
            except FAULTS as error:
                self.failures += 1
                self._wanted.set()
                self._say(text_of(error))
                pause = min(max(FIRST_PAUSE, 2 * pause), self._max_pause)
            else:
                self._say(None)
                pause = 0.0

    async def leave(self) -> None:
        """Nothing is noted any more, and `run` has ended: write the rest. Cancelling is safe."""
        try:
            await self._write()
        except FAULTS as error:
            log.warning(self._lines.lost, error=text_of(error), pending=self.pending)

    async def _write(self) -> None:
        self._wanted = trio.Event()
        await self.write_all()

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.warning(self._lines.away, error=trouble, pending=self.pending)
        elif trouble is None and self.trouble is not None:
            log.info(self._lines.again)
        self.trouble = trouble
