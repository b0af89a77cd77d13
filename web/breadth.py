"""Quart on Hypercorn behind the front door: everything that is not hot.

    front door -- no route for it --> Breadth.take(wire, bytes) -> Hypercorn's protocols -> routes -> Quart

Hypercorn does not listen here. It gets connections that the front door accepted, from the first byte of
a request on, and runs for each what its own trio worker would run: HTTP/1.1, WebSocket, and
HTTP/2 where a client upgrades to it. The known bugs of Hypercorn and quart-trio are repaired:

    0  an exception in one connection ends the process (a WebSocket upgrade with one byte too many,
       1,001 HTTP/2 PRIORITY frames): it ends the connection
    a  keep-alive connections never time out: quart-trio cancels the task that restarts the timer
    b  a client that does not read blocks the drain for ever: it has `write_timeout`, and no more at the end
    c  an empty binary WebSocket message becomes None: it is b""
    d  WebSockets are cut off at the drain: they are told 1001
       a request that is only half there holds the drain up: it has `half_sent_timeout`
    e  a WebSocket upgrade that was refused leaves its connection open, without a timer: it ends
    f  a client that leaves is remembered for a last idle time-out: it is forgotten at once
       after 1,000 requests a connection is closed: never

Each has a test that fails without its repair.

Source: hypercorn 0.18.0 trio/run.py and trio/tcp_server.py, of which this is a version for connections
that are handed over; research/trio.md section 1.4. 0.18.0 exactly, see pyproject.toml.
"""

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import h11
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIReceiveCallable, ConnectionState
from hypercorn.utils import wrap_app
from quart.signals import websocket_received
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIWebsocketConnection

from appmodel.io.http_connection import PIECE
from appmodel.io.http_limits import HttpLimits
from appmodel.io.wire import Wire
from appmodel.protocol.http import RenderError, Route, render_plainly
from web.asgi import mount

log = structlog.get_logger(__name__)

GOING_AWAY = 1001  # RFC 6455 7.4.1


