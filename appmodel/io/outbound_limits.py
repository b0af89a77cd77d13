"""What may be called at addresses that others chose, and for how long. A section of a node's configuration."""

import msgspec

from appmodel.core.outward import Outward
from appmodel.core.units import Duration, Size


class OutboundLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be called, and for how long. A section of a node's configuration."""

    allowed: tuple[str, ...] = ()  # hosts, "http://host:port" or networks that need not be public
    ca_file: str = ""  # PEM file of the authorities to trust; empty = the system's
    timeout: Duration = Duration(10)  # of a call from the first step to the last byte
    connect_timeout: Duration = Duration(3)  # of one address of a name
    max_answer: Size = Size(1024**2)  # of one body
    max_connections: int = 100  # at once; above it calls wait, within their time-out
    idle_timeout: Duration = Duration(60)  # a connection that nobody uses is closed

    def __post_init__(self) -> None:
        Outward(self.allowed)
        if self.max_connections < 1 or not all((self.timeout, self.connect_timeout)):
            raise ValueError("max_connections, timeout, connect_timeout: expected > 0")
