r"""HTTP/1.1 answers as bytes: heads and chunks.

    HTTP/1.1 200 OK\r\n
    Date: Mon, 02 Nov 2026 12:00:00 GMT\r\n
    Content-Length: 10\r\n                 or Transfer-Encoding: chunked, or nothing and the end of the connection
    Content-Type: application/json\r\n     the handler's headers
    Connection: close\r\n                  if it is so
    \r\n

Source: RFC 9112 sections 4, 6 and 7.
"""

from http import HTTPStatus

from appmodel.protocol.http import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


def encode_head(response: Response, framing: str, *, date: bytes, keep_alive: bool | None) -> bytes:
    """The head of an answer.

    Args:
        framing: the header that tells the body's length, with its CRLF, or "".
        date: the `Date` header, with its CRLF.
        keep_alive: None says nothing (1.1 stays open), False says close, True is for HTTP/1.0.

    Raises:
        ValueError: a header would break out of its line. A handler let a caller's text in: a bug.
    """
    text = framing
    for name, value in response.headers:
        text += f"{name}: {value}\r\n"
    lines = len(response.headers) + (framing != "")
    if text.count("\n") != lines or text.count("\r") != lines:
        raise ValueError(f"a line break in a response header: {response.headers!r}")
    if keep_alive is not None:
        text += "Connection: keep-alive\r\n" if keep_alive else "Connection: close\r\n"
    return b"%b%b%b\r\n" % (status_line(response.status), date, text.encode("latin-1"))


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` and CRLF."""
    line = _STATUS_LINES.get(status)
    return line or b"HTTP/1.1 %d Unknown\r\n" % status


def has_no_body(status: int) -> bool:
    """Answers that end with their head, whatever it says: RFC 9112 6.3."""
    return status < 200 or status in (204, 304)


def chunk(data: bytes) -> bytes:
    """One chunk; `data` is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)
