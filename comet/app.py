"""The comet node: two doors for clients, one for other nodes, one for operators.

    6968 comet.websocket    GET /sub                         front door, then the live path
    6969 comet.tcp          *3 sub ...                       the live path
    6970 comet.rpc          Pusher for web and other comets  not in an all-in-one node
    6972 comet.stat         /stat /metrics /healthz /readyz  front door

Stopping: listeners close, what was accepted is pushed, every client is told, the rest is cut.
"""

import socket
import time
from functools import partial

import msgspec
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.units import Duration
from appmodel.io.calls import pusher_handlers
from appmodel.io.http import FrontDoor, HttpLimits
from appmodel.io.listener import bound_to, open_sockets, serve_wires
from appmodel.io.rpc_server import serve_rpc
from appmodel.runtime.config import open_tls, require_safe
from appmodel.runtime.ops import ops_routes
from appmodel.runtime.service import Address, Context, NodePart
from comet.config import CometConfig, ListenerConfig
from comet.io.comet import Comet
from comet.io.stat_http import Stat

HANDSHAKE_GRACE = 1.0  # seconds for who is in the middle of a handshake when the node stops


async def serve(
    context: Context, stop: trio.Event, *, task_status: trio.TaskStatus[list[Address]]
) -> None:
    """The life of a comet: see `NodePart`.

    Raises:
        ConfigError: an address is taken, or a listener would be open to strangers without auth.
    """
    config = context.settings.section(CometConfig)
    comet = Comet(
        name=context.settings.node.name,
        config=config,
        store=context.peers.store(),
        ledger=context.peers.ledger(),
        view=lambda: context.registry.view,
        credentials=context.credentials if context.settings.auth.mode == "on" else None,
    )
    doors = _Doors(context, config, comet, stop)
    async with trio.open_nursery() as nursery:
        await nursery.start(comet.run)
        async with trio.open_nursery() as listening:
            doors.open(listening)
            context.peers.provide_pusher(doors.node, comet.pusher)
            _observe(context, comet)
            await context.registry.register(doors.node)
            task_status.started(doors.addresses)
            await stop.wait()
            deadline = trio.current_time() + context.settings.node.drain_timeout
            comet.reception.draining = True
            await context.registry.withdraw(doors.node)
        with trio.move_on_at(deadline):
            await comet.drain()
        nursery.cancel_scope.cancel()


NODE = NodePart("comet", CometConfig, serve)


class _Doors:
    """The listeners of one comet, and how the registry announces them."""

    def __init__(
        self, context: Context, config: CometConfig, comet: Comet, stop: trio.Event
    ) -> None:
        self._context, self._config, self._comet, self._stop = context, config, comet, stop
        self.addresses: list[Address] = []
        self.node = Node(
            Role.COMET,
            context.settings.node.name,
            incarnation=time.time_ns(),
            weight=config.weight,
        )

    def open(self, nursery: trio.Nursery) -> None:
        """Start every listener that is enabled."""
        config = self._config
        announced: dict[str, object] = {}
        if config.websocket.enabled:
            announced["ws"] = (self._open_websocket(nursery),)
        if config.tcp.enabled:
            announced["tcp"] = (self._open_tcp(nursery),)
        if "web" not in self._context.parts:
            announced["rpc"] = self._open_rpc(nursery)
        self._open_stat(nursery)
        self.node = msgspec.structs.replace(self.node, **announced)

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

    def _open_rpc(self, nursery: trio.Nursery) -> str:
        config = self._config.rpc
        sockets = open_sockets(config.host, config.port)
        nursery.start_soon(
            partial(
                serve_rpc,
                sockets,
                pusher_handlers(self._comet.pusher),
                secret=self._context.rpc_secret,
                stop=self._stop,
                limits=self._context.rpc_limits,
            )
        )
        bound = config.advertise or str(bound_to(sockets))
        self._announce("comet.rpc", f"rpc://{bound}")
        return bound

    def _open_stat(self, nursery: trio.Nursery) -> None:
        config = self._config.stat
        require_safe("comet.stat", config.host, self._context.settings.auth)
        sockets = open_sockets(config.host, config.port)
        stat = Stat(self._comet.live, self._config, trio.current_time())
        door = FrontDoor([stat.route, *ops_routes(self._context)])
        nursery.start_soon(partial(door.serve, sockets, stop=self._stop))
        self._announce("comet.stat", f"http://{bound_to(sockets)}/stat?type=connection")

    def _open_sockets(self, path: str, config: ListenerConfig) -> list[socket.socket]:
        require_safe(path, config.host, self._context.settings.auth)
        return open_sockets(config.host, config.port)

    def _announce(self, name: str, url: str) -> None:
        self.addresses.append(Address(name, url))

    def _count_trouble(self, reason: str, _error: BaseException | None) -> None:
        self._comet.live.gate.refused[reason] += 1


def _observe(context: Context, comet: Comet) -> None:
    """Let operators see the live path."""
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
