"""Version 2 clients that go where they are told: one epoll, no task each, and every message counted.

    server  ... close frame 4000 "moved ws://127.0.0.1:40002"
    client  GET /sub?key=u7@user&heartbeat=3600&ver=2&mid=<the last id that it had>

Each has a key of its own, u0@user, u1@user, ... and resumes from its last id, as a client library does. It is told
apart what came twice, and nothing is sent by it but its request.
"""

import re
import select
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bench.frames import frame_size, upgrade_request
from bench.load import AT_ONCE, BIND_ADDRESS_NO_PORT, LoadFailed
from bench.servers import LONG

TEXT, CLOSE = 0x81, 0x88
HEAD_END = b"\r\n\r\n"
WELCOME = b"+h\r\n"
BUFFER = 1 << 16
_MESSAGE = re.compile(rb'"n":"(\d{8})".*"mid":(\d+)', re.DOTALL)
_MOVED = re.compile(rb"moved ws://127\.0\.0\.1:(\d+)")


class Nomad:
    """One client."""

    __slots__ = ("_heard", "_is_open", "key", "last_id", "port", "received", "socket")

    def __init__(self, key: str) -> None:
        self.key = key
        self.port = 0  # where it is, or was last
        self.last_id = 0
        self.received: list[int] = []  # numbers of messages
        self.socket: socket.socket | None = None

    def attach(self, connection: socket.socket, port: int) -> None:
        """Ask on this connection, to a comet at `port`."""
        self.port, self._heard, self._is_open = port, b"", False
        self.socket = connection
        target = f"/sub?key={self.key}&heartbeat={LONG}&ver=2&mid={self.last_id}"
        connection.sendall(upgrade_request(port, target))
        connection.setblocking(False)

    def hang_up(self) -> None:
        """With a reset: no TIME_WAIT is left."""
        if self.socket is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.socket.close()
            self.socket = None

    def hear(self, data: bytes) -> bool:
        """Take what came; whether it was welcomed with it.

        Raises:
            LoadFailed: it was refused, or its ids do not rise.
        """
        self._heard += data
        if not self._is_open:
            head, end, rest = self._heard.partition(HEAD_END)
            if not end:
                return False
            if not head.startswith(b"HTTP/1.1 101 "):
                raise LoadFailed(f"{self.key} was refused: {head!r}")
            self._is_open, self._heard = True, rest
        welcomed = False
        for payload in self._frames():
            if payload == WELCOME:
                welcomed = True
            else:
                self._take(payload)
        return welcomed

    def moved_to(self) -> int | None:
        """The port that it was told to go to, if its connection was closed so."""
        found = _MOVED.search(self._heard) if self._heard[:1] == bytes((CLOSE,)) else None
        return int(found[1]) if found else None

    def _frames(self) -> Iterator[bytes]:
        """Text messages that are whole; a close frame stays."""
        while len(self._heard) >= 4 and self._heard[0] == TEXT:
            size = frame_size(self._heard)
            if len(self._heard) < size:
                return
            frame, self._heard = self._heard[:size], self._heard[size:]
            yield frame[2 if frame[1] < 126 else 4 :]

    def _take(self, payload: bytes) -> None:
        found = _MESSAGE.search(payload)
        if found is None:
            raise LoadFailed(f"{self.key} got {payload!r}")
        message_id = int(found[2])
        if message_id <= self.last_id:
            raise LoadFailed(f"{self.key} got id {message_id} after {self.last_id}")
        self.last_id = message_id
        self.received.append(int(found[1]))


class Nomads:
    """All of them."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.clients = [Nomad(key) for key in keys]
        self.at: dict[int, int] = {}  # clients that were welcomed, by port
        self.moves: list[float] = []  # when one was welcomed elsewhere, on the monotonic clock
        self._epoll = select.epoll()
        self._here: dict[int, Nomad] = {}
        self._buffer = memoryview(bytearray(BUFFER))

    @classmethod
    @contextmanager
    def connect(cls, keys: Iterable[str], port: int) -> "Iterator[Nomads]":
        """All of them subscribed there; hang up at the end."""
        nomads = cls(keys)
        try:
            for number, client in enumerate(nomads.clients):
                nomads.dial(client, port)
                while number >= nomads.at.get(port, 0) + AT_ONCE:
                    nomads.roam(1.0)
            while nomads.at.get(port, 0) < len(nomads.clients):
                nomads.roam(1.0)
            nomads.moves.clear()
            yield nomads
        finally:
            for client in nomads.clients:
                client.hang_up()
            nomads._epoll.close()

    def roam(self, seconds: float) -> None:
        """Read what is there, or comes first in that time; go where that leads."""
        for fd, _ in self._epoll.poll(seconds, 1024):
            client = self._here[fd]
            assert client.socket is not None
            try:
                size = client.socket.recv_into(self._buffer)
            except ConnectionResetError:
                size = 0
            if client.hear(bytes(self._buffer[:size])):
                self.at[client.port] = self.at.get(client.port, 0) + 1
                self.moves.append(time.monotonic())
            if not size:
                self._go(client)

    def _go(self, client: Nomad) -> None:
        port = client.moved_to()
        if port is None:
            raise LoadFailed(f"the server hung up on {client.key} and did not say where to go")
        assert client.socket is not None
        self._epoll.unregister(client.socket)
        del self._here[client.socket.fileno()]
        client.socket.close()
        self.at[client.port] -= 1
        self.dial(client, port)

    def dial(self, client: Nomad, port: int) -> None:
        """Send a client there."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_IP, BIND_ADDRESS_NO_PORT, 1)
        connection.connect(("127.0.0.1", port))
        client.attach(connection, port)
        self._here[connection.fileno()] = client
        self._epoll.register(connection, select.EPOLLIN)
