"""A WebSocket that carries an Engine.IO session, from its start or after an upgrade.

    probing    2probe -> 3probe, then 5: the session goes on here; anything else, or nothing in time: closed
    carrying   frames in, packets to the session; what the session offers goes out as it is

Source: engine.io 6 lib/transports/websocket.ts, and `_maybeUpgrade` of lib/socket.ts.
"""

import socket
import ssl

from comet.io.engine_polls import Polls
from comet.io.engine_session import CLIENT_CLOSED, Session
from comet.io.line import OPEN, Line
from comet.protocol.engineio import (
    EngineError,
    Framing,
    Packet,
    PacketType,
    decode_binary,
    decode_text,
    framed_packet,
)
from comet.protocol.native import GOING_AWAY, SLOW
from comet.protocol.websocket import (
    NORMAL,
    PING,
    PONG,
    PROTOCOL_ERROR,
    Binary,
    Close,
    Event,
    FrameError,
    FrameReader,
    Ping,
    Pong,
    close_frame,
    frame,
)

_FRAMINGS = {3: Framing.WEBSOCKET_3, 4: Framing.WEBSOCKET_4}
_BEATS = {3: 0x32, 4: 0x33}  # the packet with which a client of that revision beats: ping, pong
_CODES = {goodbye.reason: goodbye.code for goodbye in (GOING_AWAY, SLOW)}
_KNOCK = frame(PING, b"")
_PROBE, _PROBED = Packet(PacketType.PING, "probe"), Packet(PacketType.PONG, "probe")


class EngineSocket(Line):
    """See the module."""

    __slots__ = ("_polls", "_reader", "_session")

    def __init__(self, sock: socket.socket, session: Session, *, polls: Polls | None) -> None:
        """`polls`: carries the session until the upgrade is done."""
        super().__init__(sock, session.engine.live)
        self._session = session
        self._polls = polls
        self._reader: FrameReader | None = None  # only while something is half-read

    @property
    def framing(self) -> Framing:
        """See `Carrier`."""
        return _FRAMINGS[self._session.handshake.revision]

    def start(self, rest: bytes) -> None:
        """Let the poller take over. `rest`: what the client sent behind its request.

        Raises:
            OSError: the system watches no more sockets; nothing has begun.
        """
        live = self._live
        live.poller.add(self.socket, self)
        if self._polls is None:
            self._session.start(self, polling=False)
        else:
            self._polls.probe = self
            live.wheel.watch(self)
        if rest and self._state is OPEN:
            self._receive(rest)
        if isinstance(self.socket, ssl.SSLSocket) and self._state is OPEN and self.socket.pending():
            self.on_readable()  # OpenSSL has read more with the request: epoll does not know

    def provoke(self) -> None:
        """See `Carrier`: every WebSocket answers a ping by itself."""
        self.offer(_KNOCK)

    def leave(self, reason: str, *, lingers: bool = False) -> None:
        """See `Carrier`."""
        if self._state is OPEN:
            self._leave(close_frame(_code(reason), reason), reason)

    def due_at(self) -> float | None:
        """The end of patience with a probe, or with a client that does not end."""
        if self._state is not OPEN:
            return super().due_at()
        if self._polls is None:
            return None
        return self._counted_from + self._session.engine.config.upgrade_timeout

    def expire(self, now: float) -> None:
        """It was not upgraded in time; the session goes on as it was."""
        if self._state is OPEN:
            self.leave("upgrade timed out")
        else:
            super().expire(now)

    def _receive(self, data: bytes) -> bool:
        reader, session = self._reader, self._session
        if reader is None:
            if self._is_beat(data):  # nearly everything that clients at rest ever say
                if session.hears():
                    session.beat()
                return True
            reader = self._reader = FrameReader(session.engine.config.max_payload)
        try:
            for event in reader.receive_data(data):
                self._take(event)
                if self._state is not OPEN:
                    break
        except FrameError as error:
            self._leave(close_frame(error.close_code, str(error)), f"protocol: {error}")
        except EngineError as error:
            self.leave(f"protocol: {error}")
        if reader.idle:
            self._reader = None
        return False

    def _is_beat(self, data: bytes) -> bool:
        """One masked frame that holds the packet: 7 bytes."""
        return (
            len(data) == 7
            and data[0] == 0x81
            and data[1] == 0x81
            and data[2] ^ data[6] == _BEATS[self._session.handshake.revision]
            and self._polls is None
        )

    def _take(self, event: Event) -> None:
        session = self._session
        match event:
            case Ping(payload):
                if session.hears():
                    self.offer(frame(PONG, payload))
            case Pong():
                session.hears()
            case Close(code, _):
                self._leave(close_frame(code), CLIENT_CLOSED)
            case _:
                revision = session.handshake.revision
                packet = (
                    decode_binary(event.data, revision)
                    if isinstance(event, Binary)
                    else decode_text(event.data, revision)
                )
                if self._polls is None:
                    session.take(packet)
                elif session.hears():
                    self._probe(self._polls, packet)

    def _probe(self, polls: Polls, packet: Packet) -> None:
        if packet == _PROBE:
            if self.offer(framed_packet(self.framing, _PROBED)):
                polls.heard_probe()
        elif packet.type is PacketType.UPGRADE:
            self._polls = None
            self._session.switch(self, polls.hand_over(self.framing))
        else:
            self.leave(f"protocol: packet {packet.type.value} before the upgrade")

    def _overflow(self) -> None:
        self.leave(SLOW.reason)

    def _left(self, reason: str) -> None:
        if self._polls is None:
            self._session.lost(reason)
        else:
            self._polls.end_probe()

    def _closed(self) -> None:
        if self._polls is None:
            self._session.forget()


def _code(reason: str) -> int:
    """Of the close frame. Clients of Socket.IO look at none."""
    if reason.startswith("protocol"):
        return PROTOCOL_ERROR
    return _CODES.get(reason, NORMAL)
