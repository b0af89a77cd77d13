"""A cluster of real processes in a folder: comets, message and web nodes around what servers there are.

    with running_cluster(folder, Outside.of(zookeepers, redis), comets=3) as cluster:
        cluster["c1"].kill()            SIGKILL; .start() brings it back at the same ports
        cluster["w2"].freeze()          SIGSTOP; .thaw()
        cluster.add(Role.COMET, "c4")   one that was not there before

Every process writes a log of its own into the folder; their ends are printed when the block fails, and a
traceback in any of them fails it. Ports lie below those that the kernel gives to clients, so nobody takes
the port of a node that is being restarted. All of this blocks: from trio call it in a thread.
"""

import json
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from appmodel.core.cluster import Role
from appmodel.core.credentials import Credentials
from tools.servers.daemon import Daemon

SESSION = 4.0  # seconds of a ZooKeeper session
SECRET = "the secret of a cluster that lives for one test"
LOWEST_PORT, HIGHEST_PORT = 12_000, 32_000  # clients get theirs above
SHOWN = 60  # lines of each log that are shown when something failed
BUGS = ("bug contained", "Traceback", '"level":"critical"')  # no log may hold one of these

SHARED = f"""
[node]
name = "{{name}}"
home = false
drain_timeout = 20
[log]
format = "json"
[auth]
mode = "on"
secret = "{SECRET}"
[rpc]
secret = "{SECRET}"
"""
PARTS = {
    Role.COMET: """
[comet]
websocket.port = {ws}
tcp.port = {tcp}
stat.port = {stat}
rpc.port = {rpc}
limits.per_key = 10_000
limits.per_address = 100_000
limits.handshakes_per_second = 100_000
limits.handshakes_at_once = 20_000
""",
    Role.MESSAGE: """
[message]
rpc.port = {rpc}
ops.port = {ops}
depth = 100_000
""",
    Role.WEB: """
[web]
public.port = {public}
admin.port = {admin}
api.port = {api}
""",
}
PORTS = {
    Role.COMET: ("ws", "tcp", "stat", "rpc"),
    Role.MESSAGE: ("rpc", "ops"),
    Role.WEB: ("public", "admin", "api"),
}


@dataclass(frozen=True, slots=True)
class Outside:
    """What the nodes find around them, as TOML: a registry and a store."""

    settings: str
    mend: Callable[[], None] = lambda: None  # bring back whatever a test has broken


class ClusterNode:
    """One process. Its ports and its log stay the same over all its lives."""

    def __init__(
        self, role: Role, name: str, folder: Path, settings: str, environment: Mapping[str, str]
    ) -> None:
        """`settings`: TOML that follows what every node and every node of the role has."""
        self.role, self.name = role, name
        self.ports = {port: free_port() for port in PORTS[role]}
        self.log = folder / f"{name}.log"
        text = SHARED.format(name=name) + PARTS[role].format(**self.ports) + settings
        (folder / f"{name}.toml").write_text(text)
        self.log.touch()
        self._read_from = 0
        entry = "from appmodel.runtime.cli import main; main()"
        command = [sys.executable, "-c", entry, role, "--config", str(folder / f"{name}.toml")]
        self._daemon = Daemon(command, log=self.log, ready=self._is_ready, environment=environment)
        self.is_up = False  # as far as we have not broken it

    def address(self, port: str) -> str:
        """host:port of one of its listeners."""
        return f"127.0.0.1:{self.ports[port]}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._daemon.pid

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._read_from = self.log.stat().st_size
        self._daemon.start()
        self.is_up = True

    def kill(self) -> None:
        """SIGKILL."""
        self.is_up = False
        self._daemon.kill()

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone. It must go in order."""
        self.is_up = False
        code = self._daemon.stop()
        assert code == 0, f"{self.name} stopped with exit code {code}"

    def wait_gone(self) -> None:
        """Forget a process that ends by itself."""

    def freeze(self) -> None:
        """SIGSTOP: its sockets stay open, and nobody answers."""
        self._daemon.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._daemon.signal(signal.SIGCONT)

    def end(self) -> None:
        """However it is."""
        self._daemon.kill()

    def bugs(self) -> list[str]:
        """Lines of its log that nobody may ever see."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [f"{self.name}: {line}" for line in lines if any(bug in line for bug in BUGS)]

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-SHOWN:]
        return "\n".join([f"--- {self.name} ({self.role})", *lines])

    def _is_ready(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return b'"event":"ready"' in log.read()


@dataclass
class Cluster:
    """The nodes by name, and the credentials of all."""

    folder: Path
    outside: Outside
    nodes: dict[str, ClusterNode] = field(default_factory=dict)
    credentials: Credentials = field(default_factory=lambda: Credentials(SECRET.encode()))

    def __getitem__(self, name: str) -> ClusterNode:
        return self.nodes[name]

    def add(
        self, role: Role, name: str, *, environment: Mapping[str, str] | None = None
    ) -> ClusterNode:
        """A new node, which has not been started."""
        self.nodes[name] = ClusterNode(
            role, name, self.folder, self.outside.settings, environment or {}
        )
        return self.nodes[name]

    def of(self, role: Role) -> list[ClusterNode]:
        """Those of a role, by name."""
        return [node for _, node in sorted(self.nodes.items()) if node.role is role]

    def webs(self, port: str) -> list[str]:
        """URLs of a listener of all web nodes that are up."""
        return [f"http://{node.address(port)}" for node in self.of(Role.WEB) if node.is_up]

    def comets(self, transport: str) -> list[str]:
        """host:port of all comets that are up."""
        return [node.address(transport) for node in self.of(Role.COMET) if node.is_up]

    def start(self) -> None:
        """All nodes, the message nodes first."""
        for roles in ((Role.MESSAGE,), (Role.COMET, Role.WEB)):
            nodes = [node for node in self.nodes.values() if node.role in roles]
            with ThreadPoolExecutor(len(nodes)) as pool:
                list(pool.map(ClusterNode.start, nodes))

    def bugs(self) -> list[str]:
        """What the logs of all nodes hold and must not."""
        return [bug for node in self.nodes.values() for bug in node.bugs()]

    def show_logs(self) -> None:
        """Print how each log ends: pytest shows it with the failure."""
        for _, node in sorted(self.nodes.items()):
            print(node.tail())  # noqa: T201


@contextmanager
def running_cluster(
    folder: Path, outside: Outside, *, comets: int = 3, messages: int = 2, webs: int = 2
) -> Iterator[Cluster]:
    """Nodes c1, c2 ... m1 ... w1 ... until the block ends."""
    cluster = Cluster(folder, outside)
    for role, letter, size in (
        (Role.MESSAGE, "m", messages),
        (Role.COMET, "c", comets),
        (Role.WEB, "w", webs),
    ):
        for number in range(1, size + 1):
            cluster.add(role, f"{letter}{number}")
    try:
        cluster.start()
        yield cluster
        assert not cluster.bugs(), "\n".join(cluster.bugs())
    except BaseException:
        cluster.show_logs()
        raise
    finally:
        for node in cluster.nodes.values():
            node.end()


def free_port() -> int:
    """A port of loopback that is free now, and that no client will be given."""
    while True:
        port = random.randrange(LOWEST_PORT, HIGHEST_PORT)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def toml_list(texts: list[str]) -> str:
    """["a", "b"]: TOML and JSON agree here."""
    return json.dumps(texts)
