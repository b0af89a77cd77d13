"""The registry that the settings ask for, and what becomes known of it: log lines and metrics.

[registry] kind = "embedded"     nothing happens in it that this process does not do itself
[registry] kind = "zookeeper"    one log line per event of any node, in every process

{"event":"node left","role":"comet","node":"c2","cause":"it was draining","rpc":"10.0.0.2:6970",...}
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import structlog
import trio

from appmodel.core.cluster import ClusterView, Node, State
from appmodel.core.interfaces import Registry
from appmodel.core.news import News, news
from appmodel.core.znodes import Roots
from appmodel.errors import ConfigError
from appmodel.io.registry_embedded import EmbeddedRegistry
from appmodel.io.registry_zookeeper import ZooKeeperRegistry, open_zookeeper
from appmodel.io.zookeeper import ZooKeeperOptions
from appmodel.runtime.config import ZooKeeperConfig
from appmodel.runtime.metrics import Metrics
from appmodel.runtime.settings import Settings

log = structlog.get_logger(__name__)

GOODBYE = 2.0  # seconds in which the registry should hear that a node stops


@asynccontextmanager
async def open_registry(settings: Settings) -> AsyncIterator[Registry]:
    """What `[registry]` says. With ZooKeeper it has a first view, and tells the log what happens.

    Raises:
        Unavailable: ZooKeeper did not answer within node.start_timeout.
        ConfigError: a wrong list of nodes, or wrong credentials.
    """
    if settings.registry.kind == "embedded":
        nodes = [node.node() for node in settings.registry.nodes]
        yield EmbeddedRegistry(nodes, ring_kind=settings.registry.ring)
        return
    async with open_shared_registry(settings) as registry, trio.open_nursery() as nursery:
        nursery.start_soon(log_news, registry)
        yield registry
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_shared_registry(settings: Settings) -> AsyncIterator[ZooKeeperRegistry]:
    """The registry that several processes share, without a word in the log about nodes.

    Raises:
        ConfigError: there is none: kind = "embedded". Otherwise as `open_registry`.
    """
    if settings.registry.kind == "embedded":
        expected = (
            'expected "zookeeper" (see --config): an embedded one is known to its process only'
        )
        raise ConfigError("registry.kind", settings.registry.kind, expected)
    async with open_zookeeper(
        zookeeper_options(settings.registry.zookeeper),
        zookeeper_roots(settings.registry.zookeeper),
        ring=settings.registry.ring,
        refresh=settings.registry.zookeeper.refresh,
        start_timeout=settings.node.start_timeout,
    ) as registry:
        yield registry


async def announce_stop(registry: Registry, node: Node) -> None:
    """Let others see that `node` stops: it gets no new calls. A registry that is away does not keep us."""
    with trio.move_on_after(GOODBYE):
        await registry.register(msgspec.structs.replace(node, state=State.DRAINING))


def zookeeper_options(config: ZooKeeperConfig) -> ZooKeeperOptions:
    """How to reach it."""
    return ZooKeeperOptions(
        hosts=config.hosts,
        session_timeout=config.session_timeout,
        connect_timeout=config.connect_timeout,
        call_timeout=config.call_timeout,
        credentials=str(config.credentials),
        sasl=config.sasl,
        creator_only=config.acl == "creator",
    )


def zookeeper_roots(config: ZooKeeperConfig) -> Roots:
    """Where the nodes lie in it."""
    return Roots(config.comet_root, config.message_root, config.web_root)


async def log_news(registry: ZooKeeperRegistry) -> None:
    """One line for each thing that happens to a node, until cancelled."""
    known = ClusterView(0, ())
    while True:
        view = registry.view
        for item in news(known, view, registry.wishes):
            log.info(item.event, **_told(item))
        known = view
        await registry.wait_newer(known.version)


def observe_registry(metrics: Metrics, registry: Registry) -> None:
    """Let operators see who is there, and whether ZooKeeper is."""
    metrics.gauge(
        "registry_nodes",
        "Nodes in the view, by role and state.",
        lambda: _counted(registry.view),
        labels=("role", "state"),
    )
    metrics.gauge("registry_version", "Changes of the view.", lambda: registry.view.version)
    metrics.gauge("registry_trouble", "1: the view may be old.", lambda: bool(registry.trouble))
    if isinstance(registry, ZooKeeperRegistry):
        metrics.counter(
            "registry_nonsense", "Entries that could not be understood.", lambda: registry.nonsense
        )


def _told(item: News) -> dict[str, object]:
    node = item.node
    return {
        "role": node.role.value,
        "node": node.name,
        "cause": item.cause,
        "state": node.state.value,
        "weight": node.weight,
        "rpc": node.rpc,
        "incarnation": node.incarnation,
    }


def _counted(view: ClusterView) -> Mapping[tuple[str, str], int]:
    return Counter((node.role.value, node.state.value) for node in view.nodes)
