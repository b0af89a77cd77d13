"""An Engine.IO session: a transport that may change its carrier, and its heartbeats.

    carrier      Polls (engine_polls.py), then perhaps EngineSocket (engine_socket.py), or that at once
    revision 3   the client pings; silent for ping_interval + ping_timeout: gone
    revision 4   we ping every ping_interval, and hear of the client within ping_timeout: or it is gone

OPEN       packets go both ways
LEAVING    its speaker knows that it is over; the carrier says goodbye, bounded
CLOSED     forgotten

At rest it is this object, its carrier and the texts of its handshake: no task, no timer, no parser.

Source: docs/engine.io-protocol v3.md and v4-current.md; engine.io 3.4 and 6 for what they leave open.
"""

import enum
from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from appmodel.io.contain import contain_bugs
from comet.core.transport import Handshake, Speaker
from comet.io.engine import Engine
from comet.protocol.engineio import Framing, Packet, PacketType, framed_packet

log = structlog.get_logger("comet")

PING, PONG, CLOSE = (Packet(kind) for kind in (PacketType.PING, PacketType.PONG, PacketType.CLOSE))

CLIENT_CLOSED = "client closed"


class State(enum.Enum):
    """See the module."""

    OPEN = enum.auto()
    LEAVING = enum.auto()
    CLOSED = enum.auto()


class Carrier(Protocol):
    """How the bytes of a session go. It tells its session of its end: `lost`, then `forget`."""

    owed: bytes  # what waits to be sent

    @property
    def framing(self) -> Framing: ...

    def offer(self, frames: bytes) -> bool:
        """Send or queue whole frames; False if refused."""

    async def drained(self) -> None:
        """Wait until nothing is owed, or it has ended. Cancelling is safe."""

    def provoke(self) -> None:
        """Make the client say something, if it lives."""

    def leave(self, reason: str, *, lingers: bool) -> None:
        """Say what is owed and goodbye, then end. `lingers`: also to who is not here just now."""

    def drop(self, reason: str) -> None:
        """End at once."""


