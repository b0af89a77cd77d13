"""Servers of Socket.IO under test: light-push, our transport under rules of ten lines, and two of others.

    light-push comet   the comet process of a cluster with one comet; pushes come by the REST of its web node
    light-push         the all-in-one node on SQLite, as `appmsg up` starts it: REST and books are in its process
    comet              bench/socketio_comet.py: a comet and ten lines of rules; pushes come by POST
    socket.io          its own server in Node, as its manual shows it; pushes come by POST
    python-socketio    its AsyncServer on aiohttp; pushes come by POST

All have one namespace, /demo, and send the bodies of pushes to its room `bench`. None compresses, and pings are
an hour apart everywhere, so nothing but the load happens while it is measured.
"""

import base64
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec

from bench.entry import HttpEntry
from bench.machine import Cores
from bench.messages import body
from bench.nodes import cluster
from bench.servers import (
    PEER_FILES,
    PRINTED_PORT,
    Server,
    Start,
    appmsg,
    install_node_peer,
    running,
)
from bench.socketio_client import NAMESPACE, ROOM, member
from tools.servers.daemon import Missing

PASSWORD = "bench-123456"
PINGS, QUIET = "APPMSG_COMET__SOCKETIO__PING_INTERVAL", "3600"  # seconds between them
FOUR_DIGITS = 1_000  # the first push id of four digits: messages of a run have one size
AT_ONCE = 20  # pushes on their way there


@contextmanager
def light_push(cores: Cores) -> Iterator[Server]:
    """Ours as it is used: REST, books and all in one process."""
    with appmsg(cores, {PINGS: QUIET}) as node:
        ports = node.ports
        yield _light_push("light-push", node.pid, ports["socketio"], ports["lightpush"])


@contextmanager
def light_push_comet(cores: Cores) -> Iterator[Server]:
    """The comet of a small cluster: its process alone is measured, REST and message node are others.

    Raises:
        Missing: ZooKeeper is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = {PINGS: QUIET, "APPMSG_DATABASE__URL": f"sqlite:///{folder}/app.db"}
        with cluster(cores, comets=1, settings=settings) as nodes:
            node, rest = nodes["c1"], nodes["w1"].port("lightpush")
            pid = node.daemon.pid
            yield _light_push("light-push comet", pid, node.port("socketio"), rest)


def room_entry(port: int, at_once: int, room: str = ROOM) -> HttpEntry:
    """`POST /api/auth/push` to a room."""
    return HttpEntry(
        port,
        at_once,
        "/api/auth/push",
        form=b'{"room":"%b","pushData":%%b}' % room.encode(),
        headers=f"Authorization: {_basic(NAMESPACE, PASSWORD)}\r\n",
        good=b'"id":',
    )


@contextmanager
def comet(cores: Cores) -> Iterator[Server]:
    """Ours, with no application to speak of."""
    command = [sys.executable, "-m", "bench.socketio_comet"]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield _server("comet", process.pid, port)


@contextmanager
def socket_io(cores: Cores) -> Iterator[Server]:
    """The original."""
    install_node_peer("socket.io")
    command = ["node", "--expose-gc", str(PEER_FILES / "socketio_server.js")]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield _server("socket.io", process.pid, port, collects=True)


@contextmanager
def python_socketio(cores: Cores) -> Iterator[Server]:
    """The one that Python's developers know."""
    if find_spec("socketio") is None:
        raise Missing("python-socketio: not in this environment, see pyproject.toml")
    command = [sys.executable, "-m", "bench.peers.socketio_server"]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield _server("python-socketio", process.pid, port, collects=True)


OURS: Sequence[Start] = (light_push_comet, light_push, comet)
OUR_NAMES = ("light-push comet", "light-push", "comet")
PEERS: Sequence[Start] = (socket_io, python_socketio)


def _server(name: str, pid: int, port: int, *, collects: bool = False) -> Server:
    return Server(
        name,
        pid,
        port,
        lambda client, _: member(port, client, [ROOM]),
        lambda _, at_once: HttpEntry(port, at_once),
        collects=collects,
    )


def _light_push(name: str, pid: int, port: int, rest: int) -> Server:
    """Ready to be played with: it has its namespace."""
    _make_namespace(rest)
    _spend_short_ids(rest)
    return Server(
        name,
        pid,
        port,
        lambda client, _: member(port, client, [ROOM]),
        lambda _, at_once: room_entry(rest, at_once),
    )


def _make_namespace(port: int) -> None:
    fields = {"key": NAMESPACE, "name": "bench", "auth_passwd": PASSWORD}
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        headers = {"Content-Type": "application/json", "Authorization": _basic("admin", "123456")}
        connection.request("POST", "/api/admin/namespace/save", json.dumps(fields), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"no namespace: {answer.status} {answer.read()[:300]!r}")


def _spend_short_ids(port: int) -> None:
    with closing(room_entry(port, AT_ONCE, "nobody")) as entry:
        for first in range(0, FOUR_DIGITS, AT_ONCE):
            entry.push([body(first + number) for number in range(AT_ONCE)])
            entry.confirm()


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
