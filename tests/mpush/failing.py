"""Comets that are killed: whatever was answered reaches its device, wherever that comes back."""

import itertools
from collections.abc import Iterable

import pytest
import trio

from tests.cluster.cluster import in_thread
from tests.mpush.world import PATIENCE, Asked, Handset, World

PUSHES = 60
KEPT = {"ok", "online", "offline"}  # answers that say so


class Received:
    """What a device got over all its connections."""

    def __init__(self) -> None:
        self.titles: dict[str, str] = {}  # by mid
        self._news = trio.Event()

    async def take(self, phone: Handset) -> None:
        """Take and acknowledge whatever comes, until cancelled; on one connection mids rise."""
        last = ""
        while True:
            for message in await phone.messages():
                mid = message["mid"]
                assert mid > last, f"{mid} after {last}"
                last = mid
                self.titles[mid] = message["title"]
                await phone.acks(mid)
            self._news.set()
            self._news = trio.Event()

    async def until_has(self, titles: Iterable[str]) -> None:
        """Until all of them have come."""
        wanted = set(titles)
        while missing := wanted - set(self.titles.values()):
            with trio.move_on_after(PATIENCE) as waiting:
                await self._news.wait()
            assert not waiting.cancelled_caught, f"never came: {sorted(missing)}"


class Storm:
    """Pushes to one device, and what became of them."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._asked: dict[str, Asked] = {}

    def push(self, stage: str) -> None:
        """A number of them at once."""
        for number in range(PUSHES):
            self._push(f"{stage}{number}")

    async def push_until_kept(self, stage: str) -> None:
        """One after the other, until one is kept."""
        for number in itertools.count():
            title = f"{stage}{number}"
            self._push(title)
            if await self._is_kept(title):
                return

    async def kept(self) -> list[str]:
        """The titles of all that were answered so; all others were refused."""
        return [title for title in self._asked if await self._is_kept(title)]

    def _push(self, title: str) -> None:
        self._asked[title] = self._world.asks("GET", f"/{self._name}?title={title}")

    async def _is_kept(self, title: str) -> bool:
        answer = await self._asked[title].answer()
        word = answer.body.decode().strip()
        assert word in KEPT or answer.status == 503, answer
        return word in KEPT


class Failing:
    """The suite. Its comets stay dead: nothing comes behind it."""

    @pytest.mark.slow
    async def test_whoever_is_killed_nothing_is_lost(self, world: World) -> None:
        """The comet that has the device, then the one that owns its key; pushed before, meanwhile, and after."""
        cluster, name = world.place.cluster, world.name()
        assert cluster is not None
        holder, other = world.place.others(name)
        storm, received = Storm(world, name), Received()

        phone = await world.device(name, holder)
        storm.push("before")
        await phone.messages()  # some have come, and are not acknowledged
        await in_thread(cluster[holder].kill)
        storm.push("meanwhile")
        phone = await world.device(name, other)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(received.take, phone)
            await storm.push_until_kept("back")
            await received.until_has(await storm.kept())

            await in_thread(cluster[world.place.owner(name)].kill)
            storm.push("orphaned")
            await storm.push_until_kept("owned")
            await received.until_has(await storm.kept())
            nursery.cancel_scope.cancel()

        assert len(received.titles) == len(set(received.titles.values())), "one has two mids"
