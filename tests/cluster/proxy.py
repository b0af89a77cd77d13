"""A proxy that can lose a neighbour: what a partition does to the connections of one process.

    with faulty_proxy(port) as proxy:
        proxy.port                  dial this instead
        with proxy.cut_off(pid):    what that process sends and is sent stays here, new connections too:
            ...                     no byte, no end, no refusal; afterwards all of it goes on

As with lost packets, nobody is told anything: connections stay open, and what was on its way arrives
late. Whose connection it is says /proc, so every other process goes on undisturbed, and no
privilege is needed.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from appmodel.io.listener import open_sockets

CHUNK = 64 * 1024  # bytes
POLL = 0.02  # seconds between two looks whether a connection may go on
HOST = "127.0.0.1"


class FaultyProxy:
    """In front of one port of loopback. It runs in a thread of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        [self._listening] = open_sockets(HOST, 0)
        self.port: int = self._listening.getsockname()[1]
        self._cut: int | None = None  # the process
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()

    @contextmanager
    def cut_off(self, pid: int) -> Iterator[None]:
        """That process is away for the length of the block."""
        self._cut = pid
        try:
            yield
        finally:
            self._cut = None

    def run(self, started: threading.Event) -> None:
        """Until `end`."""
        trio.run(self._serve, started)

    def end(self) -> None:
        """From another thread."""
        assert self._token is not None
        self._token.run_sync_soon(self._scope.cancel)

    async def _serve(self, started: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listening))
        started.set()
        with self._scope:
            await trio.serve_listeners(self._handle, [listener])

    async def _handle(self, near: trio.SocketStream) -> None:
        inode = _inode(near.socket.getpeername()[1], self.port)
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            async with near:
                await self._until_heard(inode)
                async with (
                    await trio.open_tcp_stream(HOST, self._target) as far,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(self._pump, near, far, inode, nursery.cancel_scope)
                    nursery.start_soon(self._pump, far, near, inode, nursery.cancel_scope)

    async def _pump(
        self,
        source: trio.SocketStream,
        target: trio.SocketStream,
        inode: int,
        both: trio.CancelScope,
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some(CHUNK):
                await self._until_heard(inode)
                await target.send_all(data)
        await self._until_heard(inode)
        both.cancel()

    async def _until_heard(self, inode: int) -> None:
        # another thread says when it is over
        while (pid := self._cut) is not None and inode in _inodes(pid):  # noqa: ASYNC110
            await trio.sleep(POLL)


@contextmanager
def faulty_proxy(target: int) -> Iterator[FaultyProxy]:
    """It forwards until the block ends."""
    proxy = FaultyProxy(target)
    started = threading.Event()
    thread = threading.Thread(target=proxy.run, args=[started])
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        proxy.end()
        thread.join()


def _inode(port: int, to: int) -> int:
    """Of the socket of loopback that is bound to `port` and connected to `to`. See proc(5)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[2].endswith(f":{to:04X}"):
            return int(fields[9])
    return 0


def _inodes(pid: int) -> frozenset[int]:
    """Of all sockets that a process holds; none, if it has ended."""
    found = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                link = Path(entry.path).readlink().name
                if link.startswith("socket:["):
                    found.add(int(link[8:-1]))
    return frozenset(found)
