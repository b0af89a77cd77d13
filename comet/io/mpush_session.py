"""One connection of Mpush, from its token to its end: a line that speaks the seed version or 2.2.

    TOKEN    a text is the token                 seed: AUTH 200 or 403; 30 s from the connection on
             a JSON object with "cmd" is 2.2     AUTH 200, 403, or 401 for anything else
    NAME     the next text is the device         seed: LOGIN; 30 s from the token on
    IN       acknowledgements and commands       a subscriber of the device's key; messages come by its delivery

At rest it is a socket, this object, an entry on the wheel and a place in a channel: no task, no timer, no parser.
A task works for it while it logs in or while a command of 2.2 is carried out; what the client says meanwhile waits,
up to a bound. A peer that is silent is pinged, and let go after a generous while; any byte is a sign of life.
The server's last word is a close frame without a code, as in the original.

Source: spec/mpush.md sections 2, 3, 8 and 11.4.
"""

import enum
import math
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from appmodel.core.mpush import check_name
from appmodel.core.mpush_tokens import Grant, Right
from appmodel.errors import BadInput, Unauthorized
from comet.core.channel import BEHIND
from comet.core.message import Message
from comet.io.following import Following
from comet.io.line import OPEN, Line
from comet.io.mpush_delivery import Delivery
from comet.protocol.mpush import AUTHENTICATED, TOKEN_INVALID, SeedDialect, acknowledged
from comet.protocol.mpush_v2 import V2Dialect, is_command
from comet.protocol.native import Goodbye
from comet.protocol.websocket import (
    PING,
    PONG,
    Binary,
    Close,
    Event,
    FrameError,
    FrameReader,
    Ping,
    Pong,
    close_frame,
    frame,
)

if TYPE_CHECKING:
    from comet.io.mpush import Mpush

log = structlog.get_logger("comet")

Job = Callable[[], Awaitable[None]]

GREETING = 16 * 1024  # bytes that who is not logged in may say at once: a token is shorter
SEED = SeedDialect()
_PING = frame(PING, b"")
_CLOSE = close_frame(None)


class Stage(enum.Enum):
    """See the module."""

    TOKEN = enum.auto()
    NAME = enum.auto()
    IN = enum.auto()


