"""Several comets, each with a listener for clients of Engine.IO: who comes to which is for the test to say.

async with open_site("a", "b") as site:
    target = await site.begin("a")
    reply = await (await site.connect("b")).get(target)
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

from appmodel.io.http import FrontDoor
from appmodel.io.listener import bound_to, open_sockets
from comet.config import CometConfig
from tests.comet.engine_world import Echo, EngineClient, opened
from tests.comet.several import FAST, Cluster, open_cluster
from tests.comet.world import World, changed

ON = changed(FAST, "socketio", path="/engine.io/")


@dataclass
class Site:
    """Comets, each with a listener for clients."""

    cluster: Cluster
    ports: dict[str, int]
    heard: list[Echo] = field(default_factory=list)

    def world(self, name: str) -> World:
        """That comet."""
        return self.cluster.worlds[name]

    async def connect(self, name: str, tls: ssl.SSLContext | None = None) -> EngineClient:
        """A bare connection to that comet."""
        stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", self.ports[name])
        if tls is not None:
            stream = trio.SSLStream(stream, tls, server_hostname="localhost")
        client = EngineClient(stream)
        self.world(name).clients.append(client)
        return client

    async def begin(self, name: str, revision: int = 4, tls: ssl.SSLContext | None = None) -> str:
        """A polling session of that comet; the target of its requests."""
        client = await self.connect(name, tls)
        reply = await client.get(f"EIO={revision}&transport=polling")
        assert reply.status == 200, reply
        text = reply.body.decode()
        sid = opened(text if revision == 4 else text.partition(":")[2])["sid"]
        return f"EIO={revision}&transport=polling&sid={sid}"

    async def move_to_websocket(self, client: EngineClient, target: str) -> None:
        """What a client does to leave polling."""
        await client.upgrade(target.replace("polling", "websocket"))
        await client.say("2probe")
        assert await client.hear() == "3probe"
        await client.say("5")


@asynccontextmanager
async def open_site(
    *names: str,
    config: CometConfig = ON,
    tls: ssl.SSLContext | None = None,
    echoes: bool = True,
) -> AsyncIterator[Site]:
    """Comets of these names. `tls`: of their listeners. `echoes`: what clients say comes back; else they talk
    Socket.IO."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(open_cluster(*names, config=config))
        nursery = await stack.enter_async_context(trio.open_nursery())
        site = Site(cluster, {})
        for name, world in cluster.worlds.items():
            if echoes:
                world.comet.socketio.engine.open = lambda transport: Echo(transport, site.heard)
            door = world.comet.socketio.door
            front = FrontDoor(door.routes, render_error=door.render)
            sockets = open_sockets("127.0.0.1", 0)
            site.ports[name] = bound_to(sockets).port
            nursery.start_soon(partial(front.serve, sockets, stop=trio.Event(), tls=tls))
        try:
            yield site
        finally:
            nursery.cancel_scope.cancel()
