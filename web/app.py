"""The web node: its listeners over one set of services.

    8090   web.public      External                        front door
    8091   web.admin       Internal                        front door
    8093   web.app         the application layer           front door
    8094   web.api         PushApi, lookups, pages, ops    front door
                           V2 and its parts                Quart on Hypercorn, behind the front door
    10002  web.lightpush   light-push                      front door
    2246   web.mpush       Mpush                           front door

Web keeps nothing: any number of these nodes serve the same cluster.
"""

import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import msgspec
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.credentials import MAX_TTL
from appmodel.core.origins import Origins
from appmodel.core.steady_time import SteadyTime
from appmodel.errors import PushError
from appmodel.io.http import FrontDoor, HttpLimits
from appmodel.io.http_connection import Fallback
from appmodel.io.listener import bound_to, open_sockets
from appmodel.io.revoking import poll_revocations
from appmodel.protocol.http import Handler, RenderError, Request, Response, Route
from appmodel.runtime.config import open_tls, require_safe
from appmodel.runtime.ops import ops_routes
from appmodel.runtime.registries import announce_stop
from appmodel.runtime.service import Address, Context, NodePart
from web.api.external import External
from web.api.internal import Internal, Limits
from web.api.mpush_page import worker_route
from web.api.pages import page_routes
from web.api.push import PushApi
from web.api.v2_frame import V2
from web.api.v2_messages import HOT, HOT_STRUCTS, MessagesPart
from web.breadth import Breadth
from web.config import ListenerConfig, WebConfig
from web.core.access import Access
from web.core.problems import render_problem
from web.layer import ApplicationLayer
from web.layer_lightpush import open_lightpush
from web.layer_mpush import open_mpush
from web.services.addressing import Addressing
from web.services.ordering import Ordering
from web.services.pushing import Pushing
from web.services.reading import Reading
from web.services.tickets import TicketRules, Tickets
from web.services.watching import StoreWatch


class Services:
    """What all listeners of one process share."""

    def __init__(self, context: Context) -> None:
        self.config = config = context.settings.section(WebConfig)
        auth, peers, registry = context.settings.auth, context.peers, context.registry
        self.home = auth.mode == "off"
        self.access = Access(None if self.home else context.credentials, context.revocations)
        steady = SteadyTime(time.time(), _since_boot())
        self.pushing = Pushing(
            registry,
            peers,
            peers.store,
            timeout=config.push_timeout,
            fallback_after=config.push.fallback_after,
            now=lambda: steady.at(time.time(), _since_boot()),
        )
        self.ordering = Ordering(self.pushing, peers.ledger)
        self.reading = Reading(
            registry, peers, peers.store, timeout=config.read_timeout, page=config.page
        )
        rules = TicketRules(
            ttl=auth.ticket_ttl,
            max_ttl=auth.max_ticket_ttl,
            user_ttl=min(context.settings.tokens.max_age, auth.max_ticket_ttl),
            kept=MAX_TTL,
            timeout=config.read_timeout,
        )
        self.tickets = Tickets(context.credentials, context.revocations, peers.ledger, rules)
        self.layer = ApplicationLayer(
            context, self.access, self.pushing, self.reading, self.tickets
        )
        self.watch = StoreWatch(peers.store, timeout=config.read_timeout)

    def origins(self, listener: ListenerConfig) -> Origins:
        """Which web pages may call a listener."""
        return Origins(listener.origins, self.config.hosts, home=self.home)

    def limits(self, listener: ListenerConfig) -> Limits:
        """What one request of a listener may ask for."""
        config = self.config
        return Limits(
            message=config.max_message, body=listener.http.max_body, names=config.max_names
        )


@dataclass(frozen=True)
class Listener:
    """A front door, and the sockets that it will serve."""

    name: str
    door: FrontDoor
    sockets: Sequence[socket.socket]
    tls: ssl.SSLContext | None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"{'https' if self.tls else 'http'}://{bound_to(self.sockets)}"


