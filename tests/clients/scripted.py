"""A comet and a web that do what a test tells them, on real loopback sockets.

The comet speaks the bytes of docs/protocol.md through trio-websocket. It does nothing by itself: a
test accepts each connection as a `Line` and says what happens on it.
"""

import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    WebSocketServer,
    serve_websocket,
)


class Line:
    """One connection of a client, on the comet's side."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket
        self.over = trio.Event()  # the test is done with it
        url = urlsplit(socket.path or "")
        self.path = url.path
        self.query = dict(parse_qsl(url.query))

    async def welcome(self) -> None:
        """Accept the subscription, and answer a heartbeat: the bytes are the same."""
        await self.say("+h\r\n")

    async def say(self, text: str | bytes) -> None:
        await self._socket.send_message(text)

    async def message(self, mid: int, msg: Any = None) -> None:
        await self.say(json.dumps({"msg": msg, "mid": mid, "gid": 0}))

    async def live_message(self, mid: int, msg: Any = None) -> None:
        """One that is not stored."""
        await self.say(json.dumps({"msg": msg, "mid": mid, "gid": 0, "live": True}))

    async def hear(self) -> str | bytes:
        """What the client says next."""
        return await self._socket.get_message()

    async def hear_end(self) -> int:
        """The close code that the client ends with; what it says before is skipped."""
        with suppress(ConnectionClosed):
            while True:
                await self._socket.get_message()
        ended = self._socket.closed
        assert ended is not None
        return int(ended.code)

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.aclose(code, reason)
        self.over.set()

    async def cut(self) -> None:
        """The cable breaks: no close frame."""
        await self._socket._stream.aclose()
        self.over.set()


class Comet:
    """Connections wait here until the test accepts them."""

    def __init__(
        self, port: int, arrived: trio.MemoryReceiveChannel[Line], *, secure: bool
    ) -> None:
        self.address = f"127.0.0.1:{port}"
        self.url = f"{'wss' if secure else 'ws'}://{self.address}/sub"
        self._arrived = arrived

    @property
    def waiting(self) -> int:
        """Connections that nobody has accepted yet."""
        return self._arrived.statistics().current_buffer_used

    async def accept(self) -> Line:
        return await self._arrived.receive()

    async def accept_welcome(self) -> Line:
        line = await self.accept()
        await line.welcome()
        return line


@asynccontextmanager
async def open_comet(tls: ssl.SSLContext | None = None) -> AsyncIterator[Comet]:
    """A comet on a free port of loopback, for the length of the block; with `tls` behind TLS."""
    arrive, arrived = trio.open_memory_channel[Line](100)

    async def handle(request: WebSocketRequest) -> None:
        line = Line(await request.accept())
        await arrive.send(line)
        await line.over.wait()

    async with trio.open_nursery() as nursery:
        serve = partial(serve_websocket, handle, "127.0.0.1", 0, tls)
        server: WebSocketServer = await nursery.start(serve)
        yield Comet(server.port, arrived, secure=tls is not None)
        nursery.cancel_scope.cancel()


class Web:
    """Answers each path as told, the last answer again and again, and notes what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str], bytes]] = []  # path, query, body
        self._answers: dict[str, list[tuple[int, bytes]]] = {}

    def answer(self, path: str, *answers: Any, status: int = 200) -> None:
        """From now on answer `path` with these JSON values, one after the other."""
        self._answers[path] = [(status, json.dumps(answer).encode()) for answer in answers]

    def answer_server(self, *addresses: str) -> None:
        """The usual look-up."""
        self.answer("/1/server/get", *({"data": {"server": a}, "ret": 0} for a in addresses))

    def asked_for(self, path: str) -> int:
        """How often."""
        return sum(asked == path for asked, _, _ in self.asked)

    async def handle(self, stream: trio.SocketStream) -> None:
        """One request, one answer, and the end."""
        head, body = await _read_request(stream)
        url = urlsplit(head.split(" ")[1])
        self.asked.append((url.path, dict(parse_qsl(url.query)), body))
        answers = self._answers.get(url.path, [(404, b"{}")])
        status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
        await stream.send_all(
            b"HTTP/1.1 %d Told\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (status, len(answer), answer)
        )
        await stream.aclose()


@asynccontextmanager
async def open_web() -> AsyncIterator[Web]:
    """A web on a free port of loopback, for the length of the block."""
    web = Web()
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, web.handle, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        web.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        yield web
        nursery.cancel_scope.cancel()


async def _read_request(stream: trio.SocketStream) -> tuple[str, bytes]:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += await stream.receive_some()
    head, body = raw.split(b"\r\n\r\n", 1)
    length = re.search(rb"content-length: (\d+)", head.lower())
    while length and len(body) < int(length[1]):
        body += await stream.receive_some()
    return head.decode(), body
