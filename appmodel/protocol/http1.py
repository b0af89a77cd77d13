r"""HTTP/1.1 requests as a server reads them, without I/O: bytes in, heads and bodies out.

    POST /1/admin/push/private?key=u1 HTTP/1.1\r\n      request line   <= 8 KiB    414
    Host: 127.0.0.1:8091\r\n                            head           <= 32 KiB   431
    Content-Length: 12\r\n                              headers        <= 100      431
    \r\n
    {"test": 1}\n                                       the body: as many bytes, or chunks:

    4;note=x\r\n{"te\r\n 8\r\nst": 1}\n\r\n 0\r\nTrailer: y\r\n\r\n

llhttp (httptools) reads a head, and gets exactly one: where a message starts and ends is decided here
and nowhere else. So the bytes behind a request are known (they may be another protocol's, or
another server's), and there is no second opinion through which a request could be smuggled. Where RFC
9112 lets a server accept or refuse, this one refuses.

Source: RFC 9112 sections 2 to 7, RFC 9110 sections 5 to 10. Limits: nginx (line, head), Apache (headers).
"""

import re
from enum import Enum, auto
from http import HTTPMethod
from typing import Final
from urllib.parse import unquote

import httptools
import msgspec

from appmodel.errors import RemoteProtocolError

MAX_CHUNK_LINE = 256  # bytes of a chunk's size and its extensions
MAX_EXTENSIONS = 16 * 1024  # bytes of them in one body: framing that outweighs content is an attack
MAX_TRAILERS = 8 * 1024  # bytes; they are dropped
MAX_LENGTH = 15  # digits of Content-Length: a petabyte

END: Final = b""  # what `next_chunk` returns behind a body

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_NAME}) \S+ HTTP/(\d\.\d)\r\n".encode())
_AUTHORITY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_ABSOLUTE = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]+)(/?.*)")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})([ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(rf"{_NAME}:[\t -~\x80-\xff]*".encode())
_METHOD_STARTS = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&'*+.^_`|~-0123456789"
)


class HttpError(RemoteProtocolError):
    """A request that cannot be served. Answer with `status` and close: what follows it is unknown."""

    code = "http"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HeadLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a request's head."""

    line: int = 8 * 1024  # bytes of the request line
    head: int = 32 * 1024  # bytes of line and headers together
    headers: int = 100


class Head(msgspec.Struct, frozen=True):
    """A request without its body."""

    method: str
    path: str  # percent-decoded
    query_string: str
    headers: dict[str, str]  # names in lower case; repeated ones joined with ", "
    minor: int  # of HTTP/1.x: 0 or 1
    length: int | None  # bytes of the body; None if it is chunked
    keep_alive: bool
    expects_continue: bool
    raw: bytes  # as it came, to hand it over


class _Part(Enum):
    """What the next unread byte belongs to."""

    HEAD = auto()
    FIXED = auto()  # a body of known length
    CHUNK_LINE = auto()
    CHUNK = auto()
    CHUNK_END = auto()  # the CRLF behind a chunk
    TRAILERS = auto()


