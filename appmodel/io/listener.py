"""Listening sockets and the accept loop: many connections a wake-up, and no way to make it spin or die.

    accept says                                the loop
    ECONNABORTED, EPROTO, ENETDOWN, ...        goes on: that one connection is gone
    EMFILE, ENFILE, ENOBUFS, ENOMEM            counts it, rests PAUSE, and tries again (weak spot C9)
    EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP        ends: this is no listening socket, a bug
    a connection above max_connections         counts it, says `refusal`, hangs up; or, without one,
                                               leaves it in the backlog until a place is free

Source: accept(2); trio's serve_listeners for the two kinds of errors; spec/gopush.md section 10.2.
"""

import errno
import ipaddress
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import trio

from appmodel.errors import ConfigError
from appmodel.io.contain import contain_bugs
from appmodel.io.wire import Endpoint, Wire

BATCH = 64  # connections accepted before other tasks have their turn
PAUSE = 0.1  # seconds without descriptors or memory: long enough for something to be closed
PORT_TRIES = 8  # for one free port on both families

OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
NO_SUCH_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}  # no IPv6 here, or switched off
NOT_LISTENING = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP}

OnTrouble = Callable[[str, BaseException | None], None]
"""Told of each connection that was not served to its end, and why: "accept" (out of descriptors
or memory), "full" (above max_connections), "handshake" (no TLS in time), "bug" (the handler raised)."""


def open_sockets(
    host: str, port: int, *, backlog: int = 4096, shared: bool = False
) -> list[socket.socket]:
    """Listening, non-blocking sockets for each address of `host`; "localhost" is IPv4 and IPv6.

    Port 0 is one free port, the same for all of them. A family that this machine lacks is left out.

    Args:
        backlog: connections that may wait to be accepted; the system may allow fewer.
        shared: others of this user may listen there too, if they say the same (SO_REUSEPORT): the
            system spreads connections over all of them.

    Raises:
        ConfigError: the address is taken, not ours, or not an address; names it. Nothing stays open.
    """
    for attempt in range(PORT_TRIES):
        try:
            return _open_all(_addresses(host, port), backlog, shared=shared)
        except OSError as error:
            taken_by_chance = port == 0 and error.errno == errno.EADDRINUSE
            if not taken_by_chance or attempt == PORT_TRIES - 1:
                reason = error.strerror or str(error)
                raise ConfigError("listen", f"{host}:{port}", reason) from None
    raise AssertionError("unreachable")


def bound_to(sockets: Sequence[socket.socket]) -> Endpoint:
    """Where the first of them listens."""
    return Endpoint(*sockets[0].getsockname()[:2])


