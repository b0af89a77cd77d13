r"""A request that landed on the wrong comet, on its way to the right one and back. HTTP/1.1 between nodes.

    GET /socket.io/?EIO=4&transport=polling&sid=S HTTP/1.1\r\n      as the client sent it, but for:
    x-appmsg-client: 1 203.0.113.7\r\n                              over TLS or not, and the client's address
    content-length: 0\r\n                                           the body is whole
    connection: upgrade\r\n                                         only if that is asked

What a client sends under that name is dropped: only who has proved the cluster's secret can say it. The
answers are those of our own front door, so their length is always told, and anything else is an error.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from appmodel.errors import RemoteProtocolError
from appmodel.protocol.http import Request, Response

CLIENT = "x-appmsg-client"
MAX_HEAD = 16 * 1024  # bytes of an answer's head

_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("content-length", "expect", CLIENT),
    }
)  # RFC 9110 7.6.1, and what is said anew
_FRAMING = frozenset({"content-length", "connection", "date"})  # of answers: said anew
_STATUS = re.compile(r"HTTP/1\.1 ([1-5]\d\d) [^\r\n]*")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\r\n]*)")


def encode_request(request: Request, body: bytes) -> bytes:
    """`request` with its whole `body`, for the comet that has its session."""
    lines = [f"{request.method} {quote(request.path)}?{request.query_string} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name not in _HOP]
    lines += [f"{CLIENT}: {request.secure:d} {request.peer}", f"content-length: {len(body)}"]
    if "upgrade" in request.headers:
        lines.append("connection: upgrade")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_client(headers: Mapping[str, str]) -> tuple[str, bool]:
    """The client's address, and whether it came over TLS.

    Raises:
        RemoteProtocolError: another node did not say so.
    """
    secure, _, address = headers.get(CLIENT, "").partition(" ")
    if secure not in {"0", "1"} or not address:
        raise RemoteProtocolError(f"{CLIENT}: got {headers.get(CLIENT)!r}, expected '1 address'")
    return address, secure == "1"


class AnswerReader:
    """One answer: feed it bytes until `response` is there."""

    __slots__ = ("_body_size", "_limit", "_received", "keep_alive", "response", "rest")

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of a body."""
        self._limit = limit
        self._received = bytearray()
        self._body_size = 0
        self.response: Response | None = None  # with headers as they may be said again
        self.keep_alive = True  # the next request may follow
        self.rest = b""  # what came behind the head of a 101

    def receive_data(self, data: bytes) -> None:
        """More of it.

        Raises:
            RemoteProtocolError: this is no answer of a front door of ours, or it ends too early (b"").
        """
        if not data:
            raise RemoteProtocolError("the answer ended early")
        self._received += data
        if self.response is None:
            self._read_head()
        response = self.response
        if response is None:
            if len(self._received) > MAX_HEAD:
                raise RemoteProtocolError(f"an answer's head of over {MAX_HEAD} bytes")
        elif len(self._received) > self._body_size:
            raise RemoteProtocolError("bytes behind an answer")

    @property
    def is_whole(self) -> bool:
        """The body is here, too; then it is in `response`."""
        response = self.response
        if response is None or len(self._received) < self._body_size:
            return False
        response.body = bytes(self._received)
        return True

    def _read_head(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        del self._received[: end + 4]
        status = _STATUS.fullmatch(first)
        headers = [self._header(line) for line in lines]
        if status is None:
            raise RemoteProtocolError(f"not the first line of an answer: {first[:80]!r}")
        fields = {name.lower(): value for name, value in headers}
        number = int(status[1])
        if number == 101:
            self.rest, self._received = bytes(self._received), bytearray()
            self.response = Response(
                status=number, headers=[h for h in headers if h[0].lower() != "date"]
            )
            return
        self._body_size = self._length(fields, number)
        self.keep_alive = fields.get("connection", "").lower() != "close"
        said = [header for header in headers if header[0].lower() not in _FRAMING]
        self.response = Response(status=number, headers=said)

    def _header(self, line: str) -> tuple[str, str]:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise RemoteProtocolError(f"not a header: {line[:80]!r}")
        return found[1], found[2]

    def _length(self, fields: Mapping[str, str], status: int) -> int:
        text = fields.get("content-length", "0" if status == 204 else "")
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise RemoteProtocolError(f"content-length: got {text[:80]!r}, expected a number")
        if int(text) > self._limit:
            raise RemoteProtocolError(f"an answer of {text} bytes, expected at most {self._limit}")
        return int(text)