class RequestReader:
    """The requests of one connection, in order.

    `receive_data`, then take `next_head`, then its `next_chunk`s up to END, then the next head. None
    means that more bytes are needed. However the bytes are cut, the same heads, the same bodies
    and the same error come out. It holds what was received and not taken, so the caller bounds it
    by receiving only when it was told None.
    """

    __slots__ = ("_at", "_buffer", "_limits", "_overhead", "_owed", "_part")

    def __init__(self, limits: HeadLimits | None = None) -> None:
        self._limits = limits or HeadLimits()
        self._buffer = b""
        self._at = 0  # what lies before it was taken
        self._part = _Part.HEAD
        self._owed = 0  # bytes of the body, or of its chunk, that are still to be taken
        self._overhead = 0  # bytes of extensions, then of trailers, seen in this body

    def receive_data(self, data: bytes) -> None:
        """Add bytes from the peer."""
        if self._at == len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._at :] + data
        self._at = 0

    @property
    def unread(self) -> bytes:
        """Everything received and not taken. Behind a body's END: what follows the request."""
        return self._buffer[self._at :]

    @property
    def between_requests(self) -> bool:
        """Nothing of a request is here: the connection can be closed and nothing is lost."""
        return self._at == len(self._buffer) and self._part is _Part.HEAD

    @property
    def body_is_read(self) -> bool:
        """The last head's body was taken to its end."""
        return self._part is _Part.HEAD

    def next_head(self) -> Head | None:
        """The next request's head, or None if it is not complete.

        Raises:
            HttpError: and nothing else, whatever the bytes. Nothing can be read after it.
        """
        assert self._part is _Part.HEAD, "the body of the last request was not read"
        end = self._find_head_end()
        if end is None:
            return None
        head = read_head(self._buffer[self._at : end], self._limits)
        self._at = end
        if head.length is None:
            self._part, self._overhead = _Part.CHUNK_LINE, 0
        elif head.length:
            self._part, self._owed = _Part.FIXED, head.length
        return head

    def whole_body(self) -> bytes | None:
        """The body if all of it is here already; None, and nothing is taken, if it is not or is chunked."""
        if self._part is _Part.HEAD:
            return b""
        start, end = self._at, self._at + self._owed
        if self._part is not _Part.FIXED or end > len(self._buffer):
            return None
        self._at, self._part = end, _Part.HEAD
        return self._buffer[start:end]

    def next_chunk(self) -> bytes | None:
        """Some of the body, END behind it, None if bytes are missing.

        Raises:
            HttpError: 400, the chunks are malformed. Nothing can be read after it.
        """
        while True:
            match self._part:
                case _Part.HEAD:
                    return END
                case _Part.FIXED | _Part.CHUNK:
                    return self._take_owed()
                case _Part.CHUNK_LINE:
                    went_on = self._take_chunk_line()
                case _Part.CHUNK_END:
                    went_on = self._take_chunk_end()
                case _Part.TRAILERS:
                    went_on = self._take_trailer()
            if not went_on:
                return None

    def _find_head_end(self) -> int | None:
        buffer = self._buffer
        while buffer.startswith(
            b"\r\n", self._at
        ):  # old clients put one behind a body: RFC 9112 2.2
            self._at += 2
        start, size, limits = self._at, len(buffer) - self._at, self._limits
        if not size or (size == 1 and buffer[start] == 0x0D):
            return None
        if buffer[start] not in _METHOD_STARTS:
            raise HttpError(
                400, f"request line: starts with byte 0x{buffer[start]:02x}, expected a method"
            )
        newline = buffer.find(b"\n", start, start + limits.line)
        if newline < 0:
            if size >= limits.line:
                raise HttpError(414, f"request line: over {limits.line} bytes")
            return None
        if buffer[newline - 1] != 0x0D:
            raise HttpError(400, "request line: ends in LF, expected CRLF")
        end = buffer.find(b"\r\n\r\n", newline - 1, start + limits.head)
        if end >= 0:
            return end + 4
        if size >= limits.head:
            raise HttpError(431, f"head: over {limits.head} bytes")
        return None

    def _take_owed(self) -> bytes | None:
        data = self._buffer[self._at : self._at + self._owed]
        if not data:
            return None
        self._at += len(data)
        self._owed -= len(data)
        if not self._owed:
            self._part = _Part.HEAD if self._part is _Part.FIXED else _Part.CHUNK_END
        return data

    def _take_chunk_line(self) -> bool:
        line = self._take_line(MAX_CHUNK_LINE, "chunk size")
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise HttpError(400, f"chunk size: got {line[:40]!r}, expected hexadecimal digits")
        self._overhead += len(match[2] or b"")
        if self._overhead > MAX_EXTENSIONS:
            raise HttpError(400, f"chunk extensions: over {MAX_EXTENSIONS} bytes in one body")
        self._owed = int(match[1], 16)
        if self._owed:
            self._part = _Part.CHUNK
        else:
            self._part, self._overhead = _Part.TRAILERS, 0
        return True

    def _take_chunk_end(self) -> bool:
        if len(self._buffer) - self._at < 2:
            return False
        if not self._buffer.startswith(b"\r\n", self._at):
            raise HttpError(400, "chunk: longer than its size says")
        self._at += 2
        self._part = _Part.CHUNK_LINE
        return True

    def _take_trailer(self) -> bool:
        line = self._take_line(MAX_TRAILERS - self._overhead, "trailers")
        if line is None:
            return False
        self._overhead += len(line) + 2
        if not line:
            self._part = _Part.HEAD
        elif not _TRAILER.fullmatch(line):
            raise HttpError(400, f"trailer: got {line[:40]!r}, expected name: value")
        return True

    def _take_line(self, limit: int, name: str) -> bytes | None:
        """The next line without its CRLF, which counts; None if it is not complete."""
        newline = self._buffer.find(b"\n", self._at, self._at + limit)
        if newline < 0:
            if len(self._buffer) - self._at >= limit:
                raise HttpError(400, f"{name}: line of over {limit} bytes")
            return None
        line = self._buffer[self._at : newline + 1]
        if not line.endswith(b"\r\n"):
            raise HttpError(400, f"{name}: line ends in LF, expected CRLF")
        self._at = newline + 1
        return line[:-2]


