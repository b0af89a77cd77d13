"""What clients have acknowledged, and how many frames were written to them, since both were last written.

    ackPush {id}       one `Ack` for each client and push, however often it says so
    Hub.on_tally       frames of a push, added up

Both are bounded: beyond that acks are dropped, and frames of pushes that the book has not heard of yet.
A tally that is under way is kept as it was until it is known to have come through: see `Tally`.
"""

from collections.abc import Sequence
from itertools import islice

from appmodel.core.lightpush_records import Ack, Process, Tally


class ReceiptBook:
    """The receipts of one comet."""

    def __init__(self, limit: int) -> None:
        """`limit`: acks that are kept, and pushes whose frames are."""
        self._limit = limit
        self._acks: dict[Ack, None] = {}
        self._frames: dict[tuple[str, int], int] = {}
        self._tally: Tally | None = None  # under way, or of unknown fate
        self._number = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._acks) + len(self._frames) + (self._tally is not None)

    def acknowledge(self, ack: Ack) -> None:
        """A client has received a push."""
        if len(self._acks) < self._limit:
            self._acks[ack] = None
        elif ack not in self._acks:
            self.dropped += 1

    def count(self, namespace: str, push_id: int, frames: int) -> None:
        """So many frames of a push were written."""
        name = (namespace, push_id)
        if name in self._frames or len(self._frames) < self._limit:
            self._frames[name] = self._frames.get(name, 0) + frames
        else:
            self.dropped += frames

    def acks(self, limit: int) -> Sequence[Ack]:
        """At most `limit`, oldest first. They stay until they are `done`."""
        return list(islice(self._acks, limit))

    def done(self, acks: Sequence[Ack]) -> None:
        """These are written."""
        for ack in acks:
            self._acks.pop(ack, None)

    def tally(self, process: Process, limit: int) -> Tally | None:
        """The one under way; or the next one, of at most `limit` pushes. None: there is nothing to count."""
        if self._tally is None and self._frames:
            names = list(islice(self._frames, limit))
            self._number += 1
            frames = {name: self._frames.pop(name) for name in names}
            self._tally = Tally(process, self._number, frames)
        return self._tally

    def counted(self) -> None:
        """The tally under way is written."""
        self._tally = None