class Breadth:
    """An application, served on connections that somebody else accepted.

    Args:
        app: is repaired in place, and gets the limits.
        routes: the front door's, for connections that have come here already.
        limits: the front door's: the time-outs and sizes apply here too.
    """

    def __init__(
        self,
        app: QuartTrio,
        *,
        routes: Sequence[Route] = (),
        render_error: RenderError = render_plainly,
        limits: HttpLimits | None = None,
    ) -> None:
        self._limits = limits = limits or HttpLimits()
        app.asgi_websocket_class = _Websocket
        app.config["BODY_TIMEOUT"] = limits.body_timeout
        app.config["MAX_CONTENT_LENGTH"] = limits.max_body
        self._config = _config(limits)
        mounted = mount(routes, app, render_error=render_error, limits=limits)
        self._app = wrap_app(mounted, 0, "asgi")
        self._context = WorkerContext(None)
        self._state: dict[str, Any] = {}  # what the application's start puts into each scope
        self._connections: set[_Connection] = set()
        self._changed = trio.Event()
        self._is_open = False
        self.given_up = 0  # connections that Hypercorn ended with an exception

    @property
    def open_connections(self) -> int:
        """Connections at this moment."""
        return len(self._connections)

    async def serve(
        self, *, stop: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Start the application, and drain and stop it when `stop` is set.

        Draining: idle connections are closed, WebSockets told 1001, half-sent requests cut soon,
        running ones have `drain_timeout`, then they are cut. Connections run in the tasks that
        called `take`.

        Raises:
            hypercorn.utils.LifespanFailureError: the application could not start or stop.
        """
        lifespan = Lifespan(self._app, self._config, self._state)
        async with trio.open_nursery() as nursery:
            await nursery.start(lifespan.handle_lifespan)
            await lifespan.wait_for_startup()
            self._is_open = True
            task_status.started()
            try:
                await stop.wait()
                await self._drain()
            finally:
                self._is_open = False
            await lifespan.wait_for_shutdown()
            nursery.cancel_scope.cancel()

    async def take(self, wire: Wire, received: bytes) -> None:
        """The front door's fallback: serve `wire`, which begins with `received`, to its end."""
        if not self._is_open:
            wire.close()
            return
        wire.push_back(received)
        connection = _Connection(
            self._app, self._config, self._context, ConnectionState(self._state), wire
        )
        connection.write_timeout = self._limits.write_timeout
        self._connections.add(connection)
        try:
            with connection.scope:
                await connection.run()
        except* Exception as group:  # repair 0: what a client can provoke is not our bug
            self.given_up += 1
            log.warning("hypercorn gave up a connection", peer=str(wire.peer), error=_named(group))
        finally:
            wire.close()
            self._connections.discard(connection)
            self._changed.set()

    async def _drain(self) -> None:
        await self._context.terminated.set()
        with trio.move_on_after(self._limits.drain_timeout):
            async with trio.open_nursery() as nursery:
                for connection in tuple(self._connections):
                    nursery.start_soon(connection.say_goodbye)
                nursery.start_soon(self._cut_half_sent)
                while self._connections:
                    self._changed = trio.Event()
                    await self._changed.wait()
                nursery.cancel_scope.cancel()
        for connection in tuple(self._connections):
            connection.cut()

    async def _cut_half_sent(self) -> None:
        await trio.sleep(self._limits.half_sent_timeout)
        for connection in tuple(self._connections):
            if connection.is_half_sent:
                connection.cut()


class _Websocket(TrioASGIWebsocketConnection):
    """Repair c, in quart-trio."""

    async def handle_messages(  # type: ignore[override]  # as quart-trio does, with the nursery
        self, nursery: trio.Nursery, receive: ASGIReceiveCallable
    ) -> None:
        """As TrioASGIWebsocketConnection.handle_messages."""
        while (event := await receive())["type"] != "websocket.disconnect":
            if event["type"] == "websocket.receive":
                data = event.get("bytes")
                message = event["text"] if data is None else data
                await websocket_received.send_async(
                    message,
                    _sync_wrapper=self.app.ensure_async,  # type: ignore[arg-type]  # as quart-trio
                )
                assert message is not None
                await self.send_channel.send(message)
        nursery.cancel_scope.cancel()


class _Protocol(ProtocolWrapper):
    """Repair e: hang up when a WebSocket was refused."""

    async def handle(self, event: Event) -> None:
        """As ProtocolWrapper.handle."""
        await super().handle(event)
        stream = getattr(self.protocol, "stream", None)
        if isinstance(stream, WSStream) and stream.closed:
            await self.send(Closed())


class _Connection(TCPServer):
    """Hypercorn's handling of one connection, over a `Wire`."""

    write_timeout: float

    def __init__(
        self, app: Any, config: Config, context: WorkerContext, state: Any, wire: Wire
    ) -> None:
        super().__init__(app, config, context, state, wire)  # type: ignore[arg-type]  # a wire fits
        self.scope = trio.CancelScope()
        self._wire = wire
        self._is_over = False  # the client is gone, the application may not know yet

    async def run(self) -> None:
        """As TCPServer.run; the handshake was the front door's."""
        wire = self._wire
        try:
            async with TaskGroup() as self._task_group:
                self.protocol = _Protocol(
                    self.app,
                    self.config,
                    self.context,
                    self._task_group,
                    ConnectionState(self.state),
                    wire.secure,
                    (wire.peer.host, wire.peer.port),
                    (wire.local.host, wire.local.port),
                    self.protocol_send,
                    "http/1.1",
                )
                await self.protocol.initiate()
                await self.idle_task.restart(self._task_group, self._idle_timeout)
                await self._read_data()
                self._is_over = True
                await self.idle_task.stop()  # repair f
        finally:
            wire.close()

    async def protocol_send(self, event: Event) -> None:
        """As TCPServer.protocol_send, with a deadline for the client to read: repair b."""
        if not isinstance(event, RawData):
            if not (self._is_over and isinstance(event, Updated)):
                with trio.CancelScope(
                    shield=isinstance(event, Updated)
                ):  # repair a; it is not long
                    await super().protocol_send(event)
            return
        async with self.send_lock:
            if await self._is_sent(event.data):
                return
        self._wire.close()
        await self.protocol.handle(Closed())

    async def _is_sent(self, data: bytes) -> bool:
        for start in range(0, len(data), PIECE):
            with trio.move_on_after(self.write_timeout, shield=True) as scope:  # whole frames only
                try:
                    await self._wire.send_all(memoryview(data)[start : start + PIECE])
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return False
            if scope.cancelled_caught:
                return False
        return True

    @property
    def is_half_sent(self) -> bool:
        """Whether the rest of a request is waited for, and nothing was answered yet."""
        protocol = self.protocol.protocol
        return (
            isinstance(protocol, H11Protocol)
            and protocol.connection.their_state is h11.SEND_BODY
            and protocol.connection.our_state is h11.SEND_RESPONSE
        )

    async def say_goodbye(self) -> None:
        """Repair d: end a WebSocket with 1001, and its handler as if the client had left."""
        stream = getattr(self.protocol.protocol, "stream", None)
        if isinstance(stream, WSStream) and stream.state is ASGIWebsocketState.CONNECTED:
            await stream.app_send({"type": "websocket.close", "code": GOING_AWAY, "reason": None})
            with suppress(trio.BrokenResourceError):
                assert stream.app_put is not None
                await stream.app_put({"type": "websocket.disconnect", "code": GOING_AWAY})

    def cut(self) -> None:
        """End it now, also a send that is shielded."""
        self._wire.close()
        self.scope.cancel()


def _config(limits: HttpLimits) -> Config:
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")  # ours to format; no access log
    config.include_server_header = False
    config.keep_alive_timeout = limits.idle_timeout
    config.keep_alive_max_requests = sys.maxsize
    config.h11_max_incomplete_size = limits.max_head
    config.websocket_max_message_size = limits.max_body
    config.shutdown_timeout = limits.drain_timeout
    return config


def _named(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
