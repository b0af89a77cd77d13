"""The load generator's half of the calling side: REST pushes on keep-alive connections, and when they went in.

Each connection has one push under way; its number is in the message (bench/messages.py), so whoever receives it
can tell how long it took.
"""

import select
import socket
import time

from bench.load import LoadFailed
from bench.messages import body

BUFFER = 1 << 16  # bytes
_END = b"\r\n\r\n"


class Callers:
    """`count` connections to web's admin listener. `close` them."""

    def __init__(self, port: int, count: int) -> None:
        self._epoll = select.epoll()
        self._idle: list[socket.socket] = []
        self._heard: dict[int, tuple[socket.socket, bytes]] = {}  # who waits: the answer so far
        self.sent_at: list[float] = []  # by number of the push, on the monotonic clock
        self.answered = 0
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._epoll.register(connection, select.EPOLLIN)
            self._idle.append(connection)

    @property
    def are_idle(self) -> bool:
        """Whether another push may go in."""
        return bool(self._idle)

    @property
    def is_waiting(self) -> bool:
        """Whether a push is not answered yet."""
        return bool(self._heard)

    def push(self, name: str, ttl: int) -> None:
        """Send the next one. `ttl` in seconds; 0: not stored."""
        connection = self._idle.pop()
        text = body(len(self.sent_at))
        head = (
            f"POST /1/admin/push/private?key={name}&expire={ttl} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        self._heard[connection.fileno()] = connection, b""
        self.sent_at.append(time.monotonic())
        connection.sendall(head.encode() + text)

    def collect(self) -> None:
        """Read the answers that are there.

        Raises:
            LoadFailed: a push was refused, or the server hung up.
        """
        for fd, _ in self._epoll.poll(0):
            connection, text = self._heard[fd]
            data = connection.recv(BUFFER)
            if not data:
                raise LoadFailed("web closed the connection of a push")
            text += data
            if text.endswith(b"}"):  # the answer is one JSON object, and its last byte ends it
                if b'"ret":0' not in text.partition(_END)[2]:
                    raise LoadFailed(f"a push was refused: {text[:300]!r}")
                del self._heard[fd]
                self._idle.append(connection)
                self.answered += 1
            else:
                self._heard[fd] = connection, text

    def fileno(self) -> int:
        """Readable when an answer is there."""
        return self._epoll.fileno()

    def close(self) -> None:
        for connection in [*self._idle, *(connection for connection, _ in self._heard.values())]:
            connection.close()
        self._epoll.close()
