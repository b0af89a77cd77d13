"""Offering what is due: encode once per dialect, one write per subscriber and round."""

from collections.abc import Sequence

from comet.core.channel import Subscriber
from comet.core.message import Message
from comet.protocol.dialect import Dialect


class Due:
    """Messages that go out together to the subscribers of a channel, in their order; at least one."""

    __slots__ = ("_joined", "first", "messages")

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.first = min([message.id for message in messages])
        self._joined: dict[int, bytes] = {}

    def joined(self, dialect: Dialect) -> bytes:
        """All of them as the one write that they become in this dialect."""
        if len(self.messages) == 1:
            return self.messages[0].frame(dialect)
        joined = self._joined.get(dialect.encoding)
        if joined is None:
            joined = b"".join([message.frame(dialect) for message in self.messages])
            self._joined[dialect.encoding] = joined
        return joined

    def above(self, cursor: int) -> list[Message]:
        """Those that somebody has not had who has had everything up to `cursor`."""
        return [message for message in self.messages if message.id > cursor]


def deliver(due: Due, subscribers: Sequence[Subscriber]) -> int:
    """Offer `due` to each of `subscribers`; how many took it.

    Nobody is waited for: the slowest would set the pace for all. This loop is most of what a push
    costs, so it looks up nothing twice: subscribers of one dialect mostly stand together.
    """
    taken = 0
    first = due.first
    dialect: Dialect | None = None
    data = b""
    for subscriber in subscribers:
        if subscriber.cursor >= first:  # it joined inside this round, or is being replayed
            taken += _deliver_late(due, subscriber)
            continue
        if subscriber.dialect is not dialect:
            dialect = subscriber.dialect
            data = due.joined(dialect)
        if subscriber.offer(data):
            taken += 1
    return taken


def _deliver_late(due: Due, subscriber: Subscriber) -> bool:
    """To one who may have had some of it already. What is held, or not due, counts as taken."""
    if subscriber.held is not None:
        subscriber.hold(due.messages)
        return True
    missing = due.above(subscriber.cursor)
    return not missing or subscriber.offer(Due(missing).joined(subscriber.dialect))
