"""The workers of one node: their names, and where each of them listens.

    [node] name = "comet1"   [comet] workers = 3   websocket.port = 6968   tcp.port = 6969   ...

    worker       shared by all    its own, announced    its own, stat    one for each process, rpc
    comet1-1     6968 6969        6978 6979             6982             any
    comet1-2     6968 6969        6988 6989             6992             any
    comet1-3     6968 6969        6998 6999             7002             any

A client that asks web first lands on the worker that owns its key; any other lands on any worker.
A shared port has a socket for each worker (SO_REUSEPORT), and the supervisor holds all of them while
processes come and go: whoever has connected waits there for the next one. Measured over kill -9 and
rolling restarts, in 23,000 connects each: 0 failed; with sockets that workers open themselves, 1 to 7.

Source: research/trio.md section 10.
"""

import enum
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Self

import msgspec

from appmodel.core.units import Duration
from appmodel.errors import ConfigError
from appmodel.io.listener import bound_to, open_sockets
from appmodel.io.wire import Endpoint

STEP = 10  # ports from one worker to the next
MAX_WORKERS = 64
MAX_PORT = 65535

Workers = Annotated[int, msgspec.Meta(ge=1, le=MAX_WORKERS)]

Opened = Mapping[str, Sequence[socket.socket]]
"""Listening sockets by the path of their listener."""


class RestartConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.restart]. When one of several workers dies, or does not stop."""

    pause: Duration = Duration(0.1)  # before it is started again, at most; doubles
    max_pause: Duration = Duration(10)  # up to here; then its ports are closed between two tries
    reset_after: Duration = Duration(60)  # one that has served for so long begins anew with `pause`
    patience: Duration = Duration(10)  # on top of node.drain_timeout; then a worker is killed


class Use(enum.Enum):
    """Whom a listener is for."""

    CLIENTS = "clients"  # a port that all workers share, and one of each worker's own
    OPERATORS = "operators"  # one of each worker's own
    NODES = "nodes"  # one for each process: the old one and the new one both take calls for a while


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener of the part, as configured."""

    path: str  # in the configuration, with the keys host, port, advertise: "comet.websocket"
    use: Use
    host: str
    port: int
    advertise: str = ""  # host:port; a worker's has the same host, and a port as far from it
    url: str = "{}"  # how its address is shown: "ws://{}/sub"


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of a part, as configured."""

    part: str  # "comet"
    node: str  # "comet1"
    workers: int
    listeners: tuple[Listener, ...]  # that are enabled
    restart: RestartConfig
    start_timeout: float  # seconds until a process is ready; then it is killed
    drain_timeout: float  # seconds until it has stopped, but for `restart.patience`

    def stands_like(self, other: Self) -> bool:
        """Whether it is as many workers, of the same names, at the same places."""
        return (self.node, self.workers, self.listeners) == (
            other.node,
            other.workers,
            other.listeners,
        )


class Place:
    """Where one worker listens: its name, and sockets that stay while its processes come and go."""

    def __init__(self, crew: Crew, number: int, shared: dict[str, int]) -> None:
        """Worker `number`, from 1. `shared`: the ports of all workers by path, once they are bound.

        Raises:
            ConfigError: an address cannot be announced.
        """
        self.name = f"{crew.node}-{number}"
        self._crew = crew
        self._number = number
        self._shared = shared
        self._own: dict[str, int] = {}  # ports, once they are bound
        self._advertised = {
            listener.path: _advertised(listener, number)
            for listener in crew.listeners
            if listener.advertise
        }
        self.sockets: dict[str, list[socket.socket]] = {}  # a worker's own come first

    @property
    def is_open(self) -> bool:
        """Whether the sockets are held."""
        return bool(self.sockets)

    def open(self) -> None:
        """Listen; again at the same ports. Nothing happens if it does already.

        Raises:
            ConfigError: an address is taken or wrong. Nothing stays open.
        """
        if self.is_open:
            return
        with ExitStack() as on_error:
            opened: dict[str, list[socket.socket]] = {}
            for listener in self._crew.listeners:
                if listener.use is not Use.NODES:
                    opened[listener.path] = self._listen(listener)
                    for each in opened[listener.path]:
                        on_error.enter_context(each)
            on_error.pop_all()
        self.sockets = opened

    def close(self) -> None:
        """Listen no more. Who waits there is refused."""
        close_all(self.sockets)
        self.sockets = {}

    def open_for_process(self) -> dict[str, list[socket.socket]]:
        """New sockets, at free ports, for the calls that one process takes.

        Raises:
            ConfigError: the host is wrong.
        """
        return {
            listener.path: open_sockets(listener.host, 0)
            for listener in self._crew.listeners
            if listener.use is Use.NODES
        }

    def shared_urls(self) -> dict[str, str]:
        """Where clients find any of the workers, by the path of the listener."""
        return {
            listener.path: listener.url.format(
                listener.advertise or Endpoint(listener.host, self._shared[listener.path])
            )
            for listener in self._crew.listeners
            if listener.use is Use.CLIENTS
        }

    def settings(self, of_process: Opened) -> list[str]:
        """What distinguishes the settings of this worker from those of the node, as for `--set`."""
        node = [f"node.name={self.name}", "node.home=false", f"{self._crew.part}.workers=1"]
        opened = {**self.sockets, **of_process}
        return node + [
            f"{path}.advertise={host}:{port or bound_to(opened[path]).port}"
            for path, (host, port) in self._advertised.items()
        ]

    def _listen(self, listener: Listener) -> list[socket.socket]:
        path, host = listener.path, listener.host
        port = self._own.get(path, listener.port and listener.port + STEP * self._number)
        if port > MAX_PORT:
            expected = f"expected at most {MAX_PORT - STEP * self._crew.workers}: worker {self._number} listens at {port}"
            raise ConfigError(f"{path}.port", listener.port, expected)
        sockets = open_sockets(host, port)
        self._own[path] = bound_to(sockets).port
        if listener.use is Use.CLIENTS:
            try:
                shared = open_sockets(host, self._shared.get(path, listener.port), shared=True)
            except ConfigError:
                close_all({path: sockets})
                raise
            self._shared[path] = bound_to(shared).port
            sockets += shared
        return sockets


def close_all(opened: Opened) -> None:
    """Close these sockets."""
    for sockets in opened.values():
        for each in sockets:
            each.close()


def _advertised(listener: Listener, number: int) -> tuple[str, int]:
    """Host and port that worker `number` announces; port 0: the one that it is bound to."""
    host, _, text = listener.advertise.rpartition(":")
    if not host or not text.isdecimal():
        raise ConfigError(f"{listener.path}.advertise", listener.advertise, "expected host:port")
    if listener.use is not Use.CLIENTS or not listener.port:
        return host, 0
    port = int(text) + STEP * number
    if port > MAX_PORT:
        expected = f"expected a port that leaves room for worker {number} at {port}"
        raise ConfigError(f"{listener.path}.advertise", listener.advertise, expected)
    return host, port