class MpushSession(Line, Following[SeedDialect | V2Dialect]):
    """See the module."""

    name = ""  # see `Subscriber`: nobody spares it
    cursor = BEHIND  # whatever comes goes to its delivery
    __slots__ = (
        "_asked",
        "_asked_size",
        "_heard",
        "_reader",
        "address",
        "channel",
        "delivery",
        "device",
        "dialect",
        "grant",
        "held",
        "mpush",
        "origin",
        "overran",
        "place",
        "pushes",
        "speaks_v2",
        "stage",
        "ticket",
        "until",
    )

    def __init__(self, sock: socket.socket, address: str, origin: str, mpush: "Mpush") -> None:
        """`origin`: under which its wrong tokens are counted."""
        super().__init__(sock, mpush.live)
        self.mpush, self.address, self.origin = mpush, address, origin
        self.stage = Stage.TOKEN
        self.speaks_v2 = False
        self.device = ""  # "" = not logged in
        self.grant: Grant | None = None  # what its token allows
        self.until = math.inf  # when that ends
        self.delivery: Delivery | None = None
        self.dialect: SeedDialect | V2Dialect = SEED
        self.held, self.overran, self.place, self.ticket = [], False, 0, None
        self.pushes = 0  # its own that are under way
        self._heard = self._counted_from
        self._reader: FrameReader | None = None  # only while something is half-read
        self._asked: deque[str | None] | None = None  # while a task works for it; None: binary
        self._asked_size = 0  # characters of it

    def start(self, rest: bytes) -> None:
        """Let the poller take over. `rest`: what the client sent behind its request.

        Raises:
            OSError: the system watches no more sockets; nothing has begun.
        """
        self._live.poller.add(self.socket, self)
        self._live.wheel.watch(self)
        if rest:
            self._receive(rest)
        if isinstance(self.socket, ssl.SSLSocket) and self._state is OPEN and self.socket.pending():
            self.on_readable()  # OpenSSL has read more with the request: epoll does not know

    # What the client says

    def _receive(self, data: bytes) -> bool:
        self._heard = trio.current_time()
        if self.owed and not self.device:  # a stranger that does not read what it is answered
            self.leave("slow")
            return False
        reader = self._reader
        if reader is None:
            limit = self.mpush.config.max_message
            reader = self._reader = FrameReader(limit if self.device else min(limit, GREETING))
        only_beats = True
        try:
            for event in reader.receive_data(data):
                only_beats &= isinstance(event, Ping | Pong)
                self._take(event)
                if self._state is not OPEN:
                    break
        except FrameError as error:
            self._leave(close_frame(error.close_code, str(error)), f"protocol: {error}")
        if reader.idle:
            self._reader = None
        return only_beats

    def _take(self, event: Event) -> None:
        match event:
            case Ping(payload):
                self.offer(frame(PONG, payload))
                if self.delivery is not None:
                    self.delivery.hurry()  # as from S+ on: a client that pings gets what it misses
            case Pong():
                pass
            case Close(code, _):
                self._leave(close_frame(code), "client closed")
            case Binary(data):
                self._hear_binary(data)
            case _:
                self.hear(event.data)

    def hear(self, text: str | None) -> None:
        """A text; None: a binary message. Behind what is under way."""
        if self._asked is None:
            job = self._begin(text)
            if job is not None:
                self._asked, self._asked_size = deque(), 0
                self.mpush.spawn(self._work, job)
            return
        self._asked.append(text)
        self._asked_size += len(text or "")
        config = self.mpush.config
        if len(self._asked) > config.backlog or self._asked_size > config.max_message:
            self.leave("too much at once")

    def _hear_binary(self, data: bytes) -> None:
        """No token, no name, no command; an acknowledgement all the same, where the original takes it."""
        is_seed_ack = self.stage is Stage.IN and not self.speaks_v2
        self.hear(data.decode(errors="replace") if is_seed_ack else None)

    async def _work(self, job: Job) -> None:
        """Do it, and what waits behind it, in order; then this task ends. A bug ends the connection."""
        assert self._asked is not None
        is_done = False
        try:
            await job()
            while self._asked and self.is_open:
                text = self._asked.popleft()
                self._asked_size -= len(text or "")
                next_job = self._begin(text)
                if next_job is not None:
                    await next_job()
            is_done = True
        finally:
            self._asked = None
            if not is_done:
                self.leave("internal error")

    def _begin(self, text: str | None) -> Job | None:
        """Do what needs nothing to be waited for; else what is to be awaited."""
        if self.speaks_v2:
            return self.mpush.commands.begin(self, text)
        if self.stage is Stage.IN:
            self.acknowledge(acknowledged(text or ""), foreign=True)
        elif self.stage is Stage.NAME:
            return self._begin_login(text)
        elif text is None:
            self.offer(TOKEN_INVALID)
        elif is_command(text):
            self.speaks_v2 = True
            return self.mpush.commands.begin(self, text)
        elif self.mpush.tries.pause(text, self.origin, trio.current_time()):
            return partial(self._admit_later, text)
        else:
            self._admit(text)
        return None

    async def _admit_later(self, token: str) -> None:
        """Its address guesses too often."""
        if await self.turn_for(token):
            self._admit(token)

    async def turn_for(self, token: str) -> bool:
        """Wait until a token may be tried: False if the client has gone meanwhile."""
        tries, longest = self.mpush.tries, self.mpush.config.auth_timeout
        while pause := tries.pause(token, self.origin, trio.current_time()):
            await trio.sleep(min(pause, longest))
            if not self.is_open:
                return False
        return True

    def _admit(self, token: str) -> None:
        """If the text is a token with which some device may log in."""
        try:
            grant = self.mpush.tries.grant(token, self.origin, trio.current_time())
        except Unauthorized:
            self.offer(TOKEN_INVALID)
            return
        if not grant.covers(Right.CONNECT, None):
            self.offer(TOKEN_INVALID)
            return
        self.stage = Stage.NAME
        self.let_in(grant)
        self._counted_from = trio.current_time()  # the device has its own time
        self.offer(AUTHENTICATED)

    def let_in(self, grant: Grant) -> None:
        """By a token: no longer than it is good."""
        self.grant = grant
        self.until = trio.current_time() + max(0.0, grant.expires_at - self.mpush.now())

    def _begin_login(self, name: str | None) -> Job | None:
        """A name that is none, or not for this token: the client may try again."""
        try:
            check_name(name or "")
        except BadInput:
            return None
        assert name is not None
        assert self.grant is not None, "the stage before"
        if not self.grant.covers(Right.CONNECT, name):
            self.offer(TOKEN_INVALID)
            return None
        return partial(self.mpush.log_in, self, name)

    def enter(self, delivery: Delivery, greeting: bytes) -> None:
        """It is logged in: greet it, then send what waits."""
        self.stage, self.delivery = Stage.IN, delivery
        self._counted_from = trio.current_time()
        self.mpush.counts.logins += 1
        log.info("mpush login", device=self.device, peer=self.address, v2=self.speaks_v2)
        if self.offer(greeting):
            delivery.go_on()

    def log_out(self) -> None:
        """It is no device's connection, until it logs in again within its time."""
        self.mpush.forget(self)
        self.stage = Stage.TOKEN
        self._counted_from = trio.current_time()

    # What it is as a subscriber

    def hold(self, messages: Sequence[Message]) -> None:
        """See `Following.hold`: it holds for ever, and its delivery writes what it can."""
        if self.delivery is not None:  # else it is all read from the store at the end of the login
            self.delivery.take(messages)

    def acknowledge(self, ids: Sequence[int], *, foreign: bool = False) -> None:
        """The device has these. `foreign`: also what was sent on an earlier connection, and not yet on this one."""
        delivery = self.delivery
        if delivery is None or not ids:
            return
        until = (self.channel.cursor or 0) if foreign else 0
        new = delivery.acknowledge(ids, until=until)
        if new:
            self.mpush.note_acknowledged(self, new)

    async def shows_life(self, within: float) -> bool:
        """See `Claimant.shows_life`: of a device the newest connection wins, so none is asked for a proof."""
        await trio.lowlevel.checkpoint()
        return self.is_open

    def oust(self, reason: str) -> None:
        """See `Claimant.oust`."""
        self.leave(reason)

    def hang_up(self, goodbye: Goodbye) -> None:
        """See `Following.hang_up`."""
        self.leave(goodbye.reason)

    # How it ends

    def due_at(self) -> float | None:
        """When the wheel should look: the end of a step's time, the next ping, or the end of patience."""
        if self._state is not OPEN:
            return super().due_at()
        config = self.mpush.config
        if self.stage is not Stage.IN:
            return self._counted_from + config.auth_timeout
        spoken = max(self._heard, self._counted_from)  # by either side
        return min(spoken + config.ping_interval, self._heard + config.silence, self.until)

    def expire(self, now: float) -> None:
        """Its time for the token or the name is over; or it is silent: ping it, or let it go."""
        if self._state is not OPEN:
            super().expire(now)
        elif now < self._live.patient_until:
            return  # we were frozen: what it said may lie in the socket
        elif self.stage is not Stage.IN:
            self.leave("login timed out")
        elif now >= self.until:
            self.leave("token expired")
        elif now >= self._heard + self.mpush.config.silence:
            self.leave("silent")
        else:
            self._counted_from = now
            self.offer(_PING)

    def leave(self, reason: str) -> None:
        """End it from our side. Nothing happens the second time."""
        if self._state is OPEN:
            self._leave(_CLOSE, reason)

    def _overflow(self) -> None:
        self.leave("slow")

    def _left(self, reason: str) -> None:
        log.info("mpush closed", device=self.device, peer=self.address, reason=reason)
        self.mpush.forget(self)
        self.mpush.counts.ended[reason.partition(":")[0]] += 1

    def _closed(self) -> None:
        self.mpush.closed(self)
