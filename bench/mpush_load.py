"""The load on Mpush: callers that push by GET, and a device that acknowledges what it gets, at once.

    GET /phone?title=t000017    ok         the number is in the title: what arrives is told apart, lost and doubled too
    closed                      each connection asks again when it was answered
    open                        so many a second, whatever became of those before: a time runs from when a push was due

One thread, raw sockets. It waits by select(2) on one epoll, for epoll itself counts in milliseconds, and it never spins.
"""

import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager

from bench.frames import client_frame, frame_size
from bench.load import LoadFailed
from bench.mpush_servers import MpushServer

NAME = "phone"
SILENCE = 20.0  # seconds without a byte after which something is missing
BUFFER = 1 << 18  # bytes
AT_ONCE = 1_000  # acknowledgements in one frame
LONGEST_HEAD = 10  # bytes, of a frame
HEADS = {b"\x7e": 4, b"\x7f": LONGEST_HEAD}  # bytes, by what says how long the length is; else 2
_END = b"\r\n\r\n"
_MESSAGE = re.compile(rb'"title":"t(\d+)","content":"","mid":"(\d{13})"')


class Phone:
    """The device. `close` it."""

    def __init__(self, server: MpushServer, name: str = NAME) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.devices), SILENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self.got: list[int] = []  # numbers, as they came
        self.mids: list[int] = []
        for say, ending in server.login(name):
            self._socket.sendall(say)
            self._read_until(ending)

    def fileno(self) -> int:
        return self._socket.fileno()

    def hear(self) -> int:
        """Read what is there, and acknowledge its messages; how many came.

        Raises:
            LoadFailed: the server hung up.
        """
        data = self._socket.recv(BUFFER)
        if not data:
            raise LoadFailed("the server hung up on the device")
        found = [one for payload in self._frames(data) for one in _MESSAGE.findall(payload)]
        self.got += [int(number) for number, _ in found]
        self.mids += [int(mid) for _, mid in found]
        for first in range(0, len(found), AT_ONCE):
            mids = b'","'.join(mid for _, mid in found[first : first + AT_ONCE])
            text = b'{"cmd":"SENDMSG_CB","data":{"midList":["%b"]}}' % mids
            self._socket.sendall(client_frame(text))
        return len(found)

    def wait(self, timeout: float) -> bool:
        """Whether there is something to hear within `timeout` s."""
        return bool(select.select([self._socket], [], [], timeout)[0])

    def close(self) -> None:
        self._socket.close()

    def _frames(self, data: bytes) -> Iterator[bytes]:
        data = self._rest + data
        start = 0
        while len(head := data[start : start + LONGEST_HEAD]) >= HEADS.get(head[1:2], 2):
            size = frame_size(head)
            if start + size > len(data):
                break
            yield data[start : start + size]
            start += size
        self._rest = data[start:]

    def _read_until(self, ending: bytes) -> None:
        """What comes with the end of a login belongs to what is heard next."""
        said = b""
        while ending not in said:
            data = self._socket.recv(BUFFER)
            if not data:
                raise LoadFailed(f"the server hung up on a login: {said!r}")
            said += data
        self._rest = said.partition(ending)[2]