class _Fields:
    """Collects what llhttp finds in one head."""

    __slots__ = ("complete", "count", "headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.count = 0
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count += 1
        key = name.decode("ascii").lower()
        text = value.decode("latin-1").rstrip(" \t")
        if key in self.headers:
            text = f"{self.headers[key]}, {text}"
        self.headers[key] = text

    def on_headers_complete(self) -> None:
        self.complete = True


def read_head(raw: bytes, limits: HeadLimits) -> Head:
    """A complete head, from its first byte to the empty line, that keeps every rule.

    Raises:
        HttpError: 400, 417, 431, 501, 505: and nothing else, whatever the bytes.
    """
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # it stops there, and we do not ask it for more
    except httptools.HttpParserError as error:
        # behind the headers llhttp objects to the framing only: _body_length says it more clearly
        if not fields.complete or "transfer-encoding" not in fields.headers:
            raise _bad_head(raw, str(error)) from None
    if fields.count > limits.headers:
        raise HttpError(431, f"headers: {fields.count}, at most {limits.headers}")
    method = parser.get_method()
    line = b"%b %b HTTP/1." % (method, fields.target)
    if not fields.complete or not raw.startswith(line):  # HTTP/2.0, 0.9, RTSP; two spaces
        raise _bad_head(raw, "expected METHOD target HTTP/1.1")
    return _checked(method.decode(), fields, raw[len(line)] - 0x30, raw)


def _bad_head(raw: bytes, reason: str) -> HttpError:
    match = _REQUEST_LINE.match(raw)
    if match is None:
        return HttpError(400, f"request line: got {raw[:40]!r}, expected METHOD target HTTP/1.1")
    if match[2] not in (b"1.0", b"1.1"):
        return HttpError(505, f"version: got HTTP/{match[2].decode()}, expected HTTP/1.1")
    if match[1].decode() not in HTTPMethod.__members__:
        return HttpError(501, f"method: {match[1][:40].decode()} is unknown here")
    return HttpError(400, f"head: {reason}")


def _checked(method: str, fields: _Fields, minor: int, raw: bytes) -> Head:
    headers = fields.headers
    path, query_string = _split_target(fields.target.decode("ascii"), headers, minor)
    keep_alive = minor == 1
    if "connection" in headers:
        tokens = [token.strip() for token in headers["connection"].lower().split(",")]
        keep_alive = "close" not in tokens and (keep_alive or "keep-alive" in tokens)
    expects_continue = False
    if "expect" in headers and minor == 1:  # a 1.0 client cannot mean it: RFC 9110 10.1.1
        if headers["expect"].lower() != "100-continue":
            raise HttpError(417, f"expect: got {headers['expect'][:40]!r}, expected '100-continue'")
        expects_continue = True
    length = _body_length(headers, minor)
    return Head(
        method, path, query_string, headers, minor, length, keep_alive, expects_continue, raw
    )


def _split_target(target: str, headers: dict[str, str], minor: int) -> tuple[str, str]:
    """Path and query. Checks `Host`, and gives it the authority of an absolute target: RFC 9112 3.2.2."""
    host = headers.get("host")
    if host is None:
        if minor:
            raise HttpError(400, "host: missing")
    elif not _AUTHORITY.fullmatch(host):  # two of them were joined by ", "
        raise HttpError(400, f"host: got {host[:80]!r}, expected one host[:port]")
    if not target.startswith("/"):
        match = _ABSOLUTE.fullmatch(target)
        if match is None or not _AUTHORITY.fullmatch(match[1]):
            raise HttpError(400, f"target: got {target[:80]!r}, expected /path or http://host/path")
        headers["host"], target = match[1], match[2]
        if not target.startswith("/"):
            target = "/" + target
    if "#" in target:
        raise HttpError(400, f"target: got {target[:80]!r}, expected no fragment")
    path, _, query_string = target.partition("?")
    if "%" in path:
        try:
            path = unquote(path, errors="strict")
        except UnicodeDecodeError:
            raise HttpError(
                400, f"path: got {path[:80]!r}, expected percent-encoded UTF-8"
            ) from None
    return path, query_string


def _body_length(headers: dict[str, str], minor: int) -> int | None:
    """Bytes of the body, or None if it is chunked. The table of RFC 9112 6.3, its lenient rows refused."""
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is None:
        if length is None:
            return 0
        if not (length.isascii() and length.isdigit()) or len(length) > MAX_LENGTH:
            raise HttpError(400, f"content-length: got {length[:40]!r}, expected one number")
        return int(length)
    if length is not None:
        raise HttpError(400, "content-length: given beside transfer-encoding")
    if not minor:
        raise HttpError(400, "transfer-encoding: HTTP/1.0 has none")
    codings = [name.strip(" \t") for name in coding.lower().split(",")]
    if codings.count("chunked") != 1 or codings[-1] != "chunked":
        raise HttpError(400, f"transfer-encoding: got {coding[:40]!r}, expected 'chunked'")
    if len(codings) > 1:
        raise HttpError(501, f"transfer-encoding: got {coding[:40]!r}, only 'chunked' is known")
    return None
