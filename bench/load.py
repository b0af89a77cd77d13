"""The load generator's half of the receiving side: many subscribers, one epoll, no task each.

Every message of a run has the same size, so a delivery is counted in bytes: each subscriber is owed
`messages × size`, not one byte more. Reading costs a recv_into a shared buffer and one dictionary
update, less than any server's send; `floor` in the tables shows how fast it can go.
"""

import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

BIND_ADDRESS_NO_PORT = (
    24  # Linux: the port is chosen at connect, so sources do not run out of ports
)
PER_SOURCE = 20_000  # connections from one loopback address; the ephemeral range has 28,000
AT_ONCE = 256  # handshakes under way; below any server's accept backlog
BUFFER = 1 << 18  # bytes

Step = tuple[bytes, bytes]  # what a subscriber says (nothing: it listens), how the answer ends
Dialogue = Sequence[Step]


class LoadFailed(Exception):
    """A server hung up, refused, was silent past the deadline, or sent something else."""


class Subscribers:
    """Live subscribed connections. Not for several threads."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._receive: dict[int, Callable[[memoryview], int]] = {}
        self._buffer = memoryview(bytearray(BUFFER))
        self._kept: dict[int, bytearray] | None = None

    def __len__(self) -> int:
        return len(self._sockets)

    @classmethod
    @contextmanager
    def connect(
        cls, port: int, dialogues: Iterable[Dialogue], *, timeout: float = 60.0
    ) -> "Iterator[Subscribers]":
        """Subscribe with each dialogue; hang up all (with a reset: no TIME_WAIT is left) at the end."""
        subscribers = cls()
        try:
            subscribers._subscribe(port, iter(dialogues), time.monotonic() + timeout)
            yield subscribers
        finally:
            subscribers._hang_up()

    def receive(self, each: int, *, timeout: float = 30.0) -> None:
        """Read until every subscriber got `each` bytes.

        Raises:
            LoadFailed: one got more, or hung up, or `timeout` seconds brought nothing new.
        """
        self._collect(dict.fromkeys(self._sockets, each), timeout)

    def receive_alike(self, *, timeout: float = 30.0) -> int:
        """Read one message of a size not known yet, on every subscriber; return its size in bytes.

        One small message on a silent connection arrives whole, so the first read tells.
        """
        first = self._readable(timeout, len(self))[0]
        size = self._read(first)
        self._collect({fd: size for fd in self._sockets if fd != first}, timeout)
        return size

    def receive_for(self, seconds: float) -> int:
        """Read whatever arrives for so long; return how many bytes came."""
        end = time.monotonic() + seconds
        received = 0
        while (left := end - time.monotonic()) > 0:
            received += self.receive_ready(left)
        return received

    def receive_each(self, timeout: float = 0.0) -> Iterator[tuple[int, bytes]]:
        """What is there, or comes first within `timeout` s: a number for each subscriber, and its bytes."""
        for fd, _ in self._epoll.poll(timeout, 1024):
            size = self._read(fd)
            yield fd, bytes(self._buffer[:size])

    def receive_ready(self, timeout: float = 0.0) -> int:
        """Read what is there, or the first that comes within `timeout` s; return its bytes."""
        return sum(self._read(fd) for fd, _ in self._epoll.poll(timeout, 1024))

    def keep(self) -> None:
        """From now on keep what comes, until `kept` asks for it."""
        self._kept = {fd: bytearray() for fd in self._sockets}

    def kept(self) -> list[bytes]:
        """What came since `keep`, one text per subscriber in the order of their dialogues."""
        assert self._kept is not None, "keep() first"
        texts, self._kept = [bytes(text) for text in self._kept.values()], None
        return texts

    def say_evenly(self, text: bytes, answer: int, seconds: float) -> None:
        """Send `text` once on each connection, spread over `seconds`; read the answers.

        Raises:
            LoadFailed: not every connection was answered with `answer` bytes.
        """
        start = time.monotonic()
        owed = answer * len(self)
        for index, connection in enumerate(self._sockets.values()):
            owed -= self.receive_for(start + seconds * index / len(self) - time.monotonic())
            connection.send(text)
        owed -= self.receive_for(start + seconds - time.monotonic())
        while owed > 0 and (received := self.receive_ready(5.0)):
            owed -= received
        if owed:
            raise LoadFailed(f"the answers are {owed} bytes short of {answer * len(self)}")

    def fileno(self) -> int:
        """Readable when a subscriber is: for waiting on other things at the same time."""
        return self._epoll.fileno()

    def _collect(self, owed: dict[int, int], timeout: float) -> None:
        missing = len(owed)
        while missing:
            for fd in self._readable(timeout, missing):
                left = owed[fd] = owed.get(fd, 0) - self._read(fd)
                if left <= 0:
                    missing -= 1
                    if left < 0:
                        raise LoadFailed(f"a subscriber got {-left} bytes more than it should")

    def _readable(self, timeout: float, missing: int) -> list[int]:
        events = self._epoll.poll(timeout, 1024)
        if not events:
            raise LoadFailed(f"{missing} of {len(self)} subscribers got nothing for {timeout:g} s")
        return [fd for fd, _ in events]

    def _read(self, fd: int) -> int:
        size = self._receive[fd](self._buffer)
        if not size:
            raise LoadFailed("the server hung up on a subscriber")
        if self._kept is not None:
            self._kept[fd] += self._buffer[:size]
        return size

    def _subscribe(self, port: int, waiting: Iterator[Dialogue], deadline: float) -> None:
        talking: dict[int, _Talk] = {}
        while True:
            for dialogue in islice(waiting, AT_ONCE - len(talking)):
                connection = self._open(port)
                talking[connection.fileno()] = _Talk(connection, dialogue)
            if not talking:
                return
            for fd in self._readable(max(0.0, deadline - time.monotonic()), len(talking)):
                text = bytes(self._buffer[: self._read(fd)])
                if fd in talking and talking[fd].heard(text):  # nats pings who has subscribed
                    del talking[fd]

    def _open(self, port: int) -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_IP, BIND_ADDRESS_NO_PORT, 1)
        connection.bind((f"127.0.0.{1 + len(self) // PER_SOURCE}", 0))
        connection.connect(("127.0.0.1", port))
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fd = connection.fileno()
        self._sockets[fd], self._receive[fd] = connection, connection.recv_into
        self._epoll.register(fd, select.EPOLLIN)
        return connection

    def _hang_up(self) -> None:
        for connection in self._sockets.values():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        self._epoll.close()


class _Talk:
    """One connection's way through its dialogue."""

    def __init__(self, connection: socket.socket, dialogue: Dialogue) -> None:
        self._connection = connection
        self._steps = iter(dialogue)
        self._next_step()

    def heard(self, text: bytes) -> bool:
        """Take what the server said; True once the dialogue is over."""
        self._heard += text
        return self._heard.endswith(self._ending) and not self._next_step()

    def _next_step(self) -> bool:
        step = next(self._steps, None)
        if step is None:
            return False
        say, self._ending = step
        self._heard = b""
        if say:
            self._connection.send(say)
        return True
