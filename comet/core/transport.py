"""What carries Engine.IO messages, and who speaks over it: the seam between the transport and what it means.

    Session (comet/io/engine_session.py)   implements Transport: WebSocket or polling, one of two revisions
    Talk    (comet/io/talk.py)             implements Speaker: Socket.IO, its namespaces, their clients

A transport at rest costs its socket and one object: neither side may start a task or a timer for it.
"""

from dataclasses import dataclass
from typing import Protocol

from appmodel.errors import BadInput
from appmodel.protocol.http import first_values
from comet.protocol.engineio import Framing


@dataclass(frozen=True, slots=True)
class Handshake:
    """The request that began a transport. Kept as long as it lives: so texts, and nothing parsed."""

    revision: int  # of Engine.IO: 3 or 4
    query_string: str
    cookie: str
    address: str  # of the client, without the port
    origin: str = ""
    secure: bool = False  # over TLS

    @property
    def query(self) -> dict[str, str]:
        """Its parameters; the first value of a repeated one. Empty if it is not what a query must be."""
        try:
            return first_values(self.query_string, "query")
        except BadInput:
            return {}


class Transport(Protocol):
    """One client's connection, whichever way it goes. Nothing here waits."""

    @property
    def sid(self) -> str:
        """The id of the Engine.IO session: a secret of its client."""

    @property
    def handshake(self) -> Handshake:
        """How it began."""

    @property
    def framing(self) -> Framing:
        """In which bytes messages are to be offered now; `Speaker.reframed` tells when it changes."""

    @property
    def is_open(self) -> bool:
        """Whether it can be offered anything."""

    def offer(self, frames: bytes, /) -> bool:
        """Send or queue whole frames of this framing; False if refused. Too much owed ends it.

        It may be kept, until `Speaker.reframed` is called: then it is another one.
        """

    async def drained(self) -> None:
        """Wait until nothing is owed, or the client is gone. Cancelling is safe."""

    async def shows_life(self, within: float) -> bool:
        """Whether the client proves within so many seconds that it reads and answers: see `Claimant`."""

    def close(self, reason: str) -> None:
        """Send what is owed, say goodbye as the revision does, and end. `Speaker.closed` follows at once."""


class Speaker(Protocol):
    """What the messages of one transport mean. Nothing here waits, and nothing raises for bad input."""

    def opened(self) -> bytes:
        """What to send right behind the open packet, in the framing of the transport."""

    def receive(self, message: str | bytes) -> None:
        """One message of the client. A speaker that dislikes it closes the transport."""

    def reframed(self) -> None:
        """The transport was upgraded: its framing is another one."""

    def closed(self, reason: str) -> None:
        """The transport is gone, once; nothing can be offered any more."""


class Open(Protocol):
    """Who speaks over a new transport."""

    def __call__(self, transport: Transport, /) -> Speaker: ...
