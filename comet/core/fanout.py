"""Offering what is due: encode once per dialect, one write per subscriber and round."""

from collections.abc import Iterator, Sequence

from comet.core.channel import Subscriber
from comet.core.message import Message
from comet.protocol.dialect import Encoder


class Due:
    """Messages that go out together to the subscribers of a channel, in their order; at least one."""

    __slots__ = ("_joined", "_spared", "_taken", "_tallied", "first", "messages", "without")

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.first = min([message.id for message in messages])
        self._joined: dict[int, bytes] = {}
        self.without = {message.without for message in messages if message.without}
        self._tallied = any(message.tally for message in messages)
        self._taken = 0  # subscribers that took all of them
        self._spared: list[str] = []  # who took only those that do not spare them

    def joined(self, dialect: Encoder) -> bytes:
        """All of them as the one write that they become in this dialect."""
        if len(self.messages) == 1:
            return self.messages[0].frame(dialect)
        joined = self._joined.get(dialect.encoding)
        if joined is None:
            joined = b"".join([message.frame(dialect) for message in self.messages])
            self._joined[dialect.encoding] = joined
        return joined

    def for_one(self, subscriber: Subscriber) -> list[Message]:
        """Those that do not spare this client."""
        return [message for message in self.messages if message.without != subscriber.name]

    def note(self, taken: int) -> None:
        """So many took all of it."""
        self._taken += taken

    def note_one(self, subscriber: Subscriber) -> None:
        """One took what is for it."""
        self._spared.append(subscriber.name)

    def tallies(self) -> Iterator[tuple[int, int]]:
        """The number of each message that is counted, and how many subscribers took it."""
        if not self._tallied:
            return
        for message in self.messages:
            if message.tally:
                spared = sum(name != message.without for name in self._spared)
                yield message.tally, self._taken + spared


def deliver(due: Due, subscribers: Sequence[Subscriber]) -> int:
    """Offer `due` to each of `subscribers`; how many took it.

    Nobody is waited for: the slowest would set the pace for all.
    """
    taken = 0
    if due.without:
        spoken_of = [one for one in subscribers if one.name in due.without]
        if spoken_of:
            subscribers = [one for one in subscribers if one.name not in due.without]
            taken = sum([_deliver_rest(due, one) for one in spoken_of])
    whole = _deliver_all(due, subscribers)
    due.note(whole)
    return taken + whole


def _deliver_all(due: Due, subscribers: Sequence[Subscriber]) -> int:
    """This loop is most of what a push costs, so it looks up nothing twice: subscribers of one dialect mostly
    stand together.
    """
    taken = 0
    first = due.first
    dialect: Encoder | None = None
    data = b""
    for subscriber in subscribers:
        if subscriber.cursor >= first:  # it joined inside this round, or is being replayed
            taken += _deliver_late(due.messages, subscriber)
            continue
        if subscriber.dialect is not dialect:
            dialect = subscriber.dialect
            data = due.joined(dialect)
        if subscriber.offer(data):
            taken += 1
    return taken


def _deliver_rest(due: Due, subscriber: Subscriber) -> bool:
    """To one who sent some of it, or is to be spared it."""
    messages = due.for_one(subscriber)
    if not messages or not _deliver_late(messages, subscriber):
        return False
    due.note_one(subscriber)
    return True


def _deliver_late(messages: list[Message], subscriber: Subscriber) -> bool:
    """To one who may have had some of it already. What is held, or not due, counts as taken."""
    if subscriber.held is not None:
        subscriber.hold(messages)
        return True
    missing = [message for message in messages if message.id > subscriber.cursor]
    if not missing:
        return True
    return subscriber.offer(b"".join([message.frame(subscriber.dialect) for message in missing]))
