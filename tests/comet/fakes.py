"""Subscribers without a socket: they take what they are offered, and remember it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from comet.core.message import Message
from comet.protocol.dialect import Dialect
from comet.protocol.gopush_ws import WsDialect


@dataclass
class Taker:
    """A member of a channel. `slow`: it refuses every write."""

    dialect: Dialect = field(default_factory=lambda: WsDialect(version="1", limit=100))
    cursor: int = 0
    held: list[Message] | None = None
    place: int = -1
    slow: bool = False
    name: str = ""
    writes: list[bytes] = field(default_factory=list)

    def offer(self, frames: bytes) -> bool:
        """Remember one write."""
        if not self.slow:
            self.writes.append(frames)
        return not self.slow

    def hold(self, messages: Sequence[Message]) -> None:
        """Keep what comes during a replay; without one nobody may ask for that."""
        assert self.held is not None, "nobody is replayed here"
        self.held.extend(messages)
