"""Offering what is due: encode once per dialect, one write per subscriber and round."""

from collections.abc import Iterator

from comet.core.channel import Channel
from comet.core.message import Message, join_frames


def sweep(channel: Channel, due: list[Message]) -> Iterator[bool]:
    """Offer `due` to each subscriber of `channel`; yields after each whether it took it.

    The caller may pause between two steps: who joins or leaves meanwhile is handled, because a newcomer
    has a cursor and a leaver refuses. Nobody is waited for: the slowest would set the pace for all.
    """
    if not due:
        return
    frames: dict[int, bytes] = {}
    first = due[0].id
    for subscriber in tuple(channel.subscribers):
        dialect = subscriber.dialect
        if subscriber.cursor >= first:  # it joined inside this round, or is being replayed
            if subscriber.held is not None:
                subscriber.hold(due)
            elif mine := [message for message in due if message.id > subscriber.cursor]:
                yield subscriber.offer(join_frames(mine, dialect))
            continue
        data = frames.get(dialect.encoding)
        if data is None:
            data = frames[dialect.encoding] = join_frames(due, dialect)
        yield subscriber.offer(data)
