"""Handing a message to a channel of this comet, wherever the message came from."""

from collections.abc import Callable

from comet.core.channel import ASIDE, OVERRUN, Channel
from comet.core.hub import Hub
from comet.core.message import Message


class Delivering:
    """The last step before the rounds. What a channel lacks is fetched by `on_hole`."""

    def __init__(self, hub: Hub, on_hole: Callable[[Channel], None]) -> None:
        self._hub, self._on_hole = hub, on_hole

    def hand_over(self, channel: Channel, message: Message, prev: int) -> None:
        """Make it due, or see that it is not. Then wake the sweeper."""
        whole = channel.aside is None
        verdict = self._hub.accept(channel, message, prev)
        if verdict is OVERRUN or (verdict is ASIDE and whole):
            self._on_hole(channel)
