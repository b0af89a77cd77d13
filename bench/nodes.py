"""Nodes of a cluster, each a process of its own on one core, and the servers that they stand on.

    with cluster(cores, comets=2) as nodes:
        nodes["c1"].cpu                 seconds; c1 c2 ..., m1 the message node, w1 the web node
        nodes.start(Role.COMET, "c3")   one more

Nodes run on the core of the server under test. ZooKeeper and Redis run on the other one, with the load: they
are not ours. A node is told by environment what differs from the defaults; it writes its log into a folder
that lives as long as the block.
"""

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from appmodel.core.cluster import Role
from appmodel.core.names import parse_key
from appmodel.core.ring import ShaRing
from bench.machine import Cores, cpu_seconds, running_on
from bench.servers import beside_python
from tools.servers.daemon import Daemon
from tools.servers.redis import redis_server
from tools.servers.zookeeper import zookeeper

LISTENERS = {  # the first one has /metrics
    Role.COMET: ("stat", "websocket", "tcp", "socketio", "mpush", "rpc"),
    Role.MESSAGE: ("ops", "rpc"),
    Role.WEB: ("api", "public", "admin", "app", "lightpush", "mpush"),
}
EVERYWHERE = {"APPMSG_LOG__FORMAT": "json", "APPMSG_NODE__HOME": "false"}
NO_FLOODS = {  # these protect from floods, and we are one
    "APPMSG_COMET__LIMITS__PER_KEY": "100000",
    "APPMSG_COMET__LIMITS__PER_ADDRESS": "100000",
    "APPMSG_COMET__LIMITS__HANDSHAKES_PER_SECOND": "1000000",
    "APPMSG_COMET__LIMITS__HANDSHAKES_AT_ONCE": "10000",
}
PATIENCE = 30.0  # seconds until a view must be what it should
_COMETS = re.compile(r'registry_nodes\{role="comet",state="ready"\} (\d+)')


class Node:
    """One process. Its settings are those of `EVERYWHERE` and what it is given."""

    def __init__(
        self,
        role: Role,
        name: str,
        folder: Path,
        settings: Mapping[str, str],
        cores: frozenset[int],
    ) -> None:
        self.role, self.name, self._cores = role, name, cores
        self._log = folder / f"{name}.log"
        self._log.touch()
        self.daemon = Daemon(
            [beside_python("appmsg"), role],
            log=self._log,
            ready=lambda: self.is_ready,
            environment={
                **EVERYWHERE,
                "APPMSG_NODE__NAME": name,
                "APPMSG_MESSAGE__SQLITE__PATH": str(folder / "messages.db"),
                **_any_ports(role),
                **settings,
            },
        )

    @property
    def cpu(self) -> float:
        """CPU seconds used so far."""
        return cpu_seconds(self.daemon.pid)

    def start(self) -> None:
        """Start it on its core, and wait until it is ready."""
        self.spawn()
        self.daemon.wait_ready()

    def spawn(self) -> None:
        """Start it on its core, and do not wait."""
        with running_on(self._cores):
            self.daemon.spawn()

    @property
    def is_ready(self) -> bool:
        """Whether it says so."""
        return self.said("ready") is not None

    def port(self, listener: str) -> int:
        """Where it listens, once it is ready: port("websocket") of a comet."""
        ready = self.said("ready")
        assert ready is not None, f"{self.name} is not ready"
        url: str = ready["addresses"][f"{self.role}.{listener}"]
        port = urlsplit(url).port
        assert port is not None
        return port

    def metrics(self) -> str:
        """Its /metrics; "" if it does not answer."""
        return _get(self.port(LISTENERS[self.role][0]), "/metrics")

    def said(self, event: str) -> dict[str, Any] | None:
        """The last line of its log with that event, if there is one."""
        wanted = f'"event":"{event}"'
        lines = [line for line in self._log.read_text().splitlines() if wanted in line]
        return json.loads(lines[-1]) if lines else None


@dataclass(frozen=True, slots=True)
class Nodes:
    """All that run, by name; the servers beside them by theirs."""

    by_name: dict[str, Node]
    servers: Mapping[str, int]  # process ids
    add: Callable[[Role, str], Node]

    def __getitem__(self, name: str) -> Node:
        return self.by_name[name]

    @property
    def comets(self) -> list[Node]:
        """In the order of their start."""
        return [node for node in self.by_name.values() if node.role is Role.COMET]

    def start(self, role: Role, name: str) -> Node:
        """One more, ready."""
        node = self.add(role, name)
        node.start()
        return node

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each process so far: nodes, then servers."""
        return {
            **{name: node.cpu for name, node in self.by_name.items()},
            **{name: cpu_seconds(pid) for name, pid in self.servers.items()},
        }

    def wait_agreed(self) -> None:
        """Return when web and all comets know all comets.

        Raises:
            RuntimeError: they do not.
        """
        end = time.monotonic() + PATIENCE
        for node in self.by_name.values():
            while node.role is not Role.MESSAGE and _known(node) != len(self.comets):
                if time.monotonic() > end:
                    raise RuntimeError(f"{node.name} knows {_known(node)} comets")
                time.sleep(0.05)


@contextmanager
def cluster(
    cores: Cores,
    *,
    comets: int,
    redis: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Nodes]:
    """Comets c1, c2, ..., a message node m1 (in memory, or on Redis) and a web node w1.

    Raises:
        Missing: ZooKeeper or Redis is not installed.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with running_on(cores.load):
            registry = stack.enter_context(zookeeper(folder / "zookeeper"))
            store, servers = {"APPMSG_MESSAGE__STORE": "memory"}, {}
            if redis:
                server = stack.enter_context(redis_server(folder / "redis", persistent=True))
                store = {
                    "APPMSG_MESSAGE__STORE": "redis",
                    "APPMSG_MESSAGE__REDIS__ADDRESSES": json.dumps([server.address]),
                }
                servers["redis"] = server.daemon.pid
        shared = {
            "APPMSG_REGISTRY__KIND": "zookeeper",
            "APPMSG_REGISTRY__ZOOKEEPER__HOSTS": json.dumps(registry.hosts),
            **NO_FLOODS,
            **store,
            **(settings or {}),
        }
        found: dict[str, Node] = {}

        def add(role: Role, name: str) -> Node:
            node = found[name] = Node(role, name, folder, shared, cores.server)
            stack.callback(node.daemon.stop)
            return node

        nodes = Nodes(found, servers, add)
        nodes.start(Role.MESSAGE, "m1")
        for number in range(comets):
            nodes.start(Role.COMET, f"c{number + 1}")
        nodes.start(Role.WEB, "w1")
        nodes.wait_agreed()
        yield nodes


def names_of(owner: str, comets: int, count: int) -> list[str]:
    """So many names that belong to comet `owner` of c1, c2, ..."""
    ring = ShaRing({f"c{number + 1}": 1 for number in range(comets)})
    names: list[str] = []
    number = 0
    while len(names) < count:
        name = f"u{number}@user"
        if ring.owner(parse_key(name).routed) == owner:
            names.append(name)
        number += 1
    return names


def _any_ports(role: Role) -> dict[str, str]:
    """Each listener takes what the system gives it: no port can be taken before it is bound."""
    return {f"APPMSG_{role}__{listener}__PORT".upper(): "0" for listener in LISTENERS[role]}


def _get(port: int, target: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", target)
        return connection.getresponse().read().decode()
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()


def _known(node: Node) -> int:
    found = _COMETS.search(node.metrics())
    return int(found[1]) if found else 0
