"""Acknowledgements and frames, written behind: see writing_behind.py.

    ackPush ──┐
              ├─> book ──> PushBook.acknowledge, PushBook.tally
    frames  ──┘

While the store is away they are kept, up to a bound. Both may be written twice and count once. Source: spec/liutian-push.md 6.1 and 6.4.
"""

from collections.abc import Callable

from appmodel.core.cluster import Node
from appmodel.core.lightpush_records import Ack, Process
from appmodel.core.lightpush_stores import PushBook
from comet.config import ReceiptsConfig
from comet.core.lightpush_receipts import ReceiptBook
from comet.io.writing_behind import Lines, WriteBehind

LINES = Lines(
    away="receipts are not written",
    again="receipts are written again",
    lost="receipts of light-push are lost",
)


class StoredReceipts(WriteBehind):
    """Implements `Receipts` of the rules, and hears what the hub counts."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        pushes: PushBook,
        config: ReceiptsConfig,
        now: Callable[[], float],
    ) -> None:
        """`me`: this comet as it is announced. `now`: Unix seconds."""
        super().__init__(LINES, gather=config.gather, max_pause=config.max_pause)
        self._me, self._pushes, self._batch, self._now = me, pushes, config.batch, now
        self._book = ReceiptBook(config.backlog)
        self.acknowledged = 0  # that were new

    @property
    def pending(self) -> int:
        """Acks, and pushes with frames, that are to be written."""
        return len(self._book)

    @property
    def dropped(self) -> int:
        """That were too many to keep."""
        return self._book.dropped

    def acknowledge(self, ack: Ack) -> None:
        """See `Receipts`."""
        self._book.acknowledge(ack)
        self.wake()

    def tally(self, realm: str, number: int, taken: int) -> None:
        """So many subscribers took push `number`. For `Hub.on_tally`."""
        if taken:
            self._book.count(realm, number, taken)
            self.wake()

    async def write_all(self) -> None:
        """See `WriteBehind`."""
        me, limit = self._me(), self._batch
        process = Process(me.name, me.incarnation)
        while (tally := self._book.tally(process, limit)) is not None:
            await self._pushes.tally(tally, now=self._ms())
            self._book.counted()
        while acks := self._book.acks(limit):
            self.acknowledged += await self._pushes.acknowledge(acks, now=self._ms())
            self._book.done(acks)

    def _ms(self) -> int:
        return round(self._now() * 1000)
