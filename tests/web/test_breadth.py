"""Quart on Hypercorn behind the front door, and the bugs that it must not have."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
import trio_websocket
from h2.config import H2Configuration
from h2.connection import H2Connection
from quart import request as quart_request
from quart import websocket
from quart_trio import QuartTrio

from appmodel.core.units import Duration, Size
from appmodel.errors import BadInput, PushError
from appmodel.io.http import FrontDoor, HttpLimits
from appmodel.io.listener import open_sockets
from appmodel.protocol.http import Request, Response, Route
from web.breadth import Breadth

BIG = 32 * 1024 * 1024  # bytes: more than the buffers of two sockets
SOON = Duration(0.1)
PATIENCE = 40.0  # seconds

QUART = b"POST /quart HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
HOT = b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class House:
    """A front door with a Quart application behind it."""

    def __init__(self, door: FrontDoor, breadth: Breadth, port: int) -> None:
        self.door = door
        self.breadth = breadth
        self.port = port
        self.stop = trio.Event()
        self.ended = trio.Event()
        self.clients: list[trio.SocketStream] = []
        self.left = trio.Event()  # a WebSocket handler ended
        self.life: list[str] = []

    async def connect(self) -> trio.SocketStream:
        """A client's connection."""
        self.clients.append(await trio.open_tcp_stream("127.0.0.1", self.port))
        return self.clients[-1]


def make_app(house: list[House]) -> QuartTrio:
    """What the tests ask for."""
    app = QuartTrio("web")

    @app.before_serving
    async def start() -> None:
        house[0].life.append("started")

    @app.after_serving
    async def end() -> None:
        house[0].life.append("ended")

    @app.post("/quart")
    async def echo() -> bytes:
        return await quart_request.get_data()  # type: ignore[return-value]  # as bytes

    @app.get("/big")
    async def big() -> bytes:
        return b"x" * BIG

    @app.get("/slow")
    async def slow() -> str:
        await trio.sleep(0.2)
        return "done"

    @app.get("/boom")
    async def boom() -> str:
        raise KeyError("a bug in a handler")

    @app.websocket("/ws")
    async def mirror() -> None:
        try:
            while True:
                await websocket.send(await websocket.receive())
        finally:
            house[0].left.set()

    return app


async def hot(request: Request) -> Response:
    """A hot route."""
    if request.body == b"bad":
        raise BadInput("body", "bad", "something good")
    return Response(headers=[("X-Peer", request.peer)], body=b"hot " + request.body)


async def shout(request: Request) -> Response:
    """A streaming hot route."""

    async def pieces() -> AsyncIterator[bytes]:
        assert request.chunks is not None
        async for piece in request.chunks:
            yield piece.upper()

    return Response(body=pieces())


ROUTES = [
    Route(method="POST", path="/hot", handler=hot),
    Route(method="POST", path="/shout", handler=shout, streams=True),
    Route(method="POST", path="/small", handler=hot, max_body=3),
]


def render(error: PushError, _request: Request) -> Response:
    """Both servers must say it in the same words."""
    return Response(status=error.status, body=f"no: {error}".encode())


@asynccontextmanager
async def open_house(**limits: Any) -> AsyncIterator[House]:
    """Serve inside the block."""
    known: list[House] = []
    bounds = HttpLimits(**{"drain_timeout": Duration(2), "linger": SOON, **limits})
    breadth = Breadth(make_app(known), routes=ROUTES, render_error=render, limits=bounds)
    door = FrontDoor(ROUTES, render_error=render, fallback=breadth.take, limits=bounds)
    sockets = open_sockets("127.0.0.1", 0)
    house = House(door, breadth, sockets[0].getsockname()[1])
    known.append(house)

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: breadth.serve(stop=house.stop, task_status=task_status)
            )
            nursery.start_soon(lambda: door.serve(sockets, stop=house.stop))
        house.ended.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield house
            nursery.cancel_scope.cancel()
    finally:
        for client in house.clients:
            client.socket.close()


