"""An HTTP/2 server over TLS that a test holds by its strings: it answers, waits, resets, cuts, says goodbye.

async with serving(H2Server(answer), authority) as server:      answer(asked) -> Reply, SILENCE, CUT, ...
    server.port, server.asked, server.connections
"""

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio

SETTINGS = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1000}  # as Apple's

Settings = dict[h2.settings.SettingCodes, int]
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Asked:
    """A whole request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # the how-manieth
    stream: int
    certified: bool  # the client showed a certificate that we trust


@dataclass(frozen=True)
class Reply:
    """An answer; the body in any number of pieces, empty ones included."""

    status: int
    headers: Headers = ()
    pieces: Sequence[bytes] = ()


@dataclass(frozen=True)
class Action:
    """Anything else."""

    name: str


SILENCE = Action("never answer")
RESET = Action("reset the stream")
CUT = Action("cut the connection")
CUT_IN_ANSWER = Action("send the head of an answer, then cut the connection")
GOODBYE = Action("say GOAWAY: everything up to this stream will be answered, and this one is not")
NOISE = Action("break the rules of HTTP/2")
NONSENSE = Action("say what is the start of an endless frame")

Answer = Callable[[Asked], Reply | Action]


class H2Server:
    """One server; connections are numbered from 1."""

    def __init__(self, answer: Answer, settings: Settings | None = None) -> None:
        """`settings`: what the server announces, by `h2.settings.SettingCodes`."""
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.open = 0
        self.most_streams = 0  # that were open at once on one connection
        self.resets = 0  # by the client
        self.port = 0
        self.live: list[_Connection] = []  # all that there ever were
        self.scope = trio.CancelScope()
        self.settings = settings or {}
        self.first = trio.Event()  # a request has come
        self.release = trio.Event()  # ends what `hold` holds
        self.hold = False  # answers wait for `release`
        self.hasty: Reply | None = None  # answered as soon as a request begins
        self.window_open = trio.Event()  # until then what is received is not acknowledged
        self.window_open.set()

    async def lower_limit(self, streams: int) -> None:
        """Tell all connections that so many streams at once are allowed from now on."""
        for connection in self.live:
            limit = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
            connection.http.update_settings({limit: streams})
            await connection.flush()

    def stop(self) -> None:
        """Be gone: nobody listens any more, and connections are cut."""
        self.scope.cancel()

    async def handle(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        """One connection, until either side ends it."""
        self.connections += 1
        self.open += 1
        try:
            await stream.do_handshake()
            connection = _Connection(self, stream, self.connections)
            self.live.append(connection)
            await connection.run()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, h2.exceptions.ProtocolError):
            pass  # whoever hung up: it is what some tests are about
        finally:
            self.open -= 1
            await trio.aclose_forcefully(stream)


@dataclass
class _Connection:
    server: H2Server
    stream: trio.SSLStream[trio.SocketStream]
    number: int
    bodies: dict[int, bytearray] = field(default_factory=dict)
    heads: dict[int, dict[str, str]] = field(default_factory=dict)
    waiting: dict[int, list[bytes]] = field(default_factory=dict)  # of answers: no window yet
    writing: trio.Lock = field(default_factory=trio.Lock)

    async def run(self) -> None:
        self.http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.http.local_settings = (
            h2.settings.Settings(  # so that the first SETTINGS frame has them
                client=False, initial_values={**SETTINGS, **self.server.settings}
            )
        )
        self.http.initiate_connection()
        await self.flush()
        async with trio.open_nursery() as nursery:
            while data := await self.stream.receive_some(65536):
                for event in self.http.receive_data(data):
                    await self._on(event, nursery)
                await self.flush()
            nursery.cancel_scope.cancel()

    async def _on(self, event: h2.events.Event, nursery: trio.Nursery) -> None:
        if isinstance(event, h2.events.RequestReceived):
            assert event.stream_id is not None
            self.heads[event.stream_id] = dict(event.headers or ())  # type: ignore[arg-type]  # str: header_encoding
            self.bodies[event.stream_id] = bytearray()
            if self.server.hasty is not None:
                await self._do(event.stream_id, self.server.hasty)
            self.server.most_streams = max(self.server.most_streams, len(self.heads))
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id or 0] += event.data or b""
            size = event.flow_controlled_length or 0
            if not self.server.window_open.is_set():
                nursery.start_soon(self._acknowledge_later, size)
            else:
                self.http.acknowledge_received_data(size, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamEnded):
            nursery.start_soon(self._answer, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamReset):
            self.server.resets += 1
            self.heads.pop(event.stream_id or 0, None)
        elif isinstance(event, h2.events.WindowUpdated):
            for stream in list(self.waiting):
                self._send_pieces(stream)

    async def _acknowledge_later(self, size: int) -> None:
        await self.server.window_open.wait()
        self.http.increment_flow_control_window(size)
        await self.flush()

    async def _answer(self, stream: int) -> None:
        head = self.heads[stream]
        certified = bool(self.stream.getpeercert())
        body = bytes(self.bodies.pop(stream))
        path, method = head[":path"], head[":method"]
        asked = Asked(method, path, head, body, self.number, stream, certified)
        self.server.asked.append(asked)
        self.server.first.set()
        if self.server.hold:
            await self.server.release.wait()
        reply = self.server.answer(asked)
        try:
            await self._do(stream, reply)
        except (h2.exceptions.ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client gave up on it

    async def _do(self, stream: int, reply: Reply | Action) -> None:
        if isinstance(reply, Reply):
            self.heads.pop(stream, None)
            headers = [(":status", str(reply.status)), *reply.headers]
            self.http.send_headers(stream, headers, end_stream=not reply.pieces)
            if reply.pieces:
                self.waiting[stream] = list(reply.pieces)
                self._send_pieces(stream)
        elif reply is RESET:
            self.http.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif reply is GOODBYE:
            self.http.close_connection(last_stream_id=max(0, stream - 2))
        elif reply is CUT_IN_ANSWER:
            self.http.send_headers(stream, [(":status", "200")])
        elif reply is NOISE:
            await self.stream.send_all(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x")  # DATA of stream 0
        elif reply is NONSENSE:
            await self.stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await self.flush()
        if reply in (CUT, CUT_IN_ANSWER):
            await trio.aclose_forcefully(self.stream)

    def _send_pieces(self, stream: int) -> None:
        pieces = self.waiting[stream]
        while pieces:
            if len(pieces[0]) > self.http.local_flow_control_window(stream):
                return  # until the client opens its window
            self.http.send_data(stream, pieces.pop(0), end_stream=not pieces)
        del self.waiting[stream]

    async def flush(self) -> None:
        async with self.writing:
            data = self.http.data_to_send()
            if data:
                await self.stream.send_all(data)


@asynccontextmanager
async def serving(server: H2Server, tls: ssl.SSLContext) -> AsyncIterator[H2Server]:
    """The server on a port of loopback until the block ends. Its connections are cut then."""
    (tcp,) = await trio.open_tcp_listeners(server.port, host="127.0.0.1")
    server.port = tcp.socket.getsockname()[1]
    listener = trio.SSLListener(tcp, tls, https_compatible=True)

    async def serve() -> None:
        with server.scope:
            await trio.serve_listeners(server.handle, [listener])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        yield server
        server.stop()
