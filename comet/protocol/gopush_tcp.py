r"""gopush TCP: one `sub` request, then heartbeats in and messages out.

    client  *3\r\n$3\r\nsub\r\n$7\r\nu1@user\r\n$2\r\n30\r\n   then  h  h  h ...
    server  +h\r\n                  welcome, and the answer to each h
            $<n>\r\n<json>\r\n      a message; n counts bytes
            -p\r\n -a\r\n -n\r\n    bad parameter, bad ticket, another comet's key; then close

Arguments: sub, key, heartbeat, ticket, version, and in version 2 the last message id.

What a client can notice: an argument may hold a line feed (the original reads it by line and fails);
bytes that arrive together with the request are read, not thrown away; a line has a bound; a negative
length is refused (it crashes the original, S6); `-c` is never sent, for every key exists to whoever
has its ticket.

Source: gopush-cluster wiki/comet/client_proto_zh.textile and comet/pubsub_tcp.go; spec/gopush.md 1.3.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from appmodel.errors import RemoteProtocolError
from appmodel.protocol.envelope import live_envelope, new_envelope, old_envelope
from comet.protocol.dialect import Acknowledged, Event, Heartbeat, Violation
from comet.protocol.native import Goodbye, bad_request, parse_acknowledgement

MAX_ARGUMENTS = 6  # the original's 5 (sub, key, heartbeat, ticket, version) and the last id
MAX_ARGUMENT = 4096  # bytes, room for a ticket; ours: the original has no limit
MAX_LINE = 16  # bytes of "*6\r\n" or "$4096\r\n", with room for an explicit sign
MAX_ACK_LINE = 24 * 1024  # bytes: 1,000 ids of 16 digits

BEAT = b"+h\r\n"
H, OPENING_BRACE = 0x68, 0x7B  # the first byte of a heartbeat, and of an acknowledgement

Parser = Generator[None, None, "list[bytes]"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request's arguments, as they came."""

    arguments: list[bytes]
    rest: bytes  # what the client sent behind it


class RequestReader:
    """The first thing that a TCP client says."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parser = self._parse()

    def receive_data(self, data: bytes) -> Request | None:
        """The request, once it is complete. Holds at most MAX_ARGUMENTS * MAX_ARGUMENT bytes.

        Raises:
            RemoteProtocolError: and nothing else, whatever the bytes. Then close without a reply.
        """
        self._buffer += data
        try:
            next(self._parser)  # it yields when it needs more bytes
        except StopIteration as finished:
            return Request(finished.value, bytes(self._buffer))
        return None

    def _parse(self) -> Parser:
        arguments = []
        for _ in range((yield from self._number(b"*", 1, MAX_ARGUMENTS))):
            size = yield from self._number(b"$", 0, MAX_ARGUMENT)
            while len(self._buffer) < size + 2:
                yield
            if self._buffer[size : size + 2] != b"\r\n":
                raise RemoteProtocolError(f"argument is not {size} bytes long")
            arguments.append(bytes(self._buffer[:size]))
            del self._buffer[: size + 2]
        return arguments

    def _number(self, mark: bytes, low: int, high: int) -> Generator[None, None, int]:
        while (end := self._buffer.find(b"\n", 0, MAX_LINE)) < 0:
            if len(self._buffer) >= MAX_LINE:
                raise RemoteProtocolError(f"no line end within {MAX_LINE} bytes")
            yield
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        number = line[1:-2]
        if line[:1] != mark or line[-2:] != b"\r\n" or not _is_integer(number):
            raise RemoteProtocolError(f"expected {mark.decode()}<number>, got {line!r}")
        if not low <= int(number) <= high:
            raise RemoteProtocolError(f"{line!r} is not between {low} and {high}")
        return int(number)


class TcpReader:
    """What a subscribed client says: heartbeats and, in version 2, acknowledgements."""

    __slots__ = ("_line", "_native")

    def __init__(self, *, native: bool) -> None:
        self._native = native
        self._line = b""  # of an acknowledgement that lacks its end

    @property
    def idle(self) -> bool:
        """Between two units."""
        return not self._line

    def receive_data(self, data: bytes) -> Iterator[Event]:
        """Yield an event per `h` and per line. Raises Violation and nothing else."""
        data = self._line + data
        self._line = b""
        at = 0
        while at < len(data):
            if data[at] == H:
                at += 1
                yield Heartbeat()
            elif data[at] == OPENING_BRACE and self._native:
                end = data.find(b"\r\n", at)
                if end < 0:
                    self._keep(data[at:])
                    return
                yield self._acknowledged(data[at:end])
                at = end + 2
            else:
                raise self._violation(f"byte {data[at]:#x} is not a heartbeat")

    def _keep(self, line: bytes) -> None:
        if len(line) > MAX_ACK_LINE:
            raise self._violation(f"line over {MAX_ACK_LINE} bytes")
        self._line = line

    def _acknowledged(self, line: bytes) -> Acknowledged:
        try:
            return Acknowledged(parse_acknowledgement(line))
        except RemoteProtocolError as error:
            raise self._violation(str(error)) from None

    def _violation(self, message: str) -> Violation:
        return Violation(message, _goodbye_line(bad_request(message)) if self._native else b"")


class TcpDialect:
    """gopush over TCP, in one of its three versions."""

    transport = "tcp"
    beat = BEAT

    def __init__(self, *, version: str) -> None:
        """`version`: the client's fifth argument; empty selects the old envelope."""
        self._envelope = new_envelope if version else old_envelope
        self.resumes = version == "2"
        self.encoding = {"": 2, "2": 5}.get(version, 3)

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        """`$<bytes>`, the JSON, each with its line end."""
        envelope = self._envelope if stored or not self.resumes else live_envelope
        text = envelope(message_id, body)
        return b"$%d\r\n%b\r\n" % (len(text), text)

    def is_beat(self, data: bytes) -> bool:
        """A single `h`."""
        return data == b"h"

    def reader(self) -> TcpReader:
        """For a client that begins to speak."""
        return TcpReader(native=self.resumes)

    def refusal(self, reply: bytes, goodbye: Goodbye) -> bytes:
        """The reply; in version 2 also why."""
        return reply + self.silence(goodbye)

    def silence(self, goodbye: Goodbye) -> bytes:
        """In version 2 a line with code and reason."""
        return _goodbye_line(goodbye) if self.resumes else b""

    def goodbye(self, goodbye: Goodbye) -> bytes:
        """Nothing, as in the original; in version 2 a line with code and reason."""
        return self.silence(goodbye)


def _goodbye_line(goodbye: Goodbye) -> bytes:
    reason = " ".join(goodbye.reason.split())[:200]
    return f"-x {goodbye.code} {reason}\r\n".encode()


def _is_integer(text: bytes) -> bool:
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    return digits.isdigit()  # bytes: ASCII only
