r"""gopush WebSocket: subscribe in the URL, heartbeats in, messages out, each in one text frame.

    client  GET /sub?key=u1@user&heartbeat=30[&token=T][&ver=V][&mid=M]   upgrade, then frames of one byte: h
    server  +h\r\n                  a 4-byte text frame: welcome, and the answer to each h
            {"msg":..,"mid":..,"gid":0}      a message, bare
            -p\r\n -a\r\n -n\r\n    after the upgrade; then the connection is dropped

What a client can notice: fragmented and binary heartbeats are put together by RFC 6455; a frame that
breaks RFC 6455 is answered by its close code (the original only does so for an unmasked one); a missing
Origin is allowed (only browsers must say where they come from), a foreign one is not (S8); messages of
clients have a limit (S7). A legacy client that breaks gopush's own rules is dropped without a close
frame, as in the original; version 2 is told why.

Source: gopush-cluster comet/pubsub_websocket.go; spec/gopush.md 1.2 and 1.12.
"""

from collections.abc import Iterator

from appmodel.errors import RemoteProtocolError
from appmodel.protocol.envelope import live_envelope, new_envelope, old_envelope
from appmodel.protocol.http import Request, Response
from comet.protocol.dialect import Acknowledged, Answer, Event, Farewell, Heartbeat, Violation
from comet.protocol.native import HEARTBEAT_MISSED, Goodbye, bad_request, parse_acknowledgement
from comet.protocol.websocket import (
    NORMAL,
    PONG,
    TEXT,
    Close,
    FrameError,
    FrameReader,
    Ping,
    Pong,
    accept_token,
    close_frame,
    frame,
)

BEAT_FRAME = frame(TEXT, b"+h\r\n")
_H = 0x68


def upgrade(request: Request) -> Response:
    """The answer to a handshake: 101, or the status that the original's library gives."""
    headers = request.headers
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in _tokens(
        headers.get("connection", "")
    ):
        return _refuse(400, "not a WebSocket handshake: needs Upgrade: websocket")
    if headers.get("sec-websocket-version") != "13":
        refused = _refuse(400, "Sec-WebSocket-Version must be 13")
        refused.headers.append(("Sec-WebSocket-Version", "13"))
        return refused
    token = accept_token(headers.get("sec-websocket-key", ""))
    if token is None:
        return _refuse(400, "Sec-WebSocket-Key must be 16 bytes of base64")
    offered = [p for p in headers.get("sec-websocket-protocol", "").split(",") if p.strip()]
    if len(offered) > 1:
        return _refuse(400, "more than one Sec-WebSocket-Protocol")
    answer = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", token)]
    if offered:
        answer.append(("Sec-WebSocket-Protocol", offered[0].strip()))
    return Response(status=101, headers=answer)


class WsReader:
    """What a subscribed client says, frame by frame."""

    __slots__ = ("_frames", "_native")

    def __init__(self, *, native: bool, limit: int) -> None:
        self._frames = FrameReader(limit)
        self._native = native

    @property
    def idle(self) -> bool:
        """Between two messages."""
        return self._frames.idle

    def receive_data(self, data: bytes) -> Iterator[Event]:
        """Yield what `data` completes. Raises Violation and nothing else."""
        try:
            for event in self._frames.receive_data(data):
                match event:
                    case Ping(payload):
                        yield Answer(frame(PONG, payload))
                    case Close(code, _):
                        yield Farewell(close_frame(code))
                    case Pong():
                        pass
                    case _:
                        yield self._message(event.data)
        except FrameError as error:
            raise Violation(str(error), close_frame(error.close_code, str(error))) from None

    def _message(self, data: str | bytes) -> Event:
        if data in ("h", b"h"):
            return Heartbeat()
        if not self._native:
            raise Violation("a message other than the heartbeat", b"")
        try:
            return Acknowledged(parse_acknowledgement(data))
        except RemoteProtocolError as error:
            raise Violation(str(error), close_frame(*bad_request(str(error)))) from None


class WsDialect:
    """gopush over WebSocket, in one of its three versions."""

    transport = "ws"
    beat = BEAT_FRAME

    def __init__(self, *, version: str, limit: int) -> None:
        """`version`: the parameter `ver`; `limit`: bytes of a client's message."""
        self._envelope = new_envelope if version else old_envelope
        self.resumes = version == "2"
        self._limit = limit
        self.encoding = {"": 0, "2": 4}.get(version, 1)

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        """The JSON in one text frame."""
        envelope = self._envelope if stored or not self.resumes else live_envelope
        return frame(TEXT, envelope(message_id, body))

    def is_beat(self, data: bytes) -> bool:
        """One masked frame that holds `h`: 7 bytes."""
        return (
            len(data) == 7
            and data[1] == 0x81
            and (data[0] == 0x81 or data[0] == 0x82)
            and data[2] ^ data[6] == _H
        )

    def reader(self) -> WsReader:
        """For a client that begins to speak."""
        return WsReader(native=self.resumes, limit=self._limit)

    def refusal(self, reply: bytes, goodbye: Goodbye) -> bytes:
        """The reply in a text frame; in version 2 also a close frame."""
        return frame(TEXT, reply) + self.silence(goodbye)

    def silence(self, goodbye: Goodbye) -> bytes:
        """In version 2 a close frame with code and reason."""
        return close_frame(*goodbye) if self.resumes else b""

    def goodbye(self, goodbye: Goodbye) -> bytes:
        """A close frame: 1000 as in the original, in version 2 code and reason.

        A missed heartbeat drops a legacy client without one.
        """
        if self.resumes:
            return close_frame(*goodbye)
        return b"" if goodbye is HEARTBEAT_MISSED else close_frame(NORMAL)


def _tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")]


def _refuse(status: int, text: str) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "text/plain; charset=utf-8")],
        body=text.encode() + b"\n",
        close=True,
    )
