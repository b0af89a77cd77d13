"""One readiness loop for every subscribed socket: no task, no buffer, no timer per client.

An epoll descriptor is itself waitable, so trio sees a single one, whatever it holds.
"""

import enum
import select
from typing import Protocol

import trio

from appmodel.io.contain import contain_bugs

BATCH = 256  # events between two checkpoints: 2 to 4 ms
PACE = 0.05  # seconds between two looks while there are heartbeats only, so that they gather

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


class Batch(enum.Enum):
    """What a look at all sockets found."""

    NOTHING = enum.auto()
    BEATS = enum.auto()  # heartbeats, and nothing else
    MIXED = enum.auto()


NOTHING, BEATS, MIXED = Batch  # looked up once: see comet/core/channel.py


class HasFileno(Protocol):
    """A socket, or what has one."""

    def fileno(self) -> int: ...


class Polled(Protocol):
    """The owner of a socket. Its methods never block; they may remove any socket from the poller."""

    def on_readable(self) -> bool:
        """Bytes, or the end, or an error are there to be read; True if it was only a heartbeat."""

    def on_writable(self) -> None:
        """The kernel takes bytes again."""

    def drop(self, reason: str) -> None:
        """Close at once."""


class Poller:
    """Level-triggered: what a callback leaves unread is reported again."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._clients: dict[int, Polled] = {}
        self._serving: Polled | None = None  # whose callback runs, or ran last
        self._emptied = trio.Event()
        self.bugs = 0  # contained, each with its traceback in the log

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, sock: HasFileno, client: Polled) -> None:
        """Watch `sock` for bytes."""
        fd = sock.fileno()
        self._epoll.register(fd, _READ)
        self._clients[fd] = client

    def watch_writes(self, sock: HasFileno, *, wanted: bool) -> None:
        """Also report, or no longer report, that `sock` takes bytes."""
        self._epoll.modify(sock.fileno(), _READ | _WRITE if wanted else _READ)

    def watch(self, sock: HasFileno, *, reads: bool, writes: bool) -> None:
        """What is reported of `sock`; that it broke always is."""
        self._epoll.modify(sock.fileno(), reads * _READ | writes * _WRITE)

    def remove(self, sock: HasFileno) -> None:
        """Forget `sock`; call it before closing."""
        fd = sock.fileno()
        del self._clients[fd]
        self._epoll.unregister(fd)
        if not self._clients:
            self._emptied.set()
            self._emptied = trio.Event()

    def close(self) -> None:
        """Drop everybody."""
        for client in tuple(self._clients.values()):
            client.drop("stopped")
        self._epoll.close()

    async def wait_empty(self) -> None:
        """Until nobody is watched."""
        if self._clients:
            await self._emptied.wait()

    async def run(self) -> None:
        """Serve until cancelled.

        Heartbeats can wait a moment: a wake-up costs several times as much as answering one. So after
        a batch of nothing else the next look is PACE later, by the clock and not by the socket.
        """
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            while self._serve_batch() is BEATS:  # noqa: ASYNC110  # no event: it would wake us for each
                await trio.sleep(PACE)

    def _serve_batch(self) -> Batch:
        # One guard a batch, not one an event: what it cuts off is reported again by the next poll.
        batch = NOTHING
        with contain_bugs("comet poller", self._drop_serving):
            events = self._epoll.poll(0, BATCH)
            batch = BEATS if events else NOTHING
            for fd, event in events:
                client = self._serving = self._clients.get(fd)
                if client is not None and event & _WRITE:
                    client.on_writable()
                    batch = MIXED
                    client = self._clients.get(fd)
                if client is not None and event & ~_WRITE and not client.on_readable():
                    batch = MIXED
        return batch

    def _drop_serving(self, _bug: BaseException) -> None:
        self.bugs += 1
        if self._serving is not None:
            with contain_bugs("comet poller", self._count):  # it may be the same bug again
                self._serving.drop("internal error")

    def _count(self, _bug: BaseException) -> None:
        self.bugs += 1