class Pushers:
    """`count` keep-alive connections, used in turn. `close` them."""

    def __init__(self, port: int, count: int, *, name: str = NAME, word: bytes = b"ok\n") -> None:
        """`word`: the answer that is expected."""
        self._epoll = select.epoll()
        self._idle: deque[socket.socket] = deque()
        self._asked: dict[int, tuple[socket.socket, float, bytes]] = {}
        self._head, self._word = f"GET /{name}?title=t", word
        self.asked = 0
        self.seconds: list[float] = []  # that each took
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), SILENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._epoll.register(connection, select.EPOLLIN)
            self._idle.append(connection)

    @property
    def are_idle(self) -> bool:
        """Whether another push may go in."""
        return bool(self._idle)

    @property
    def are_waiting(self) -> bool:
        """Whether a push is not answered yet."""
        return bool(self._asked)

    def push(self, due: float) -> None:
        """Send the next one. `due`: when its time begins, on the monotonic clock."""
        connection = self._idle.popleft()
        request = f"{self._head}{self.asked:06} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        self.asked += 1
        self._asked[connection.fileno()] = connection, due, b""
        connection.sendall(request.encode())

    def collect(self) -> None:
        """Read the answers that are there.

        Raises:
            LoadFailed: another word than was expected, or the server hung up.
        """
        for fd, _ in self._epoll.poll(0):
            connection, due, text = self._asked[fd]
            data = connection.recv(BUFFER)
            if not data:
                raise LoadFailed("the server closed the connection of a push")
            text += data
            word = text.partition(_END)[2]
            if not word.endswith(b"\n"):
                self._asked[fd] = connection, due, text
                continue
            if word != self._word:
                raise LoadFailed(f"a push was answered {text[:300]!r}, not {self._word!r}")
            del self._asked[fd]
            self._idle.append(connection)
            self.seconds.append(time.monotonic() - due)

    def fileno(self) -> int:
        """Readable when an answer is there."""
        return self._epoll.fileno()

    def close(self) -> None:
        for connection in [*self._idle, *(connection for connection, *_ in self._asked.values())]:
            connection.close()
        self._epoll.close()


class Load:
    """Pushers and the device, of one server. `close` it."""

    def __init__(self, pushers: Pushers, phone: Phone | None = None) -> None:
        """`phone`: None: the device is away."""
        self._pushers, self._phone = pushers, phone
        self._poller = select.epoll()
        self._poller.register(pushers, select.EPOLLIN)
        if phone is not None:
            self._poller.register(phone, select.EPOLLIN)

    @classmethod
    @contextmanager
    def opened(cls, server: MpushServer, connections: int) -> "Iterator[Load]":
        """With the device logged in."""
        with (
            closing(Phone(server)) as phone,
            closing(Pushers(server.http, connections)) as pushers,
            closing(cls(pushers, phone)) as load,
        ):
            yield load

    def push_as_answered(self, seconds: float) -> list[float]:
        """The closed loop: the seconds that each took. Raises LoadFailed."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            while self._pushers.are_idle:
                self._pushers.push(now)
            self._hear(0.1)
        return self._finish()

    def push_steadily(self, seconds: float, rate: float) -> list[float]:
        """The open loop: the seconds from when each was due. Raises LoadFailed."""
        began, first = time.monotonic(), self._pushers.asked
        count = int(seconds * rate)
        while (sent := self._pushers.asked - first) < count:
            due = began + sent / rate
            left = due - time.monotonic()
            if left <= 0 and self._pushers.are_idle:
                self._pushers.push(due)
            self._hear(left if left > 0 else 0.0 if self._pushers.are_idle else 0.1)
        return self._finish()

    def push_all(self, count: int) -> list[float]:
        """So many, as they are answered. Raises LoadFailed."""
        last = self._pushers.asked + count
        while self._pushers.asked < last:
            while self._pushers.are_idle and self._pushers.asked < last:
                self._pushers.push(time.monotonic())
            self._hear(0.1)
        return self._finish()

    def check(self) -> None:
        """Everything that was pushed arrived. Raises LoadFailed."""
        if self._phone is None or (lost := self._pushers.asked - len(set(self._phone.got))) == 0:
            return
        raise LoadFailed(f"{lost} of {self._pushers.asked} pushes did not arrive")

    def close(self) -> None:
        """Pushers and device stay."""
        self._poller.close()

    def _finish(self) -> list[float]:
        heard = time.monotonic()
        while self._pushers.are_waiting:
            if self._hear(0.1):
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE:
                raise LoadFailed(f"no answer for {SILENCE:g} s")
        seconds, self._pushers.seconds = self._pushers.seconds, []
        return seconds

    def _hear(self, timeout: float) -> bool:
        """Let the device acknowledge first: who waits for an answer waits for that."""
        if not select.select([self._poller], [], [], timeout)[0]:
            return False
        ready = {fd for fd, _ in self._poller.poll(0)}
        if self._phone is not None and self._phone.fileno() in ready:
            self._phone.hear()
        self._pushers.collect()
        return True
