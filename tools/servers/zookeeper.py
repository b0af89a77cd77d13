"""ZooKeeper on loopback: one server, or an ensemble.

    with zookeeper(folder) as server:
        server.hosts                    ("127.0.0.1:34567",)
        server.daemon.signal(SIGSTOP)   frozen; kill(), start(): gone, and back with its data

    with ensemble(folder) as servers:
        leader(servers).daemon.kill()

A tick is 500 ms, so sessions of 1 to 10 s can be had. Ready is who answers `srvr` with a mode: `ruok`
says "imok" long before a server serves. Debian's package starts nothing by itself.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools.servers.daemon import Daemon, Missing, find
from tools.servers.ports import free_port

JAR = Path("/usr/share/java/zookeeper.jar")
TICK = 500  # ms; sessions last 2 to 20 of them
HEAP = "-Xmx256m"
LOG = """\
log4j.rootLogger=INFO, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} %-5p %m%n
"""


class Server:
    """One ZooKeeper. Its data survive `daemon.kill()` and `daemon.start()`."""

    def __init__(
        self, folder: Path, port: int, members: Sequence[str], users: Mapping[str, str]
    ) -> None:
        """`members` are the lines server.N=... of an ensemble, `users` may log in by SASL."""
        self.hosts = (f"127.0.0.1:{port}",)
        self._port = port
        settings = _settings(folder, port, members, sasl=bool(users))
        (folder / "zoo.cfg").write_text("".join(f"{line}\n" for line in settings))
        (folder / "log4j.properties").write_text(LOG)
        command = [find("java", "default-jre-headless"), HEAP, "-XX:+UseSerialGC"]
        command += ["-XX:TieredStopAtLevel=1", "-Dzookeeper.jmx.log4j.disable=true"]
        if users:
            (folder / "jaas.conf").write_text(_jaas(users))
            command.append(f"-Djava.security.auth.login.config={folder / 'jaas.conf'}")
        command += ["-cp", f"{folder}:{_jar()}"]
        command += ["org.apache.zookeeper.server.quorum.QuorumPeerMain", str(folder / "zoo.cfg")]
        self.daemon = Daemon(command, log=folder / "zookeeper.log", ready=lambda: bool(self.mode()))

    def mode(self) -> str:
        """Its part: "standalone", "leader", "follower"; "" while it does not serve.

        Raises:
            OSError: it cannot be reached, or is frozen.
        """
        with socket.create_connection(("127.0.0.1", self._port), timeout=1) as sock:
            sock.sendall(b"srvr")
            answer = b"".join(iter(lambda: sock.recv(4096), b"")).decode()
        modes = [line.removeprefix("Mode: ") for line in answer.splitlines() if "Mode:" in line]
        return modes[0] if modes else ""


@contextmanager
def zookeeper(folder: Path, *, users: Mapping[str, str] | None = None) -> Iterator[Server]:
    """One server, which keeps its data in `folder`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder, free_port(), (), users or {})
    server.daemon.start()
    try:
        yield server
    finally:
        server.daemon.stop()


@contextmanager
def ensemble(folder: Path, size: int = 3) -> Iterator[list[Server]]:
    """An ensemble whose members all serve, until the block ends."""
    servers = make_ensemble(folder, [free_port() for _ in range(3 * size)])
    with ExitStack() as ending:
        for server in servers:
            ending.callback(server.daemon.stop)
        with ThreadPoolExecutor(size) as pool:  # one alone is never ready
            list(pool.map(lambda server: server.daemon.start(), servers))
        yield servers


def make_ensemble(folder: Path, ports: Sequence[int]) -> list[Server]:
    """The members of an ensemble, not started; of `ports` each takes one for clients and two more."""
    size = len(ports) // 3
    lines = [
        f"server.{i + 1}=127.0.0.1:{ports[size + 2 * i]}:{ports[size + 2 * i + 1]}"
        for i in range(size)
    ]
    servers = []
    for i in range(size):
        place = folder / f"zookeeper{i + 1}"
        (place / "data").mkdir(parents=True, exist_ok=True)
        (place / "data" / "myid").write_text(f"{i + 1}\n")
        servers.append(Server(place, ports[i], lines, {}))
    return servers


def hosts(servers: Sequence[Server]) -> tuple[str, ...]:
    """Where clients find an ensemble."""
    return tuple(host for server in servers for host in server.hosts)


def leader(servers: Sequence[Server]) -> Server:
    """The member that leads now."""
    return next(server for server in servers if server.mode() == "leader")


def _settings(folder: Path, port: int, members: Sequence[str], *, sasl: bool) -> list[str]:
    lines = [
        f"tickTime={TICK}",
        "initLimit=20",
        "syncLimit=10",
        f"dataDir={folder / 'data'}",
        f"clientPort={port}",
        "clientPortAddress=127.0.0.1",
        "maxClientCnxns=0",
        "admin.enableServer=false",
        "4lw.commands.whitelist=*",
        *members,
    ]
    provider = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
    return [*lines, f"authProvider.1={provider}"] if sasl else lines


def _jaas(users: Mapping[str, str]) -> str:
    entries = " ".join(f'user_{user}="{password}"' for user, password in users.items())
    module = "org.apache.zookeeper.server.auth.DigestLoginModule"
    return f"Server {{ {module} required {entries}; }};\n"


def _jar() -> Path:
    if not JAR.exists():
        raise Missing(f"{JAR} is not installed (Debian package zookeeper)")
    return JAR
