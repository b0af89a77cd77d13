"""The servers under test: each a process of its own, on a free port of 127.0.0.1, pinned to one core.

A server is ready when its log says where it listens; its log is shown if it never does. Leaving the
`with` ends the process, whatever happened.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from bench.entry import ControlEntry, Entry, HttpEntry
from bench.frames import upgrade_request
from bench.load import Dialogue
from bench.machine import Cores, cpu_seconds, resident_bytes
from tools.servers.daemon import Missing
from tools.servers.ports import free_port

ROOT = Path(__file__).parents[1]
PEER_FILES = ROOT / "bench" / "peers"
LONG = 3600  # seconds between heartbeats of clients that are not here to send any
PORTS = {
    "websocket": "APPMSG_COMET__WEBSOCKET__PORT",
    "socketio": "APPMSG_COMET__SOCKETIO__PORT",
    "comet_mpush": "APPMSG_COMET__MPUSH__PORT",
    "admin": "APPMSG_WEB__ADMIN__PORT",
    "api": "APPMSG_WEB__API__PORT",
    "app": "APPMSG_WEB__APP__PORT",
    "lightpush": "APPMSG_WEB__LIGHTPUSH__PORT",
    "mpush": "APPMSG_WEB__MPUSH__PORT",
}
OUR_SETTINGS = {
    "APPMSG_COMET__TCP__PORT": "0",
    "APPMSG_COMET__STAT__PORT": "0",
    "APPMSG_WEB__PUBLIC__PORT": "0",
    "APPMSG_MESSAGE__OPS__PORT": "0",
    "APPMSG_COMET__LIMITS__PER_KEY": "100000",  # these protect from floods, and we are one
    "APPMSG_COMET__LIMITS__HANDSHAKES_PER_SECOND": "1000000",
    "APPMSG_LOG__FORMAT": "json",
}
PRINTED_PORT = r"(\d+)\n"
READY = 60.0  # seconds until a server must listen; most take two, but the machine may be busy
SETTLE = 20  # half seconds until memory is taken as it is
STOP = 10.0  # seconds until it is killed


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    `dialogue(key, heartbeat)` subscribes; `entry(size, at_once)` opens a way in for pushes.
    """

    name: str
    pid: int
    port: int  # of subscribers
    dialogue: Callable[[str, int], Dialogue]
    entry: Callable[[int, int], Entry]
    ports: Mapping[str, int] = field(default_factory=dict)  # ours: see PORTS
    chatter: float = 0.0  # seconds after subscribing in which the server says things of its own
    collects: bool = False  # SIGUSR2 makes it collect its garbage

    @property
    def cpu(self) -> float:
        """CPU seconds used so far."""
        return cpu_seconds(self.pid)

    def resident(self) -> int:
        """See `resident_at_rest`."""
        return resident_at_rest(self.pid, collects=self.collects)


Start = Callable[[Cores], AbstractContextManager[Server]]


