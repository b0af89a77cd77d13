"""One TCP connection, plain or TLS, without anything hidden behind it.

A `Wire` owns a non-blocking standard socket and nothing else: no task, no buffer, no memory BIO. So a
connection that began as an HTTP request can be taken over, TLS included, by whoever waits for sockets in
another way (the comet's poller): `detach` and go on with `recv` and `send`. trio.SSLStream cannot do that.

It fits where a trio stream does (`receive_some`, `send_all`, `aclose`, the same exceptions), and is
cheaper: a call that need not wait is one system call, without a trip through trio's scheduler.

Source: trio/_highlevel_socket.py for the manners; RFC 8446 section 6.1 for how TLS ends.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, TypeVar

import trio

RECEIVE = 64 * 1024  # bytes asked for at once
PIECE = 64 * 1024  # bytes offered to TLS at once: it repeats a refused write from its start
FAIR: Final = 32  # calls in a row that need not wait, before other tasks have their turn

T = TypeVar("T")
WaitReady = Callable[[socket.socket], Awaitable[None]]

_GONE: Final = socket.socket()  # what a detached wire holds
_GONE.close()


class Endpoint(NamedTuple):
    """An address of a connection's end."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Wire:
    """A connected socket. One task may receive while another sends.

    Every wait is the caller's: put it under a deadline. After an exception or a cancelled `send_all`
    the wire can only be closed.
    """

    __slots__ = ("_drained", "_in_a_row", "_pushed_back", "_socket", "peer", "secure")

    def __init__(self, connected: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Take over `connected`; with `tls` as the server's side, whose `handshake` must follow.

        Raises:
            OSError: the peer is gone already.
        """
        connected.setblocking(False)
        self.peer = Endpoint(*connected.getpeername()[:2])
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.secure = tls is not None
        if tls is not None:
            connected = tls.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
        self._socket = connected
        self._pushed_back = b""
        self._drained = False  # the last receive got less than it asked for
        self._in_a_row = 0

    @property
    def local(self) -> Endpoint:
        """Our end."""
        return Endpoint(*self._socket.getsockname()[:2])

    @property
    def closed(self) -> bool:
        """Closed or detached."""
        return self._socket.fileno() == -1

    async def handshake(self) -> None:
        """Agree on TLS; returns at once on a plain wire.

        Raises:
            trio.BrokenResourceError: the peer speaks no TLS that we accept, or is gone.
        """
        if isinstance(self._socket, ssl.SSLSocket):
            await self._until_done(self._socket.do_handshake, trio.lowlevel.wait_readable)

    async def receive_some(self, max_bytes: int = RECEIVE) -> bytes:
        """What is there, at least one byte; b"" at the end of what the peer sends. Cancelling is safe.

        Raises:
            trio.BrokenResourceError: the connection broke.
            trio.ClosedResourceError: we closed it, perhaps in another task while this one waited.
        """
        if self._pushed_back:
            data, self._pushed_back = self._pushed_back[:max_bytes], self._pushed_back[max_bytes:]
            return data
        if self._drained:  # a turn for the others: often there is something by then, without epoll
            self._in_a_row = 0
            await trio.lowlevel.checkpoint()
        receive = partial(self._socket.recv, max_bytes)
        data = await self._until_done(receive, trio.lowlevel.wait_readable)
        self._drained = len(data) < max_bytes
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Hand all of `data` to the kernel, as fast as the peer reads.

        Raises:
            trio.BrokenResourceError: the peer is gone.
            trio.ClosedResourceError: we closed it, perhaps in another task while this one waited.
        """
        rest = memoryview(data)
        while rest:
            send = partial(self._socket.send, rest[:PIECE] if self.secure else rest)
            rest = rest[await self._until_done(send, trio.lowlevel.wait_writable) :]

    def send_nowait(self, data: bytes | bytearray) -> int:
        """Hand over what the kernel takes at once; how many bytes that was.

        What was not taken must be the start of what is sent next: TLS may hold a piece of it.

        Raises:
            trio.BrokenResourceError: the peer is gone.
            trio.ClosedResourceError: we closed it.
        """
        try:
            return self._socket.send(memoryview(data)[:PIECE] if self.secure else data)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise self._translated(error) from error

    def push_back(self, data: bytes) -> None:
        """Make `data` the next bytes that are received."""
        self._pushed_back = data + self._pushed_back

    def fileno(self) -> int:
        """Of its socket; -1 once it is closed."""
        return self._socket.fileno()

    def receive_nowait(self, max_bytes: int = RECEIVE) -> bytes | None:
        """What is there, b"" at the end of what the peer sends; None if nothing is.

        Raises:
            trio.BrokenResourceError: the connection broke.
            trio.ClosedResourceError: we closed it.
        """
        if self._pushed_back:
            data, self._pushed_back = self._pushed_back[:max_bytes], self._pushed_back[max_bytes:]
            return data
        try:
            return self._socket.recv(max_bytes)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError as error:
            raise self._translated(error) from error

    def take(self) -> "Wire":
        """The same connection for another owner; this wire is closed then, and its task may end.

        No task may be waiting for it.
        """
        taken = Wire.__new__(Wire)
        for name in Wire.__slots__:
            setattr(taken, name, getattr(self, name))
        self._socket, self._pushed_back = _GONE, b""
        return taken

    def detach(self) -> socket.socket:
        """Give the socket away, non-blocking, an `ssl.SSLSocket` if `secure`; this wire is closed then.

        No task may be waiting for the wire. An SSL socket may hold decrypted bytes that make
        nobody's poll wake up: receive from it once before polling.
        """
        assert not self._pushed_back, "bytes that were pushed back would be lost"
        given, self._socket = self._socket, _GONE
        return given

    def close(self) -> None:
        """Close, after what was sent so far; any time, any number of times. Waits for nothing.

        Bytes of the peer that nobody received turn this into a reset, which can destroy our last
        words on their way: `aclose(linger=...)` avoids it.
        """
        if self.closed:
            return
        self._half_close()
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()

    async def aclose(self, *, linger: float = 0.0) -> None:
        """Close; before that, drop what the peer still sends, until it ends or for `linger` seconds.

        The wire is closed afterwards, also when this is cancelled.
        """
        try:
            if linger and not self.closed:
                self._half_close()
                with trio.move_on_after(linger), suppress(trio.BrokenResourceError):
                    # under TLS too: it is about the kernel's buffer, not about the content
                    receive = partial(socket.socket.recv, self._socket, RECEIVE)
                    while await self._until_done(receive, trio.lowlevel.wait_readable):
                        pass
        finally:
            self.close()
        await trio.lowlevel.checkpoint()

    def _half_close(self) -> None:
        """Say that nothing more comes: close_notify on TLS, as far as it can be said at once, and FIN."""
        with suppress(OSError, ValueError):
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()
        with suppress(OSError):
            socket.socket.shutdown(
                self._socket, socket.SHUT_WR
            )  # not SSLSocket's: it forgets its TLS

    async def _until_done(self, attempt: Callable[[], T], ready: WaitReady) -> T:
        """The result of `attempt`, repeated when the socket is ready for what it lacked."""
        self._in_a_row += 1
        if self._in_a_row > FAIR:
            self._in_a_row = 0
            await trio.lowlevel.checkpoint()
        while True:
            try:
                return attempt()
            except (BlockingIOError, InterruptedError):
                pass
            except ssl.SSLWantReadError:
                ready = trio.lowlevel.wait_readable
            except ssl.SSLWantWriteError:
                ready = trio.lowlevel.wait_writable
            except OSError as error:
                raise self._translated(error) from error
            self._in_a_row = 0
            await ready(self._socket)

    def _translated(self, error: OSError) -> Exception:
        if self.closed:
            return trio.ClosedResourceError("this wire was closed")
        return trio.BrokenResourceError(f"connection with {self.peer} broke: {error}")
