"""The comet node: two doors for clients, one for other nodes, one for operators.

    6968 comet.websocket    GET /sub                         front door, then the live path
    6969 comet.tcp          *3 sub ...                       the live path
    2245 comet.mpush        any path                         front door, then the live path
    21314 comet.socketio    GET POST /socket.io/             front door, polls and the live path
    6970 comet.rpc          Pusher for web and other comets  not in an all-in-one node
    6972 comet.stat         /stat /metrics /healthz /readyz  front door

Starting: joining, until the store answers; then ready, and on the ring. Stopping: draining, listeners
close, clients are moved to other comets, what was accepted is pushed, whoever is left is told, the rest
is cut.
"""

import socket
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import structlog
import trio

from appmodel.core.cluster import Node, Role, State
from appmodel.core.steady_time import SteadyTime
from appmodel.core.units import Duration, Size
from appmodel.errors import PushError
from appmodel.io.http import FrontDoor, HttpLimits
from appmodel.io.listener import bound_to, serve_wires
from appmodel.io.rpc_server import serve_rpc
from appmodel.orm.application_queries import applications_by_digest
from appmodel.runtime.config import open_tls, require_safe
from appmodel.runtime.ops import ops_routes
from appmodel.runtime.service import Address, Context, NodePart
from comet.config import CometConfig, ListenerConfig
from comet.io.comet import Comet
from comet.io.engine_pages import not_here, page_routes
from comet.io.logins import keep_logins
from comet.io.mpush import Mpush
from comet.io.proving import Application, Proving
from comet.io.sessions import Sessions
from comet.io.stat_http import Stat
from comet.lightpush import opened_lightpush
from comet.mpush import opened_mpush, serve_mpush
from comet.workers import crew

log = structlog.get_logger("comet")

GOODBYE = 1.5  # seconds of the time to stop that are kept for last words
REGISTRY = 2.0  # seconds in which the registry should hear that we go
MAX_HEAD = Size(16 * 1024)  # of a request of Socket.IO, as in Node: a session keeps parts of it
CLOCK_STEP = 60.0  # seconds; a step of the system's clock from there on is an alarm
HANDSHAKE_GRACE = 1.0  # seconds for who is in the middle of a handshake when the node stops


