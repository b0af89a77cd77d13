"""The way into channels for clients of Socket.IO: several keys at once, as a client joins its rooms.

channels = entrance.open(keys)          they live while somebody is on the way
await entrance.make_ready(channels)     their owners know of them, and their marks are read
hub.join(channel, follower)             or entrance.abandon(channels)
await entrance.announce(channel)        if whoever pushes next must see that somebody is there
"""

from collections.abc import Iterable

import structlog

from appmodel.core.names import Key
from comet.core.channel import Channel
from comet.core.hub import Hub
from comet.io.attachments import Attachments
from comet.io.membership import Membership
from comet.io.replay import Reading

log = structlog.get_logger("comet")


class Entrance:
    """What every join has to do before a client follows a key."""

    def __init__(
        self, *, hub: Hub, membership: Membership, attachments: Attachments, reading: Reading
    ) -> None:
        self._hub, self._membership = hub, membership
        self._attachments, self._reading = attachments, reading

    def open(self, keys: Iterable[Key]) -> list[Channel]:
        """Their channels, made if need be. Of each, `Hub.join` or `abandon` must follow."""
        return [self._hub.open(key) for key in keys]

    async def make_ready(self, channels: Iterable[Channel]) -> None:
        """Let owners elsewhere know, all of them together; then nothing that is pushed is missed.

        Keys of namespaces are not stored: nothing is asked of the store for them. Cancelling is safe.
        """
        for channel in channels:
            self._membership.find_home(channel)
        for channel in channels:
            if channel.home is not None and not await self._attachments.told(channel):
                log.warning("not attached in time", key=str(channel.key))
        for channel in channels:
            if channel.cursor is None and not channel.key.is_of_namespace:
                await self._reading.learn_mark(channel)

    async def announce(self, channel: Channel) -> None:
        """Let the owner know how many are here now, at once; it would hear a moment later. Cancelling is safe."""
        if channel.home is not None and not await self._attachments.told(channel, all_of_it=True):
            log.warning("presence not told in time", key=str(channel.key))

    def abandon(self, channels: Iterable[Channel]) -> None:
        """Nobody comes after all."""
        for channel in channels:
            self._hub.abandon(channel)
