"""Servers of Mpush under test: ours alone, ours as a cluster, and the original's shape in Node.

appmsg           the all-in-one node: a push is in SQLite, through fsync, before a device sees it
appmsg cluster   a comet, a message node on SQLite, a web node: three processes on one core, calls between them
Node http + ws   peers/mpush_server.js: the seed version in one process, all in memory
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.frames import client_frame, upgrade_request
from bench.load import Dialogue
from bench.machine import Cores, cpu_seconds
from bench.nodes import cluster
from bench.servers import (
    PEER_FILES,
    PRINTED_PORT,
    appmsg,
    install_node_peer,
    resident_at_rest,
    running,
)

TOKEN = "mpush"
OURS, CLUSTER, PEER = "appmsg", "appmsg cluster", "Node http + ws"


@dataclass(frozen=True, slots=True)
class MpushServer:
    """A running one, on one core."""

    name: str
    pids: Sequence[int]
    devices: int  # port
    http: int  # port
    collects: bool = False  # SIGUSR2 makes it collect its garbage

    @property
    def cpu(self) -> float:
        """CPU seconds used so far, by all its processes."""
        return sum(map(cpu_seconds, self.pids))

    def resident(self) -> int:
        """Bytes in RAM at rest."""
        return sum(resident_at_rest(pid, collects=self.collects) for pid in self.pids)

    def login(self, name: str) -> Dialogue:
        """How a device comes in."""
        return [
            (upgrade_request(self.devices, "/"), b"\r\n\r\n"),
            (client_frame(TOKEN.encode()), b'authentication"}}'),
            (client_frame(name.encode()), b'"LOGIN","data":{"name":"%b"}}' % name.encode()),
        ]


@contextmanager
def alone(cores: Cores) -> Iterator[MpushServer]:
    """Ours as `appmsg up` starts it."""
    with appmsg(cores) as node:
        yield MpushServer(OURS, [node.pid], node.ports["comet_mpush"], node.ports["mpush"])


@contextmanager
def of_a_cluster(cores: Cores) -> Iterator[MpushServer]:
    """Ours, each part a process.

    Raises:
        Missing: ZooKeeper is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "APPMSG_DATABASE__URL": f"sqlite:///{Path(folder) / 'app.db'}",
            "APPMSG_MESSAGE__STORE": "sqlite",
        }
        with cluster(cores, comets=1, settings=settings) as nodes:
            pids = [node.daemon.pid for node in nodes.by_name.values()]
            yield MpushServer(CLUSTER, pids, nodes["c1"].port("mpush"), nodes["w1"].port("mpush"))


@contextmanager
def node_ws(cores: Cores) -> Iterator[MpushServer]:
    """The original's shape.

    Raises:
        Missing: Node or npm is not installed.
    """
    install_node_peer("ws")
    command = ["node", "--expose-gc", str(PEER_FILES / "mpush_server.js")]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield MpushServer(PEER, [process.pid], port, port, collects=True)
