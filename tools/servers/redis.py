"""Redis on loopback: one server, a Cluster of three, or a master with replica and Sentinels.

    with redis_server(folder) as server:              nothing is kept on disk; persistent=True: appendonly
        server.address                                "127.0.0.1:34567"
        server.cli("PING")                            b"PONG"; also CONFIG SET, CLIENT PAUSE, ...
        server.daemon.kill(); server.daemon.start()   gone, and back

    with redis_cluster(folder) as servers: ...        three masters that share all slots
    with redis_sentinel(folder) as watched:           watched.master, .replica, .sentinels

TLS and ACL users: `tls=Tls(...)`, `users=["user app on >secret ~appmsg* +@all"]`.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tools.servers.daemon import START_TIMEOUT, Daemon, find
from tools.servers.ports import free_port

PACKAGE = "redis-server"
DOWN_AFTER = 500  # ms without an answer until a Sentinel thinks that a master is gone
SLOTS = 16384


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of a server."""

    certificate: Path
    key: Path
    ca: Path


class Server:
    """One Redis, in a folder of its own. With `persistent` its data survive `kill()` and `start()`."""

    def __init__(
        self,
        folder: Path,
        *,
        persistent: bool = False,
        options: Sequence[str] = (),
        users: Sequence[str] = (),
        tls: Tls | None = None,
        sentinel: str = "",
        cluster: bool = False,
    ) -> None:
        """`options` are words of the command line, `sentinel` is the configuration of one."""
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.bus_port = free_port()  # of a Cluster
        self._tls = tls
        self._admin = "probe" if users else None
        lines = [sentinel, *users]
        if users:
            lines.append("user probe on nopass ~* &* +@all")
        file = folder / "redis.conf"
        file.write_text("".join(f"{line}\n" for line in lines))
        command = [find("redis-server", PACKAGE), str(file), "--dir", str(folder)]
        command += ["--port", "0" if tls else str(self.port), "--bind", "127.0.0.1"]
        if sentinel:
            command.append("--sentinel")
        else:
            log = "yes" if persistent else "no"
            command += ["--save", "", "--appendonly", log, "--appendfsync", "everysec"]
            command += ["--repl-diskless-sync-delay", "0"]
        if cluster:
            command += ["--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)]
            command += ["--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"]
        if tls:
            command += ["--tls-port", str(self.port), "--tls-auth-clients", "optional"]
            command += ["--tls-cert-file", str(tls.certificate), "--tls-key-file", str(tls.key)]
            command += ["--tls-ca-cert-file", str(tls.ca)]
        command += options
        self.daemon = Daemon(command, log=folder / "redis.log", ready=self._answers)

    def cli(self, *command: str | bytes | float) -> Any:
        """Redis' answer to one command. Raises redis.RedisError."""
        with self.client() as client:
            return client.execute_command(*command)

    def client(self) -> redis.Redis:
        """A client of one's own; to be closed."""
        return redis.Redis(
            port=self.port,
            username=self._admin,
            password="" if self._admin else None,
            ssl=self._tls is not None,
            ssl_ca_certs=str(self._tls.ca) if self._tls else None,
            socket_timeout=10,
            protocol=2,
        )

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass
        try:
            return bool(self.cli("PING"))
        except redis.RedisError:
            return False  # it is still loading


@contextmanager
def redis_server(
    folder: Path,
    *,
    persistent: bool = False,
    options: Sequence[str] = (),
    users: Sequence[str] = (),
    tls: Tls | None = None,
) -> Iterator[Server]:
    """One server until the block ends."""
    server = Server(folder, persistent=persistent, options=options, users=users, tls=tls)
    server.daemon.start()
    try:
        yield server
    finally:
        server.daemon.stop()


@contextmanager
def redis_cluster(folder: Path, size: int = 3) -> Iterator[list[Server]]:
    """A Cluster of so many masters, each with its share of the slots, until the block ends."""
    with ExitStack() as ending:
        servers = []
        for number in range(size):
            server = Server(folder / f"node{number}", cluster=True)
            server.daemon.start()
            ending.callback(server.daemon.stop)
            servers.append(server)
        _join(servers)
        yield servers


@dataclass(frozen=True, slots=True)
class Watched:
    """A master, its replica, and who watches them."""

    master: Server
    replica: Server
    sentinels: list[Server]
    name: str = "mymaster"


@contextmanager
def redis_sentinel(folder: Path, sentinels: int = 3) -> Iterator[Watched]:
    """A master with a replica, watched by Sentinels that agree by majority, until the block ends."""
    with ExitStack() as ending:

        def start(server: Server) -> Server:
            server.daemon.start()
            ending.callback(server.daemon.stop)
            return server

        master = start(Server(folder / "master"))
        follow = ["--replicaof", "127.0.0.1", str(master.port)]
        replica = start(Server(folder / "replica", options=follow))
        watch = (
            f"sentinel monitor mymaster 127.0.0.1 {master.port} {sentinels // 2 + 1}\n"
            f"sentinel down-after-milliseconds mymaster {DOWN_AFTER}\n"
            "sentinel failover-timeout mymaster 5000"
        )
        watchers = [
            start(Server(folder / f"sentinel{number}", sentinel=watch))
            for number in range(sentinels)
        ]
        yield Watched(master, replica, watchers)


def _join(servers: Sequence[Server]) -> None:
    share = -(-SLOTS // len(servers))
    for number, server in enumerate(servers):
        last = min((number + 1) * share, SLOTS) - 1
        server.cli("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        server.cli("CLUSTER", "MEET", "127.0.0.1", servers[0].port, servers[0].bus_port)
    end = time.monotonic() + START_TIMEOUT
    whole = (
        f"cluster_slots_ok:{SLOTS}\r\n".encode()
    )  # "ok" is also a state of who knows himself alone
    while any(whole not in server.cli("CLUSTER", "INFO") for server in servers):
        if time.monotonic() > end:
            raise RuntimeError("the Cluster did not form")
        time.sleep(0.05)
