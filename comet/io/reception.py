"""From a parsed request to a subscriber: the checks, the mark, the welcome, and what was missed.

The mark of a new channel is read before the client is welcomed: then everything up to it was stored
before `+h`, where a client that fetches after `+h` finds it, and everything after it comes live.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.credentials import Ticket
from appmodel.core.names import Key
from appmodel.core.revocations import Revocations
from appmodel.errors import BadInput, PushError, Unauthorized
from appmodel.io.wire import Wire
from comet.core.admission import HeartbeatRule, Subscription, parse_subscription
from comet.core.channel import Channel
from comet.io.attachments import Attachments
from comet.io.line import set_buffers
from comet.io.live import Live
from comet.io.membership import Membership
from comet.io.proving import Proving
from comet.io.replay import Reading
from comet.io.subscriber import Subscriber
from comet.protocol.dialect import Dialect
from comet.protocol.native import (
    GOING_AWAY,
    KEY_FULL,
    MOVED,
    TICKET_REFUSED,
    TRY_LATER,
    Goodbye,
    bad_request,
)

log = structlog.get_logger("comet")

BAD_PARAMETER, BAD_TICKET, ANOTHER_COMET = b"-p\r\n", b"-a\r\n", b"-n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A subscription as the client wrote it."""

    key: str
    heartbeat: str
    ticket: str = ""
    version: str = ""
    last_id: str = ""


@dataclass(frozen=True, slots=True)
class _Refusal:
    reply: bytes  # `-p`, `-a`, `-n` or nothing
    goodbye: Goodbye


