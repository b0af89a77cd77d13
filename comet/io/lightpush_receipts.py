"""Acknowledgements and frames, written behind: every `gather`, in batches, one under way.

    ackPush ──┐
              ├─> book ──> PushBook.acknowledge, PushBook.tally
    frames  ──┘

While the store is away they are kept, up to a bound, and tried again at growing intervals. Both may be
written twice and count once. Source: spec/liutian-push.md 6.1 and 6.4.
"""

import random
from collections.abc import Callable

import structlog
import trio

from appmodel.core.cluster import Node
from appmodel.core.lightpush_records import Ack, Process
from appmodel.core.lightpush_stores import PushBook
from comet.config import ReceiptsConfig
from comet.core.lightpush_receipts import ReceiptBook
from comet.io.leftovers import FAULTS
from comet.io.lightpush_absent import text_of

log = structlog.get_logger("comet")

FIRST_PAUSE = 0.5  # seconds before the second try, at most; doubles up to `max_pause`


class StoredReceipts:
    """Implements `Receipts` of the rules, and hears what the hub counts. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        pushes: PushBook,
        config: ReceiptsConfig,
        now: Callable[[], float],
    ) -> None:
        """`me`: this comet as it is announced. `now`: Unix seconds."""
        self._me, self._pushes, self._config, self._now = me, pushes, config, now
        self._book = ReceiptBook(config.backlog)
        self._wanted = trio.Event()
        self.trouble: str | None = None  # why the last batch was not written
        self.acknowledged = 0  # that were new
        self.failures = 0

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
        self._wanted.set()

    def tally(self, realm: str, number: int, taken: int) -> None:
        """So many subscribers took push `number`. For `Hub.on_tally`."""
        if taken:
            self._book.count(realm, number, taken)
            self._wanted.set()

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
            log.warning("receipts of light-push are lost", error=text_of(error), count=self.pending)

    async def _write(self) -> None:
        self._wanted = trio.Event()
        me, limit = self._me(), self._config.batch
        process = Process(me.name, me.incarnation)
        while (tally := self._book.tally(process, limit)) is not None:
            await self._pushes.tally(tally, now=self._ms())
            self._book.counted()
        while acks := self._book.acks(limit):
            self.acknowledged += await self._pushes.acknowledge(acks, now=self._ms())
            self._book.done(acks)

    def _ms(self) -> int:
        return round(self._now() * 1000)

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.warning("receipts are not written", error=trouble, pending=self.pending)
        elif trouble is None and self.trouble is not None:
            log.info("receipts are written again")
        self.trouble = trouble
