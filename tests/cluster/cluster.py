"""A cluster of real processes in a folder: comets, message and web nodes around what servers there are.

    with running_cluster(folder, Outside.of(zookeepers, redis), comets=3) as cluster:
        cluster["c1"].kill()            SIGKILL; .start() brings it back at the same ports
        cluster["w2"].freeze()          SIGSTOP; .thaw()
        cluster.add(Role.COMET, "c4")   one that was not there before

Every process writes a log of its own into the folder; their ends are printed when the block fails, and a
traceback in any of them fails it. Nobody takes the port of a node that is being restarted
(tools/servers/ports.py). All of this blocks: from trio call it in a thread.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio

from appmodel.core.cluster import Role
from appmodel.core.credentials import Credentials
from tests.cluster.proxy import FaultyProxy, faulty_proxy
from tests.cluster.stepped import Clock
from tools.servers.daemon import Daemon
from tools.servers.ports import free_port

T = TypeVar("T")

SESSION = 4.0  # seconds of a ZooKeeper session
SECRET = "the secret of a cluster that lives for one test"
SHOWN = 60  # lines of each log that are shown when something failed
COMMAND_TIMEOUT = 90.0  # seconds: a drain waits for its clients
MAIN = "from appmodel.runtime.cli import main; main()"
STEPPED = "from tests.cluster.stepped import install; install({file!r}); " + MAIN
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
connect_timeout = "10s"  # a machine that is busy breaks no law
"""
PARTS = {
    Role.COMET: """
[comet]
websocket.port = {ws}
tcp.port = {tcp}
socketio.port = {socketio}
mpush.port = {mpush}
stat.port = {stat}
rpc.port = {rpc}
limits.per_key = 10_000
sessions.grace = "1s"
limits.sessions_per_user = 10_000
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
push_timeout = "20s"
public.port = {public}
admin.port = {admin}
app.port = {app}
api.port = {api}
[web.lightpush]
port = {lightpush}
[web.mpush]
port = {mpush}
""",
}
PORTS = {
    Role.COMET: ("ws", "tcp", "socketio", "mpush", "stat", "rpc"),
    Role.MESSAGE: ("rpc", "ops"),
    Role.WEB: ("public", "admin", "app", "api", "lightpush", "mpush"),
}


@dataclass(frozen=True, slots=True)
class Outside:
    """What the nodes find around them, as TOML."""

    registry: str  # sections
    store: str  # the rest of [message]
    mend: Callable[[], None] = lambda: None  # bring back whatever a test has broken


