"""A proxy before a database that can cut a connection right after COMMIT has gone through.

async with cutting_proxy(port) as proxy:
    proxy.cut()            the next COMMIT reaches the server, and its answer nobody
    proxy.is_open = False  and then nobody gets in any more
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio


class CuttingProxy:
    """Listens on `port`."""

    def __init__(self, listener: trio.SocketListener, to: int) -> None:
        self.port: int = listener.socket.getsockname()[1]
        self.is_open = True
        self._to = to
        self._cuts = 0
        self.done = 0  # connections cut

    def cut(self, times: int = 1) -> None:
        """Cut so many connections, each at its next COMMIT."""
        self._cuts = times

    async def carry(self, client: trio.SocketStream) -> None:
        """One connection."""
        if not self.is_open:
            return
        server = await trio.open_tcp_stream("127.0.0.1", self._to)
        connection = _Connection(client, server)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self._ask, connection, nursery.cancel_scope)
            nursery.start_soon(self._answer, connection, nursery.cancel_scope)

    async def _ask(self, connection: "_Connection", both: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in connection.client:
                if self._cuts and b"COMMIT" in data.replace(b"READ COMMITTED", b""):
                    self._cuts -= 1
                    connection.is_doomed = True
                await connection.server.send_all(data)
        both.cancel()

    async def _answer(self, connection: "_Connection", both: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in connection.server:
                if connection.is_doomed:  # it is committed, and nobody hears of it
                    self.done += 1
                    break
                await connection.client.send_all(data)
        both.cancel()


@dataclass
class _Connection:
    client: trio.SocketStream
    server: trio.SocketStream
    is_doomed: bool = False


@asynccontextmanager
async def cutting_proxy(to: int) -> AsyncIterator[CuttingProxy]:
    """A proxy to that port of loopback, until the block ends."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy = CuttingProxy(listener, to)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, proxy.carry, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
