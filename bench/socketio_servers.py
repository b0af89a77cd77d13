"""Servers of Socket.IO under test: light-push, our transport under rules of ten lines, and two of others.

    light-push         the all-in-one node on SQLite, as `appmsg up` starts it; pushes come by its REST
    comet              bench/socketio_comet.py: a comet and ten lines of rules; pushes come by POST
    socket.io          its own server in Node, as its manual shows it; pushes come by POST
    python-socketio    its AsyncServer on aiohttp; pushes come by POST

All have one namespace, /demo, and send the bodies of pushes to its room `bench`. None compresses, and pings are
an hour apart everywhere, so nothing but the load happens while it is measured.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from bench.entry import HttpEntry
from bench.machine import Cores
from bench.servers import PEER_FILES, PRINTED_PORT, Server, Start, install_node_peer, running
from bench.socketio_client import ROOM, member
from tools.servers.daemon import Missing


@contextmanager
def comet(cores: Cores) -> Iterator[Server]:
    """Ours, with no application to speak of."""
    command = [sys.executable, "-m", "bench.socketio_comet"]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield _server("comet", process, port)


@contextmanager
def socket_io(cores: Cores) -> Iterator[Server]:
    """The original."""
    install_node_peer("socket.io")
    command = ["node", "--expose-gc", str(PEER_FILES / "socketio_server.js")]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield _server("socket.io", process, port, collects=True)


@contextmanager
def python_socketio(cores: Cores) -> Iterator[Server]:
    """The one that Python's developers know."""
    if find_spec("socketio") is None:
        raise Missing("python-socketio: not in this environment, see pyproject.toml")
    command = [sys.executable, "-m", "bench.peers.socketio_server"]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield _server("python-socketio", process, port, collects=True)


OURS: Sequence[Start] = (comet,)
PEERS: Sequence[Start] = (socket_io, python_socketio)


def _server(
    name: str, process: subprocess.Popen[bytes], port: int, *, collects: bool = False
) -> Server:
    return Server(
        name,
        process,
        port,
        lambda client, _: member(port, client, [ROOM]),
        lambda _, at_once: HttpEntry(port, at_once),
        collects=collects,
    )