async def say(client: trio.SocketStream, data: bytes, expect: bytes) -> bytes:
    """Send, and read until `expect` was read."""
    await client.send_all(data)
    answer = b""
    while expect not in answer:
        piece = await client.receive_some()
        assert piece, f"the server hung up behind {answer!r}"
        answer += piece
    return answer


async def to_end(client: trio.SocketStream) -> bytes:
    """Read until the server hangs up."""
    data = b""
    try:
        while piece := await client.receive_some():
            data += piece
    except trio.BrokenResourceError:
        pass
    return data


async def is_alive(house: House) -> bool:
    """A new client is served by both servers."""
    client = await house.connect()
    return b"200" in await say(client, HOT, b"hot abc") and b"200" in await say(
        client, QUART, b"abc"
    )


async def test_one_server_for_a_client() -> None:
    """Hot, then Quart, then hot again on one connection: the same answers from the same handlers."""
    async with open_house() as house:
        client = await house.connect()

        before = await say(client, HOT, b"hot abc")
        quart = await say(client, QUART, b"\r\n\r\nabc")
        after = await say(client, HOT, b"hot abc")

        assert b"X-Peer: 127.0.0.1" in before
        assert b"200" in quart.split(b"\r\n")[0]
        assert b"x-peer: 127.0.0.1" in after
        assert house.breadth.open_connections == 1
        assert house.life == ["started"]
        house.stop.set()
        await house.ended.wait()
        assert house.life == ["started", "ended"]


async def test_handed_over_in_the_middle_of_a_pipeline() -> None:
    """No byte is lost at the border, also not those of the next requests."""
    async with open_house() as house:
        client = await house.connect()

        answer = await say(client, HOT + QUART + HOT.replace(b"abc", b"end"), b"hot end")

        assert answer.index(b"hot abc") < answer.index(b"\r\n\r\nabc") < answer.index(b"hot end")


async def test_mounted_routes_keep_their_promises() -> None:
    """Errors, methods, limits, HEAD and streaming are those of the front door."""
    async with open_house(max_body=Size(1000)) as house:
        client = await house.connect()
        await say(client, QUART, b"abc")

        answer = await say(client, HOT.replace(b"abc", b"bad"), b"something good")
        assert b"HTTP/1.1 422" in answer
        answer = await say(client, b"GET /hot HTTP/1.1\r\nHost: a\r\n\r\n", b"Method Not Allowed")
        assert b"HTTP/1.1 405" in answer
        assert b"allow: POST" in answer

        chunked = b"POST /shout HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await say(client, chunked + b"2\r\na\n\r\n", b"A\n\r\n")
        assert b"Transfer-Encoding: chunked" in answer
        await say(client, b"2\r\nb\n\r\n0\r\n\r\n", b"B\n\r\n0\r\n\r\n")

        answer = await say(
            client, HOT.replace(b"/hot", b"/small").replace(b"3", b"4") + b"d", b"at most 3"
        )
        assert b"HTTP/1.1 413" in answer


@pytest.mark.parametrize("path", [b"/small", b"/none"])
async def test_a_body_that_nobody_reads_ends_its_connection(path: bytes) -> None:
    """The answer arrives whole, and says that it is the last one. Without that the client waits for ever."""
    async with open_house() as house:
        client = await house.connect()
        await say(client, QUART, b"abc")
        head = b"%b %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        method, wanted = (b"POST", b"at most 3") if path == b"/small" else (b"GET", b"Not Allowed")
        path = path.replace(b"none", b"hot")

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_what_goes, client, head % (method, path, BIG) + b"x" * BIG)
                answer = await to_end(client)
                nursery.cancel_scope.cancel()

        assert b"connection: close" in answer
        assert wanted in answer
        assert await is_alive(house)
        while house.breadth.open_connections > 1:
            await trio.lowlevel.checkpoint()


