"""The front door on real sockets: what a client sees, and what it can never do."""

import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appmodel.core.units import Duration, Size
from appmodel.errors import BadInput, PushError
from appmodel.io.http import FrontDoor, HttpLimits
from appmodel.io.listener import open_sockets, tls_context
from appmodel.io.wire import Wire
from appmodel.protocol.http import Request, Response, Route

CERTIFICATE = Path(__file__).parents[2] / "data" / "localhost.pem"
BIG = 32 * 1024 * 1024  # bytes: more than the buffers of two sockets
SOON = Duration(0.05)


class Answer(NamedTuple):
    """A response as it was read."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A client that speaks in raw bytes, and reads answers as RFC 9112 says."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.unread = b""

    async def send(self, data: bytes) -> None:
        """Raw bytes."""
        await self.stream.send_all(data)

    async def ask(self, path: str, body: bytes = b"", *, method: str = "POST") -> Answer:
        """A request and its answer."""
        await self.send(request(path, body, method=method))
        return await self.answer(has_body=method != "HEAD")

    async def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer."""
        line, *lines = (await self.until(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, v in (text.split(": ", 1) for text in lines)}
        status = int(line.split(" ")[1])
        if not has_body or status < 200 or status in (204, 304):
            body = b""
        elif "transfer-encoding" in headers:
            body = b"".join([piece async for piece in self.chunks()])
        elif "content-length" in headers:
            body = await self.exactly(int(headers["content-length"]))
        else:
            body = await self.to_end()
        return Answer(status, headers, body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a body, as they come."""
        while size := int(await self.until(b"\r\n"), 16):
            yield await self.exactly(size)
            assert await self.exactly(2) == b"\r\n"
        assert await self.exactly(2) == b"\r\n"

    async def until(self, mark: bytes) -> bytes:
        """Bytes up to `mark` and with it."""
        while mark not in self.unread:
            await self.receive()
        return await self.exactly(self.unread.index(mark) + len(mark))

    async def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self.unread) < size:
            await self.receive()
        data, self.unread = self.unread[:size], self.unread[size:]
        return data

    async def receive(self) -> None:
        """One packet."""
        data = await self.stream.receive_some()
        assert data, f"the server hung up behind {self.unread!r}"
        self.unread += data

    async def to_end(self) -> bytes:
        """Everything until the server hangs up."""
        data, self.unread = self.unread, b""
        while piece := await self.stream.receive_some():
            data += piece
        return data


class House:
    """A running front door."""

    def __init__(self, door: FrontDoor, port: int) -> None:
        self.door = door
        self.port = port
        self.stop = trio.Event()
        self.ended = trio.Event()
        self.bugs: list[BaseException] = []
        self.clients: list[trio.SocketStream] = []

    async def connect(self) -> Client:
        """A new client."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.clients.append(stream)
        return Client(stream)


@asynccontextmanager
async def open_house(*routes: Route, tls: bool = False, **options: Any) -> AsyncIterator[House]:
    """Serve `routes` inside the block. Options that `HttpLimits` knows go there."""
    sockets = open_sockets("127.0.0.1", 0)
    limits = {
        name: options.pop(name) for name in list(options) if name in HttpLimits.__struct_fields__
    }
    bugs: list[BaseException] = []
    door = FrontDoor(routes, limits=HttpLimits(**limits), on_bug=bugs.append, **options)
    house = House(door, sockets[0].getsockname()[1])
    house.bugs = bugs
    context = tls_context(CERTIFICATE, CERTIFICATE) if tls else None

    async def serve() -> None:
        await door.serve(sockets, stop=house.stop, tls=context)
        house.ended.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield house
            nursery.cancel_scope.cancel()
    finally:
        for stream in house.clients:
            stream.socket.close()


def request(path: str, body: bytes = b"", *, method: str = "POST", more: str = "") -> bytes:
    """A request with a body of known length."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def chunked(path: str) -> bytes:
    """The head of a request with a chunked body."""
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


async def echo(request: Request) -> Response:
    """Answers with what it got."""
    return Response(headers=[("X-Seen", f"{request.method} {request.path}")], body=request.body)


async def shout(request: Request) -> Response:
    """Streams in, streams out: each piece in capitals as soon as it comes."""

    async def pieces() -> AsyncIterator[bytes]:
        assert request.chunks is not None
        async for piece in request.chunks:
            yield piece.upper()

    return Response(body=pieces())


ECHO = Route(method="POST", path="/echo", handler=echo)
READ = Route(method="GET", path="/read", handler=echo)
SHOUT = Route(method="POST", path="/shout", handler=shout, streams=True)


async def test_connection_stays_open_and_answers_in_order() -> None:
    """Keep-alive is the rule in HTTP/1.1; each answer belongs to its request."""
    async with open_house(ECHO) as house:
        client = await house.connect()

        first = await client.ask("/echo?q=1", b"one")
        second = await client.ask("/%65cho", b"two")

        assert (first.status, first.body, second.body) == (200, b"one", b"two")
        assert first.headers["x-seen"] == "POST /echo"
        assert "connection" not in first.headers
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", first.headers["date"])
        assert house.door.answered["2xx"] == 2
        assert house.door.open_connections == 1


async def test_handler_sees_who_asks() -> None:
    """Method, path, query, headers, the peer's address, and whether it is TLS."""
    seen: list[Request] = []

    async def look(request: Request) -> Response:
        seen.append(request)
        return Response(status=204)

    async with open_house(Route(method="POST", path="/a b", handler=look)) as house:
        client = await house.connect()
        answer = await client.ask("/a%20b?k=%C3%A9&k=2", b"body")

        assert (answer.status, "content-length" in answer.headers) == (204, False)
        (request,) = seen
        assert (request.path, request.query, request.body) == ("/a b", {"k": "é"}, b"body")
        assert (request.peer, request.secure, request.headers["host"]) == ("127.0.0.1", False, "a")


async def test_tls_is_the_same_server() -> None:
    """Over TLS everything holds, and a handler can see it."""

    async def is_secure(request: Request) -> Response:
        return Response(body=str(request.secure).encode())

    async with open_house(Route(method="GET", path="/", handler=is_secure), tls=True) as house:
        plain = await house.connect()
        trust = ssl.create_default_context(cafile=str(CERTIFICATE))
        secure = trio.SSLStream(plain.stream, trust, server_hostname="localhost")

        answer = await Client(secure).ask("/", method="GET")

        assert answer.body == b"True"


async def test_pipelined_answers_are_one_write() -> None:
    """Requests that came together are answered in order and together."""
    async with open_house(ECHO) as house:
        client = await house.connect()

        await client.send(b"".join(request("/echo", b"%d" % i) for i in range(50)))
        await client.receive()
        together = client.unread.count(b"HTTP/1.1 200 OK")
        bodies = [(await client.answer()).body for _ in range(50)]

        assert bodies == [b"%d" % i for i in range(50)]
        assert together == 50


async def test_answers_leave_before_a_handler_waits() -> None:
    """A pipelined request that takes long holds back its own answer only."""
    go_on = trio.Event()

    async def wait(_request: Request) -> Response:
        await go_on.wait()
        return Response(body=b"slow")

    async with open_house(ECHO, Route(method="POST", path="/wait", handler=wait)) as house:
        client = await house.connect()
        await client.send(request("/echo", b"quick") + request("/wait") + request("/echo", b"last"))

        assert (await client.answer()).body == b"quick"
        go_on.set()
        assert (await client.answer()).body == b"slow"
        assert (await client.answer()).body == b"last"


async def test_head_is_get_without_body() -> None:
    """RFC 9110 9.3.2, for bodies of both kinds."""

    async def some(_request: Request) -> Response:
        return Response(body=b"four")

    async def stream(_request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"never sent"

        return Response(body=pieces())

    routes = (
        Route(method="GET", path="/", handler=some),
        Route(method="GET", path="/s", handler=stream),
    )
    async with open_house(*routes) as house:
        client = await house.connect()

        answer = await client.ask("/", method="HEAD")
        assert (answer.headers["content-length"], answer.body) == ("4", b"")
        answer = await client.ask("/s", method="HEAD")
        assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"")
        assert (await client.ask("/", method="GET")).body == b"four"


async def test_unknown_paths_and_methods() -> None:
    """404, and 405 with what is allowed and the body that gopush clients know."""
    async with open_house(ECHO, READ) as house:
        client = await house.connect()

        assert (await client.ask("/other")).status == 404
        answer = await client.ask("/read")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.body == b"Method Not Allowed"
        assert (await client.ask("/echo", b"x")).body == b"x"


async def test_stranger_with_a_body_is_answered_and_closed() -> None:
    """Nobody reads the body of a request that nobody serves."""
    async with open_house(ECHO) as house:
        client = await house.connect()

        answer = await client.ask("/other", b"body")

        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert await client.to_end() == b""


async def test_connection_close_is_kept() -> None:
    """Who asks to close, or speaks HTTP/1.0, is answered and closed; 1.0 may ask to stay."""
    async with open_house(ECHO, READ) as house:
        client = await house.connect()
        await client.send(request("/echo", b"x", more="Connection: close\r\n"))
        answer = await client.answer()
        assert (answer.headers["connection"], await client.to_end()) == ("close", b"")

        old = await house.connect()
        await old.send(b"GET /read HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await old.answer()).headers["connection"] == "keep-alive"
        await old.send(b"GET /read HTTP/1.0\r\n\r\n")
        assert (await old.answer()).headers["connection"] == "close"
        assert await old.to_end() == b""


async def test_big_bodies_are_refused_before_they_come() -> None:
    """413 by Content-Length at once, by chunks when there are too many; a route may set its own."""
    small = Route(method="POST", path="/small", handler=echo, max_body=3)
    async with open_house(ECHO, small, max_body=Size(10)) as house:
        client = await house.connect()
        await client.send(request("/echo", b"x" * 11)[:-11])
        answer = await client.answer()
        assert (answer.status, answer.body) == (413, b"body: 11 bytes, at most 10")
        assert await client.to_end() == b""

        client = await house.connect()
        await client.send(chunked("/echo") + b"6\r\nabcdef\r\n6\r\nabcdef\r\n")
        assert (await client.answer()).status == 413

        client = await house.connect()
        assert (await client.ask("/echo", b"x" * 10)).status == 200
        assert (await client.ask("/small", b"x" * 4)).status == 413


async def test_refusal_reaches_a_client_that_is_still_sending() -> None:
    """The connection is not reset under a client that has not read our answer yet."""
    async with open_house(ECHO) as house:
        client = await house.connect()
        body = b"x" * BIG
        sent = trio.Event()

        async def send() -> None:
            await client.send(request("/echo", body))
            sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await sent.wait()
            assert (await client.answer()).status == 413


async def test_continue_is_sent_when_the_body_is_wanted() -> None:
    """`Expect: 100-continue`: asked for, or refused, or superfluous."""
    expect = "Expect: 100-continue\r\n"
    async with open_house(ECHO, SHOUT, max_body=Size(10)) as house:
        client = await house.connect()
        await client.send(request("/echo", b"body", more=expect)[:-4])
        assert (await client.answer()).status == 100
        await client.send(b"body")
        assert (await client.answer()).body == b"body"

        await client.send(request("/echo", b"here", more=expect))
        assert (await client.answer()).body == b"here"

        await client.send(request("/echo", b"x" * 11, more=expect)[:-11])
        assert (await client.answer()).status == 413


async def test_body_in_pieces_is_whole_for_a_handler() -> None:
    """Chunks and packets are the wire's affair."""
    async with open_house(ECHO) as house:
        client = await house.connect()

        for piece in (
            chunked("/echo") + b"3\r",
            b"\nabc\r\n",
            b"2;x=y\r\nde",
            b"\r\n0\r\nT: 1\r\n\r",
            b"\n",
        ):
            await client.send(piece)
            await trio.testing.wait_all_tasks_blocked()

        assert (await client.answer()).body == b"abcde"
        assert (await client.ask("/echo", b"next")).body == b"next"


async def test_streams_both_ways_at_once() -> None:
    """An answer may start while its request is arriving: NDJSON in, NDJSON out."""
    async with open_house(SHOUT, ECHO) as house:
        client = await house.connect()
        await client.send(chunked("/shout") + b"2\r\na\n\r\n")

        head = await client.until(b"\r\n\r\n")
        chunks = client.chunks()
        assert b"Transfer-Encoding: chunked" in head
        assert await anext(chunks) == b"A\n"
        await client.send(b"2\r\nb\n\r\n")
        assert await anext(chunks) == b"B\n"
        await client.send(b"0\r\n\r\n")
        assert [chunk async for chunk in chunks] == []

        assert (await client.ask("/echo", b"next")).body == b"next"


async def test_ready_chunks_are_one_write_and_none_waits() -> None:
    """What is ready together leaves together; what is ready leaves before the next is waited for."""
    go_on = trio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a"
        await go_on.wait()
        yield b"end"

    async def stream(_request: Request) -> Response:
        return Response(body=pieces())

    async with open_house(Route(method="GET", path="/", handler=stream)) as house:
        client = await house.connect()
        await client.send(request("/", method="GET"))

        await client.receive()
        assert client.unread.endswith(b"\r\n\r\n" + b"1\r\na\r\n" * 20)
        go_on.set()
        assert (await client.answer()).body == b"a" * 20 + b"end"


async def test_streams_to_http_1_0_end_with_the_connection() -> None:
    """HTTP/1.0 knows no chunks."""

    async def stream(_request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        return Response(body=pieces())

    async with open_house(Route(method="GET", path="/", handler=stream)) as house:
        client = await house.connect()
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

        answer = await client.answer()

        assert ("transfer-encoding" in answer.headers, answer.body) == (False, b"ab")


async def test_body_is_read_when_the_handler_asks() -> None:
    """Back-pressure: a handler that does not read stops its client, and loses nothing."""
    go_on, all_sent = trio.Event(), trio.Event()
    size = 0

    async def measure(request: Request) -> Response:
        nonlocal size
        await go_on.wait()
        assert request.chunks is not None
        async for piece in request.chunks:
            size += len(piece)
        return Response(status=204)

    async with open_house(Route(method="POST", path="/", handler=measure, streams=True)) as house:
        client = await house.connect()

        async def send() -> None:
            await client.send(request("/", b"x" * BIG))
            all_sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not all_sent.is_set()
            go_on.set()
            await all_sent.wait()
        assert (await client.answer()).status == 204
        assert size == BIG


async def test_answer_without_reading_closes() -> None:
    """A streaming handler may refuse early; what is left of the body is nobody's next request."""

    async def refuse(_request: Request) -> Response:
        return Response(status=403, body=b"no")

    async with open_house(Route(method="POST", path="/", handler=refuse, streams=True)) as house:
        client = await house.connect()
        await client.send(chunked("/") + b"4\r\n" + request("/")[:4])

        answer = await client.answer()

        assert (answer.status, answer.headers["connection"]) == (403, "close")
        await client.send(b"\r\n0\r\n\r\n")
        assert await client.to_end() == b""


async def test_slow_reader_is_cut() -> None:
    """Who does not read its answer loses its connection, not our memory."""

    async def much(_request: Request) -> Response:
        return Response(body=b"x" * BIG)

    async def endless(_request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1024

        return Response(body=pieces())

    routes = (
        Route(method="GET", path="/", handler=much),
        Route(method="GET", path="/e", handler=endless),
    )
    async with open_house(*routes, write_timeout=SOON) as house:
        for path in ("/", "/e"):
            client = await house.connect()
            await client.send(request(path, method="GET"))

        while house.door.open_connections or house.door.refused["write timeout"] < 2:  # noqa: ASYNC110  # counters have no event
            await trio.sleep(0.01)
        assert not house.bugs


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET /read HT", "head timeout"),
        (request("/echo", b"body")[:-1], "body timeout"),
        (chunked("/echo") + b"4\r\nbo", "body timeout"),
        (chunked("/shout"), "body timeout"),
    ],
    ids=["head", "fixed body", "chunked body", "streamed body"],
)
async def test_slow_writer_is_told(sent: bytes, reason: str) -> None:
    """A request that does not come to its end in time is 408, and no task waits for it."""
    swift: dict[str, Any] = {"head_timeout": SOON, "body_timeout": SOON, "linger": SOON}

    async def wait_for_all(request: Request) -> Response:
        assert request.chunks is not None
        return Response(body=b"".join([piece async for piece in request.chunks]))

    shout_late = Route(method="POST", path="/shout", handler=wait_for_all, streams=True)
    async with open_house(ECHO, READ, shout_late, **swift) as house:
        client = await house.connect()
        await client.send(sent)

        answer = await client.answer()

        assert (answer.status, answer.body.decode()) == (408, reason)
        assert await client.to_end() == b""
        assert house.door.refused == {reason: 1}


async def test_head_may_not_trickle() -> None:
    """The deadline is for the whole head: a byte now and then does not move it."""
    async with open_house(READ, head_timeout=Duration(0.2), linger=SOON) as house:
        client = await house.connect()
        done = trio.Event()

        async def trickle() -> None:
            try:
                for byte in b"GET /read HTTP/1.1\r\n" + b"X: y\r\n" * 10_000:
                    await client.send(bytes([byte]))
                    await trio.sleep(0.01)
            except trio.BrokenResourceError:
                done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            assert (await client.answer()).status == 408
            await done.wait()


async def test_idle_connections_end() -> None:
    """Between two requests, and before the first: closed without a word."""
    async with open_house(ECHO, idle_timeout=SOON) as house:
        client = await house.connect()
        await client.ask("/echo", b"x")

        assert await client.to_end() == b""
        assert not house.door.refused
    async with open_house(ECHO, head_timeout=SOON) as house:
        silent = await house.connect()

        assert await silent.to_end() == b""
        assert not house.door.refused


async def test_full_house_is_503() -> None:
    """Above `max_connections` a client is told, and counted."""
    async with open_house(ECHO, max_connections=1) as house:
        first = await house.connect()
        await first.ask("/echo")
        second = await house.connect()

        assert (await second.answer()).status == 503
        assert house.door.refused == {"full": 1}


async def test_malformed_requests_are_told_why() -> None:
    """400 and its relatives name what was wrong; then the connection ends."""
    async with open_house(ECHO) as house:
        client = await house.connect()
        await client.send(request("/echo", b"good") + b"GET / HTTP/1.1\r\n\r\n")

        assert (await client.answer()).body == b"good"
        answer = await client.answer()
        assert (answer.status, answer.body) == (400, b"host: missing")
        assert answer.headers["connection"] == "close"
        assert await client.to_end() == b""

        client = await house.connect()
        await client.send(chunked("/echo") + b"x\r\n")
        assert (await client.answer()).body.startswith(b"chunk size: got b'x'")
        assert (house.door.refused["400"], house.door.answered["4xx"]) == (1, 2)


async def test_refused_by_handler_is_rendered() -> None:
    """A `PushError` becomes what the listener's clients expect; the connection goes on."""

    async def refuse(_request: Request) -> Response:
        raise BadInput("key", "x", "a key")

    async def refuse_in_group(_request: Request) -> Response:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse, _request)
        raise AssertionError("unreachable")

    def render(error: PushError, request: Request) -> Response:
        return Response(status=error.status, body=f"{request.path} {error.ret} {error}".encode())

    routes = [
        Route(method="POST", path="/a", handler=refuse),
        Route(method="POST", path="/b", handler=refuse_in_group),
    ]
    async with open_house(*routes, render_error=render) as house:
        client = await house.connect()

        answer = await client.ask("/a")
        assert (answer.status, answer.body) == (422, b"/a 65534 key: got 'x', expected a key")
        assert (await client.ask("/b")).body.startswith(b"/b 65534")
        assert not house.bugs


async def test_bug_is_500_and_contained() -> None:
    """An exception ends its connection, is known, and nobody else notices."""

    async def bug(_request: Request) -> Response:
        raise KeyError("secret detail")

    async def break_out(_request: Request) -> Response:
        return Response(headers=[("Location", "/\r\nSet-Cookie: a=b")])

    routes = [
        Route(method="POST", path="/bug", handler=bug),
        Route(method="POST", path="/break", handler=break_out),
    ]
    async with open_house(ECHO, *routes) as house:
        for path in ("/bug", "/break"):
            client, other = await house.connect(), await house.connect()
            await client.send(request("/echo", b"before") + request(path))

            assert (await client.answer()).body == b"before"
            answer = await client.answer()
            assert (answer.status, answer.body) == (500, b"Internal Server Error")
            assert await client.to_end() == b""
            assert (await other.ask("/echo", b"x")).body == b"x"
        assert [type(bug) for bug in house.bugs] == [KeyError, ValueError]
        assert house.door.refused == {"bug": 2}


async def test_bug_in_a_stream_cuts_it_short() -> None:
    """A body that breaks off never looks complete; one that never began is 500."""
    go_on = trio.Event()

    async def late() -> AsyncIterator[bytes]:
        yield b"a"
        await go_on.wait()
        raise KeyError("late")

    async def early() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("early")

    async def stream(request: Request) -> Response:
        return Response(body=late() if request.path == "/late" else early())

    routes = [Route(method="GET", path=path, handler=stream) for path in ("/late", "/early")]
    async with open_house(*routes) as house:
        client = await house.connect()
        await client.send(request("/late", method="GET"))
        await client.until(b"1\r\na\r\n")
        go_on.set()
        assert await client.to_end() == b""

        answer = await (await house.connect()).ask("/early", method="GET")
        assert (answer.status, answer.headers["connection"]) == (500, "close")
        assert len(house.bugs) == 2


async def test_takeover_gets_the_wire_and_what_followed() -> None:
    """After 101 the connection is somebody else's, with every byte behind the request."""

    async def mirror(wire: Wire, received: bytes) -> None:
        taken = wire.detach()
        with taken:
            taken.send(b"<" + received + b">")

    async def upgrade(_request: Request) -> Response:
        headers = [("Connection", "Upgrade"), ("Upgrade", "mirror")]
        return Response(status=101, headers=headers, takeover=mirror)

    async with open_house(ECHO, Route(method="GET", path="/up", handler=upgrade)) as house:
        client = await house.connect()
        asked = request("/up", method="GET", more="Connection: Upgrade\r\nUpgrade: mirror\r\n")
        await client.send(request("/echo", b"x") + asked + b"\x00frames")

        assert (await client.answer()).body == b"x"
        answer = await client.answer()
        assert (answer.status, answer.headers["upgrade"]) == (101, "mirror")
        assert await client.to_end() == b"<\x00frames>"
        assert house.door.answered["1xx"] == 1


async def test_otherwise_answers_what_has_no_route() -> None:
    """Any method and any path but those of routes; the connection goes on, and there is no 405."""

    async def otherwise(request: Request) -> Response:
        headers = [("X-Otherwise", f"{request.method} {request.path}")]
        return Response(status=418, headers=headers, body=request.body)

    async with open_house(ECHO, otherwise=otherwise) as house:
        client = await house.connect()

        routed = await client.ask("/echo", b"one")
        others = [
            await client.ask("/rooms/%2Fa%23b", b"two"),
            await client.ask("/echo", method="PUT"),
            await client.ask("/", method="OPTIONS"),
        ]

        assert (routed.status, routed.body) == (200, b"one")
        assert [each.status for each in others] == [418] * 3
        assert [each.headers["x-otherwise"] for each in others] == [
            "POST /rooms//a#b",
            "PUT /echo",
            "OPTIONS /",
        ]
        assert others[0].body == b"two"


async def test_fallback_takes_over_at_a_request() -> None:
    """A path without a route goes to the fallback, from that request's first byte, at any request."""
    taken: list[bytes] = []

    async def fallback(wire: Wire, received: bytes) -> None:
        taken.append(received)
        await wire.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
        while data := await wire.receive_some():
            taken.append(data)

    async with open_house(ECHO, fallback=fallback) as house:
        stranger = request("/else?x", b"body") + request("/echo", b"not ours any more")
        for before in (b"", request("/echo", b"mine")):
            client = await house.connect()
            await client.send(before + stranger)

            if before:
                assert (await client.answer()).body == b"mine"
            assert (await client.answer()).body == b"other"
            assert taken == [stranger]
            taken.clear()
        assert (await (await house.connect()).ask("/echo", method="GET")).status == 405


async def test_bug_after_a_takeover_says_nothing() -> None:
    """We do not write HTTP into somebody else's protocol."""

    async def fallback(_wire: Wire, _received: bytes) -> None:
        raise KeyError("bug")

    async with open_house(ECHO, fallback=fallback) as house:
        client = await house.connect()
        await client.send(request("/else"))

        assert await client.to_end() == b""
        assert len(house.bugs) == 1


async def test_drain_closes_idle_and_finishes_running() -> None:
    """After `stop`: idle connections end at once, running requests are answered, and say goodbye."""
    go_on, started = trio.Event(), trio.Event()

    async def slow(_request: Request) -> Response:
        started.set()
        await go_on.wait()
        return Response(body=b"done")

    slow_route = Route(method="POST", path="/slow", handler=slow)
    async with open_house(ECHO, slow_route, half_sent_timeout=SOON) as house:
        idle, fresh, running = [await house.connect() for _ in range(3)]
        await idle.ask("/echo")
        await running.send(request("/slow") + request("/echo", b"never served"))
        await started.wait()

        house.stop.set()

        assert await idle.to_end() == b""
        assert await fresh.to_end() == b""
        assert not house.ended.is_set()
        go_on.set()
        answer = await running.answer()
        assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        assert await running.to_end() == b""
        await house.ended.wait()
        with pytest.raises(OSError, match="connect"):
            await house.connect()


async def test_drain_answers_who_has_come_but_now() -> None:
    """A client whose request is on its way when the node stops does not notice it."""
    async with open_house(ECHO, half_sent_timeout=3600) as house:
        client = await house.connect()
        await trio.testing.wait_all_tasks_blocked(0.02)

        house.stop.set()
        await trio.testing.wait_all_tasks_blocked(0.02)

        assert (await client.ask("/echo", b"just in time")).body == b"just in time"
        assert await client.to_end() == b""
        await house.ended.wait()


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"POST /echo HT", b"HTTP/1.1 408 "),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 408 "),
        (
            b"POST /stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 ",
        ),
    ],
    ids=["head", "body", "stream"],
)
async def test_drain_does_not_wait_for_half_a_request(sent: bytes, told: bytes) -> None:
    """A client that says nothing more is cut soon, whatever the time for running requests."""

    async def read_all(given: Request) -> Response:
        async def answer() -> AsyncIterator[bytes]:
            yield b"begun"
            assert given.chunks is not None
            async for chunk in given.chunks:
                yield chunk

        return Response(body=answer())

    stream = Route(method="POST", path="/stream", handler=read_all, streams=True)
    async with open_house(ECHO, stream, drain_timeout=3600, half_sent_timeout=SOON) as house:
        client = await house.connect()
        await client.send(sent)
        await trio.testing.wait_all_tasks_blocked(0.02)

        house.stop.set()

        assert (await client.to_end()).startswith(told)
        await house.ended.wait()