class ClusterNode:
    """One process. Its ports and its log stay the same over all its lives."""

    def __init__(
        self, role: Role, name: str, folder: Path, shared: str, *, entry: str = MAIN
    ) -> None:
        """`shared`: sections that all nodes have. `entry`: the Python of it."""
        self.role, self.name = role, name
        self.ports = {port: free_port() for port in PORTS[role]}
        self.settings = SHARED.format(name=name) + shared + PARTS[role].format(**self.ports)
        self.config, self.log = folder / f"{name}.toml", folder / f"{name}.log"
        self.log.touch()
        self._read_from = 0
        self._daemon = Daemon(
            [sys.executable, "-c", entry, role, "--config", str(self.config)],
            log=self.log,
            ready=self._is_ready,
        )
        self.is_up = False  # as far as we have not broken it

    def address(self, port: str) -> str:
        """host:port of one of its listeners."""
        return f"127.0.0.1:{self.ports[port]}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._daemon.pid

    def start(self) -> None:
        """Start it with its `settings`, and wait until it is ready."""
        self.config.write_text(self.settings)
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

    def wait_gone(self, patience: float) -> None:
        """Wait until it has ended by itself, in order."""
        end = time.monotonic() + patience
        while self._daemon.is_running:
            assert time.monotonic() < end, f"{self.name} has not gone within {patience:g} s"
            time.sleep(0.02)
        self.stop()

    def mend(self) -> None:
        """Whatever was done to it: it runs."""
        if self._daemon.is_running:
            self.thaw()
        else:
            self.start()

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
    proxies: dict[str, FaultyProxy] = field(default_factory=dict)  # before message nodes
    credentials: Credentials = field(default_factory=lambda: Credentials(SECRET.encode()))

    def __getitem__(self, name: str) -> ClusterNode:
        return self.nodes[name]

    def add(self, role: Role, name: str, *, entry: str = MAIN) -> ClusterNode:
        """A new node, which has not been started."""
        node = ClusterNode(role, name, self.folder, self.outside.registry, entry=entry)
        if role is Role.MESSAGE:
            node.settings += self.outside.store
        self.nodes[name] = node
        return node

    def add_comet_with_clock(self, name: str) -> Clock:
        """A comet whose clock we hold."""
        clock = Clock(self.folder / f"{name}.clock")
        self.add(Role.COMET, name, entry=STEPPED.format(file=str(clock.file)))
        return clock

    def remove(self, name: str) -> None:
        """A node that has gone for good. Its log is not looked at any more."""
        self.nodes.pop(name).end()

    def mend(self) -> None:
        """Everything runs again."""
        self.outside.mend()
        self._each(list(self.nodes.values()), ClusterNode.mend)

    def drain(self, name: str, patience: float) -> None:
        """An operator's drain of a comet, which has ended then. Fails if a client was lost."""
        self.command("node", "drain", name)
        try:
            self[name].wait_gone(patience)
        except AssertionError:
            self.command("node", "undrain", name)  # for those who come after us
            raise

    def command(self, *arguments: str) -> str:
        """What `appmsg` prints, with the configuration of one of the nodes."""
        config = next(iter(self.nodes.values())).config
        ran = subprocess.run(
            [sys.executable, "-c", MAIN, *arguments, "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

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
            self._each([n for n in self.nodes.values() if n.role in roles], ClusterNode.start)

    def bugs(self) -> list[str]:
        """What the logs of all nodes hold and must not."""
        return [bug for node in self.nodes.values() for bug in node.bugs()]

    def tails(self) -> str:
        """How the log of each node ends."""
        return "\n".join(node.tail() for _, node in sorted(self.nodes.items()))

    @staticmethod
    def _each(nodes: list[ClusterNode], act: Callable[[ClusterNode], None]) -> None:
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(act, nodes))


@contextmanager
def running_cluster(
    folder: Path,
    outside: Outside,
    *,
    comets: int = 3,
    messages: int = 2,
    webs: int = 2,
    proxied: bool = False,
) -> Iterator[Cluster]:
    """Nodes c1, c2 ... m1 ... w1 ... until the block ends. `proxied`: message nodes can be cut off."""
    cluster = Cluster(folder, outside)
    ending = ExitStack()
    for role, letter, size in (
        (Role.MESSAGE, "m", messages),
        (Role.COMET, "c", comets),
        (Role.WEB, "w", webs),
    ):
        for number in range(1, size + 1):
            cluster.add(role, f"{letter}{number}")
    try:
        if proxied:
            for node in cluster.of(Role.MESSAGE):
                proxy = ending.enter_context(faulty_proxy(node.ports["rpc"]))
                cluster.proxies[node.name] = proxy
                node.settings += f'rpc.advertise = "127.0.0.1:{proxy.port}"\n'
        cluster.start()
        yield cluster
        assert not cluster.bugs(), "\n".join(cluster.bugs())
    except BaseException as error:
        error.add_note(cluster.tails())
        raise
    finally:
        for node in cluster.nodes.values():
            node.end()
        ending.close()


async def in_thread(act: Callable[..., T], *arguments: object) -> T:
    """What blocks, from trio."""
    return await trio.to_thread.run_sync(act, *arguments)


def zookeeper_settings(hosts: Sequence[str]) -> str:
    """The sections of a registry on ZooKeeper."""
    return f"""
[registry]
kind = "zookeeper"
[registry.zookeeper]
hosts = {json.dumps(list(hosts))}
session_timeout = {SESSION}
"""
