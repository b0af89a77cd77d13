"""Requests as bytes: what is read, what is refused, and where each one ends."""

import itertools
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appmodel.protocol.http1 import (
    END,
    MAX_EXTENSIONS,
    MAX_TRAILERS,
    Head,
    HeadLimits,
    HttpError,
    RequestReader,
)

POST = b"POST /push?key=u1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /push HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"4;note=x\r\nhell\r\n1\r\no\r\n0\r\nTrailer: y\r\n\r\n"

Event = tuple[str, object]


def read_all(pieces: list[bytes], limits: HeadLimits | None = None) -> list[Event]:
    """Everything that comes out of the bytes: heads, whole bodies, the first error, what is left."""
    reader = RequestReader(limits)
    events: list[Event] = []
    body: bytearray | None = None
    for piece in [*pieces, b""]:
        if piece:
            reader.receive_data(piece)
        try:
            while True:
                if body is None:
                    head = reader.next_head()
                    if head is None:
                        break
                    events.append(("head", head))
                    body = bytearray()
                    continue
                data = reader.next_chunk()
                if data is None:
                    break
                body += data
                if data == END:
                    events.append(("body", bytes(body)))
                    body = None
        except HttpError as error:
            return [*events, ("error", error.status)]
    partial = [] if body is None else [("partial body", bytes(body))]
    return [*events, *partial, ("unread", reader.unread)]


def read_head_of(raw: bytes) -> Head:
    """The first head of `raw`."""
    reader = RequestReader()
    reader.receive_data(raw)
    head = reader.next_head()
    assert head is not None
    return head


def refusal_of(raw: bytes) -> int:
    """The status with which `raw` is refused; 0 if it is not."""
    last = read_all([raw])[-1]
    return int(str(last[1])) if last[0] == "error" else 0


