"""One live connection inside a channel: about half a kilobyte while it is silent.

OPEN       member of a channel; heartbeats in, messages out
LEAVING    hung up on: owes its last words, then waits for the client's end; both bounded
CLOSED     gone
"""

import contextlib
import enum
import socket
import ssl

import structlog
import trio

from comet.core.channel import Channel
from comet.io.following import Following
from comet.io.live import Live
from comet.io.outbox import NOT_NOW, Outbox
from comet.protocol.dialect import (
    Acknowledged,
    Answer,
    Dialect,
    Event,
    Farewell,
    Heartbeat,
    Reader,
    Violation,
)
from comet.protocol.native import HEARTBEAT_MISSED, SLOW, Goodbye

log = structlog.get_logger("comet")

READ = 4096  # bytes a read, and what one turn of a client may cost; the rest waits for its next


class State(enum.Enum):
    """See the module."""

    OPEN = enum.auto()
    LEAVING = enum.auto()
    CLOSED = enum.auto()


# an enum's member is looked up by a Python function: 0.2 µs, too much for each delivery
OPEN, LEAVING, CLOSED = State


class Subscriber(Outbox, Following[Dialect]):
    """A client that was welcomed. Nothing here waits, but `drained`."""

    name = ""
    __slots__ = (
        "_counted_from",
        "_drained",
        "_heartbeat",
        "_live",
        "_reader",
        "_state",
        "address",
        "channel",
        "cursor",
        "dialect",
        "held",
        "overran",
        "place",
        "ticket",
    )

    def __init__(
        self, sock: socket.socket, address: str, channel: Channel, dialect: Dialect, live: Live
    ) -> None:
        super().__init__(sock)
        self._live = live
        self._state = OPEN
        self._counted_from = 0.0  # trio time of the last heartbeat, or of the goodbye
        self._heartbeat = 0.0  # seconds, as promised by the client
        self._reader: Reader | None = None  # only while something is half-read
        self._drained: trio.Event | None = None  # only while somebody waits for an empty outbox
        self.address = address
        self.channel = channel
        self.dialect = dialect
        self.cursor = channel.cursor or 0
        self.held = None
        self.overran = False
        self.place = 0
        self.ticket = None

    @property
    def is_open(self) -> bool:
        """Whether it can be offered anything."""
        return self._state is OPEN

    def start(self, heartbeat: float, rest: bytes) -> None:
        """Welcome the client, and let the poller and the wheel take over.

        `rest`: what the client sent behind its request.
        """
        live = self._live
        self._heartbeat = heartbeat
        self._counted_from = trio.current_time()
        live.poller.add(self.socket, self)  # may fail: the system limits what is watched
        live.hub.join(self.channel, self)
        live.wheel.watch(self)
        live.counts.subscribed += 1
        if self.offer(self.dialect.beat) and rest:
            self._receive(rest)
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            self.on_readable()  # OpenSSL has read more with the request: epoll does not know

    # What the cluster has for the client

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

    def _owe(self, rest: bytes) -> bool:
        """The kernel did not take all: keep the rest, and hang up if it is too much."""
        self.owed = rest
        self._live.poller.watch_writes(self.socket, wanted=True)
        if len(rest) > self._live.config.outbox_limit:
            self.hang_up(SLOW)
        return self._state is OPEN

    def _offer_behind(self, frames: bytes) -> bool:
        """Queue behind what is owed already, or refuse and hang up."""
        if self._state is not OPEN:
            return False
        if len(self.owed) + len(frames) > self._live.config.outbox_limit:
            self.hang_up(SLOW)
            return False
        self.owed += frames
        return True

    async def drained(self) -> None:
        """Wait until nothing is owed, or the client is gone. Cancelling is safe."""
        if self.owed and self._state is OPEN:
            self._drained = trio.Event()
            await self._drained.wait()

    # What the client has for us

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

    def on_writable(self) -> None:
        """Send what is owed."""
        try:
            if not self.flush():
                return
        except OSError:
            self.drop("connection lost")
            return
        self._live.poller.watch_writes(self.socket, wanted=False)
        self._wake_waiter()
        if self._state is LEAVING:
            self._end_writing()

    def _receive(self, data: bytes) -> bool:
        if self._reader is None:
            if self.dialect.is_beat(data):  # nearly everything that clients ever say
                self._note_beat()
                self.offer(self.dialect.beat)
                return True
            self._reader = self.dialect.reader()
        answers: list[bytes] = []  # of one read, written together: a flood gets one write
        end: tuple[bytes, str] | None = None
        try:
            for event in self._reader.receive_data(data):
                if isinstance(event, Farewell):
                    end = event.data, "client closed"
                    break
                answers.append(self._answer(event))
        except Violation as violation:
            end = violation.last_words, f"protocol: {violation}"
        if self._reader.idle:
            self._reader = None
        if answer := b"".join(answers):
            self.offer(answer)
        if end is not None and self._state is OPEN:
            self._leave(*end)
        return False

    def _answer(self, event: Event) -> bytes:
        """Act on what the client said; what is to be answered, perhaps nothing."""
        match event:
            case Heartbeat():
                self._note_beat()
                return self.dialect.beat
            case Acknowledged(message_id):
                self._live.counts.acknowledgements += 1
                self._live.hub.acknowledge(self.channel, message_id, self._live.clock.last)
            case Answer(data):
                return data
        return b""

    def _note_beat(self) -> None:
        self._counted_from = trio.current_time()
        self._live.counts.heartbeats += 1

    # How it ends

    def due_at(self) -> float | None:
        """When the wheel should look: the heartbeat's deadline, or the end of patience."""
        config = self._live.config
        if self._state is OPEN:
            return self._counted_from + self._heartbeat + config.heartbeat_grace
        return self._counted_from + config.goodbye_timeout if self._state is LEAVING else None

    def expire(self, now: float) -> None:
        """No heartbeat in time; or the last words were not read in time."""
        if self._state is not OPEN:
            self._live.counts.unheard += bool(self.owed)
            self.drop("goodbye timed out")
        elif now >= self._live.patient_until:
            self.hang_up(HEARTBEAT_MISSED)

    def hang_up(self, goodbye: Goodbye) -> None:
        """End it from our side: say why, as far as the dialect can, and close."""
        if self._state is OPEN:
            self._leave(self.dialect.goodbye(goodbye), goodbye.reason)

    def drop(self, reason: str) -> None:
        """Close at once."""
        if self._state is OPEN:
            self._unsubscribe(reason)
        if self._state is not CLOSED:
            self._state = CLOSED
            self._live.poller.remove(self.socket)
            self.socket.close()
            self._live.gate.leave(self.address)
            self._wake_waiter()

    def _leave(self, last_words: bytes, reason: str) -> None:
        """Send what is owed and the last words, then end our direction and wait for the client's.

        Closing with unread bytes in the kernel would reset the connection and could destroy the last
        words on their way. Half a frame that is owed is finished first, within the time for goodbyes.
        """
        self._unsubscribe(reason)
        self._state = LEAVING
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

    def _end_writing(self) -> None:
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    self.socket.unwrap()  # sends close_notify, and need not wait for the client's
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
        except OSError:
            self.drop("connection lost")

    def _unsubscribe(self, reason: str) -> None:
        live = self._live
        live.hub.leave(self.channel, self)
        live.counts.unsubscribed += 1
        live.counts.ended[reason.partition(":")[0]] += 1
        log.info("unsubscribed", key=str(self.channel.key), peer=self.address, reason=reason)
        self._wake_waiter()

    def _wake_waiter(self) -> None:
        if self._drained is not None:
            self._drained.set()
            self._drained = None