async def send_what_goes(client: trio.SocketStream, data: bytes) -> None:
    """The server may hang up before it has all."""
    with suppress(trio.BrokenResourceError):
        await client.send_all(data)


async def test_quart_keeps_the_limits() -> None:
    """A body above the listener's limit is 413 in Quart too."""
    async with open_house(max_body=Size(2)) as house:
        client = await house.connect()

        assert b"HTTP/1.1 413" in await say(client, QUART, b"\r\n\r\n")


async def test_a_bug_in_quart_is_500() -> None:
    """A handler's exception is Quart's to answer; the connection, too, goes on."""
    async with open_house() as house:
        client = await house.connect()

        assert b"HTTP/1.1 500" in await say(
            client, b"GET /boom HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n\r\n"
        )
        assert await is_alive(house)


def priorities(start: bytes) -> bytes:
    """An HTTP/2 client's start and 1,200 PRIORITY frames for streams that never come."""
    frames = b"".join(
        b"\x00\x00\x05\x02\x00" + (2 * i + 3).to_bytes(4, "big") + b"\x00\x00\x00\x00\x10"
        for i in range(1200)
    )
    return start + frames


def h2_upgrade() -> tuple[bytes, bytes]:
    """An upgrade request to HTTP/2, and what a client says when it is accepted."""
    connection = H2Connection(H2Configuration(client_side=True))
    settings = connection.initiate_upgrade_connection()
    assert settings is not None
    head = (
        b"GET /quart HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    )
    return head + b"HTTP2-Settings: " + settings + b"\r\n\r\n", connection.data_to_send()


async def test_a_byte_too_many_ends_one_connection() -> None:
    """Repairs 0 and e: a WebSocket upgrade with something behind it (hypercorn issue 225)."""
    async with open_house() as house:
        for packets in ([UPGRADE + b"x"], [UPGRADE[:-1], UPGRADE[-1:] + b"x"]) * 5:
            attacker = await house.connect()
            for packet in packets:
                await attacker.send_all(packet)

            with trio.fail_after(10):
                await to_end(attacker)

        assert await is_alive(house)
        assert not house.door.refused  # nor was it a bug of ours


async def test_a_refused_upgrade_ends_its_connection() -> None:
    """Repair e: a handshake without a key is 400, and nobody keeps the socket."""
    async with open_house() as house:
        client = await house.connect()
        await client.send_all(UPGRADE.replace(b"Key: A", b"Kez: A"))

        with trio.fail_after(10):
            assert b"400" in await to_end(client)


async def test_clients_that_leave_are_forgotten() -> None:
    """Repair f: with an idle time-out of 75 s a thousand visitors would else be a thousand guests."""
    async with open_house() as house:
        client = await house.connect()
        await say(client, QUART, b"\r\n\r\nabc")
        await trio.testing.wait_all_tasks_blocked(0.01)  # the idle timer runs
        await client.aclose()

        with trio.fail_after(10):
            while house.breadth.open_connections:  # noqa: ASYNC110  # a counter has no event
                await trio.sleep(0.01)


async def test_priority_frames_end_one_connection() -> None:
    """Repair 0: more PRIORITY frames than the tree holds, after an upgrade from HTTP/1.1."""
    async with open_house() as house:
        attacker = await house.connect()
        request, start = h2_upgrade()
        await say(attacker, request, b"HTTP/1.1 101")
        with trio.move_on_after(PATIENCE):
            await attacker.send_all(priorities(start))
            await to_end(attacker)

        assert await is_alive(house)
        assert house.breadth.given_up == 1


async def test_http2_without_upgrade_is_refused() -> None:
    """Repair 0: prior knowledge never reaches Hypercorn."""
    async with open_house() as house:
        attacker = await house.connect()
        connection = H2Connection(H2Configuration(client_side=True))
        connection.initiate_connection()

        answer = await say(attacker, connection.data_to_send(), b"\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 505 ")
        assert house.breadth.given_up == 0


async def test_idle_connections_end() -> None:
    """Repair a: after an answer of Quart's the idle time-out runs again."""
    async with open_house(idle_timeout=SOON) as house:
        client = await house.connect()
        await say(client, QUART, b"\r\n\r\nabc")

        with trio.fail_after(10):
            assert await to_end(client) == b""


async def test_keep_alive_does_not_end_after_1000() -> None:
    """Hypercorn would close after 1,000 requests on a connection."""
    async with open_house() as house:
        client = await house.connect()

        for _ in range(1010):
            assert b"connection: close" not in await say(client, QUART, b"\r\n\r\nabc")


async def test_slow_reader_is_cut() -> None:
    """Repair b: who does not read has `write_timeout`."""
    async with open_house(write_timeout=SOON) as house:
        client = await house.connect()
        await client.send_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.receive_some(1)
        assert house.breadth.open_connections == 1

        with trio.fail_after(10):
            while house.breadth.open_connections:  # noqa: ASYNC110  # a counter has no event
                await trio.sleep(0.01)


async def test_drain_does_not_wait_for_a_slow_reader() -> None:
    """Repair b: at the end of the grace the socket is closed under the shielded send."""
    async with open_house(drain_timeout=SOON) as house:
        client = await house.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await client.send_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.receive_some(1)

        house.stop.set()

        with trio.fail_after(10):
            await house.ended.wait()
        assert house.life == ["started", "ended"]


async def test_drain_finishes_what_runs() -> None:
    """A request in progress is answered, then its connection ends; idle ones end at once."""
    async with open_house() as house:
        idle, running = await house.connect(), await house.connect()
        await say(idle, QUART, b"\r\n\r\nabc")
        await running.send_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.01)

        house.stop.set()

        assert await to_end(idle) == b""
        assert (await to_end(running)).endswith(b"\r\n\r\ndone")
        await house.ended.wait()


