"""What every dialect of the live path offers: how it writes, and what its clients can say.

A connection keeps no parser while it is silent: `reader()` makes one when bytes arrive, and it is
forgotten as soon as it is `idle`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from appmodel.errors import RemoteProtocolError
from comet.protocol.native import Goodbye


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The client lives; answer with the dialect's `beat`."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The client has handled everything up to `message_id`."""

    message_id: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes that the protocol itself demands: a pong."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Farewell:
    """The client is leaving; send `data` and hang up."""

    data: bytes


Event = Heartbeat | Acknowledged | Answer | Farewell


class Violation(RemoteProtocolError):
    """The client broke its protocol. Send `last_words` (perhaps nothing) and hang up."""

    def __init__(self, message: str, last_words: bytes) -> None:
        super().__init__(message)
        self.last_words = last_words


class Reader(Protocol):
    """Bytes of one client in, events out."""

    @property
    def idle(self) -> bool:
        """Nothing is half-read: a new reader would do as well."""

    def receive_data(self, data: bytes) -> Iterator[Event]:
        """Yield what `data` completes. Raises Violation and nothing else, whatever the bytes."""


class Encoder(Protocol):
    """How a message is written for some subscribers."""

    @property
    def encoding(self) -> int:
        """Encoders with the same number write a message in the same bytes."""

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        """The frame of a message; `body` is checked JSON text."""


class Dialect(Encoder, Protocol):
    """One way of talking to subscribers. Shared by all connections that speak it."""

    @property
    def beat(self) -> bytes:
        """The answer to a heartbeat, and to a subscription that was accepted."""

    @property
    def transport(self) -> str:
        """`ws` or `tcp`: at which address of another comet a client of it is at home."""

    @property
    def resumes(self) -> bool:
        """Whether its clients are told where to go, and come back with their last id."""

    def is_beat(self, data: bytes) -> bool:
        """Whether `data` is one heartbeat and nothing else: the way around the reader."""

    def reader(self) -> Reader:
        """A parser for a client that begins to speak."""

    def refusal(self, reply: bytes, goodbye: Goodbye) -> bytes:
        """The last bytes to a client that may not subscribe; `reply` is `-p`, `-a` or `-n`."""

    def silence(self, goodbye: Goodbye) -> bytes:
        """The last bytes where the original says nothing: only version 2 is told why."""

    def goodbye(self, goodbye: Goodbye) -> bytes:
        """The last bytes to a subscriber on whom we hang up."""
