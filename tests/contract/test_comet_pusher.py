"""The comet keeps the pusher's contract, called in this process and over a connection."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from appmodel.core.names import Key
from appmodel.io.calls import RemotePusher, pusher_handlers
from comet.protocol.dialect import Dialect
from comet.protocol.gopush_ws import WsDialect
from tests.appmodel.io.loopback import PATIENCE, over_rpc
from tests.comet.fakes import Taker
from tests.comet.world import World, open_comet
from tests.contract.pusher import PusherContract, Received, Stage, StoreOfMoods


class OpenDialect(WsDialect):
    """Frames that a test can read back."""

    def __init__(self) -> None:
        super().__init__(version="1", limit=1)
        self.encoding = 99

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        return json.dumps([message_id, base64.b64encode(body).decode()]).encode() + b"\n"


@dataclass
class Listener(Taker):
    """Understands what it is offered."""

    dialect: Dialect = field(default_factory=OpenDialect)
    received: list[Received] = field(default_factory=list)

    def offer(self, frames: bytes) -> bool:
        for line in frames.splitlines():
            message_id, body = json.loads(line)
            self.received.append(Received(message_id, base64.b64decode(body)))
        return super().offer(frames)


def subscribing(world: World) -> Callable[[Key], Awaitable[list[Received]]]:
    async def subscribe(key: Key) -> list[Received]:
        hub = world.comet.live.hub
        channel = hub.open(key)
        mark = await world.comet.reading.mark(key)
        if mark is not None:
            channel.learn_mark(mark)
        listener = Listener(cursor=channel.cursor or 0)
        hub.join(channel, listener)
        return listener.received

    return subscribe


@asynccontextmanager
async def open_here(store: StoreOfMoods) -> AsyncIterator[Stage]:
    async with open_comet(store=store) as world:
        yield Stage(world.comet.pusher, subscribing(world))


@asynccontextmanager
async def open_remote(store: StoreOfMoods) -> AsyncIterator[Stage]:
    async with (
        open_comet(store=store) as world,
        over_rpc(pusher_handlers(world.comet.pusher)) as client,
    ):
        yield Stage(RemotePusher(client, PATIENCE), subscribing(world))


class TestComet(PusherContract):
    open_comet = staticmethod(open_here)


class TestRemoteComet(PusherContract):
    open_comet = staticmethod(open_remote)