class Reception:
    """Admits clients of all dialects. `proving` is None when auth is off."""

    def __init__(
        self,
        *,
        live: Live,
        reading: Reading,
        clock: MessageClock,
        membership: Membership,
        attachments: Attachments,
        refuses_strangers: bool,
        proving: Proving | None,
        revocations: Revocations,
        now: Callable[[], float],
        spawn: Callable[..., None],
    ) -> None:
        """`refuses_strangers`: legacy clients of keys that others own get `-n`.

        `spawn(function, *arguments)` runs a task for as long as the comet lives.
        """
        self._membership, self._attachments = membership, attachments
        self._refuses_strangers = refuses_strangers
        self._live, self._reading, self._clock = live, reading, clock
        self._proving, self._revocations = proving, revocations
        self._now = now
        self._spawn = spawn
        self._rule = HeartbeatRule(
            minimum=live.config.heartbeat_min, maximum=live.config.heartbeat_max
        )
        self.draining = False

    async def receive(self, wire: Wire, asked: Asked, dialect: Dialect, rest: bytes) -> None:
        """Make a subscriber of the client, or refuse it; returns when it is welcomed or gone.

        `rest`: bytes that came behind the request. Cancelling closes the connection.
        """
        gate = self._live.gate
        limit = self._limit(wire)
        if limit is not None:
            await self._refuse(wire, dialect, _Refusal(b"", TRY_LATER), limit)
            return
        subscriber = refusal = None
        try:
            if not self._membership.standing().view.comets:
                with trio.move_on_after(self._live.config.ring_timeout):
                    await self._membership.has_ring()
            admitted = await self._check(asked)
            if isinstance(admitted, _Refusal):
                refusal = admitted
            else:
                subscriber, refusal = await self._admit(wire, *admitted, dialect, rest)
        finally:
            if subscriber is None:
                gate.leave(wire.peer.host)
        if refusal is not None:
            gate.refused[refusal.goodbye.reason.partition(":")[0]] += 1
            await self._refuse(wire, dialect, refusal, refusal.goodbye.reason)

    def _limit(self, wire: Wire) -> str | None:
        """The limit that keeps this client out; else it has taken a place at the gate."""
        if self.draining:
            self._live.gate.refused["draining"] += 1
            return "draining"
        return self._live.gate.enter(wire.peer.host, trio.current_time())

    async def _admit(
        self, wire: Wire, wanted: Subscription, ticket: Ticket | None, dialect: Dialect, rest: bytes
    ) -> tuple[Subscriber | None, _Refusal | None]:
        """Into the channel, and live or on its way there; or why not. Either one is None."""
        channel = self._live.hub.open(wanted.key)
        subscriber = None
        try:
            await self._attach(channel)
            if channel.cursor is None:
                await self._reading.learn_mark(channel)
            # much may have happened while the store was asked
            if self.draining:
                return None, _Refusal(b"", GOING_AWAY)
            if ticket is not None and self._revocations.voids(ticket):
                return None, _Refusal(BAD_TICKET, TICKET_REFUSED)
            if self.is_full(channel):
                return None, _Refusal(b"", KEY_FULL)  # the original drops it without a word
            subscriber = self._welcome(wire, channel, wanted, dialect, rest)
            subscriber.ticket = ticket
        finally:
            if subscriber is None:
                self._live.hub.abandon(channel)
        if wanted.last_id is not None:
            self._spawn(self._reading.replay, subscriber, wanted.last_id)
        return subscriber, None

    async def _attach(self, channel: Channel) -> None:
        """Let the owner of the key know, before anything else: from then on nothing is missed."""
        self._membership.find_home(channel)
        if channel.home is not None and not await self._attachments.told(channel):
            log.warning("not attached in time", key=str(channel.key))

    def _is_refused(self, key: Key, version: str) -> bool:
        standing = self._membership.standing()
        if standing.owns(key):
            return False
        return standing.elsewhere(key) is None or (self._refuses_strangers and version != "2")

    async def _check(self, asked: Asked) -> tuple[Subscription, Ticket | None] | _Refusal:
        """The subscription and the ticket that allows it, or why not: in the original's order."""
        try:
            wanted = self._parse(asked)
        except BadInput as error:
            return _Refusal(BAD_PARAMETER, bad_request(str(error)))
        if self._is_refused(wanted.key, wanted.version):
            return _Refusal(ANOTHER_COMET, MOVED)
        try:
            ticket = await self.prove(wanted.ticket, wanted.key)
        except Unauthorized:
            return _Refusal(BAD_TICKET, TICKET_REFUSED)
        except PushError as error:
            log.warning("credential not checked", key=str(wanted.key), error=str(error))
            return _Refusal(b"", TRY_LATER)
        try:
            self.believe(wanted.last_id or 0)  # only of who may be here
        except BadInput as error:
            return _Refusal(BAD_PARAMETER, bad_request(str(error)))
        return wanted, ticket

    def _parse(self, asked: Asked) -> Subscription:
        return parse_subscription(
            key=asked.key,
            heartbeat=asked.heartbeat,
            ticket=asked.ticket,
            version=asked.version,
            last_id=asked.last_id,
            rule=self._rule,
        )

    def believe(self, last_id: int) -> None:
        """Rise above an id that a client says it has had.

        Raises:
            BadInput: nobody can have given it yet.
        """
        if last_id and not self._clock.observe_claim(last_id, int(self._now() * 1e6)):
            raise BadInput("mid", last_id, "an id that was given, not one of the future")

    async def prove(self, credential: str, key: Key) -> Ticket | None:
        """What lets a client subscribe to `key`; None: nobody is asked for anything.

        Raises:
            Unauthorized: the credential does not allow it, or is void.
            PushError: it could not be checked.
        """
        if self._proving is None:
            return None
        ticket = await self._proving.ticket(credential, key)
        if self._revocations.voids(ticket):
            raise Unauthorized("credential: revoked")
        return ticket

    def is_full(self, channel: Channel) -> bool:
        """Whether its key takes no more connections, or its user no more sessions."""
        gate, connections = self._live.gate, len(channel.subscribers)
        if connections or channel.inbox is None:
            return gate.is_full(connections)
        sessions = self._live.hub.sessions(channel.inbox)
        return gate.has_too_many(sum(1 for _ in sessions))

    def _welcome(
        self, wire: Wire, channel: Channel, wanted: Subscription, dialect: Dialect, rest: bytes
    ) -> Subscriber:
        """From here on the poller has the socket. Raises OSError if it cannot take one more."""
        sock = wire.detach()
        try:
            set_buffers(sock, self._live.config)
            subscriber = Subscriber(sock, wire.peer.host, channel, dialect, self._live)
            if wanted.last_id is not None:
                subscriber.begin_replay()
            subscriber.start(wanted.heartbeat, rest)
        except BaseException:
            sock.close()
            raise
        log.info("subscribed", key=str(channel.key), peer=str(wire.peer), version=wanted.version)
        return subscriber

    async def _refuse(self, wire: Wire, dialect: Dialect, refusal: _Refusal, why: str) -> None:
        log.info("refused", peer=str(wire.peer), reason=why)
        goodbye = refusal.goodbye
        last_words = (
            dialect.refusal(refusal.reply, goodbye) if refusal.reply else dialect.silence(goodbye)
        )
        patience = self._live.config.goodbye_timeout
        with trio.move_on_after(patience):
            await wire.send_all(last_words)
        await wire.aclose(linger=patience)
