"""The HTTP side of Mpush on real sockets, with a comet whose devices acknowledge when the test says so.

async with open_desk("phone", wait=0.05) as desk:
    desk.online("phone")
    answer = await desk.ask("GET", "/phone?title=hello")
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.mpush import Body, device_key, read_body
from appmodel.core.mpush_waits import Awaited
from appmodel.core.units import Duration
from appmodel.runtime.config import MpushConfig as SharedMpushConfig
from appmodel.runtime.config import MpushHookConfig
from appmodel.runtime.mpush import MpushBooks, open_mpush_books
from tests.web.world import Answer, World, open_world, web_config
from web.config import MpushConfig

LONG = Duration(30)  # the longest that may be waited for: no test does


class Ears:
    """A `WaitsHost`: hears what devices acknowledge, and waits for it."""

    def __init__(self) -> None:
        self.acked: set[Awaited] = set()
        self.noted: list[Awaited] = []  # by web
        self.waited_for: list[tuple[Awaited, ...]] = []
        self._news = trio.Event()
        self._asked = trio.Event()

    async def wait(self, awaited: Sequence[Awaited], seconds: float) -> tuple[bool, ...]:
        self.waited_for.append(tuple(awaited))
        self._asked.set()
        with trio.move_on_after(seconds):
            while not self.acked.issuperset(awaited):
                await self._news.wait()
        return tuple(one in self.acked for one in awaited)

    async def note(self, acked: Sequence[Awaited]) -> None:
        self.noted += acked
        await self.hear(acked)

    async def hear(self, acked: Sequence[Awaited]) -> None:
        await trio.lowlevel.checkpoint()
        self.acked.update(acked)
        self._news.set()
        self._news = trio.Event()

    async def acknowledge_next(self) -> tuple[Awaited, ...]:
        """Wait until somebody waits, and acknowledge all of that."""
        await self._asked.wait()
        self._asked = trio.Event()
        await self.hear(self.waited_for[-1])
        return self.waited_for[-1]


@dataclass(frozen=True)
class Desk:
    """A web node, seen by who pushes."""

    world: World
    books: MpushBooks
    ears: Ears = field(default_factory=Ears)

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request."""
        return await self.world.mpush.ask(method, target, body, headers=headers)

    async def register(self, *names: str, group: str = "") -> None:
        """Devices log in."""
        for name in names:
            await self.books.devices.register(name, group=group, now=time.time_ns() // 1_000_000)

    def online(self, *names: str) -> None:
        """They are connected."""
        for name in names:
            self.world.comet.subscribers[device_key(name)] = 1

    async def kept(self, name: str) -> list[Body]:
        """What waits for a device."""
        return [read_body(each) for each in await self.world.kept(str(device_key(name)))]


@asynccontextmanager
async def open_desk(
    *names: str,
    auth: str = "off",
    wait: float = LONG,
    hooks: Sequence[MpushHookConfig] = (),
    **config: Any,
) -> AsyncIterator[Desk]:
    """Devices of these names are registered. `wait`: seconds, of both versions."""
    mpush_of_all = SharedMpushConfig(hooks=tuple(hooks))
    mpush = MpushConfig(port=0, wait=Duration(wait), reply_wait=Duration(wait), **config)
    shared = {"mpush": mpush_of_all}
    async with open_world(auth=auth, config=web_config(mpush=mpush), shared=shared) as world:
        context = world.context
        desk = Desk(world, open_mpush_books(context.settings, context.database))
        context.peers.provide_waits(Node(Role.COMET, "c1"), desk.ears)
        await desk.register(*names)
        yield desk