def get(*headers: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request from its lines."""
    return b"".join(part + b"\r\n" for part in (line, *headers, b""))


def test_head_says_what_was_asked() -> None:
    """Path and query apart, path decoded, header names in lower case, repeated ones joined."""
    raw = get(b"Host: a:80", b"X-A:  1 \t", b"x-a: 2", line=b"GET /a%20b/%C3%A9?k=%20v HTTP/1.1")

    head = read_head_of(raw)

    assert (head.method, head.path, head.query_string) == ("GET", "/a b/é", "k=%20v")
    assert head.headers == {"host": "a:80", "x-a": "1, 2"}
    assert (head.length, head.keep_alive, head.raw) == (0, True, raw)


@pytest.mark.parametrize("cut", range(len(POST) + 1))
def test_request_may_arrive_in_any_two_pieces(cut: int) -> None:
    """TCP keeps no packet boundaries, so neither may we."""
    whole = read_all([POST])

    assert read_all([POST[:cut], POST[cut:]]) == whole
    assert whole[1:] == [("body", b"hello"), ("unread", b"")]


def test_pipelined_requests_come_in_order_and_leave_the_rest() -> None:
    """Each message ends where it says, so what is behind it is another's."""
    events = read_all([POST + CHUNKED + CHUNKS + get(b"Host: a") + b"GET /unfin"])

    assert [kind for kind, _ in events] == ["head", "body"] * 3 + ["unread"]
    assert [value for kind, value in events if kind == "body"] == [b"hello", b"hello", b""]
    assert events[-1] == ("unread", b"GET /unfin")


def test_bytes_behind_a_request_are_unread() -> None:
    """Who takes the connection over gets every byte, from the request or from behind it."""
    raw = get(b"Host: a", b"Connection: Upgrade", b"Upgrade: websocket")
    reader = RequestReader()
    reader.receive_data(raw + b"\x81\x00")

    head = reader.next_head()

    assert head is not None
    assert (head.raw, reader.whole_body(), reader.unread) == (raw, b"", b"\x81\x00")


def test_absolute_target_replaces_host() -> None:
    """RFC 9112 3.2.2: the authority of an absolute target wins over the Host header."""
    head = read_head_of(get(b"Host: wrong", line=b"GET http://right:81/a?b HTTP/1.1"))

    assert (head.path, head.query_string, head.headers["host"]) == ("/a", "b", "right:81")


def test_empty_lines_before_a_request_are_skipped() -> None:
    """RFC 9112 2.2: some old clients send a CRLF behind a body."""
    assert [kind for kind, _ in read_all([b"\r\n\r\n" + POST])] == ["head", "body", "unread"]


@pytest.mark.parametrize(
    ("line", "headers", "keep_alive"),
    [
        (b"GET / HTTP/1.1", [b"Host: a"], True),
        (b"GET / HTTP/1.1", [b"Host: a", b"Connection: close"], False),
        (b"GET / HTTP/1.1", [b"Host: a", b"Connection: x, Close"], False),
        (b"GET / HTTP/1.1", [b"Host: a", b"Connection: x", b"Connection: close"], False),
        (b"GET / HTTP/1.0", [], False),
        (b"GET / HTTP/1.0", [b"Connection: Keep-Alive"], True),
        (b"GET / HTTP/1.0", [b"Connection: keep-alive, close"], False),
    ],
)
def test_connection_stays_open_as_its_version_says(
    line: bytes, headers: list[bytes], *, keep_alive: bool
) -> None:
    """RFC 9112 9.3."""
    assert read_head_of(get(*headers, line=line)).keep_alive is keep_alive


MUST_REJECT = {
    # RFC 9112 6.3: what could be two requests to somebody else
    "length and coding": (
        400,
        get(b"Host: a", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    ),
    "coding and length": (
        400,
        get(b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    ),
    "two lengths": (400, get(b"Host: a", b"Content-Length: 5", b"Content-Length: 6")),
    "the same length twice": (400, get(b"Host: a", b"Content-Length: 5", b"Content-Length: 5")),
    "list of lengths": (400, get(b"Host: a", b"Content-Length: 5, 5")),
    "signed length": (400, get(b"Host: a", b"Content-Length: +5")),
    "negative length": (400, get(b"Host: a", b"Content-Length: -5")),
    "hexadecimal length": (400, get(b"Host: a", b"Content-Length: 0x5")),
    "length with space": (400, get(b"Host: a", b"Content-Length: 5 5")),
    "empty length": (400, get(b"Host: a", b"Content-Length: ")),
    "huge length": (400, get(b"Host: a", b"Content-Length: 99999999999999999999")),
    "length of 16 digits": (400, get(b"Host: a", b"Content-Length: 1000000000000000")),
    "coding not chunked": (400, get(b"Host: a", b"Transfer-Encoding: gzip")),
    "coding identity": (400, get(b"Host: a", b"Transfer-Encoding: identity")),
    "chunked not last": (400, get(b"Host: a", b"Transfer-Encoding: chunked, gzip")),
    "chunked twice": (400, get(b"Host: a", b"Transfer-Encoding: chunked, chunked")),
    "chunked in two headers": (
        400,
        get(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    ),
    "coding unknown": (501, get(b"Host: a", b"Transfer-Encoding: gzip, chunked")),
    "coding nearly chunked": (400, get(b"Host: a", b"Transfer-Encoding: xchunked")),
    "coding with a vertical tab": (400, get(b"Host: a", b"Transfer-Encoding: \x0bchunked")),
    "coding in 1.0": (400, get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0")),
    # RFC 9112 2.2, 5: lines that others would read otherwise
    "folded header": (400, get(b"Host: a", b"X: b", b" c")),
    "folded with a tab": (400, get(b"Host: a", b"X: b", b"\tc")),
    "space before the first header": (400, get(b" Host: a")),
    "space before the colon": (400, get(b"Host : a")),
    "no colon": (400, get(b"Host: a", b"X")),
    "empty name": (400, get(b"Host: a", b": x")),
    "name not ASCII": (400, get(b"Host: a", b"X\xff: x")),
    "bare CR in a value": (400, get(b"Host: a", b"X: a\rb")),
    "bare LF between headers": (400, b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    "bare LF behind the line": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "bare CR before the line": (400, b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "bare LF before the line": (400, b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "NUL in a value": (400, get(b"Host: a", b"X: a\0b")),
    "control in a value": (400, get(b"Host: a", b"X: a\x01b")),
    # RFC 9112 3: request line and host
    "no host": (400, get(b"X: a")),
    "two hosts": (400, get(b"Host: a", b"Host: a")),
    "host with a space": (400, get(b"Host: a b")),
    "host with a path": (400, get(b"Host: a/b")),
    "host with user": (400, get(b"Host: u@a")),
    "two spaces": (400, get(b"Host: a", line=b"GET  / HTTP/1.1")),
    "tab": (400, get(b"Host: a", line=b"GET\t/ HTTP/1.1")),
    "space at the end": (400, get(b"Host: a", line=b"GET / HTTP/1.1 ")),
    "space in the target": (400, get(b"Host: a", line=b"GET /a b HTTP/1.1")),
    "target not ASCII": (400, get(b"Host: a", line=b"GET /\xc3\xa9 HTTP/1.1")),
    "control in the target": (400, get(b"Host: a", line=b"GET /\x01 HTTP/1.1")),
    "fragment": (400, get(b"Host: a", line=b"GET /a#b HTTP/1.1")),
    "asterisk": (400, get(b"Host: a", line=b"OPTIONS * HTTP/1.1")),
    "authority": (400, get(b"Host: a", line=b"CONNECT a:80 HTTP/1.1")),
    "no target": (400, get(b"Host: a", line=b"GET HTTP/1.1")),
    "absolute with user": (400, get(b"Host: a", line=b"GET http://u@a/ HTTP/1.1")),
    "other scheme": (400, get(b"Host: a", line=b"GET ftp://a/ HTTP/1.1")),
    "path not UTF-8": (400, get(b"Host: a", line=b"GET /%ff HTTP/1.1")),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/1.2": (505, get(b"Host: a", line=b"GET / HTTP/1.2")),
    "HTTP/2.0": (505, get(b"Host: a", line=b"GET / HTTP/2.0")),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.11": (400, get(b"Host: a", line=b"GET / HTTP/1.11")),
    "http/1.1": (400, get(b"Host: a", line=b"GET / http/1.1")),
    "method unknown": (501, get(b"Host: a", line=b"FOO / HTTP/1.1")),
    "method in lower case": (501, get(b"Host: a", line=b"get / HTTP/1.1")),
    "method not a token": (400, get(b"Host: a", line=b"G(T / HTTP/1.1")),
    "TLS on a plain port": (400, b"\x16\x03\x01"),
    "other expectation": (417, get(b"Host: a", b"Expect: 200-ok")),
    # RFC 9112 7.1: chunks
    "chunk size not hexadecimal": (400, CHUNKED + b"g\r\n"),
    "chunk size empty": (400, CHUNKED + b"\r\n"),
    "chunk size signed": (400, CHUNKED + b"+1\r\nx\r\n"),
    "chunk size 0x": (400, CHUNKED + b"0x1\r\nx\r\n"),
    "chunk size with space": (400, CHUNKED + b"1 \r\nx\r\n"),
    "chunk size huge": (400, CHUNKED + b"fffffffff\r\n"),
    "chunk line in LF": (400, CHUNKED + b"1\nx\r\n"),
    "chunk line with CR": (400, CHUNKED + b"1;\rx\r\nx\r\n"),
    "chunk line with NUL": (400, CHUNKED + b"1;\0\r\nx\r\n"),
    "chunk line too long": (400, CHUNKED + b"1;" + b"x" * 300),
    "chunk longer than told": (400, CHUNKED + b"1\r\nxx\r\n"),
    "chunk ends in LF": (400, CHUNKED + b"1\r\nx\n0\r\n\r\n"),
    "extensions without end": (400, CHUNKED + (b"1;" + b"x" * 200 + b"\r\nx\r\n") * 99),
    "trailer not a header": (400, CHUNKED + b"0\r\nx\r\n\r\n"),
    "trailer with space": (400, CHUNKED + b"0\r\nx : y\r\n\r\n"),
    "trailer in LF": (400, CHUNKED + b"0\r\nx: y\n\r\n"),
    "trailers without end": (400, CHUNKED + b"0\r\n" + b"x: y\r\n" * 2000),
}


@pytest.mark.parametrize(("status", "raw"), MUST_REJECT.values(), ids=MUST_REJECT)
def test_what_must_be_rejected_is(status: int, raw: bytes) -> None:
    """RFC 9112's list, with the status that the client is told."""
    assert refusal_of(raw) == status


ACCEPTED = {
    "empty value": get(b"Host: a", b"X:"),
    "empty host": get(b"Host:"),
    "IPv6 host": get(b"Host: [::1]:80"),
    "value not ASCII": get(b"Host: a", b"X: \xff"),
    "1.0 without host": get(line=b"GET / HTTP/1.0"),
    "1.0 with Expect": get(b"Expect: 100-continue", line=b"GET / HTTP/1.0"),
    "Chunked": get(b"Host: a", b"Transfer-Encoding: Chunked") + b"0\r\n\r\n",
    "chunk size in capitals": CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n",
    "chunk size with zeros": CHUNKED + b"00000001\r\nx\r\n000\r\n\r\n",
    "extension with quotes": CHUNKED + b'1 ; a="b c"\r\nx\r\n0\r\n\r\n',
    "trailer": CHUNKED + b"0\r\nX: y\r\n\r\n",
}


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_odd_and_right_is_accepted(raw: bytes) -> None:
    """Strict is not the same as narrow."""
    assert [kind for kind, _ in read_all([raw])] == ["head", "body", "unread"]


def test_limits_are_exact() -> None:
    """A line, a head and a number of headers at their limit pass, one more does not."""
    limits = HeadLimits(line=100, head=200, headers=3)
    line = b"GET /" + b"a" * 84 + b" HTTP/1.1\r\n"
    assert len(line) == limits.line
    filler = b"X: %b" % (b"a" * (200 - 100 - 9 - 5 - 2))

    def status(raw: bytes) -> object:
        return read_all([raw], limits)[-1][1]

    at_limit = line + b"Host: a\r\n" + filler + b"\r\n\r\n"
    assert len(at_limit) == limits.head
    assert status(at_limit) == b""
    assert status(at_limit.replace(b"X: a", b"X: aa")) == 431
    assert status(at_limit.replace(b"/a", b"/aa")) == 414
    assert status(b"GET /" + b"a" * 95) == 414
    assert status(at_limit[:-4] + b"aaaa") == 431
    assert status(get(b"Host: a", b"A: 1", b"B: 2")) == b""
    assert status(get(b"Host: a", b"A: 1", b"B: 2", b"C: 3")) == 431


def test_overhead_of_chunks_is_bounded() -> None:
    """Extensions and trailers are counted over the body, not by line."""
    line = b"1;" + b"x" * 199 + b"\r\nx\r\n"
    within = MAX_EXTENSIONS // 200

    assert refusal_of(CHUNKED + line * within) == 0
    assert refusal_of(CHUNKED + line * (within + 1)) == 400
    assert refusal_of(CHUNKED + b"0\r\n" + b"x: y\r\n" * ((MAX_TRAILERS - 2) // 6) + b"\r\n") == 0


def test_whole_body_is_all_or_nothing() -> None:
    """The short way for a body that came with its head takes nothing from one that did not."""
    reader = RequestReader()
    reader.receive_data(POST[:-1])
    assert reader.next_head() is not None

    assert reader.whole_body() is None
    reader.receive_data(POST[-1:])
    assert reader.whole_body() == b"hello"
    assert reader.between_requests


TOKENS = [
    b"GET ", b"POST ", b"/", b"*", b"http://a/", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: a\r\n",
    b"Content-Length: 3\r\n", b"Content-Length:", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"\n", b"\r",
    b" ", b"\0", b"3\r\n", b"abc", b"0\r\n", b"\r\n\r\n", b"x: y\r\n", b"Expect: 100-continue\r\n", b"%ff", b"#",
]  # fmt: skip
requests = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(TOKENS), max_size=24).map(b"".join),
    st.lists(st.sampled_from([POST, CHUNKED + CHUNKS, get(b"Host: a")]), max_size=3).map(b"".join),
    st.tuples(
        st.sampled_from([POST, CHUNKED + CHUNKS]), st.integers(0, 110), st.binary(max_size=3)
    ).map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]),
)


@given(requests, st.lists(st.integers(0, 400), max_size=6))
@example(b"\r", [])
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy", [60])
def test_any_bytes_in_any_pieces_give_the_same(raw: bytes, cuts: list[int]) -> None:
    """Nothing but HttpError comes out, and where packets end changes nothing."""
    limits = HeadLimits(line=60, head=120, headers=4)
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    pieces = [raw[start:end] for start, end in itertools.pairwise(edges)]

    whole = read_all([raw], limits)

    assert read_all(pieces, limits) == whole
    assert read_all([raw[i : i + 1] for i in range(len(raw))], limits) == whole


@given(
    st.text(string.ascii_letters + string.digits + "-._~/", max_size=20), st.binary(max_size=300)
)
def test_what_a_client_wrote_is_read(path: str, body: bytes) -> None:
    """A sound request comes out as it went in, chunked or not."""
    line = f"PUT /{path} HTTP/1.1\r\nHost: a\r\n".encode()
    fixed = line + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body)))
    chunked = line + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"

    for raw in (fixed, chunked):
        (_, head), *rest = read_all([raw])

        assert isinstance(head, Head)
        assert (head.method, head.path) == ("PUT", "/" + path)
        assert rest == [("body", body), ("unread", b"")]
