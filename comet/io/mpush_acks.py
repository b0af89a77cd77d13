"""Acknowledgements of devices, written behind: every `gather`, in batches, one under way.

While the database is away they are kept, up to a bound, and tried again at growing intervals. What is written
twice counts once. A comet that dies loses those of its last moment: these messages come once more.
"""

import random
from collections.abc import Sequence

import structlog
import trio

from appmodel.core.mpush_stores import AckBook, AckState
from comet.config import AcksConfig
from comet.core.mpush_news import AckNewsBook
from comet.io.leftovers import FAULTS
from comet.io.lightpush_absent import text_of

log = structlog.get_logger("comet")

FIRST_PAUSE = 0.5  # seconds before the second try, at most; doubles up to `max_pause`


class AckWriter:
    """Of one comet; `run` must be running."""

    def __init__(self, book: AckBook, config: AcksConfig) -> None:
        self._book, self._config = book, config
        self._news = AckNewsBook(config.backlog)
        self._wanted = trio.Event()
        self.trouble: str | None = None  # why the last batch was not written
        self.written = 0  # news, by device
        self.failures = 0

    @property
    def pending(self) -> int:
        """Devices with news that are to be written."""
        return len(self._news)

    @property
    def dropped(self) -> int:
        """Devices whose news were too many to keep."""
        return self._news.dropped

    def note(self, name: str, floor: int, done: Sequence[int]) -> None:
        """A device has acknowledged all up to `floor`, and `done`."""
        self._news.add(name, floor, done)
        self._wanted.set()

    def merged(self, name: str, state: AckState) -> AckState:
        """`state` as the book has it, with what is not written yet."""
        return self._news.merged(name, state)

    async def run(self) -> None:
        """Write, until cancelled."""
        pause = 0.0
        while True:
            await self._wanted.wait()
            await trio.sleep(self._config.gather + random.uniform(pause / 2, pause))  # noqa: S311  jitter is no secret
            try:
                await self._write()
            except FAULTS as error:
                self.failures += 1
                self._wanted.set()
                self._say(text_of(error))
                pause = min(max(FIRST_PAUSE, 2 * pause), self._config.max_pause)
            else:
                self._say(None)
                pause = 0.0

    async def leave(self) -> None:
        """Nobody acknowledges any more, and `run` has ended: write the rest. Cancelling is safe."""
        try:
            await self._write()
        except FAULTS as error:
            log.warning("acknowledgements are lost", error=text_of(error), devices=self.pending)

    async def _write(self) -> None:
        self._wanted = trio.Event()
        while news := self._news.take(self._config.batch):
            try:
                await self._book.acknowledge(news)
            except BaseException:
                self._news.failed()
                raise
            self._news.written()
            self.written += len(news)

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.warning("acknowledgements are not written", error=trouble, devices=self.pending)
        elif trouble is None and self.trouble is not None:
            log.info("acknowledgements are written again")
        self.trouble = trouble
