"""A client of Socket.IO without a socket: what the comet's side of it is offered, packet by packet.

phone = Phone(world.comet.socketio.talks, revision=4)
phone.say('0/chat,')
assert await phone.hears() == '0/chat,{"sid":"..."}'
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from comet.core.rules import Accept, Client, Effects, Event
from comet.core.transport import Handshake
from comet.io.talk import Talks
from comet.protocol.engineio import Framing

LIMIT = 40.0  # seconds for one packet: a test that hangs says where


class Phone:
    """Implements `Transport`, and is the client too."""

    def __init__(
        self, talks: Talks, *, revision: int = 4, query: str = "", address: str = "10.0.0.1"
    ) -> None:
        self.handshake = Handshake(revision, query, "", address)
        self.sid = "engine-1"
        self.framing = Framing.POLLING_4
        self.is_open = True
        self.closed_for = ""
        self._come = trio.Event()
        self._packets: list[str] = []
        self.speaker = talks.open(self)
        self.offer(self.speaker.opened())

    def say(self, message: str | bytes) -> None:
        """One message to the comet."""
        assert self.is_open
        self.speaker.receive(message)

    async def hears(self) -> str:
        """The next packet, without Engine.IO's 4; `b...` is base64 of bytes."""
        with trio.fail_after(LIMIT):
            while not self._packets:
                await self._come.wait()
        packet = self._packets.pop(0)
        return packet.removeprefix("4")

    @property
    def heard(self) -> list[str]:
        """What has come and was not asked for yet."""
        return [packet.removeprefix("4") for packet in self._packets]

    def lose(self, reason: str = "transport error") -> None:
        """The connection breaks."""
        self.is_open = False
        self.speaker.closed(reason)

    # What the comet does

    def offer(self, frames: bytes) -> bool:
        """See `Transport.offer`."""
        if not self.is_open:
            return False
        assert not frames or frames.endswith(b"\x1e")
        self._packets += frames.decode().split("\x1e")[:-1]
        self._come.set()
        self._come = trio.Event()
        return True

    async def drained(self) -> None:
        """See `Transport.drained`."""
        await trio.lowlevel.checkpoint()

    async def shows_life(self, within: float) -> bool:
        """See `Transport.shows_life`."""
        await trio.lowlevel.checkpoint()
        return self.is_open

    def close(self, reason: str) -> None:
        """See `Transport.close`."""
        if self.is_open:
            self.closed_for = reason
            self.lose(reason)


@dataclass
class Script:
    """Rules that do what a test says, and remember what they heard."""

    on_connect: Callable[[Client, Any], Any] = lambda client, asked: (Accept(),)
    on_event: Callable[[Client, Event], Any] = lambda client, event: ()
    on_gone: Callable[[Client, str], Any] = lambda client, reason: ()
    clients: list[Client] = field(default_factory=list)
    events: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    gone_for: list[str] = field(default_factory=list)

    async def connect(self, client: Client, asked: Any) -> Effects:
        """See `Rules.connect`."""
        self.clients.append(client)
        result = self.on_connect(client, asked)
        effects: Effects = await result if hasattr(result, "__await__") else result
        return effects

    def event(self, client: Client, event: Event) -> Any:
        """See `Rules.event`."""
        self.events.append((event.name, event.arguments))
        return self.on_event(client, event)

    def gone(self, client: Client, reason: str) -> Any:
        """See `Rules.gone`."""
        self.gone_for.append(reason)
        return self.on_gone(client, reason)
