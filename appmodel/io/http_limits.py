"""How long and how much the front door waits for a client. A section of a node's configuration."""

import msgspec

from appmodel.core.units import Duration, Size


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one listener. A time-out is exact to a quarter of the shortest one, at most 1 s."""

    max_connections: int = 10_000  # above it: 503 and closed
    max_line: Size = Size(8 * 1024)  # request line; above it: 414
    max_head: Size = Size(32 * 1024)  # line and headers; above it: 431
    max_headers: int = 100  # above it: 431
    max_body: Size = Size(1024 * 1024)  # of routes that say nothing else; above it: 413
    handshake_timeout: Duration = Duration(10)  # TLS
    head_timeout: Duration = Duration(
        10
    )  # first byte to last of a head, and for the first byte; 408
    body_timeout: Duration = Duration(
        30
    )  # a whole body, or between two pieces of a streamed one; 408
    idle_timeout: Duration = Duration(75)  # between two requests
    write_timeout: Duration = Duration(30)  # for 256 KiB of an answer: slower readers are cut
    drain_timeout: Duration = Duration(
        10
    )  # for running requests after a stop; then they are cancelled
    half_sent_timeout: Duration = Duration(
        1
    )  # after a stop, for the rest of what a client is sending; 408
    linger: Duration = Duration(2)  # reading on after a refusal, so that the client can read it
