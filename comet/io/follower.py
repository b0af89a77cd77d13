"""What a hub knows of a client of Socket.IO: one of these for each key that it has joined, 150 bytes."""

from typing import TYPE_CHECKING

from appmodel.core.credentials import Ticket
from comet.core.channel import Channel
from comet.io.following import Following
from comet.protocol.dialect import Encoder
from comet.protocol.native import Goodbye
from comet.protocol.socketio_dialect import dialect_of

if TYPE_CHECKING:
    from comet.io.client import SocketClient


class Follower(Following[Encoder]):
    """A client's place in the channel of one key."""

    __slots__ = (
        "channel",
        "client",
        "cursor",
        "dialect",
        "held",
        "offer",
        "overran",
        "place",
        "ticket",
    )

    def __init__(self, client: "SocketClient", channel: Channel, ticket: Ticket | None) -> None:
        self.client, self.channel, self.ticket = client, channel, ticket
        self.cursor = channel.cursor or 0
        self.held = None
        self.overran = False
        self.place = 0
        self.reframe()

    @property
    def name(self) -> str:
        """The id of its client."""
        return self.client.sid

    @property
    def is_open(self) -> bool:
        """Whether its client is still here and follows the key."""
        return self.client.follows(self)

    async def drained(self) -> None:
        """See `Following.drained`."""
        await self.client.transport.drained()

    def hang_up(self, goodbye: Goodbye) -> None:
        """The key is left, and the client told; its transport and its other keys stay."""
        self.client.lose(self, goodbye.reason)

    def reframe(self) -> None:
        """The transport wants messages in the bytes of its framing."""
        client = self.client
        transport = client.transport
        self.offer = transport.offer
        self.dialect = dialect_of(client.namespace, self.channel.key, transport.framing)
