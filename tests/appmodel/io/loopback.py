"""A server of calls and its clients, over real loopback connections.

async with serving(handlers) as served, calling(served.address) as client: ...
async with over_rpc(pusher_handlers(pusher)) as client: RemotePusher(client, PATIENCE)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from appmodel.io.listener import open_sockets
from appmodel.io.rpc_client import RpcClient
from appmodel.io.rpc_link import RpcLimits
from appmodel.io.rpc_server import Handlers, serve_rpc

SECRET = b"the cluster's secret"
PATIENCE = 40.0  # seconds after which a test has failed; nothing takes a fraction of it
LIMITS = RpcLimits(  # a machine that stands still for two seconds breaks no law
    connect_timeout=PATIENCE, retry_pause=0.001, max_retry_pause=0.01
)


@dataclass
class Served:
    """A server under test."""

    address: str
    stop: trio.Event
    done: trio.Event  # `serve_rpc` has returned
    scope: trio.CancelScope

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def kill(self) -> None:
        """As a process dies: its sockets close, nothing is said."""
        self.scope.cancel()


@asynccontextmanager
async def serving(
    handlers: Handlers,
    *,
    secret: bytes | None = SECRET,
    limits: RpcLimits = LIMITS,
    port: int = 0,
) -> AsyncIterator[Served]:
    """A server until the block ends."""
    sockets = open_sockets("127.0.0.1", port)
    address = f"127.0.0.1:{sockets[0].getsockname()[1]}"

    served = Served(address, trio.Event(), trio.Event(), trio.CancelScope())

    async def serve() -> None:
        with served.scope:
            await serve_rpc(sockets, handlers, secret=secret, stop=served.stop, limits=limits)
            served.done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        yield served
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def calling(
    address: str, *, secret: bytes | None = SECRET, limits: RpcLimits = LIMITS
) -> AsyncIterator[RpcClient]:
    """A client until the block ends."""
    client = RpcClient(address, secret=secret, limits=limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        yield client
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def over_rpc(handlers: Handlers) -> AsyncIterator[RpcClient]:
    """Both."""
    async with serving(handlers) as served, calling(served.address) as client:
        yield client
