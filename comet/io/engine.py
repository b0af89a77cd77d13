"""What all Engine.IO sessions of a comet share: who is here, by sid; what is allowed; what was counted."""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from comet.config import SocketioConfig
from comet.core.transport import Open
from comet.io.engine_bodies import Bodies
from comet.io.live import Live
from comet.protocol.engineio import Packet, PacketType

if TYPE_CHECKING:
    from comet.io.engine_session import Session

SECRET = 15  # bytes of chance in a sid, as base64id of the original: who knows it has the session


@dataclass(slots=True, kw_only=True)
class Engine:
    """One a comet."""

    config: SocketioConfig
    live: Live
    open: Open  # who speaks over a new session
    home: str  # this comet's tag, the end of its sids: others find it by that (core/relaying.py)
    is_draining: Callable[[], bool] = lambda: False
    sessions: dict[str, "Session"] = field(default_factory=dict)  # until their goodbye was said
    opened: Counter[str] = field(default_factory=Counter)  # by transport and revision
    ended: Counter[str] = field(default_factory=Counter)  # by why
    upgraded: int = 0
    packets: int = 0  # of clients
    polls: int = 0  # that wait now
    bodies: Bodies = field(init=False)  # of posts, also of those for other comets

    def __post_init__(self) -> None:
        config = self.config
        self.bodies = Bodies(
            each=config.max_payload, total=config.bodies, timeout=config.body_timeout
        )

    def new_sid(self) -> str:
        """Nobody can guess it. It ends in the tag of this comet."""
        return f"{secrets.token_urlsafe(SECRET)}.{self.home}"

    def open_packet(self, sid: str, *, polling: bool) -> Packet:
        """The first packet of a session."""
        config = self.config
        upgrades = ["websocket"] if polling and "websocket" in config.transports else []
        said = {
            "sid": sid,
            "upgrades": upgrades,
            "pingInterval": round(config.ping_interval * 1000),
            "pingTimeout": round(config.ping_timeout * 1000),
            "maxPayload": int(config.max_payload),
        }
        return Packet(PacketType.OPEN, msgspec.json.encode(said).decode())