@contextmanager
def appmsg(cores: Cores, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """The all-in-one node in home mode: comet, message and web in one process, SQLite on disk.

    `settings`: more of them, as environment variables.
    """
    ports = {name: free_port() for name in PORTS}
    environment = {PORTS[name]: str(port) for name, port in ports.items()} | OUR_SETTINGS
    environment |= settings or {}
    with tempfile.TemporaryDirectory() as home:
        command = [beside_python("appmsg"), "up"]
        with _process(command, cores.server, Path(home), environment) as (process, log):
            _await(process, log, lambda _: _answers(ports["api"], "/readyz"))
            port = ports["websocket"]
            yield Server(
                "appmsg",
                process.pid,
                port,
                subscription(port),
                lambda _, at_once: HttpEntry(ports["admin"], at_once),
                ports=ports,
            )


@contextmanager
def floor(cores: Cores) -> Iterator[Server]:
    """A bare loop of send(2): what the kernel and Python's call into it cost, with nothing else."""
    command = [sys.executable, "-m", "bench.peers.floor"]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield Server("send() loop", process.pid, port, subscription(port), _control(port))


@contextmanager
def node_ws(cores: Cores) -> Iterator[Server]:
    """Node with `ws`, the usual broadcast loop of its manual, no compression."""
    install_node_peer("ws")
    command = ["node", "--expose-gc", str(PEER_FILES / "ws_server.js")]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield Server(
            "Node ws",
            process.pid,
            port,
            subscription(port),
            lambda _, at_once: HttpEntry(port, at_once),
            collects=True,
        )


@contextmanager
def python_websockets(cores: Cores) -> Iterator[Server]:
    """Python `websockets` on asyncio with its broadcast(), no compression, no pings."""
    command = [sys.executable, "-m", "bench.peers.websockets_server"]
    with running(command, PRINTED_PORT, cores.server) as (process, port):
        yield Server(
            "Python websockets",
            process.pid,
            port,
            subscription(port),
            _control(port),
            collects=True,
        )


@contextmanager
def nats(cores: Cores) -> Iterator[Server]:
    """nats-server with its own TCP protocol: cheaper for it than its WebSocket."""
    command = [beside_python("nats-server"), "-a", "127.0.0.1", "-p", "-1"]
    listening = r"Listening for client connections on 127\.0\.0\.1:(\d+)"
    with running(command, listening, cores.server) as (process, port):
        yield Server(
            "nats-server",
            process.pid,
            port,
            _nats_subscription,
            lambda size, _: ControlEntry.nats(port, size),
            chatter=4.0,  # it pings each new connection once, about 2 s after it came
        )


PEERS: Sequence[Start] = (node_ws, python_websockets, nats)


@contextmanager
def running(
    command: Sequence[str], listening: str, cores: frozenset[int]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process of `command` and the port in the first group of `listening` in its log."""
    with _process(command, cores, ROOT, {}) as (process, log):
        said = _await(process, log, lambda said: re.search(listening, said) is not None)
        port = re.search(listening, said)
        assert port is not None
        yield process, int(port[1])


@contextmanager
def _process(
    command: Sequence[str], cores: frozenset[int], home: Path, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process, and the descriptor of the file with all that it says."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home,
            env={**os.environ, **environment},
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        try:
            yield process, log.fileno()
        finally:
            _end(process)


def _await(process: subprocess.Popen[bytes], log: int, ready: Callable[[str], bool]) -> str:
    """Wait until `ready` likes what the process has said; return that."""
    deadline = time.monotonic() + READY
    while process.poll() is None and time.monotonic() < deadline:
        if ready(said := _said(log)):
            return said
        time.sleep(0.05)
    ended = f"is not ready after {READY:g} s" if process.poll() is None else "has ended"
    raise RuntimeError(f"{process.args!r} {ended}; it said:\n{_said(log)[-4000:]}")


def _said(log: int) -> str:
    return os.pread(log, 1 << 20, 0).decode(errors="replace")


def _answers(port: int, target: str) -> bool:
    """Whether a GET is answered with 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", target)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def resident_at_rest(pid: int, *, collects: bool) -> int:
    """Bytes in RAM once it stands still, and after the garbage collection that a peer offers."""
    if collects:
        os.kill(pid, signal.SIGUSR2)
    before = 0
    for _ in range(SETTLE):
        time.sleep(0.5)
        now = resident_bytes(pid)
        if abs(now - before) < 1 << 16:
            break
        before = now
    return now


def beside_python(program: str) -> str:
    """A program of the environment that runs this."""
    path = shutil.which(program, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if path is None:
        raise Missing(f"{program}: not in this environment, see pyproject.toml")
    return path


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def install_node_peer(name: str) -> None:
    """npm puts the pinned packages beside their servers, once.

    Raises:
        Missing: npm cannot.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Missing(f"{name}: install nodejs and npm")
    if not (PEER_FILES / "node_modules" / name).is_dir():
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=PEER_FILES, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Missing(f"{name}: npm ci failed: {done.stderr.strip()[-300:]}")


def subscription(port: int) -> Callable[[str, int], Dialogue]:
    """How a version 2 client subscribes to a server of ours, or to one that speaks alike."""

    def dialogue(key: str, heartbeat: int) -> Dialogue:
        target = f"/sub?key={key}&heartbeat={heartbeat}&ver=2"
        return [(upgrade_request(port, target), b"+h\r\n")]

    return dialogue


def _control(port: int) -> Callable[[int, int], Entry]:
    return lambda size, _: ControlEntry.websocket(port, size)


def _nats_subscription(key: str, _: int) -> Dialogue:
    subscribe = f'CONNECT {{"verbose":false}}\r\nSUB {key} 1\r\nPING\r\n'.encode()
    return [(b"", b"\r\n"), (subscribe, b"PONG\r\n")]
