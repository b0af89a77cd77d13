"""One comet, wired together: the live path, the pusher, the reception, and their loops.

The composition root (comet/app.py) adds listeners; tests start one of these on their own sockets.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import msgspec
import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.cluster import Node, Status
from appmodel.core.interfaces import Ledger, OfflineStore, Pusher, Registry
from appmodel.core.origins import Origins
from appmodel.core.revocations import Revocations
from appmodel.io.calls import STATUS, Caller, pusher_handlers
from appmodel.io.contain import contain_bugs
from appmodel.io.realm_orders import host_handlers
from appmodel.io.revoking import poll_revocations
from appmodel.io.rpc_server import Handlers
from appmodel.io.wire import Wire
from comet.config import CometConfig
from comet.core.admission import Gate, Limits
from comet.core.channel import MAX_ASIDE, Channel
from comet.core.hub import Hub
from comet.core.standing import Standing
from comet.core.standstill import Standstill
from comet.core.wheel import Wheel
from comet.io.attachments import Attachments
from comet.io.claims import ClusterClaims
from comet.io.delivering import Delivering
from comet.io.doors import TcpDoor, WebSocketDoor
from comet.io.forwarding import Forwarding
from comet.io.live import Live
from comet.io.membership import Membership
from comet.io.moving import Mover
from comet.io.mpush_waits import CometWaits
from comet.io.passing import CometPusher
from comet.io.poller import Poller
from comet.io.proving import Proving
from comet.io.pushing import OwnerPusher
from comet.io.reception import Reception
from comet.io.replay import Reading
from comet.io.revoked import Revoked
from comet.io.socketio import SocketIo
from comet.io.subscriber import Subscriber
from comet.io.sweeper import STEP, Sweeper
from comet.protocol.native import GOING_AWAY, SLOW

log = structlog.get_logger("comet")

TICK = 0.25  # seconds between two looks at the wheel
GOODBYES = 500  # clients hung up on between two pauses when the node stops


class Others(Protocol):
    """How other comets are called: `Peers`."""

    def pusher(self, node: Node) -> Pusher:
        """The comet itself, or what calls it. Raises PushError if it cannot be called."""

    def client(self, node: Node) -> Caller:
        """The connection to it. Raises PushError if there can be none."""

    async def tunnel(self, node: Node, purpose: str) -> Wire:
        """A connection to it that carries something else. Raises PushError if there can be none."""


class Comet:
    """Everything of one comet that is not a listener."""

    def __init__(
        self,
        *,
        node: Node,
        config: CometConfig,
        store: OfflineStore,
        ledger: Ledger,
        registry: Registry,
        others: Others,
        proving: Proving | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`proving`: None = auth is off. `now`: Unix seconds, steady. Needs a running trio loop."""
        self.node = node  # as the registry has it; set anew by whoever announces something else
        self.config, self.store, self._now = config, store, now
        self._ledger = ledger
        self._proving = proving
        self.revocations = Revocations()
        self._nursery: trio.Nursery | None = None
        self._standstill = Standstill(trio.current_time())
        # an operator's drain has come to its end: whoever runs this comet ends it
        self.on_drained: Callable[[], None] = lambda: None
        self._tick = _tick(config)
        self.live = Live(
            config=config.live,
            hub=Hub(),
            poller=Poller(),
            wheel=Wheel(now=trio.current_time(), tick=self._tick),
            gate=Gate(_limits(config)),
            clock=MessageClock(),
        )
        self._sweeper = Sweeper(self.live.hub, self.live.counts)
        self.reading = Reading(
            hub=self.live.hub,
            sweeper=self._sweeper,
            counts=self.live.counts,
            clock=self.live.clock,
            store=store,
            config=config.replay,
            on_hole=self._mend,
            now=now,
        )
        self._join_cluster(registry, others, store)
        self.reception = Reception(
            live=self.live,
            reading=self.reading,
            clock=self.live.clock,
            membership=self.membership,
            attachments=self.attachments,
            refuses_strangers=config.cluster.wrong_node == "refuse",
            proving=proving,
            revocations=self.revocations,
            now=now,
            spawn=self.spawn,
        )
        self.websocket = WebSocketDoor(
            self.reception,
            origins=Origins(config.websocket.origins, config.websocket.hosts, home=proving is None),
            max_message=config.websocket.max_message,
        )
        self.tcp = TcpDoor(self.reception, timeout=config.tcp.first_request_timeout)
        self.socketio = SocketIo(
            config=config,
            live=self.live,
            me=self._me,
            view=lambda: registry.view,
            open_tunnel=others.tunnel,
            membership=self.membership,
            attachments=self.attachments,
            reading=self.reading,
            reception=self.reception,
            pusher=self.pusher,
            spawn=self.spawn,
            home=proving is None,
        )
        # of each part that has connections: what ends them, politely
        self.goodbyes: list[Callable[[], list[Callable[[], None]]]] = [self.socketio.goodbyes]

    def _join_cluster(self, registry: Registry, others: Others, store: OfflineStore) -> None:
        """What this comet does for keys of its own, and with those of others."""
        live, config, now = self.live, self.config, self._now
        delivering = Delivering(live.hub, self._mend)
        self.attachments = Attachments(
            me=self._me,
            hub=live.hub,
            clock=live.clock,
            caller=others.client,
            config=config.cluster,
            now=now,
        )
        self.forwarding = Forwarding(
            hub=live.hub,
            sweeper=self._sweeper,
            delivering=delivering,
            counts=live.counts,
            clock=live.clock,
            caller=others.client,
            config=config.cluster,
            now=now,
        )
        self._owner = OwnerPusher(
            hub=live.hub,
            sweeper=self._sweeper,
            delivering=delivering,
            holders=self.forwarding.holders,
            counts=live.counts,
            clock=live.clock,
            store=store,
            config=config.push,
            now=now,
        )
        self.mover = Mover(
            live=live,
            standing=self._standing,
            config=config.cluster,
            tls=bool(config.websocket.tls.certificate),
        )
        self.membership = Membership(
            me=self._me,
            registry=registry,
            hub=live.hub,
            clock=live.clock,
            attachments=self.attachments,
            forwarding=self.forwarding,
            mover=self.mover,
            owner=self._owner,
            config=config.cluster,
            now=now,
        )
        self.pusher = CometPusher(
            self._owner,
            standing=self.membership.standing,
            others=others.pusher,
            standstill=self._standstill,
            counts=live.counts,
        )
        self.claims = ClusterClaims(
            me=self._me,
            standing=self.membership.standing,
            holders=self.forwarding.holders,
            caller=others.client,
            config=config.cluster,
            now=now,
        )
        self.waits = CometWaits(
            standing=self.membership.standing,
            holders=self.forwarding.holders,
            caller=others.client,
            spawn=self.spawn,
            config=config.mpush,
        )

    @property
    def handlers(self) -> Handlers:
        """What other nodes may ask."""

        async def status(_: None) -> Status:
            await trio.lowlevel.checkpoint()
            return self.status

        table = {**pusher_handlers(self.pusher), **self.forwarding.handlers}
        table |= {**self.claims.handlers, **host_handlers(self.socketio.obeying)}
        return {**table, **self.waits.handlers, **dict([STATUS.answered_by(status)])}

    @property
    def status(self) -> Status:
        """For operators."""
        hub, handover = self.live.hub, self.mover.handover
        return Status(
            connections=len(self.live.poller),
            keys=len(hub),
            attached=len(self.attachments),
            forwarded=len(self.forwarding.holders),
            handover=handover if handover.moved or self.reception.draining else None,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve subscribers and pushes until cancelled; then whoever is left is dropped."""
        try:
            await self._run_loops(task_status)
        finally:
            self._nursery = None
            self.live.poller.close()

    async def _run_loops(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for loop in (
                self.live.poller.run,
                self._sweeper.run,
                self._owner.run,
                self.reading.run,
                self.mover.run,
                self.claims.run,
                self.socketio.relay.run,
                self._turn_wheel,
            ):
                nursery.start_soon(loop)
            await nursery.start(self.attachments.run)
            await nursery.start(self.forwarding.run)
            nursery.start_soon(self.membership.run, self._drain_for_operator)
            if self.config.replay.position_check:
                nursery.start_soon(self.reading.check_positions)
            if self._proving is not None:
                nursery.start_soon(self._proving.run)
                await nursery.start(self._hear_revocations)
            task_status.started()

    async def hand_over(self, deadline: float) -> None:
        """Move everybody to other comets by then, if there are any. `deadline`: on trio's clock.

        Nobody new comes in, and this comet is not on the ring any more.
        """
        self.reception.draining = True
        if any(
            not node.is_same_process(self.node) for node in self._standing().view.comets.values()
        ):
            began = trio.current_time()
            done = await self.mover.drain(deadline)
            seconds = round(trio.current_time() - began, 1)
            log.info("handed over", seconds=seconds, **msgspec.structs.asdict(done))

    async def drain(self) -> None:
        """Tell every client that we go, in bounded steps, and wait until all have gone.

        The listeners are closed already, and no push comes any more. Clients that do not end by
        themselves are dropped after the time for goodbyes.
        """
        self.reception.draining = True
        goodbyes: list[Callable[[], None]] = [
            partial(one.hang_up, GOING_AWAY) for one in self._subscribers()
        ]
        goodbyes += [say for part in self.goodbyes for say in part()]
        for number, say_goodbye in enumerate(goodbyes):
            say_goodbye()
            if number % GOODBYES == GOODBYES - 1:
                await trio.sleep(TICK / 5)
        await self.live.poller.wait_empty()
        while (
            self.socketio.engine.sessions
        ):  # polls that did not come yet: a goodbye waits for them a while
            await trio.sleep(TICK / 5)
            await self.live.poller.wait_empty()

    async def _drain_for_operator(self) -> None:
        """Move everybody, then leave. Cancelled if the operator thinks better of it."""
        log.info("draining", why="an operator wants it", clients=self.live.hub.subscribers)
        try:
            await self.hand_over(trio.current_time() + self.config.cluster.drain_timeout)
        except trio.Cancelled:
            self.reception.draining = False
            log.info("not draining any more")
            raise
        self.on_drained()

    def _me(self) -> Node:
        return self.node

    def _standing(self) -> Standing:
        return self.membership.standing()

    async def _turn_wheel(self) -> None:
        wheel, grace = self.live.wheel, self.live.config.heartbeat_grace
        while True:
            await trio.sleep(self._tick)
            now = trio.current_time()
            if stood := self._standstill.turn(now):
                log.warning("was frozen", seconds=round(stood, 1))
                self.live.patient_until = now + grace  # beats may lie in our sockets
            for _ in wheel.advance(now, step=STEP):
                await trio.lowlevel.checkpoint()

    async def _hear_revocations(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        revoked = Revoked(self.live.hub, self.revocations, self.spawn)
        await poll_revocations(
            self._ledger, self.revocations, on_revocation=revoked.hear, task_status=task_status
        )

    def _mend(self, channel: Channel) -> None:
        """A hole was seen: fetch what it lacks; or too much waits for it already."""
        if channel.aside is not None and len(channel.aside) > MAX_ASIDE:
            self.reading.give_up(channel, SLOW)
        else:
            self.spawn(self.reading.fill, channel)

    def spawn(self, function: Callable[..., Awaitable[None]], /, *arguments: object) -> None:
        """Run a task for as long as the comet lives. A bug in it ends that task alone."""

        async def run() -> None:
            with contain_bugs(function.__name__, self._count_bug):
                await function(*arguments)

        if self._nursery is not None:
            self._nursery.start_soon(run)

    def _count_bug(self, _bug: BaseException) -> None:
        self.live.poller.bugs += 1

    def _subscribers(self) -> list[Subscriber]:
        return [
            subscriber
            for channel in self.live.hub.channels()
            for subscriber in channel.subscribers
            if isinstance(subscriber, Subscriber)
        ]


def _tick(config: CometConfig) -> float:
    """Seconds between two looks at the wheel: less where heartbeats are quick."""
    return min(TICK, config.socketio.ping_interval / 64, config.socketio.ping_timeout / 32)


def _limits(config: CometConfig) -> Limits:
    limits = config.limits
    return Limits(
        connections=limits.connections,
        per_address=limits.per_address,
        per_key=limits.per_key,
        sessions_per_user=limits.sessions_per_user,
        handshakes_per_second=limits.handshakes_per_second,
    )
