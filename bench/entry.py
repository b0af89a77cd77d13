"""How a push gets into each server, from one process, over loopback.

    ours          POST /1/admin/push/private on 8091, one keep-alive connection per push at once
    light-push    POST /api/auth/push on 10002
    Node          the request of ours; its http server takes the body and answers
    websockets    a control WebSocket: each text message on it is sent to all others (it has no POST)
    floor         the same
    nats-server   PUB on a client connection

So ours and Node pay for HTTP, the others for a frame; ours also for checking the JSON, an id and an
envelope. A push to 1,000 is compared with all of that in it.
"""

import json
import re
import socket
from collections.abc import Sequence
from typing import Protocol

from bench.frames import client_frame, upgrade_request
from bench.load import LoadFailed

TIMEOUT = 30.0  # seconds for one read or write of a push
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Entry(Protocol):
    """Where pushes go in. `close` it."""

    def push(self, bodies: Sequence[bytes]) -> None:
        """Send all of them at once, to all subscribers of the key `bench`."""

    def confirm(self) -> None:
        """Wait for the answers, if this server gives any. Raises LoadFailed on a refusal."""

    def close(self) -> None: ...


class ControlEntry:
    """One connection that only speaks."""

    def __init__(self, connection: socket.socket, before: bytes, after: bytes) -> None:
        self._connection = connection
        self._before = before
        self._after = after

    @classmethod
    def websocket(cls, port: int, size: int) -> "ControlEntry":
        """Messages of `size` bytes on the path /control."""
        connection = _dial(port)
        connection.sendall(upgrade_request(port, "/control"))
        _read_until(connection, b"\r\n\r\n")
        return cls(connection, client_frame(bytes(size))[:-size], b"")

    @classmethod
    def nats(cls, port: int, size: int) -> "ControlEntry":
        """PUB of `size` bytes to the subject `bench`."""
        connection = _dial(port)
        _read_until(connection, b"\r\n")
        connection.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        _read_until(connection, b"PONG\r\n")
        return cls(connection, b"PUB bench %d\r\n" % size, b"\r\n")

    def push(self, bodies: Sequence[bytes]) -> None:
        self._connection.sendall(b"".join(self._before + body + self._after for body in bodies))

    def confirm(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        self._connection.close()


class HttpEntry:
    """Keep-alive connections to a REST port: one request on each at a time.

    Args:
        form: what is posted, with the message in the place of `%b`.
        headers: more of them, each with its line's end.
        good: what is in the answer to a push that was taken.
    """

    def __init__(
        self,
        port: int,
        at_once: int,
        target: str = "/1/admin/push/private?key=bench&expire=0",
        *,
        form: bytes = b"%b",
        headers: str = "",
        good: bytes = b'"ret":0',
    ) -> None:
        self._connections = [_dial(port) for _ in range(at_once)]
        self._head = (
            f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}"
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        )
        self._form, self._good = form, good
        self._asked: list[socket.socket] = []

    def push(self, bodies: Sequence[bytes]) -> None:
        for connection, body in zip(self._connections, bodies, strict=False):
            text = self._form % body
            connection.sendall(self._head.format(len(text)).encode() + text)
            self._asked.append(connection)

    def confirm(self) -> None:
        for connection in self._asked:
            answer = read_response(connection)
            if self._good not in answer:
                raise LoadFailed(f"a push was refused: {answer[:300]!r}")
        self._asked.clear()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class OrderEntry:
    """POST /v2/push on one keep-alive connection: one push to all of `names` at a time."""

    def __init__(self, port: int, names: Sequence[str], ttl: int) -> None:
        """`ttl` in seconds; 0: not stored."""
        self._connection = _dial(port)
        self._port, self._names, self._ttl = port, names, ttl

    def push(self, message: bytes) -> None:
        """Send it; `message` is JSON."""
        names = json.dumps(self._names, separators=(",", ":")).encode()
        text = b'{"to":%b,"msg":%b,"ttl":%d}' % (names, message, self._ttl)
        head = (
            f"POST /v2/push HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        self._connection.sendall(head.encode() + text)

    def confirm(self) -> None:
        """Wait for the answer. Raises LoadFailed on a refusal."""
        answer = read_response(self._connection)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise LoadFailed(f"a push to {len(self._names)} keys was answered {answer[:300]!r}")

    def close(self) -> None:
        self._connection.close()


class CompanyEntry:
    """POST /app/client/device/push on one keep-alive connection: messages of one user."""

    def __init__(self, port: int, token: str, *, sender: str, ttl: int) -> None:
        """`ttl` in seconds."""
        self._connection = _dial(port)
        self._port, self._token, self._sender, self._ttl = port, token, sender, ttl

    def push(self, to: str, number: int) -> None:
        """Send a message to a name; messages of all numbers have one size."""
        base = {"token": self._token, "deviceID": "d0", "deviceType": "iOS"}
        msg = {
            "fromUserName": f"{self._sender}@user",
            "toUserName": to,
            "content": f"hello {number:05d}",
            "msgType": 1,
            "expire": self._ttl,
        }
        text = json.dumps({"baseRequest": base, "msg": msg}).encode()
        head = (
            f"POST /app/client/device/push HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Content-Length: {len(text)}\r\n\r\n"
        )
        self._connection.sendall(head.encode() + text)

    def confirm(self) -> None:
        """Wait for the answer. Raises LoadFailed on a refusal."""
        answer = read_response(self._connection)
        if b'"ret":0' not in answer:
            raise LoadFailed(f"a message was answered {answer[-300:]!r}")

    def close(self) -> None:
        self._connection.close()


def read_response(connection: socket.socket) -> bytes:
    """One HTTP response with a Content-Length, from its status line to its last byte."""
    text = _read_until(connection, b"\r\n\r\n")
    head, end, body = text.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + end)
    if length is None:
        raise LoadFailed(f"an answer without Content-Length: {head[:200]!r}")
    while len(body) < int(length[1]):
        body += _receive(connection)
    return head + end + body


def _dial(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read_until(connection: socket.socket, ending: bytes) -> bytes:
    text = b""
    while ending not in text:
        text += _receive(connection)
    return text


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise LoadFailed("the server closed the connection of a push")
    return data
