"""The front door: a small HTTP/1.1 server for the hot paths, and what stands before the breadth.

    listening sockets -> serve_wires -> Connection -> a route's handler
                                                   -> fallback(wire, bytes)   any other path (web/breadth.py)

Handlers are `async (Request) -> Response` (appmodel/protocol/http.py). Measured on 2 shared vCPUs:
CPU a request is in bench/front_door.py; Hypercorn's trio worker takes 420 to 480 µs for the same.

Source: design.md section 5; research/trio.md sections 1 and 6.
"""

import ssl
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from socket import socket

import trio

from appmodel.io.contain import OnBug
from appmodel.io.http_connection import Connection, Fallback, Service
from appmodel.io.http_limits import HttpLimits
from appmodel.io.listener import serve_wires
from appmodel.io.wire import Wire
from appmodel.protocol.http import Handler, RenderError, Route, RouteTable, render_plainly

__all__ = ["FrontDoor", "HttpLimits"]

FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SWEEPS = (0.01, 1.0)  # seconds between two looks for overdue connections: at least, at most


class FrontDoor:
    """An HTTP server on sockets that somebody else opened.

    Args:
        routes: no two for one method and path. A path that is here is never for the fallback.
        limits: bounds of every connection.
        render_error: what a client is told when a handler raises a `PushError`.
        otherwise: gets each request that no route has, whatever its method and path, such as paths with
            parameters in them. With it there is no fallback, and no 404 or 405 of ours.
        fallback: gets each connection that asks for another path, from the first byte of that
            request on, and serves it to its end; without one they get 404.
        refuses: above `max_connections` clients hear 503; else they wait in the backlog.
        on_bug: told of each exception that is not a `PushError`, after it was logged and the client
            got 500. An exception from it is not contained: a test can run without containment.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        limits: HttpLimits | None = None,
        render_error: RenderError = render_plainly,
        otherwise: Handler | None = None,
        fallback: Fallback | None = None,
        refuses: bool = True,
        on_bug: OnBug | None = None,
    ) -> None:
        self._refuses = refuses
        self._service = Service(
            routes=RouteTable(routes),
            limits=limits or HttpLimits(),
            render_error=render_error,
            otherwise=Route(method="*", path="*", handler=otherwise) if otherwise else None,
            fallback=fallback,
            on_bug=on_bug or _ignore,
        )

    @property
    def open_connections(self) -> int:
        """Connections at this moment, those of the fallback included."""
        return len(self._service.connections)

    @property
    def answered(self) -> dict[str, int]:
        """Answers so far by class: "2xx" and so on. What the fallback answers is not known here."""
        return {f"{digit}xx": self._service.answered[digit] for digit in range(1, 6)}

    @property
    def refused(self) -> Counter[str]:
        """What ended connections early, by reason.

        "400" and other statuses: no request of HTTP/1.1. "head timeout", "body timeout", "write
        timeout": too slow. "full", "accept", "handshake": see `serve_wires`. "bug": ours.
        """
        return self._service.refused

    async def serve(
        self, sockets: Sequence[socket], *, stop: trio.Event, tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve until `stop` is set and every connection has ended.

        Draining: the listening sockets and idle connections are closed at once, half-sent requests
        soon; running requests have `drain_timeout`, and their answers say `Connection: close`; then
        they are cancelled.
        A fallback and those who took a connection over have to watch `stop` themselves.
        """
        limits, service = self._service.limits, self._service
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            async with trio.open_nursery() as resumed:
                nursery.start_soon(self._hurry_all, stop, resumed.cancel_scope)
                service.resume = partial(self._resume, resumed)
                try:
                    await serve_wires(
                        sockets,
                        self._serve_wire,
                        stop=stop,
                        tls=tls,
                        handshake_timeout=limits.handshake_timeout,
                        max_connections=limits.max_connections,
                        grace=limits.drain_timeout,
                        refusal=FULL if self._refuses else None,
                        on_trouble=self._count,
                    )
                finally:
                    service.resume = None
            nursery.cancel_scope.cancel()

    async def take(self, wire: Wire) -> None:
        """Serve a connection that somebody else has accepted, to its end, while `serve` runs."""
        await self._serve_wire(wire)

    async def _serve_wire(self, wire: Wire) -> None:
        await Connection(wire, self._service).serve()

    def _resume(
        self,
        nursery: trio.Nursery,
        wire: Wire,
        *,
        unread: bytes,
        unsent: bytes,
        keep_alive: bool,
    ) -> None:
        """A request that was held is answered: what follows it has a task again."""
        connection = Connection(wire, self._service)
        connection.resume(unread=unread, unsent=unsent, keep_alive=keep_alive)

        async def serve() -> None:
            try:
                await connection.serve()
            finally:
                wire.close()

        nursery.start_soon(serve)

    def _count(self, reason: str, error: BaseException | None) -> None:
        self._service.refused[reason] += 1
        if reason == "bug" and error is not None:
            self._service.on_bug(error)

    async def _sweep(self) -> None:
        limits = self._service.limits
        timeouts = (
            limits.head_timeout,
            limits.body_timeout,
            limits.idle_timeout,
            limits.write_timeout,
        )
        least, most = SWEEPS
        while True:
            await trio.sleep(min(max(min(timeouts) / 4, least), most))
            now = trio.current_time()
            for connection in tuple(self._service.connections):
                connection.cut_if_overdue(now)

    async def _hurry_all(self, stop: trio.Event, resumed: trio.CancelScope) -> None:
        await stop.wait()
        self._service.stopping = True
        resumed.deadline = trio.current_time() + self._service.limits.drain_timeout
        for connection in tuple(self._service.connections):
            connection.hurry(trio.current_time())
        await trio.sleep(self._service.limits.half_sent_timeout)  # `_sweep` may come a second later
        for connection in tuple(self._service.connections):
            connection.cut_if_overdue(trio.current_time())


def _ignore(_bug: BaseException) -> None:
    pass
