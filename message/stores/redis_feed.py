"""The feed of a store in several buckets: what each bucket's feed has new, gathered into one.

    {appmsg:0}:feed  9-0 a  17-0 b      \
    {appmsg:1}:feed  12-0 c              >   {appmsg:0}:gathered  20-0 a  21-0 b  22-0 c  30-0 d
    {appmsg:2}:feed  25-0 d             /    {appmsg:0}:gathered-from  0 = 17, 1 = 12, 2 = 25

A position is one number and has to mean the same on every node, so it can only be a place in one
stream. Whoever reads the feed first gathers; the script GATHER takes news only if nobody else has taken
them before, so nothing is gathered twice or overlooked, whoever dies when. A bucket whose server is
away is left for later: its marks then come at higher positions.

With one bucket its own feed is the feed.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import trio

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Feed
from appmodel.core.names import Key
from appmodel.errors import PushError
from message.stores.notices import Notices
from message.stores.redis_lane import Ask, Lane
from message.stores.redis_lanes import Lanes
from message.stores.redis_replies import checked, whole
from message.stores.redis_scripts import GATHER, Argument, Command

PIECE = 200  # entries gathered from a bucket in one go


def end_command(stream: bytes) -> Command:
    """Asks for the last entry of a feed."""
    return ("XREVRANGE", stream, "+", "-", "COUNT", 1)


def entries_command(stream: bytes, position: int, count: int) -> Command:
    """Asks for the entries that end after a position."""
    return ("XRANGE", stream, f"{min(max(position, 0), MAX_ID) + 1}-0", "+", "COUNT", count)


def position_of(entry: Any) -> int:
    """Of the last row of an entry."""
    return int(entry[0].partition(b"-")[0])


class FeedReader:
    """Reads the feed of a store."""

    def __init__(
        self, lanes: Lanes, feed_limit: int, notices: Notices, now: Callable[[], float]
    ) -> None:
        self._lanes, self._limit, self._notices, self._now = lanes, feed_limit, notices, now
        bucket = lanes.first.bucket
        self._stream = bucket.feed if len(lanes) == 1 else bucket.gathered

    async def read(self, position: int, limit: int) -> Feed:
        """See `OfflineStore.feed`."""
        if len(self._lanes) > 1:
            while await self._gather():
                pass
        commands = [end_command(self._stream)]
        if position >= 0:
            commands.append(entries_command(self._stream, position, 2 + limit // 8))
        last, *found = await self._lanes.first.reader.ask(Ask(commands, checked))
        if not found or not found[0]:
            return Feed(position_of(last[0]) if last else 0, ())
        rows = [row for entry in found[0] for row in self._rows(self._stream, entry)]
        news = [row for row in rows if row[0] > position]
        reached = news[limit - 1][0] if len(news) > limit else position_of(found[0][-1])
        marks = {
            Key.from_stored(name.decode("utf-8", "replace")): int(mark)
            for _, name, mark in news[:limit]
        }
        return Feed(reached, tuple(marks.items()))

    async def _gather(self) -> bool:
        """One piece of every bucket; whether there may be more."""
        first = self._lanes.first
        command: Command = ("HGETALL", first.bucket.gathered_from)
        [flat] = await first.reader.ask(Ask([command], checked))
        known = dict(zip(flat[::2], flat[1::2], strict=True))
        pieces: dict[int, list[Any]] = {}

        async def look(lane: Lane) -> None:
            begin = whole(known.get(b"%d" % lane.bucket.number))
            command = entries_command(lane.bucket.feed, begin, PIECE)
            with contextlib.suppress(PushError):  # its link says why
                [pieces[lane.bucket.number]] = await lane.reader.ask(Ask([command], checked))

        async with trio.open_nursery() as nursery:
            for lane in self._lanes:
                nursery.start_soon(look, lane)
        commands = [
            self._gather_command(number, known.get(b"%d" % number, b"0"), piece)
            for number, piece in sorted(pieces.items())
            if piece
        ]
        if commands:
            with contextlib.suppress(PushError):  # what is not gathered now is gathered later
                await first.writer.ask(Ask(commands, checked))
                return any(len(piece) == PIECE for piece in pieces.values())
        return False

    def _gather_command(self, number: int, begin: bytes, piece: Sequence[Any]) -> Command:
        bucket = self._lanes.first.bucket
        entries: list[Argument] = []
        for entry in piece:
            rows = self._rows(self._lanes[number].bucket.feed, entry)
            entries += (len(rows), *(part for _, name, mark in rows for part in (name, mark)))
        return GATHER.call(
            [bucket.gathered, bucket.gathered_from],
            self._now(),
            self._limit,
            number,
            begin,
            position_of(piece[-1]),
            *entries,
        )

    def _rows(self, stream: bytes, entry: Any) -> list[tuple[int, bytes, bytes]]:
        """Position, key and mark of each row of an entry; none, if others have written it."""
        where, fields = position_of(entry), entry[1]
        marks = fields[1::2]
        if not all(mark.isdigit() for mark in marks):
            self._notices.foreign_data(stream.decode())
            return []
        first = where - len(marks) + 1
        return list(zip(range(first, where + 1), fields[::2], marks, strict=True))
