"""HTTP calls to addresses that others chose: a phone's push service, an object store, a back end.

    async with Outbound(OutboundLimits(allowed=("10.1.0.0/16",))) as outbound:
        answer = await outbound.call("POST", url, headers=[("TTL", "60")], content=body, within=5)

Whoever may name a URL must not reach what only this machine can reach. So a name is looked up once, all
its addresses are judged by `Outward`, and the connection goes to one of exactly these: a name that points
elsewhere a moment later (DNS rebinding) changes nothing. Redirects are answers like any other, proxies and
cookies do not exist, and an answer has a limit in bytes, in pieces and in seconds: one that comes in chunks of a
byte, or behind ten thousand `100 Continue`, must cost this process no more than its own call.

Built on httpcore, the pool inside of httpx: there the place where a connection is opened is public, and
everything that httpx would have to be told not to do is not there.
"""

import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache, partial
from types import TracebackType
from typing import Self

import httpcore
import msgspec
import trio

from appmodel.core.outward import Destination, Outward, parse_url
from appmodel.errors import OutcomeUnknown, TooLarge, Unavailable
from appmodel.io.outbound_limits import OutboundLimits

__all__ = ["Answer", "Outbound", "OutboundLimits", "Resolve", "SystemResolver", "trusting"]

LOOKUPS = 8  # names looked up at once
PIECES = 1000  # of one answer; more only if they have PIECE bytes in the middle: smaller ones are so on purpose
PIECE = 100
READ = 2048  # bytes that are parsed without a pause: all that can stand in them is milliseconds of work
SILENCE = 0.8  # of the time of a call: a connection that says nothing for so long is closed

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, in the order in which they are to be tried. Raises OSError."""

# Nothing was sent. All else that httpcore raises may come after the request has arrived.
_NOT_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout)
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_BROKEN = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.ConnectionNotAvailable,
)


class Answer(msgspec.Struct, frozen=True):
    """What came back, whatever its status."""

    status: int
    headers: tuple[tuple[str, str], ...]  # names in lower case
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header; `name` in lower case."""
        return next((value for each, value in self.headers if each == name), None)


def trusting(ca_file: str) -> ssl.SSLContext:
    """TLS to servers that the authorities in `ca_file` vouch for; empty = those of the system.

    Raises:
        OSError: it cannot be read.
    """
    return ssl.create_default_context(cafile=ca_file or None)


@cache
def _trusting_system() -> ssl.SSLContext:
    """For all calls of this process: it takes 25 ms to read the authorities of the system."""
    return trusting("")