def tls_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """A server's TLS (1.2 and newer, HTTP/1.1) from PEM files: the chain, and its private key.

    Raises:
        ConfigError: a file is missing or they do not belong together; names them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "tls", f"{certificate}, {key}", f"a PEM chain and its key ({error})"
        ) from None
    return context


def is_loopback(sockets: Iterable[socket.socket]) -> bool:
    """Nobody outside this machine can reach any of them."""
    return all(ipaddress.ip_address(s.getsockname()[0]).is_loopback for s in sockets)


async def serve_wires(
    sockets: Sequence[socket.socket],
    handler: Callable[[Wire], Awaitable[None]],
    *,
    stop: trio.Event,
    tls: ssl.SSLContext | None = None,
    handshake_timeout: float = 10.0,
    max_connections: int = 100_000,
    grace: float = math.inf,
    refusal: bytes | None = b"",
    on_trouble: OnTrouble | None = None,
) -> None:
    """Run `handler` in a task of its own for each connection, until `stop` is set and all have ended.

    Draining: when `stop` is set the listening sockets are closed at once, whoever is in a backlog is
    refused by the kernel, and running handlers go on. They have to watch `stop` themselves
    to end early. The call returns when the last one has ended; `grace` seconds after `stop` it
    cancels those that are left. Cancelling the call cancels all of them. A wire is closed when its
    handler has ended, unless it was detached.

    A handler's `trio.BrokenResourceError` is the peer's end and no trouble; any other exception is a
    bug and is contained (appmodel/io/contain.py).

    Args:
        sockets: from `open_sockets`; owned by this call from now on.
        handshake_timeout: seconds for TLS, in the connection's own task.
        max_connections: handlers at the same time; above it a connection is closed.
        refusal: bytes for whom there was no room (not over TLS); None: they wait in the backlog.
        on_trouble: counts them; must not block. An exception from it ends the call.
    """
    room = _Room(handler, tls, handshake_timeout, max_connections, refusal, on_trouble or _ignore)
    async with trio.open_nursery() as connections:
        try:
            async with trio.open_nursery() as accepting:
                for listening in sockets:
                    accepting.start_soon(room.accept_from, listening, connections)
                await stop.wait()
                accepting.cancel_scope.cancel()
        finally:
            for listening in sockets:
                trio.lowlevel.notify_closing(listening)
                listening.close()
        connections.cancel_scope.deadline = trio.current_time() + grace


class _Room:
    """The connections of one `serve_wires`."""

    def __init__(
        self,
        handler: Callable[[Wire], Awaitable[None]],
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
        max_connections: int,
        refusal: bytes | None,
        on_trouble: OnTrouble,
    ) -> None:
        self._handler = handler
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._places = max_connections
        self._refusal = refusal
        self._on_trouble = on_trouble
        self._freed = trio.lowlevel.ParkingLot()

    async def accept_from(self, listening: socket.socket, nursery: trio.Nursery) -> None:
        """Accept until cancelled."""
        while True:
            if not self._places and self._refusal is None:
                await self._freed.park()
                continue
            await trio.lowlevel.wait_readable(listening)
            try:
                self._accept_batch(listening, nursery)
            except OSError as error:
                if error.errno in NOT_LISTENING:
                    raise
                self._on_trouble("accept", error)
                await trio.sleep(PAUSE)

    def _accept_batch(self, listening: socket.socket, nursery: trio.Nursery) -> None:
        """Accept what waits, up to BATCH. Raises OSError if it would fail again at once."""
        for _ in range(BATCH):
            if not self._places and self._refusal is None:
                return
            try:
                connected, _ = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES | NOT_LISTENING:
                    raise
                continue
            if self._places:
                self._places -= 1
                nursery.start_soon(self._serve, connected)
            else:
                self._refuse(connected)

    def _refuse(self, connected: socket.socket) -> None:
        self._on_trouble("full", None)
        with suppress(OSError), connected:
            connected.setblocking(False)
            if self._tls is None and self._refusal:
                connected.send(self._refusal)

    async def _serve(self, connected: socket.socket) -> None:
        try:
            with contain_bugs("connection", partial(self._on_trouble, "bug")):
                try:
                    wire = Wire(connected, tls=self._tls)
                except OSError:
                    connected.close()
                    return
                try:
                    if await self._is_agreed(wire):
                        await self._handler(wire)
                except* trio.BrokenResourceError:
                    pass  # the peer is gone
                finally:
                    wire.close()
        finally:
            self._places += 1
            self._freed.unpark_all()

    async def _is_agreed(self, wire: Wire) -> bool:
        if not wire.secure:
            return True
        try:
            with trio.fail_after(self._handshake_timeout):
                await wire.handshake()
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            self._on_trouble("handshake", error)
            return False
        return True


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str, int]]:
    if host == "localhost":  # whatever the hosts file says
        return [(socket.AF_INET, "127.0.0.1", port), (socket.AF_INET6, "::1", port)]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(where[0]), port) for family, _, _, _, where in found))


def _open_all(
    addresses: list[tuple[socket.AddressFamily, str, int]], backlog: int, *, shared: bool
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    with ExitStack() as on_error:
        for family, host, port in addresses:
            try:
                listening = _listen(family, host, port or _port_of(sockets), backlog, shared=shared)
            except OSError as error:
                if error.errno not in NO_SUCH_FAMILY:
                    raise
                missing = error
            else:
                sockets.append(on_error.enter_context(listening))
        if missing and not sockets:
            raise missing
        on_error.pop_all()
    return sockets


def _port_of(sockets: list[socket.socket]) -> int:
    """The port that the first socket got, for the others; 0 for the first itself."""
    return int(sockets[0].getsockname()[1]) if sockets else 0


def _listen(
    family: socket.AddressFamily, host: str, port: int, backlog: int, *, shared: bool
) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    return listening


def _ignore(_reason: str, _error: BaseException | None) -> None:
    pass
