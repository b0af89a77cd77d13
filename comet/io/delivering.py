"""Handing a message to a channel of this comet, wherever the message came from."""

from collections.abc import Callable

from appmodel.core.message import Sessions
from appmodel.core.names import Key
from comet.core.channel import ASIDE, OVERRUN, Channel
from comet.core.hub import Hub
from comet.core.message import Message


class Delivering:
    """The last step before the rounds. What a channel lacks is fetched by `on_hole`."""

    def __init__(self, hub: Hub, on_hole: Callable[[Channel], None]) -> None:
        self._hub, self._on_hole = hub, on_hole

    def deliver(
        self,
        key: Key,
        message: Message,
        prev: int | None,
        *,
        tail: bytes = b"",
        sessions: Sessions | None = None,
    ) -> int:
        """To all who are here: subscribers of `key`, and of its sessions; how many they are.

        Args:
            prev: the mark of the key before it; None = what its channel knows.
            tail: what is special to this key's copy.
            sessions: which sessions get a copy.
        """
        channel, online = self._hub.get(key), 0
        if channel is not None:
            online = len(channel.subscribers)
            copy = message.personal(tail, key, stored=message.stored) if tail else message
            self.hand_over(channel, copy, (channel.cursor or 0) if prev is None else prev)
        if sessions is not None:
            for session in self._hub.sessions(key):
                if sessions.include(session.key):
                    online += len(session.subscribers)
                    twin = message.unsaved
                    copy = twin.personal(tail, session.key, stored=False) if tail else twin
                    self.hand_over(session, copy, session.cursor or 0)
        return online

    def hand_over(self, channel: Channel, message: Message, prev: int) -> None:
        """Make it due, or see that it is not. Then wake the sweeper."""
        whole = channel.aside is None
        verdict = self._hub.accept(channel, message, prev)
        if verdict is OVERRUN or (verdict is ASIDE and whole):
            self._on_hole(channel)