class SystemResolver:
    """Asks the system. It may think for long, so it has threads of its own: nobody else waits for them."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(LOOKUPS)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """See `Resolve`. Who is cancelled leaves the thread behind until the system has answered."""
        found = await trio.to_thread.run_sync(
            partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM),
            abandon_on_cancel=True,
            limiter=self._limiter,
        )
        return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Outbound:
    """Connections to others, kept for the next call. Calls are independent; cancelling one is safe."""

    def __init__(
        self,
        limits: OutboundLimits,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """
        Args:
            tls: instead of the one that `limits.ca_file` makes; several of these may share it.
            resolve: instead of the system's resolver.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        self._limits = limits
        self._outward = Outward(limits.allowed)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or (trusting(limits.ca_file) if limits.ca_file else _trusting_system()),
            max_connections=limits.max_connections,
            keepalive_expiry=limits.idle_timeout,
            http2=True,
            network_backend=_Guard(
                self._outward, resolve or SystemResolver(), limits.connect_timeout
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Calls that are under way end with OutcomeUnknown."""
        await self._pool.aclose()

    def check(self, url: str, field: str = "url") -> None:
        """Whether `url` may be called as it is written; for whoever stores it to call it later.

        Raises:
            BadInput: naming `field`, and no more of the URL than its origin.
        """
        self._outward.check(parse_url(url, field), field)

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        content: bytes = b"",
        within: float | None = None,
        max_answer: int | None = None,
    ) -> Answer:
        """The answer to one request; a redirect or an error status is one too.

        Args:
            headers: beside Host and Content-Length.
            within: seconds for all of it. It and `max_answer`, in bytes, default to the limits.

        Raises:
            BadInput: the URL may not be called.
            Unavailable: nobody was reached: nothing was done.
            OutcomeUnknown: the deadline passed, or the connection broke, before the answer was complete.
            TooLarge: the answer is over its limit, which says nothing about what was done.
        """
        destination = parse_url(url)
        self._outward.check(destination)
        seconds = self._limits.timeout if within is None else within
        limit = self._limits.max_answer if max_answer is None else max_answer
        # A cancelled call leaves an HTTP/2 connection open, even if its peer is gone for good. A time-out of
        # httpcore's own gives it up, so that one comes first.
        timeouts = dict.fromkeys(("pool", "connect", "read", "write"), seconds * SILENCE)
        fields = [(name.encode(), value.encode()) for name, value in headers]
        if content or method in _WITH_CONTENT:
            fields.append((b"Content-Length", b"%d" % len(content)))
        request = self._pool.stream(
            method,
            url,
            headers=fields,
            content=_Body(content) if content else None,
            extensions={"timeout": timeouts},
        )
        try:
            with trio.fail_after(seconds):
                async with request as response:
                    return await _read(response, limit, destination)
        except _NOT_SENT as error:
            raise Unavailable(f"{destination.origin} was not reached: {_reason(error)}") from None
        except (*_BROKEN, trio.TooSlowError) as error:
            raise OutcomeUnknown(f"no answer of {destination.origin}: {_reason(error)}") from None


async def _read(response: httpcore.Response, limit: int, destination: Destination) -> Answer:
    body, pieces, is_tedious = bytearray(), 0, False
    with trio.CancelScope() as scope:
        async for piece in response.aiter_stream():
            body += piece
            pieces += 1
            is_tedious = pieces > PIECES and len(body) < pieces * PIECE
            if len(body) > limit or is_tedious:
                scope.cancel()  # not `break`: that would leave httpcore's generators to the collector
            # of what has been read, pieces come without a pause; to be cancelled here would leave them, too
            await trio.lowlevel.cancel_shielded_checkpoint()
    if len(body) > limit:
        raise TooLarge(f"the answer of {destination.origin} has more than {limit} bytes")
    if is_tedious:
        raise TooLarge(
            f"the answer of {destination.origin} comes in more than {PIECES} small pieces"
        )
    headers = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in response.headers
    )
    return Answer(response.status, headers, bytes(body))


class _Body:
    """Bytes as httpcore wants to iterate over them, any number of times.

    Its own way is an async generator, which is left to the collector if the connection breaks: trio warns.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._rest = [content]

    def __aiter__(self) -> Self:
        return type(self)(self._content)

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        return self._rest.pop()


def _reason(error: BaseException) -> str:
    if isinstance(error, httpcore.LocalProtocolError):
        return "its request cannot be written"  # the error repeats a header: perhaps a secret
    while not str(error) and error.__context__ is not None:  # httpcore and trio add no words
        error = error.__context__
    return str(error) or type(error).__name__


class _Guard(httpcore.AsyncNetworkBackend):
    """Opens connections for the pool: to addresses that were judged, and to no others."""

    def __init__(self, outward: Outward, resolve: Resolve, timeout: float) -> None:
        self._outward = outward
        self._resolve = resolve
        self._timeout = timeout  # seconds for one address
        self._tcp = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the pool's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """The first address of `host` that answers."""
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label over 63 characters
            raise httpcore.ConnectError(f"its name is unknown: {error}") from None
        self._outward.admit(host, port, map(ipaddress.ip_address, addresses))
        failure: Exception = httpcore.ConnectError("its name has no address")
        for address in addresses:
            try:
                return _Connection(await self._tcp.connect_tcp(address, port, self._timeout))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Connection(httpcore.AsyncNetworkStream):
    """Plain or TLS, read in small pieces. httpcore forgets to close it if the TLS handshake is cancelled."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # the pool's interface
    ) -> httpcore.AsyncNetworkStream:
        """What goes on with TLS."""
        try:
            return type(self)(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._stream.aclose()
            raise

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the pool's interface
    ) -> bytes:
        return await self._stream.read(min(max_bytes, READ), timeout)

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109  # the pool's interface
    ) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