async def serve(
    context: Context, stop: trio.Event, *, task_status: trio.TaskStatus[list[Address]]
) -> None:
    """The life of the web part: see `NodePart`."""
    services = Services(context)
    config = services.config
    hot = _hot_routes(context, services)
    limits = _http_limits(context, config.api)
    breadth = Breadth(_v2(services).app, routes=hot.routes, render_error=hot.refuse, limits=limits)
    me = Node(Role.WEB, context.settings.node.name, incarnation=time.time_ns())
    layer = services.layer
    async with (
        open_lightpush(context, services.pushing, layer.changes) as lightpush,
        open_mpush(context, services.pushing, services.reading, layer.changes, stop) as mpush,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(poll_revocations, context.peers.ledger(), context.revocations)
        await nursery.start(services.watch.run)
        await nursery.start(layer.run)
        front = hot if mpush is None else replace(hot, routes=[*hot.routes, worker_route(mpush)])
        with ExitStack() as opened:  # if the last one cannot open, none stays open
            listeners = [
                _open(opened, context, "public", config.public, _public(services)),
                _open(opened, context, "admin", config.admin, _admin(services)),
                _open(opened, context, "app", config.app, _app(services)),
                _open(opened, context, "api", config.api, front, fallback=breadth.take),
            ]
            if lightpush is not None:
                offer = Offer((), lightpush.refuse, lightpush.serve, asks=True)
                listeners.append(_open(opened, context, "lightpush", config.lightpush, offer))
            if mpush is not None:
                offer = Offer((), mpush.refuse, mpush.serve, asks=True)
                listeners.append(_open(opened, context, "mpush", config.mpush, offer))
            _observe(context, services, listeners)
            await context.registry.register(me)
            async with trio.open_nursery() as doors:
                await doors.start(partial(breadth.serve, stop=stop))
                for listener in listeners:
                    run = partial(listener.door.serve, stop=stop, tls=listener.tls)
                    doors.start_soon(run, listener.sockets)
                task_status.started([Address(f"web.{each.name}", each.url) for each in listeners])
                await stop.wait()
                await announce_stop(context.registry, me)
        await context.registry.withdraw(me)
        nursery.cancel_scope.cancel()


@dataclass(frozen=True)
class Offer:
    """What a listener answers, and how it says no."""

    routes: Sequence[Route]
    refuse: RenderError
    otherwise: Handler | None = None  # for what has no route
    asks: bool = False  # for credentials of its own, whatever auth.mode is


def _public(services: Services) -> Offer:
    origins = services.origins(services.config.public)
    external = External(services.layer.callers, origins, services.reading)
    return Offer(external.routes(), external.render_error)


def _admin(services: Services) -> Offer:
    config = services.config.admin
    origins, limits = services.origins(config), services.limits(config)
    internal = Internal(services.access, origins, services.pushing, services.reading, limits)
    return Offer(internal.routes(), internal.render_error)


def _app(services: Services) -> Offer:
    config = services.config.app
    routes, refuse = services.layer.offer(services.origins(config), services.limits(config))
    return Offer(routes, refuse)


def _hot_routes(context: Context, services: Services) -> Offer:
    """What the front door of 8094 answers itself."""
    config = services.config
    origins, limits = services.origins(config.api), services.limits(config.api)
    lookups = External(services.layer.callers, origins, services.reading)
    pushes = PushApi(
        services.layer.callers,
        Addressing(services.layer.directory, services.layer.quotas, limit=limits.names),
        origins,
        services.ordering,
        limits,
        batch=config.stream_batch,
    )

    def refuse(error: PushError, request: Request) -> Response:
        if request.path.endswith("/server/get"):
            return lookups.render_error(error, request)
        response = render_problem(error)
        response.headers += origins.cors(request.headers)
        return response

    uploads = services.layer.files.part.routes(origins)
    routes = [*pushes.routes(), *uploads, *lookups.lookup_routes(), *page_routes()]
    return Offer([*routes, *ops_routes(context)], refuse)


def _v2(services: Services) -> V2:
    """What Quart answers on 8094."""
    config, limits = services.config, services.limits(services.config.api)
    messages = MessagesPart(
        services.access,
        services.layer.callers,
        services.reading,
        services.tickets,
        limits,
        page=config.page,
    )
    return V2(
        [messages, *services.layer.parts(limits)],
        services.origins(config.api),
        max_body=limits.body,
        elsewhere=[*HOT, *services.layer.files.part.elsewhere],
        structs=HOT_STRUCTS,
    )


def _open(
    opened: ExitStack,
    context: Context,
    name: str,
    config: ListenerConfig,
    offer: Offer,
    *,
    fallback: Fallback | None = None,
) -> Listener:
    if not offer.asks:
        require_safe(f"web.{name}", config.host, context.settings.auth)
    tls = open_tls(f"web.{name}.tls", config.tls)
    door = FrontDoor(
        offer.routes,
        limits=_http_limits(context, config),
        render_error=offer.refuse,
        otherwise=offer.otherwise,
        fallback=fallback,
    )
    sockets = open_sockets(config.host, config.port)
    for each in sockets:
        opened.callback(each.close)
    return Listener(name, door, sockets, tls)


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _http_limits(context: Context, config: ListenerConfig) -> HttpLimits:
    drain = min(config.http.drain_timeout, context.settings.node.drain_timeout)
    return msgspec.structs.replace(config.http, drain_timeout=drain)


def _observe(context: Context, services: Services, listeners: Sequence[Listener]) -> None:
    counts = services.pushing.counts
    metrics, registry = context.metrics, context.registry
    metrics.counter("web_pushes", "Pushes accepted from callers.", lambda: counts.pushes)
    metrics.counter("web_push_keys", "Keys that they went to.", lambda: counts.keys)
    metrics.counter("web_push_failed_keys", "Keys that did not get theirs.", lambda: counts.failed)
    metrics.counter("web_push_retries", "Calls of comets repeated.", lambda: counts.retries)
    metrics.counter(
        "web_push_fallbacks", "Keys whose owner was away: saved here.", lambda: counts.fallbacks
    )
    metrics.counter(
        "web_http_answers",
        "Answers of the front doors, by listener and class of status.",
        lambda: _by_listener(listeners, lambda door: door.answered),
        labels=("listener", "class"),
    )
    metrics.counter(
        "web_http_refused",
        "Connections that the front doors ended early, by listener and reason.",
        lambda: _by_listener(listeners, lambda door: door.refused),
        labels=("listener", "reason"),
    )
    metrics.gauge(
        "web_http_connections",
        "Open connections, by listener.",
        lambda: {each.name: each.door.open_connections for each in listeners},
        labels=("listener",),
    )
    context.health.add("web.store", lambda: services.watch.trouble)
    context.health.add(
        "web.comets", lambda: None if registry.view.comets else "no comet is registered"
    )


def _by_listener(
    listeners: Sequence[Listener], counts: Callable[[FrontDoor], Mapping[str, int]]
) -> dict[tuple[str, ...], float]:
    return {(each.name, value): n for each in listeners for value, n in counts(each.door).items()}


NODE = NodePart("web", serve)
