"""One live connection inside a channel: about half a kilobyte while it is silent.

A line (comet/io/line.py) with a place in a channel: heartbeats in, messages out.
"""

import socket
import ssl

import structlog
import trio

from comet.core.channel import Channel
from comet.io.following import Following
from comet.io.line import OPEN, Line
from comet.io.live import Live
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


class Subscriber(Line, Following[Dialect]):
    """A client that was welcomed."""

    name = ""
    __slots__ = (
        "_heartbeat",
        "_reader",
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
        super().__init__(sock, live)
        self._heartbeat = 0.0  # seconds, as promised by the client
        self._reader: Reader | None = None  # only while something is half-read
        self.address = address
        self.channel = channel
        self.dialect = dialect
        self.cursor = channel.cursor or 0
        self.held = None
        self.overran = False
        self.place = 0
        self.ticket = None

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
        if self._state is not OPEN:
            return super().due_at()
        return self._counted_from + self._heartbeat + self._live.config.heartbeat_grace

    def expire(self, now: float) -> None:
        """No heartbeat in time; or the last words were not read in time."""
        if self._state is not OPEN:
            super().expire(now)
        elif now >= self._live.patient_until:
            self.hang_up(HEARTBEAT_MISSED)

    def hang_up(self, goodbye: Goodbye) -> None:
        """End it from our side: say why, as far as the dialect can, and close."""
        if self._state is OPEN:
            self._leave(self.dialect.goodbye(goodbye), goodbye.reason)

    def _overflow(self) -> None:
        self.hang_up(SLOW)

    def _left(self, reason: str) -> None:
        live = self._live
        live.hub.leave(self.channel, self)
        live.counts.unsubscribed += 1
        live.counts.ended[reason.partition(":")[0]] += 1
        log.info("unsubscribed", key=str(self.channel.key), peer=self.address, reason=reason)

    def _closed(self) -> None:
        self._live.gate.leave(self.address)
