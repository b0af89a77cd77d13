"""Acknowledgements of devices, written behind: see writing_behind.py.

While the database is away they are kept, up to a bound. What is written twice counts once. A comet that dies loses those of its last moment: these messages come once more.
"""

from collections.abc import Sequence

from appmodel.core.mpush_stores import AckBook, AckState
from comet.config import AcksConfig
from comet.core.mpush_news import AckNewsBook
from comet.io.writing_behind import Lines, WriteBehind

LINES = Lines(
    away="acknowledgements are not written",
    again="acknowledgements are written again",
    lost="acknowledgements are lost",
)


class AckWriter(WriteBehind):
    """Of one comet."""

    def __init__(self, book: AckBook, config: AcksConfig) -> None:
        super().__init__(LINES, gather=config.gather, max_pause=config.max_pause)
        self._book, self._batch = book, config.batch
        self._news = AckNewsBook(config.backlog)
        self.written = 0  # news, by device

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
        self.wake()

    def merged(self, name: str, state: AckState) -> AckState:
        """`state` as the book has it, with what is not written yet."""
        return self._news.merged(name, state)

    async def write_all(self) -> None:
        """See `WriteBehind`."""
        while news := self._news.take(self._batch):
            try:
                await self._book.acknowledge(news)
            except BaseException:
                self._news.failed()
                raise
            self._news.written()
            self.written += len(news)
