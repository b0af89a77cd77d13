"""All channels of a comet. A key that nobody subscribes to costs nothing, whatever is pushed to it.

The sessions of a user (`u1_Android-d1@user`) are found by his inbox (`u1@user`): what is pushed to him goes to all
of them.
"""

from collections.abc import Callable, Iterable, Sequence

from appmodel.core.names import Key
from comet.core.attaching import Books, Reading
from comet.core.channel import DUE, Channel, Subscriber, Verdict
from comet.core.message import Message


class Hub:
    """Finds channels by key, makes and forgets them, and remembers which have something due."""

    def __init__(self) -> None:
        self._channels: dict[Key, Channel] = {}
        self._sessions: dict[Key, tuple[Channel, ...]] = {}  # by inbox; nearly always one or two
        # told when a session's first subscriber has come (True), and when its last one has gone
        self.on_presence: Callable[[Key, bool], None] = lambda session, is_here: None
        # told how many subscribers took a message that is counted: realm, number, how many
        self.on_tally: Callable[[str, int, int], None] = lambda realm, number, taken: None
        self.dirty: list[Channel] = []  # for the next round: what became due since the last one
        self.accessed = 0  # look-ups; /stat shows it, as the original does
        self.created = 0
        self.deleted = 0
        self.subscribers = 0

    def __len__(self) -> int:
        return len(self._channels)

    def look(self, key: Key, home: Books) -> Reading | None:
        """What the owner with those books is told of `key`; None if nobody is here, or it has another."""
        channel = self._channels.get(key)
        return channel.reading if channel is not None and channel.home is home else None

    def find(self, key: Key) -> Channel | None:
        """The same as `get`, and not counted: nobody asked for it."""
        return self._channels.get(key)

    def get(self, key: Key) -> Channel | None:
        """The channel of `key`, if anybody is here."""
        self.accessed += 1
        return self._channels.get(key)

    def sessions(self, inbox: Key) -> Iterable[Channel]:
        """The channels of this user's sessions."""
        return self._sessions.get(inbox, ())

    def open(self, key: Key) -> Channel:
        """The channel of `key`, made if need be, for a client on its way in.

        Call `join` or `abandon` for each call of `open`.
        """
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(key)
            self.created += 1
            if channel.inbox is not None:
                self._sessions[channel.inbox] = (*self._sessions.get(channel.inbox, ()), channel)
        channel.joining += 1
        return channel

    def join(self, channel: Channel, subscriber: Subscriber) -> None:
        """The client of an `open` is a subscriber now."""
        channel.joining -= 1
        channel.join(subscriber)
        self.subscribers += 1
        if channel.home is not None:
            channel.home.touch(channel.key)
        if channel.inbox is not None and len(channel.subscribers) == 1:
            self.on_presence(channel.key, True)

    def abandon(self, channel: Channel) -> None:
        """The client of an `open` did not make it."""
        channel.joining -= 1
        self._forget_if_idle(channel)

    def leave(self, channel: Channel, subscriber: Subscriber) -> None:
        """`subscriber` is gone."""
        channel.leave(subscriber)
        self.subscribers -= 1
        if channel.home is not None:
            channel.home.touch(channel.key)
        if channel.inbox is not None and not channel.subscribers:
            self.on_presence(channel.key, False)
        self._forget_if_idle(channel)

    def acknowledge(self, channel: Channel, message_id: int, highest: int) -> None:
        """A subscriber has handled everything up to `message_id`; beyond `highest` that is no id."""
        if channel.acknowledged < message_id <= highest:
            channel.acknowledged = message_id
            if channel.home is not None:
                channel.home.touch(channel.key)

    def accept(self, channel: Channel, message: Message, prev: int) -> Verdict:
        """Hand a message to a channel and note that it has something due."""
        verdict = channel.accept(message, prev)
        if verdict is DUE and not channel.listed:
            self._list(channel)
        return verdict

    def fill(self, channel: Channel, until: int, messages: Sequence[Message]) -> None:
        """The hole of a channel is fetched; see `Channel.fill`."""
        channel.fill(until, messages)
        if channel.due and not channel.listed:
            self._list(channel)

    def take_dirty(self) -> list[Channel]:
        """The channels of this round."""
        dirty, self.dirty = self.dirty, []
        for channel in dirty:
            channel.listed = False
        return dirty

    def channels(self) -> list[Channel]:
        """All of them, as they are now."""
        return list(self._channels.values())

    def _list(self, channel: Channel) -> None:
        channel.listed = True
        self.dirty.append(channel)

    def _forget_if_idle(self, channel: Channel) -> None:
        if channel.is_idle and self._channels.pop(channel.key, None) is not None:
            self.deleted += 1
            if channel.home is not None:
                channel.home.touch(channel.key)
            if channel.inbox is not None:
                self._forget_session(channel.inbox, channel)

    def _forget_session(self, inbox: Key, channel: Channel) -> None:
        left = tuple(each for each in self._sessions[inbox] if each is not channel)
        if left:
            self._sessions[inbox] = left
        else:
            del self._sessions[inbox]