async def test_drain_does_not_wait_for_half_a_request() -> None:
    """A client that says nothing more is cut soon; what runs has its time, also a stream."""
    async with open_house(drain_timeout=Duration(3600), half_sent_timeout=SOON) as house:
        half, running = await house.connect(), await house.connect()
        await half.send_all(b"POST /quart HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        await running.send_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.01)

        house.stop.set()

        assert await to_end(half) == b""
        assert (await to_end(running)).endswith(b"\r\n\r\ndone")
        await house.ended.wait()


@asynccontextmanager
async def open_websocket(house: House) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """A WebSocket client; trio-websocket forgets to close the socket when the server closes first."""
    stream = await house.connect()
    async with trio.open_nursery() as nursery:
        client = await trio_websocket.wrap_client_stream(nursery, stream, "127.0.0.1", "/ws")
        yield client
        await client.aclose()


async def test_empty_binary_message_is_empty() -> None:
    """Repair c: b"" comes back as b"", not as None (Autobahn 1.2.1)."""
    async with open_house() as house, open_websocket(house) as client:
        for message in (b"", "", b"x", "x"):
            await client.send_message(message)
            assert await client.get_message() == message


async def test_websockets_are_told_at_the_drain() -> None:
    """Repair d: 1001, at once, and the handler ends."""
    async with open_house() as house, open_websocket(house) as client:
        await client.send_message("x")
        assert await client.get_message() == "x"

        house.stop.set()

        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await client.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1001
        await house.left.wait()
        await house.ended.wait()
        assert house.breadth.given_up == 0


async def test_nothing_is_taken_when_closed() -> None:
    """Before the start and after the end a connection is closed instead of served."""
    async with open_house() as house:
        client = await house.connect()
        await say(client, HOT, b"hot abc")
        house.breadth._is_open = False

        await client.send_all(QUART)

        assert await to_end(client) == b""