async def test_drain_lets_a_request_that_still_comes_be_answered() -> None:
    """Who is sending when the node stops gets an answer, also if the body begins only then."""
    async with open_house(ECHO, drain_timeout=3600, half_sent_timeout=3600) as house:
        client = await house.connect()
        await client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Le")
        await trio.testing.wait_all_tasks_blocked(0.02)

        house.stop.set()
        await client.send(b"ngth: 9\r\n\r\nhalf")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.send(b" half")

        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"half half")
        assert answer.headers["connection"] == "close"
        await house.ended.wait()


async def test_drain_does_not_wait_for_a_body_that_begins_during_it() -> None:
    """Each wait after `stop` is as short as those that it found."""
    patience = Duration(3600)
    async with open_house(
        ECHO, drain_timeout=patience, body_timeout=patience, half_sent_timeout=Duration(1)
    ) as house:
        client = await house.connect()
        await client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Le")
        await trio.testing.wait_all_tasks_blocked(0.02)

        house.stop.set()
        await client.send(b"ngth: 9\r\n\r\nhalf")

        assert (await client.to_end()).startswith(b"HTTP/1.1 408 ")
        await house.ended.wait()


async def test_drain_is_bounded() -> None:
    """A handler that never ends, and a client that never reads, are cut when the grace is over."""

    async def hang(_request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    async def much(_request: Request) -> Response:
        return Response(body=b"x" * BIG)

    routes = (
        Route(method="POST", path="/hang", handler=hang),
        Route(method="POST", path="/", handler=much),
    )
    async with open_house(*routes, drain_timeout=SOON) as house:
        for path in ("/hang", "/"):
            await (await house.connect()).send(request(path))
        await trio.testing.wait_all_tasks_blocked(0.02)

        house.stop.set()
        await house.ended.wait()

        assert house.door.open_connections == 0


async def test_client_that_leaves_is_no_bug() -> None:
    """A reset while we answer, or in the middle of a body, is the client's affair."""
    left = trio.Event()

    async def wait_and_send(_request: Request) -> Response:
        await left.wait()
        return Response(body=b"x" * BIG)

    async def stream(_request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            await left.wait()
            while True:
                yield b"x" * 65536

        return Response(body=pieces())

    routes = (
        Route(method="POST", path="/a", handler=wait_and_send),
        Route(method="POST", path="/b", handler=stream),
    )
    async with open_house(ECHO, *routes) as house:
        for sent in (request("/a"), request("/b"), request("/echo", b"body")[:-1]):
            client = await house.connect()
            await client.send(sent)
            await trio.testing.wait_all_tasks_blocked(0.01)
            house.clients[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await client.stream.aclose()
        left.set()

        while house.door.open_connections:  # noqa: ASYNC110  # counters have no event
            await trio.sleep(0.01)
        assert not house.bugs


def test_two_routes_for_one_path_are_refused() -> None:
    """A wrong table is found at start."""
    with pytest.raises(ValueError, match="two routes for POST /echo"):
        FrontDoor([ECHO, ECHO])


# fmt: off
PIECES = [
    b"POST /echo HTTP/1.1\r\n", b"POST /shout HTTP/1.1\r\n", b"HEAD /read HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n\r\n",
    b"Host: a\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Expect: 100-continue\r\n",
    b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b"\0",
]
# fmt: on
JUNK = st.one_of(
    st.binary(max_size=300), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.lists(JUNK, min_size=1, max_size=8))
async def test_no_bytes_can_hurt(junk: list[bytes]) -> None:
    """Whatever clients send, every answer is HTTP, nothing is a bug, and the next client is served."""
    async with open_house(ECHO, READ, SHOUT, linger=SOON) as house:
        for data in junk:
            client = await house.connect()
            await client.send(data)
            await client.stream.send_eof()  # type: ignore[attr-defined]  # it is a SocketStream
            said = await client.to_end()
            assert said == b"" or said.startswith(b"HTTP/1.1 ")

        assert (await (await house.connect()).ask("/echo", b"alive")).body == b"alive"
        assert not house.bugs
