"""Connections that want a client id, without a transport: their life is set by hand.

first = await arrive(cluster.worlds["a"])      claims, and joins its key, as light-push's rules do
first.is_alive = False                         from now on it proves nothing
"""

from dataclasses import dataclass, field

import trio

from appmodel.core.names import Key
from appmodel.core.realms import client_key
from comet.core.channel import Channel
from tests.comet.fakes import Taker
from tests.comet.world import World

CLIENT = client_key("/demo", "/demo#u1#web-d1")


@dataclass(eq=False)
class Visitor:
    """A `Claimant`. `proof`: if set, a proof takes until then."""

    world: World
    key: Key = CLIENT
    is_alive: bool = True
    was_ousted: bool = False
    asked: int = 0  # proofs of life that were wanted
    proof: trio.Event | None = None
    asked_for: trio.Event = field(default_factory=trio.Event)
    channel: Channel | None = None
    member: Taker = field(default_factory=Taker)

    async def shows_life(self, within: float) -> bool:
        """As it is when it is asked; a connection that has ended shows none."""
        self.asked += 1
        self.asked_for.set()
        with trio.move_on_after(within):
            if self.proof is not None:
                await self.proof.wait()
        await trio.lowlevel.checkpoint()
        return self.is_alive and not self.was_ousted

    def oust(self, reason: str) -> None:
        """As a transport that ends does: the rules hear of it."""
        assert reason
        assert not self.was_ousted
        self.was_ousted = True
        self.go()

    def go(self) -> None:
        """It has gone, whoever ended it."""
        self.world.comet.claims.release(self.key, self)
        if self.channel is not None:
            self.world.comet.live.hub.leave(self.channel, self.member)
            self.channel = None

    async def claim(self) -> bool:
        """Ask, and no more."""
        return await self.world.comet.claims.claim(self.key, self)

    async def come_in(self) -> bool:
        """Claim the id and join its key, so that its owner knows of it; whether it was granted."""
        granted = await self.claim()
        if granted:
            await self.join()
        return granted

    async def join(self) -> None:
        """Join the key, claimed or not."""
        comet = self.world.comet
        channel = comet.live.hub.open(self.key)
        comet.membership.find_home(channel)
        comet.live.hub.join(channel, self.member)
        self.channel = channel
        await comet.attachments.told(channel)


async def arrive(world: World, key: Key = CLIENT) -> Visitor:
    """Somebody who is let in."""
    visitor = Visitor(world, key)
    assert await visitor.come_in()
    return visitor
