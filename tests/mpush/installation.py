"""Installations of Mpush as real processes.

    with one_node(folder) as place: ...        all in one, SQLite; words end with a line feed
    with three_comets(folder) as place: ...    three comets, two web nodes; PostgreSQL, Redis, ZooKeeper; bare words

What one of them needs and is not installed here skips its tests. All of this blocks.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from appmodel.core.cluster import ClusterView, Node, Role
from appmodel.core.mpush import device_key
from tests.cluster.cluster import Cluster, Outside, running_cluster, zookeeper_settings
from tests.databases import an_empty_database
from tests.message.stores.redis_opening import or_skip
from tests.node import running_node
from tests.shared_zookeeper import new_roots, shared_server
from tools.servers.redis import redis_server

WAIT = 20.0  # seconds that a caller waits for an acknowledgement: a busy machine needs none of them
REGISTERED = "registered"  # a device of the configuration, which never logs in
ALONE = "node1"

SETTINGS = {
    "APPMSG_MPUSH__REGISTERS": f'["{REGISTERED}"]',
    "APPMSG_WEB__MPUSH__WAIT": f"{WAIT:g}s",
    "APPMSG_WEB__MPUSH__REPLY_WAIT": f"{WAIT:g}s",
    "APPMSG_COMET__MPUSH__REPLY_TIMEOUT": f"{WAIT:g}s",
    "APPMSG_COMET__MPUSH__RESEND_AFTER": "60s",  # a busy machine must not make a copy
}


@dataclass(frozen=True)
class Installation:
    """Where it listens."""

    comets: Mapping[str, int]  # name: port for devices
    webs: Sequence[int]  # ports of the HTTP side
    end: bytes = b"\n"  # behind each word
    cluster: Cluster | None = None

    def owner(self, name: str) -> str:
        """The comet that owns a device's key, while all are there."""
        nodes = tuple(Node(Role.COMET, comet) for comet in self.comets)
        owner = ClusterView(1, nodes).owner(device_key(name))
        assert owner is not None
        return owner.name

    def others(self, name: str) -> list[str]:
        """The comets that do not own it; the only one if there is one."""
        owner = self.owner(name)
        return [comet for comet in self.comets if comet != owner] or [owner]


@contextmanager
def one_node(folder: Path) -> Iterator[Installation]:
    """A node of all parts."""
    with running_node(folder, SETTINGS | {"APPMSG_NODE__DRAIN_TIMEOUT": "1s"}) as node:
        comet, web = (urlsplit(node.url(name)).port or 0 for name in ("comet.mpush", "web.mpush"))
        yield Installation({ALONE: comet}, [web])


@contextmanager
def three_comets(folder: Path) -> Iterator[Installation]:
    """A cluster."""
    registry = zookeeper_settings(shared_server().hosts)
    for role, root in asdict(new_roots()).items():
        registry += f'{role}_root = "{root}"\n'
    with ExitStack() as stack:
        stack.enter_context(or_skip())
        redis = stack.enter_context(redis_server(folder / "redis")).address
        url = stack.enter_context(an_empty_database("postgresql"))
        settings = {"APPMSG_DATABASE__URL": url, "APPMSG_WEB__MPUSH__LINE_FEED": "false"}
        outside = Outside(registry, f'store = "redis"\nredis.addresses = ["{redis}"]\n')
        with pytest.MonkeyPatch.context() as environment:
            for name, value in (SETTINGS | settings).items():
                environment.setenv(name, value)
            cluster = stack.enter_context(running_cluster(folder, outside, messages=1))
            comets = {node.name: node.ports["mpush"] for node in cluster.of(Role.COMET)}
            webs = [node.ports["mpush"] for node in cluster.of(Role.WEB)]
            yield Installation(comets, webs, b"", cluster)
