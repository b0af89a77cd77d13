"""A client's socket on the live path: written at once, read in turns, left politely.

OPEN       bytes go both ways
LEAVING    hung up on: owes its last words, then waits for the client's end; both bounded
CLOSED     gone

What the bytes mean, and what it means that they end, is known to whoever is made of it.
"""

import contextlib
import enum
import socket
import ssl

import trio

from comet.config import LiveConfig
from comet.io.live import Live
from comet.io.outbox import NOT_NOW, Outbox

READ = 4096  # bytes a read, and what one turn of a client may cost; the rest waits for its next


def set_buffers(sock: socket.socket, config: LiveConfig) -> None:
    """What the kernel may keep for one client. Raises OSError."""
    if config.send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.send_buffer)
    if config.receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, config.receive_buffer)


class State(enum.Enum):
    """See the module."""

    OPEN = enum.auto()
    LEAVING = enum.auto()
    CLOSED = enum.auto()


# an enum's member is looked up by a Python function: 0.2 µs, too much for each delivery
OPEN, LEAVING, CLOSED = State


class Line(Outbox):
    """Polled and watched. Nothing here waits, but `drained`."""

    __slots__ = ("_counted_from", "_drained", "_live", "_state")

    def __init__(self, sock: socket.socket, live: Live) -> None:
        super().__init__(sock)
        self._live = live
        self._state = OPEN
        self._counted_from = trio.current_time()  # of the last sign of life, or of the goodbye
        self._drained: trio.Event | None = None  # only while somebody waits for an empty outbox

    @property
    def is_open(self) -> bool:
        """Whether it can be offered anything."""
        return self._state is OPEN

    # For whoever is made of it

    def _receive(self, data: bytes) -> bool:
        """The client said `data`; True if it was a heartbeat and nothing else."""
        raise NotImplementedError

    def _overflow(self) -> None:
        """It owes more than it may: hang up."""
        raise NotImplementedError

    def _left(self, reason: str) -> None:
        """It is not open any more; called once, before its last words are sent."""
        raise NotImplementedError

    def _closed(self) -> None:
        """Its socket is closed; called once."""
        raise NotImplementedError

    # What is sent

    def offer(self, frames: bytes) -> bool:
        """Send or queue `frames`; a client that owes too much is hung up on."""
        if self.owed or self._state is not OPEN:
            return self._offer_behind(frames)
        try:
            sent = self.socket.send(frames)
        except NOT_NOW:
            sent = 0
        except OSError:
            self.drop("connection lost")
            return False
        return sent == len(frames) or self._owe(frames[sent:])

    async def drained(self) -> None:
        """Wait until nothing is owed, or the client is gone. Cancelling is safe."""
        if self.owed and self._state is OPEN:
            if self._drained is None:
                self._drained = trio.Event()
            await self._drained.wait()

    def on_writable(self) -> None:
        """Send what is owed."""
        try:
            if not self.flush():
                return
        except OSError:
            self.drop("connection lost")
            return
        self._live.poller.watch_writes(self.socket, wanted=False)
        self._wake_waiters()
        if self._state is LEAVING:
            self._end_writing()

    def _owe(self, rest: bytes) -> bool:
        """The kernel did not take all: keep the rest, and hang up if it is too much."""
        self.owed = rest
        self._live.poller.watch_writes(self.socket, wanted=True)
        if len(rest) > self._live.config.outbox_limit:
            self._overflow()
        return self._state is OPEN

    def _offer_behind(self, frames: bytes) -> bool:
        """Queue behind what is owed already, or refuse and hang up."""
        if self._state is not OPEN:
            return False
        if len(self.owed) + len(frames) > self._live.config.outbox_limit:
            self._overflow()
            return False
        self.owed += frames
        return True

    # What is read

    def on_readable(self) -> bool:
        """Read once; True if it was a heartbeat and nothing else.

        Of a TLS socket also what OpenSSL holds already, for epoll cannot see that.
        """
        beat = False
        while self._state is not CLOSED:
            try:
                data = self.socket.recv(READ)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError:
                self.drop("connection lost")
                break
            if not data:
                self.drop("client closed")
                break
            if self._state is OPEN:
                beat = self._receive(data)
            if not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
                break
        return beat

    # How it ends

    def due_at(self) -> float | None:
        """When the wheel should look: at the end of patience with a client that does not end."""
        if self._state is not LEAVING:
            return None
        return self._counted_from + self._live.config.goodbye_timeout

    def expire(self, _now: float) -> None:
        """The last words were not read in time, or the client does not end."""
        self._live.counts.unheard += bool(self.owed)
        self.drop("goodbye timed out")

    def drop(self, reason: str) -> None:
        """Close at once."""
        try:
            if self._state is OPEN:
                self._end(reason)
        finally:
            if self._state is not CLOSED:
                self._state = CLOSED
                self._live.poller.remove(self.socket)
                self.socket.close()
                self._closed()

    def _leave(self, last_words: bytes, reason: str) -> None:
        """Send what is owed and the last words, then end our direction and wait for the client's.

        Closing with unread bytes in the kernel would reset the connection and could destroy the last
        words on their way. Half a frame that is owed is finished first, within the time for goodbyes.
        """
        self._end(reason)
        self._counted_from = trio.current_time()
        self._live.wheel.watch(self)
        waited = bool(self.owed)
        self.owed += last_words
        try:
            if self.flush():
                self._end_writing()
            elif not waited:
                self._live.poller.watch_writes(self.socket, wanted=True)
        except OSError:
            self.drop("connection lost")

    def _end(self, reason: str) -> None:
        """Not open from now on."""
        self._state = LEAVING
        self._left(reason)
        self._wake_waiters()

    def _end_writing(self) -> None:
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    self.socket.unwrap()  # sends close_notify, and need not wait for the client's
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
        except OSError:
            self.drop("connection lost")

    def _wake_waiters(self) -> None:
        if self._drained is not None:
            self._drained.set()
            self._drained = None
