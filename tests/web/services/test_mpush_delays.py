"""Delayed pushes of Mpush come when it is time, once, whatever happens on the way."""

import time
from dataclasses import dataclass, field

import trio

from appmodel.core.mpush import Body, write_body
from appmodel.core.mpush_stores import Delayed
from appmodel.errors import Unavailable
from tests.web.mpush_desk import Desk, open_desk
from web.services.mpush_delays import DelayedPushes

LIMIT = 40.0  # seconds: a test that hangs says where


def delayed(
    target: str, *, number: int = 1, due_in: float = -1.0, is_group: bool = False
) -> Delayed:
    """A push whose time has come a second ago."""
    due_at = round((time.time() + due_in) * 1000)
    body = write_body(Body("c", title=f"t{number}"))
    return Delayed(f"{number:032x}", target, due_at, body, 3600, is_group)


async def until_kept(desk: Desk, name: str, count: int) -> list[object]:
    """The titles of what waits for a device, once there are so many."""
    with trio.fail_after(LIMIT):
        while len(kept := await desk.kept(name)) < count:
            await trio.lowlevel.checkpoint()
    return [body.title for body in kept]


async def test_what_is_due_is_pushed_and_forgotten() -> None:
    """To a device, and to the members that a group has then; what is not due waits."""
    async with open_desk("phone", "tablet", "watch") as desk:
        await desk.register("tablet", "watch", group="family")

        await desk.books.delays.put(
            [
                delayed("phone", number=1),
                delayed("family", number=2, is_group=True),
                delayed("phone", number=3, due_in=600),
                delayed("nobody", number=4),
            ]
        )

        assert await until_kept(desk, "phone", 1) == ["t1"]
        assert await until_kept(desk, "tablet", 1) == ["t2"]
        assert await until_kept(desk, "watch", 1) == ["t2"]
        with trio.fail_after(LIMIT):
            while await desk.books.delays.find(f"{4:032x}"):
                await trio.lowlevel.checkpoint()
        assert [each.id for each in await desk.books.delays.of("phone", limit=9)] == [f"{3:032x}"]


@dataclass
class Faltering:
    """Pushes, and fails as often as it is told to."""

    failures: int
    pushed: list[Delayed] = field(default_factory=list)

    async def push_delayed(self, one: Delayed) -> None:
        await trio.lowlevel.checkpoint()
        self.pushed.append(one)
        if len(self.pushed) <= self.failures:
            raise Unavailable("the comets are away")


async def test_what_cannot_be_pushed_is_tried_again() -> None:
    """Later each time, under the same id; others do not wait for it."""
    pushing = Faltering(failures=2)
    async with open_desk("phone", enabled=False) as desk:
        ahead = 0.0
        loop = DelayedPushes(desk.books.delays, pushing, now=lambda: time.time() + ahead)
        await desk.books.delays.put([delayed("phone")])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run)
            with trio.fail_after(LIMIT):
                while not loop.outcomes["pushed"]:
                    ahead += 1.0 if loop.outcomes["postponed"] else 0.0
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

        assert [one.id for one in pushing.pushed] == [f"{1:032x}"] * 3
        assert loop.outcomes == {"postponed": 2, "pushed": 1}
        assert await desk.books.delays.find(f"{1:032x}") == []


async def test_a_node_that_died_has_pushed_it_or_another_does() -> None:
    """The push id is that of the delayed push: repeated, it is the same message."""
    async with open_desk("phone") as desk:
        one = delayed("phone")
        await desk.books.delays.put([one])
        assert await until_kept(desk, "phone", 1) == ["t1"]

        await desk.books.delays.put([one])
        with trio.fail_after(LIMIT):
            while await desk.books.delays.find(one.id):
                await trio.lowlevel.checkpoint()

        assert await until_kept(desk, "phone", 1) == ["t1"]