async def serve(
    context: Context, stop: trio.Event, *, task_status: trio.TaskStatus[list[Address]]
) -> None:
    """The life of a comet: see `NodePart`.

    Raises:
        ConfigError: an address is taken, or a listener would be open to strangers without auth.
    """
    config = context.settings.section(CometConfig)
    steady = SteadyTime(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))

    def now() -> float:
        return steady.at(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))

    comet = Comet(
        node=_identity(context, config),
        config=config,
        store=context.peers.store(),
        ledger=context.peers.ledger(),
        registry=context.registry,
        others=context.peers,
        proving=_proving(context, config, now) if context.settings.auth.mode == "on" else None,
        now=now,
    )
    comet.on_drained = lambda: context.leave("an operator has drained this node")
    sessions = _keep_sessions(context, comet)
    doors = _Doors(context, config, comet, stop)
    async with (
        opened_lightpush(context, comet, lambda: doors.socketio_port, now) as lightpush,
        opened_mpush(context, comet, now) as mpush,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(comet.run)
        nursery.start_soon(sessions.run)
        if context.settings.auth.mode == "on":
            nursery.start_soon(keep_logins, comet.live.hub, context.tokens)
        async with trio.open_nursery() as calls:
            async with trio.open_nursery() as listening:
                doors.open(listening, calls, mpush)
                context.peers.provide_pusher(comet.node, comet.pusher)
                context.peers.provide_host(comet.node, comet.socketio.obeying)
                context.peers.provide_waits(comet.node, comet.waits)
                _observe(context, comet, steady)
                await _join(context, comet)
                task_status.started(doors.addresses)
                await stop.wait()
                deadline = trio.current_time() + context.settings.node.drain_timeout
                await _leave_ring(context, comet)
            await comet.hand_over(deadline - GOODBYE)
            await _withdraw(context, comet)
            doors.no_more_calls.set()
        with trio.move_on_at(deadline):
            await comet.drain()
            await sessions.leave()
            await lightpush.leave()
            if mpush is not None:
                await mpush.leave()
        nursery.cancel_scope.cancel()


def _identity(context: Context, config: CometConfig) -> Node:
    return Node(
        Role.COMET,
        context.settings.node.name,
        incarnation=time.time_ns(),
        weight=config.weight,
        state=State.JOINING,
        capacity=config.limits.connections,
    )


def _proving(context: Context, config: CometConfig, now: Callable[[], float]) -> Proving:
    async def applications(digests: Sequence[str]) -> dict[str, Application]:
        ask = partial(applications_by_digest, digests=digests)
        found = await context.database.read(ask)
        return {digest: Application(row.id, row.enabled) for digest, row in found.items()}

    proving = Proving(
        context.credentials,
        tokens=context.tokens,
        applications=applications,
        patience=config.live.proof_timeout,
        now=now,
    )
    context.metrics.counter(
        "comet_proofs_unasked", "Tokens believed by their signature.", lambda: proving.unasked
    )
    return proving


def _keep_sessions(context: Context, comet: Comet) -> Sessions:
    """A database that others share too is there for sessions; a file of this comet alone may not be."""
    url = context.settings.database.url
    sessions = Sessions(
        me=lambda: comet.node,
        hub=comet.live.hub,
        registry=context.registry,
        database=context.database,
        config=comet.config.sessions,
        are_expected="web" in context.parts or not url.startswith("sqlite"),
    )
    metrics, gone = context.metrics, sessions.leftovers
    metrics.gauge("comet_sessions", "Sessions with a connection.", lambda: sessions.here)
    metrics.gauge("comet_sessions_pending", "Of them not written yet.", lambda: sessions.pending)
    metrics.counter("comet_sessions_written", "Came or went.", lambda: sessions.written)
    metrics.counter("comet_sessions_failures", "Batches not written.", lambda: sessions.failures)
    metrics.counter("comet_sessions_repaired", "Not written as here.", lambda: sessions.repaired)
    metrics.counter("comet_sessions_released", "Of comets that are gone.", lambda: gone.released)
    return sessions


async def _join(context: Context, comet: Comet) -> None:
    """Take keys once the store answers; without it too, after a while: what is not stored can go on."""
    await context.registry.register(comet.node)
    with trio.move_on_after(comet.config.cluster.join_timeout):
        await comet.reading.wait_store()
    comet.node = msgspec.structs.replace(comet.node, state=State.READY)
    await context.registry.register(comet.node)


async def _leave_ring(context: Context, comet: Comet) -> None:
    """Others own our keys. A registry that is away does not keep us.

    Who is in the middle of a handshake still comes in, and is moved then like everybody: while workers
    are rolled, nobody is refused.
    """
    comet.node = msgspec.structs.replace(comet.node, state=State.DRAINING)
    with trio.move_on_after(REGISTRY):
        try:
            await context.registry.register(comet.node)
            await comet.membership.left_ring()
        except PushError as error:
            log.warning("cannot tell the registry that this node drains", error=str(error))


async def _withdraw(context: Context, comet: Comet) -> None:
    with trio.move_on_after(REGISTRY):
        try:
            await context.registry.withdraw(comet.node)
        except PushError as error:
            log.warning("cannot withdraw from the registry", error=str(error))


NODE = NodePart("comet", serve, crew)


class _Doors:
    """The listeners of one comet, and how the registry announces them."""

    def __init__(
        self, context: Context, config: CometConfig, comet: Comet, stop: trio.Event
    ) -> None:
        self._context, self._config, self._comet, self._stop = context, config, comet, stop
        self.addresses: list[Address] = []
        self.socketio_port = config.socketio.port  # that clients are told
        self.no_more_calls = trio.Event()

    def open(self, nursery: trio.Nursery, calls: trio.Nursery, mpush: Mpush | None) -> None:
        """Start every listener that is enabled; that of other nodes in `calls`: it is needed longer."""
        config = self._config
        announced: dict[str, object] = {}
        if config.websocket.enabled:
            announced["ws"] = (self._open_websocket(nursery),)
        if config.tcp.enabled:
            announced["tcp"] = (self._open_tcp(nursery),)
        if config.socketio.enabled:
            self._open_socketio(nursery)
        if mpush is not None:
            self._open_mpush(nursery, mpush)
        if "web" not in self._context.parts or self._context.settings.registry.kind != "embedded":
            announced["rpc"] = self._open_rpc(calls)
        self._open_stat(nursery)
        self._comet.node = msgspec.structs.replace(self._comet.node, **announced)

    def _open_websocket(self, nursery: trio.Nursery) -> str:
        config = self._config.websocket
        sockets = self._open_sockets("comet.websocket", config)
        limits = HttpLimits(
            max_connections=self._config.limits.handshakes_at_once,
            head_timeout=config.handshake_timeout,
            drain_timeout=Duration(HANDSHAKE_GRACE),
        )
        door = FrontDoor([self._comet.websocket.route], limits=limits, refuses=False)
        tls = open_tls("comet.websocket.tls", config.tls)
        nursery.start_soon(partial(door.serve, sockets, stop=self._stop, tls=tls))
        self._context.metrics.counter(
            "comet_websocket_refused",
            "Handshakes that ended early, by reason.",
            lambda: door.refused,
            labels=("reason",),
        )
        bound = config.advertise or str(bound_to(sockets))
        self._announce("comet.websocket", f"{'wss' if tls else 'ws'}://{bound}/sub")
        return bound

    def _open_tcp(self, nursery: trio.Nursery) -> str:
        config = self._config.tcp
        sockets = self._open_sockets("comet.tcp", config)
        tls = open_tls("comet.tcp.tls", config.tls)
        nursery.start_soon(
            partial(
                serve_wires,
                sockets,
                self._comet.tcp.handle,
                stop=self._stop,
                tls=tls,
                max_connections=self._config.limits.handshakes_at_once,
                grace=HANDSHAKE_GRACE,
                refusal=None,  # thousands that come back at once wait in the backlog
                on_trouble=self._count_trouble,
            )
        )
        bound = config.advertise or str(bound_to(sockets))
        self._announce("comet.tcp", f"{'tls' if tls else 'tcp'}://{bound}")
        return bound

    def _open_socketio(self, nursery: trio.Nursery) -> None:
        config, door = self._config.socketio, self._comet.socketio.door
        sockets = self._open_sockets("comet.socketio", config)
        self.socketio_port = sockets[0].getsockname()[1]
        limits = HttpLimits(
            max_connections=config.http_connections,
            max_head=MAX_HEAD,
            head_timeout=config.handshake_timeout,
            body_timeout=config.body_timeout,
            idle_timeout=config.idle_timeout,
            drain_timeout=Duration(HANDSHAKE_GRACE),
        )
        front = FrontDoor(
            [*door.routes, *page_routes(config.path)],
            limits=limits,
            render_error=door.render,
            otherwise=not_here,
            refuses=False,
        )
        tls = open_tls("comet.socketio.tls", config.tls)
        nursery.start_soon(partial(front.serve, sockets, stop=self._stop, tls=tls))
        self._context.metrics.counter(
            "comet_socketio_refused",
            "Connections that ended early, by reason.",
            lambda: front.refused,
            labels=("reason",),
        )
        bound = config.advertise or str(bound_to(sockets))
        self._announce("comet.socketio", f"{'https' if tls else 'http'}://{bound}{config.path}")

    def _open_mpush(self, nursery: trio.Nursery, mpush: Mpush) -> None:
        config = self._config.mpush
        sockets = self._open_sockets("comet.mpush", config)
        nursery.start_soon(serve_mpush, self._context, mpush, sockets, self._stop)
        bound = config.advertise or str(bound_to(sockets))
        self._announce("comet.mpush", f"{'wss' if config.tls.certificate else 'ws'}://{bound}/")

    def _open_rpc(self, nursery: trio.Nursery) -> str:
        config = self._config.rpc
        sockets = self._context.sockets.open("comet.rpc", config.host, config.port)
        nursery.start_soon(
            partial(
                serve_rpc,
                sockets,
                self._comet.handlers,
                secret=self._context.rpc_secret,
                stop=self.no_more_calls,
                limits=self._context.rpc_limits,
                counts=self._context.rpc_counts,
                tunnels=self._comet.socketio.tunnels,
            )
        )
        nursery.start_soon(self._comet.socketio.relay_entrance.run, self.no_more_calls)
        bound = config.advertise or str(bound_to(sockets))
        self._announce("comet.rpc", f"rpc://{bound}")
        return bound

    def _open_stat(self, nursery: trio.Nursery) -> None:
        config = self._config.stat
        require_safe("comet.stat", config.host, self._context.settings.auth)
        sockets = self._context.sockets.open("comet.stat", config.host, config.port)
        stat = Stat(self._comet.live, self._config, trio.current_time())
        door = FrontDoor([stat.route, *ops_routes(self._context)])
        nursery.start_soon(partial(door.serve, sockets, stop=self._stop))
        self._announce("comet.stat", f"http://{bound_to(sockets)}/stat?type=connection")

    def _open_sockets(self, path: str, config: ListenerConfig) -> list[socket.socket]:
        require_safe(path, config.host, self._context.settings.auth)
        return self._context.sockets.open(path, config.host, config.port)

    def _announce(self, name: str, url: str) -> None:
        self.addresses.append(Address(name, url))

    def _count_trouble(self, reason: str, _error: BaseException | None) -> None:
        self._comet.live.gate.refused[reason] += 1


def _observe(context: Context, comet: Comet, steady: SteadyTime) -> None:
    """Let operators see the live path, and how this comet lives with others."""
    _observe_cluster(context, comet)
    _observe_engine(context, comet)
    context.health.add("comet.clock", lambda: _clock_trouble(steady) or comet.attachments.trouble)
    live, metrics, reading = comet.live, context.metrics, comet.reading
    counts, hub, gate = live.counts, live.hub, live.gate
    metrics.gauge("comet_subscribers", "Live connections.", lambda: hub.subscribers)
    metrics.gauge("comet_channels", "Keys with a live connection.", lambda: len(hub))
    metrics.counter("comet_subscribed", "Subscriptions accepted.", lambda: counts.subscribed)
    metrics.counter(
        "comet_unsubscribed",
        "Subscriptions that ended, by why.",
        lambda: counts.ended,
        labels=("why",),
    )
    metrics.counter(
        "comet_refused",
        "Subscriptions refused, by reason.",
        lambda: gate.refused,
        labels=("reason",),
    )
    metrics.counter("comet_pushes", "Pushes taken as their owner.", lambda: counts.pushes)
    metrics.counter("comet_push_failures", "Not stored.", lambda: counts.pushes_failed)
    metrics.counter("comet_writes", "Writes that clients took.", lambda: counts.frames_taken)
    metrics.counter("comet_deliveries", "Messages to clients.", lambda: counts.deliveries)
    metrics.counter("comet_failures", "Messages refused: slow.", lambda: counts.failures)
    metrics.counter("comet_heartbeats", "Heartbeats answered.", lambda: counts.heartbeats)
    metrics.counter("comet_acks", "Acknowledgements heard.", lambda: counts.acknowledgements)
    metrics.counter("comet_replayed", "Messages sent from the store.", lambda: counts.replayed)
    metrics.counter("comet_holes", "Gaps seen and fetched.", lambda: counts.holes)
    metrics.counter("comet_bugs", "Bugs of ours, contained.", lambda: live.poller.bugs)
    context.health.add("comet.store", lambda: "the store is away" if reading.store_failed else None)


def _observe_engine(context: Context, comet: Comet) -> None:
    metrics, engine = context.metrics, comet.socketio.engine
    metrics.gauge("comet_transports", "Engine.IO sessions.", lambda: len(engine.sessions))
    metrics.gauge("comet_polls", "Polls that wait for something.", lambda: engine.polls)
    metrics.counter(
        "comet_transports_opened",
        "Engine.IO sessions, by how they began.",
        lambda: engine.opened,
        labels=("way",),
    )
    metrics.counter(
        "comet_transports_ended",
        "Engine.IO sessions that ended, by why.",
        lambda: engine.ended,
        labels=("why",),
    )
    metrics.counter("comet_upgrades", "From polling to WebSocket.", lambda: engine.upgraded)
    metrics.counter("comet_packets", "Packets of Engine.IO clients.", lambda: engine.packets)
    relay, claims = comet.socketio.relay, comet.claims
    metrics.gauge("comet_spliced", "WebSockets of other comets.", lambda: relay.spliced)
    metrics.counter("comet_relayed", "Requests for other comets.", lambda: relay.relayed)
    metrics.counter("comet_relay_failures", "Of them not answered.", lambda: relay.failed)
    metrics.gauge("comet_claims", "Client ids with a connection.", lambda: len(claims))
    metrics.counter("comet_claims_refused", "Ids that were taken.", lambda: claims.refused)
    metrics.counter("comet_claims_ousted", "Dead or younger ones.", lambda: claims.ousted)
    metrics.counter("comet_claims_unasked", "No owner answered.", lambda: claims.unasked)


def _observe_cluster(context: Context, comet: Comet) -> None:
    metrics, counts, holders = context.metrics, comet.live.counts, comet.forwarding.holders
    metrics.gauge("comet_attached", "Keys here, owned elsewhere.", lambda: len(comet.attachments))
    metrics.gauge("comet_forwarded_keys", "Keys owned here, held elsewhere.", lambda: len(holders))
    metrics.counter("comet_forwards", "Messages to other comets, by key.", lambda: counts.forwards)
    metrics.counter(
        "comet_forwards_heard", "Messages from owners, by key.", lambda: counts.forwards_heard
    )
    metrics.counter(
        "comet_forwards_dropped", "Messages a holder never got.", lambda: holders.dropped
    )
    metrics.counter("comet_passed_on", "Pushes that others owned.", lambda: counts.passed_on)
    metrics.counter("comet_moved", "Clients sent to another comet.", lambda: counts.moved)


def _clock_trouble(steady: SteadyTime) -> str | None:
    if abs(steady.offset) < CLOCK_STEP:
        return None
    return f"the system's clock was set by {steady.offset:+.0f} s; ids follow it slowly"
