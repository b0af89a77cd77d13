"""Several comets in one process, around one store and one registry.

async with open_cluster("a", "b") as cluster:
    client = await cluster.stranger("k").subscriber("k")
    await cluster.owner("k").push("k")
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.message import Presence
from appmodel.core.names import parse_key
from appmodel.core.units import Duration
from appmodel.io.registry_embedded import EmbeddedRegistry
from comet.config import CometConfig
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.comet.world import LIMIT, World, changed, open_comet

# The lease is that of production: with a short one a busy machine is taken for a comet that is silent.
FAST = changed(CometConfig(), "cluster", move_rate=10_000, skew=Duration(2))


@dataclass
class Cluster:
    """Comets by name, and what they share."""

    registry: EmbeddedRegistry
    store: MemoryStore
    worlds: dict[str, World]
    stack: AsyncExitStack
    config: CometConfig

    async def join(self, name: str, incarnation: int = 1) -> World:
        """One more comet, on the ring."""
        me = Node(Role.COMET, name, incarnation)
        world = await self.stack.enter_async_context(
            open_comet(self.config, store=self.store, registry=self.registry, me=me)
        )
        self.worlds[name] = world
        return world

    def owner(self, key: str) -> World:
        """The comet that owns `key`."""
        node = self.registry.view.owner(parse_key(key))
        assert node is not None
        return self.worlds[node.name]

    def stranger(self, key: str) -> World:
        """A comet that does not."""
        return next(world for world in self.worlds.values() if world is not self.owner(key))

    async def change(self, name: str, **values: object) -> None:
        """Announce a comet anew."""
        comet = self.worlds[name].comet
        comet.node = msgspec.structs.replace(comet.node, **values)
        await self.registry.register(comet.node)

    async def presence(self, key: str) -> Presence:
        """As its owner sees it."""
        [found] = await self.owner(key).comet.pusher.presence([parse_key(key)])
        return found


@asynccontextmanager
async def open_cluster(*names: str, config: CometConfig = FAST) -> AsyncIterator[Cluster]:
    """Comets of these names, all ready."""
    store = MemoryStore(MessageConfig())
    async with AsyncExitStack() as stack:
        cluster = Cluster(EmbeddedRegistry(), store, {}, stack, config)
        for name in names:
            await cluster.join(name)
        yield cluster


async def until_online(cluster: Cluster, key: str, online: int) -> None:
    """Wait until the owner knows of so many."""
    with trio.fail_after(LIMIT):
        while (await cluster.presence(key)).online != online:
            await trio.lowlevel.checkpoint()


async def settled(cluster: Cluster) -> None:
    """Wait until all comets have followed the view."""
    for world in cluster.worlds.values():
        membership = world.comet.membership
        await world.until(lambda m=membership: m.settled >= cluster.registry.view.version)  # type: ignore[misc]