class Session:
    """A client's. Implements `Transport`; watched by the wheel until it ends."""

    __slots__ = (
        "_carrier",
        "_due",
        "_heard",
        "_life",
        "_pinged",
        "_said",
        "_second",
        "_speaker",
        "_state",
        "engine",
        "handshake",
        "offer",
        "sid",
    )

    offer: Callable[[bytes], bool]  # see `Transport`: the carrier's own, a call less each time
    _carrier: Carrier
    _speaker: Speaker

    def __init__(self, engine: Engine, handshake: Handshake) -> None:
        """Whoever makes one has a place for it at the gate, which `forget` gives back."""
        self.engine = engine
        self._state = State.OPEN
        self._heard = trio.current_time()  # of the last packet
        self._pinged = 0.0  # revision 4: when our ping was sent that is not answered; 0 = none
        self._second = self._said = 0  # packets of this second
        self._life: trio.Event | None = None  # only while somebody waits for a sign of life
        self.handshake = handshake
        self.sid = engine.new_sid()
        self._due = self._heard + self._patience  # 0 = the wheel need not look

    @property
    def framing(self) -> Framing:
        """See `Transport`."""
        return self._carrier.framing

    @property
    def is_open(self) -> bool:
        """See `Transport`."""
        return self._state is State.OPEN

    @property
    def carrier(self) -> Carrier:
        """How its bytes go at this moment."""
        return self._carrier

    def start(self, carrier: Carrier, *, polling: bool) -> None:
        """Begin over `carrier`, with the open packet and what the speaker says behind it."""
        engine, handshake = self.engine, self.handshake
        self._carrier, self.offer = carrier, carrier.offer
        engine.sessions[self.sid] = self
        way = "polling" if polling else "websocket"
        engine.opened[f"{way} {handshake.revision}"] += 1
        log.debug("transport opened", way=way, revision=handshake.revision, peer=handshake.address)
        engine.live.wheel.watch(self)
        self._speaker = engine.open(self)
        opening = engine.open_packet(self.sid, polling=polling)
        carrier.offer(framed_packet(carrier.framing, opening) + self._speaker.opened())

    async def drained(self) -> None:
        """See `Transport`."""
        carrier = None
        while carrier is not self._carrier:  # an upgrade takes along what is owed
            carrier = self._carrier
            await carrier.drained()

    async def shows_life(self, within: float) -> bool:
        """See `Claimant`: it must react to something that comes now."""
        if not self.is_open:
            return False
        if self._life is None:
            self._life = trio.Event()
            self._carrier.provoke()
        with trio.move_on_after(within):
            await self._life.wait()
            return self.is_open
        return False

    # What the client says

    def note_life(self) -> None:
        """It did something."""
        if self._life is not None:
            self._life.set()
            self._life = None

    def beat(self) -> None:
        """A heartbeat of its revision: a ping of 3, a pong of 4."""
        self.engine.live.counts.heartbeats += 1
        if self.handshake.revision == 3:
            self.offer(framed_packet(self.framing, PONG))
        elif self._pinged:
            self._pinged = 0.0
            self._due = self._heard + self.engine.config.ping_interval

    def take(self, packet: Packet) -> None:
        """One packet of the client."""
        if not self.hears():
            return
        match packet.type:
            case PacketType.MESSAGE:
                self._speaker.receive(packet.data)
            case PacketType.PING | PacketType.PONG:
                if (packet.type is PacketType.PING) == (self.handshake.revision == 3):
                    self.beat()
                else:
                    self.fail("protocol: heartbeat in the wrong direction")
            case PacketType.CLOSE:
                self.fail(CLIENT_CLOSED)
            case _:  # open, upgrade and noop mean nothing here, as in the original
                pass

    def hears(self) -> bool:
        """Note a sign of life; False if the session has ended, or ends now for saying too much."""
        if self._state is not State.OPEN:
            return False
        engine, now = self.engine, trio.current_time()
        engine.packets += 1
        self._heard = now
        if self._life is not None:
            self.note_life()
        if int(now) != self._second:
            self._second, self._said = int(now), 0
        self._said += 1
        if self._said > engine.config.packets_per_second:
            self.fail("too many packets")
            return False
        return True

    def switch(self, carrier: Carrier, owed: bytes) -> None:
        """Go on over `carrier`, which begins with what was owed, in its framing."""
        self._carrier, self.offer = carrier, carrier.offer
        self.engine.upgraded += 1
        if not owed or carrier.offer(owed):
            self._speaker.reframed()

    # Heartbeats

    @property
    def _patience(self) -> float:
        """Seconds to the first look of the wheel."""
        config = self.engine.config
        more = config.ping_timeout if self.handshake.revision == 3 else 0
        return config.ping_interval + more

    def due_at(self) -> float | None:
        """When the wheel should look."""
        if self._state is State.OPEN and self.handshake.revision == 3:
            return self._heard + self._patience
        return self._due or None

    def expire(self, now: float) -> None:
        """Time to ping; or nothing was heard in time; or the goodbye was not fetched."""
        config = self.engine.config
        if self._state is not State.OPEN:
            self._carrier.drop("goodbye timed out")
        elif self.handshake.revision == 4 and not self._pinged:
            self._ping(now)
        elif now < self.engine.live.patient_until:
            self._due = self.engine.live.patient_until
        elif self.handshake.revision == 3:
            self.fail("ping timeout")
        elif now < (deadline := max(self._pinged, self._heard) + config.ping_timeout):
            self._due = deadline
        else:
            self.fail("ping timeout")

    def expire_if_overdue(self, now: float) -> None:
        """The same by the clock and not by the wheel, whose ticks are coarse: for who asks now."""
        config = self.engine.config
        deadline = self._heard + config.ping_interval + config.ping_timeout
        if self._pinged and not self._carrier.owed:  # the ping went out, perhaps late
            deadline = max(deadline, self._pinged + config.ping_timeout)
        if self.is_open and now >= max(deadline, self.engine.live.patient_until):
            self.fail("ping timeout")

    def _ping(self, now: float) -> None:
        config = self.engine.config
        self._pinged = now
        # no later than the next ping may be due: the wheel does not look again before
        self._due = now + min(config.ping_timeout, config.ping_interval)
        self.offer(framed_packet(self.framing, PING))

    # How it ends

    def close(self, reason: str) -> None:
        """See `Transport`. On a session that has ended it does nothing."""
        if self._state is State.OPEN:
            self._carrier.leave(reason, lingers=True)

    def fail(self, reason: str) -> None:
        """The client ended it, or broke the protocol: who polls next finds nobody."""
        if self._state is State.OPEN:
            self._carrier.leave(reason, lingers=False)

    def drop(self, reason: str) -> None:
        """End it at once, without goodbye."""
        if self._state is not State.CLOSED:
            self._carrier.drop(reason)

    def lost(self, reason: str) -> None:
        """Its carrier is not open any more: the speaker hears of it, once."""
        if self._state is not State.OPEN:
            return
        self._state = State.LEAVING
        self._due = 0.0  # its carrier looks after its own end
        why = reason.partition(":")[0]
        self.engine.ended[why] += 1
        log.debug("transport closed", peer=self.handshake.address, reason=reason)
        self.note_life()
        with contain_bugs("speaker", self._count_bug):  # whoever ends a session goes on
            self._speaker.closed(reason)

    def _count_bug(self, _bug: BaseException) -> None:
        self.engine.live.poller.bugs += 1

    def linger(self) -> None:
        """Its goodbye waits to be fetched, for a while."""
        self._due = trio.current_time() + self.engine.live.config.goodbye_timeout
        self.engine.live.wheel.watch(self)

    def forget(self) -> None:
        """Its carrier has ended: nothing is left of it."""
        self.lost("connection lost")
        if self._state is not State.CLOSED:
            self._state, self._due = State.CLOSED, 0.0
            del self.engine.sessions[self.sid]
            self.engine.live.gate.leave(self.handshake.address)
