"""One client in one namespace: its rules say what happens, and here it is carried out.

    CONNECTING   the rules are asked; what the client says meanwhile waits
    OPEN         events go to the rules, effects are carried out, pushes come by its followers
    CLOSED       gone; the rules have been told, or will be behind what is under way

An event whose effects need nothing to be waited for is done at once, without a task. Else one task works off
what this client has waiting, in order, and ends with it: nothing runs for a client at rest.
"""

import enum
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from appmodel.core.message import PUSH_ID, Push
from appmodel.core.names import Key
from appmodel.errors import PushError
from comet.core.channel import Channel
from comet.core.rules import (
    Accept,
    Answer,
    Broadcast,
    Dismiss,
    Effect,
    Effects,
    Emit,
    Event,
    Join,
    Leave,
    Refused,
    Rules,
)
from comet.core.transport import Handshake, Transport
from comet.io.follower import Follower
from comet.protocol.socketio import Packet, PacketType

if TYPE_CHECKING:
    from comet.io.talk import Talk

log = structlog.get_logger("comet")

Job = Callable[[], Awaitable[None]]
AckId = int | None


class Stage(enum.Enum):
    """See the module."""

    CONNECTING = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class SocketClient:
    """Implements `Client` of comet/core/rules.py. Its methods for `Talk` never wait."""

    __slots__ = (
        "_answered",
        "_followers",
        "_jobs",
        "_next_ack",
        "_reason",
        "_rules",
        "_stage",
        "namespace",
        "sid",
        "state",
        "talk",
    )

    def __init__(self, talk: "Talk", namespace: str, rules: Rules) -> None:
        self.talk, self.namespace, self._rules = talk, namespace, rules
        self.sid = ""
        self.state: Any = None
        self._stage = Stage.CONNECTING
        self._reason = ""  # why it ended
        self._followers: dict[Key, Follower] = {}
        self._jobs: deque[Job] | None = None  # while a task works for it
        self._answered: dict[int, Callable[[Sequence[Any]], Effects]] | None = None
        self._next_ack = 0

    # What rules see

    @property
    def transport(self) -> Transport:
        """What carries it."""
        return self.talk.transport

    @property
    def handshake(self) -> Handshake:
        """See `Client.handshake`."""
        return self.talk.transport.handshake

    @property
    def keys(self) -> Sequence[Key]:
        """See `Client.keys`."""
        return tuple(self._followers)

    @property
    def is_open(self) -> bool:
        """See `Client.is_open`: also while the rules are asked whether it may come in."""
        return self._stage is not Stage.CLOSED

    def do(self, effects: Effects) -> None:
        """See `Client.do`."""
        if self._jobs is None and self._stage is Stage.OPEN:
            self._begin(effects, None)
        else:
            self._enqueue(partial(self._carry_out, effects, None))

    def then(self, decide: Callable[[], Effects]) -> None:
        """Carry out what `decide` says behind what is under way: it sees what that has changed."""
        if self._jobs is None and self._stage is Stage.OPEN:
            self._begin(decide(), None)
        else:
            self._enqueue(partial(self._decide, decide))

    async def shows_life(self, within: float) -> bool:
        """See `Claimant.shows_life`: not once it has left, though the rules may not know yet."""
        return await self.talk.transport.shows_life(within) and self.is_open

    def oust(self, reason: str) -> None:
        """See `Claimant.oust`."""
        self.talk.transport.close(reason)

    # What Talk tells it

    def connect(self, asked: Any) -> None:
        """It wants to come in."""
        self._enqueue(partial(self._admit, asked))

    def take(self, packet: Packet) -> None:
        """An event, or the acknowledgement of one of ours."""
        if packet.type in {PacketType.ACK, PacketType.BINARY_ACK}:
            self._take_ack(packet)
            return
        name, *arguments = packet.data
        event = Event(name, arguments, packet.id is not None)
        if self._jobs is None:
            self._serve(event, packet.id)
        else:
            self._enqueue(partial(self._serve_behind, event, packet.id))

    def reframe(self) -> None:
        """The transport's framing has changed."""
        for follower in self._followers.values():
            follower.reframe()

    def end(self, reason: str) -> None:
        """It is gone, or is sent away: it follows nothing any more. Nothing happens the second time."""
        if self._stage is Stage.CLOSED:
            return
        was_open = self._stage is Stage.OPEN
        self._stage, self._reason = Stage.CLOSED, reason
        hub = self.talk.talks.hub
        for follower in self._followers.values():
            hub.leave(follower.channel, follower)
        if was_open:
            self._tell_end()

    # What followers tell it

    def follows(self, follower: Follower) -> bool:
        """Whether this is still its place in that channel."""
        if self._stage is Stage.CLOSED or not self.transport.is_open:
            return False
        return self._followers.get(follower.channel.key) is follower

    def lose(self, follower: Follower, reason: str) -> None:
        """It may not, or cannot, follow this key any more: the client is told by the event `left`."""
        key = follower.channel.key
        if self.follows(follower):
            self._leave(key)
            self._emit(Emit("left", ({"key": str(key), "reason": reason},)))

    # Carrying out

    def _enqueue(self, job: Job) -> None:
        if self._jobs is None:
            self._jobs = deque([job])
            self.talk.talks.spawn(self._work)
            return
        self._jobs.append(job)
        if len(self._jobs) > self.talk.talks.limits.backlog and self.is_open:
            self.transport.close("too many events at once")

    async def _work(self) -> None:
        """Work off what waits, in order. A bug in the rules ends the transport; they still hear that it has gone."""
        assert self._jobs is not None
        try:
            while self._jobs:
                await self._jobs.popleft()()
            self._jobs = None
        finally:
            left, self._jobs = self._jobs, None
            if left is not None:
                self.transport.close("internal error")
                if self._tell_end_behind in left:
                    self._rules.gone(self, self._reason)

    async def _admit(self, asked: Any) -> None:
        try:
            effects = await self._rules.connect(self, asked)
        except Refused as refused:
            self._refuse(refused)
        except PushError as error:
            self._refuse(Refused(str(error)))
        else:
            if self._stage is Stage.CLOSED:  # meanwhile
                self._tell_end()
                return
            self._stage = Stage.OPEN
            await self._carry_out(effects, None)

    def _refuse(self, refused: Refused) -> None:
        if self._stage is Stage.CLOSED:
            return
        self._stage = Stage.CLOSED
        log.info("client refused", namespace=self.namespace, reason=refused.message)
        self.talk.forget(self)
        if self.handshake.revision == 3:
            if refused.closes:
                self._send(PacketType.DISCONNECT, None)
            self._send(PacketType.ERROR, refused.message if refused.data is None else refused.data)
        else:
            answer = {"message": refused.message}
            if refused.data is not None:
                answer["data"] = refused.data
            self._send(PacketType.ERROR, answer)

    async def _serve_behind(self, event: Event, ack_id: AckId) -> None:
        if self._stage is Stage.OPEN:
            await self._finish(self._rules.event(self, event), ack_id)

    async def _decide(self, decide: Callable[[], Effects]) -> None:
        if self._stage is Stage.OPEN:
            await self._carry_out(decide(), None)

    def _serve(self, event: Event, ack_id: AckId) -> None:
        result = self._rules.event(self, event)
        if isinstance(result, tuple | list):
            self._begin(result, ack_id)
        else:
            self._enqueue(partial(self._finish, result, ack_id))

    async def _finish(self, result: Effects | Awaitable[Effects], ack_id: AckId) -> None:
        effects = result if isinstance(result, tuple | list) else await result  # type: ignore[misc]  # one of two
        await self._carry_out(effects, ack_id)

    def _begin(self, effects: Effects, ack_id: AckId) -> None:
        """Do it at once, as far as nothing has to be waited for."""
        for at, effect in enumerate(effects):
            if isinstance(effect, Join | Broadcast):
                self._enqueue(partial(self._carry_out, effects[at:], ack_id))
                return
            self._apply(effect, ack_id)

    async def _carry_out(self, effects: Effects, ack_id: AckId) -> None:
        joins: list[Join] = []
        for effect in effects:
            if isinstance(effect, Join):
                joins.append(effect)
                continue
            if joins and not await self._join(joins):
                return  # it has gone: what follows from having joined is not true
            joins = []
            if isinstance(effect, Broadcast):
                await self._broadcast(effect)
            else:
                self._apply(effect, ack_id)
        if joins:
            await self._join(joins)

    def _apply(self, effect: Effect, ack_id: AckId) -> None:
        """What needs no waiting. Nothing of it reaches a client that is gone."""
        if self._stage is not Stage.OPEN:
            return
        match effect:
            case Emit():
                self._emit(effect)
            case Answer(arguments):
                if ack_id is not None:
                    self._send(PacketType.ACK, list(arguments), ack_id)
            case Leave(key):
                self._leave(key)
            case Accept(sid):
                self._accept(sid)
            case Dismiss(reason):
                self._send(PacketType.DISCONNECT, None)
                self.talk.forget(self)
                self.end(reason)

    def _accept(self, sid: str) -> None:
        self.sid = sid or self.talk.talks.new_sid()
        self.talk.talks.note_open(self)
        self._send(PacketType.CONNECT, None if self.handshake.revision == 3 else {"sid": self.sid})
        log.info(
            "client connected",
            client=self.sid,
            namespace=self.namespace,
            peer=self.handshake.address,
        )

    def _emit(self, emit: Emit) -> None:
        ack_id = None
        if emit.answered is not None:
            ack_id = self._expect(emit.answered)
        self._send(PacketType.EVENT, [emit.name, *emit.arguments], ack_id)

    def _expect(self, answered: Callable[[Sequence[Any]], Effects]) -> int:
        waiting = self._answered = self._answered or {}
        if len(waiting) >= self.talk.talks.limits.pending_acks:
            del waiting[next(iter(waiting))]  # whoever never answers loses the oldest
        ack_id = self._next_ack
        self._next_ack += 1
        waiting[ack_id] = answered
        return ack_id

    def _take_ack(self, packet: Packet) -> None:
        waiting = self._answered or {}
        answered = waiting.pop(packet.id, None) if packet.id is not None else None
        if not waiting:
            self._answered = None
        if answered is not None:
            self.do(answered(packet.data))

    async def _broadcast(self, effect: Broadcast) -> None:
        talks = self.talk.talks
        push = Push(
            os.urandom(PUSH_ID),
            (effect.key,),
            talks.json([effect.name, *effect.arguments]),
            without=self.sid,
        )
        [outcome] = await talks.pusher.push([push])
        if isinstance(outcome, PushError):
            log.warning("not broadcast", event_name=effect.name, error=str(outcome))

    async def _join(self, joins: Sequence[Join]) -> bool:
        """Follow these keys, when their owners know of it. Who is gone meanwhile follows none: False."""
        new = {join.key: join for join in joins if join.key not in self._followers}
        entrance = self.talk.talks.entrance
        channels = entrance.open(new)
        try:
            await entrance.make_ready(channels)
            if self._stage is not Stage.OPEN:
                return False
            while channels:
                channel = channels.pop()
                self._follow(new[channel.key], channel)
            return True
        finally:
            entrance.abandon(channels)

    def _follow(self, join: Join, channel: Channel) -> None:
        talks = self.talk.talks
        follower = Follower(self, channel, join.ticket)
        self._followers[channel.key] = follower  # equal to join.key, and shared by all who follow
        if join.after is not None:
            follower.begin_replay()
        talks.hub.join(channel, follower)
        if join.after is not None:
            talks.spawn(talks.reading.replay, follower, join.after)

    def _leave(self, key: Key) -> None:
        follower = self._followers.pop(key, None)
        if follower is not None:
            self.talk.talks.hub.leave(follower.channel, follower)

    def _tell_end(self) -> None:
        """The rules hear that it is gone, behind what is under way."""
        self.talk.talks.note_gone(self)
        log.info("client gone", client=self.sid, namespace=self.namespace, reason=self._reason)
        if self._jobs is None:
            result = self._rules.gone(self, self._reason)
            if result:
                self._enqueue(partial(self._finish, result, None))
        else:
            self._jobs.append(self._tell_end_behind)

    async def _tell_end_behind(self) -> None:
        result = self._rules.gone(self, self._reason)
        await self._finish(result, None)

    def _send(self, kind: PacketType, data: Any, ack_id: AckId = None) -> None:
        self.talk.send(Packet(kind, self.namespace, data, ack_id))
