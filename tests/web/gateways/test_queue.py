"""From a push to its notifications."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from appmodel.errors import PushError, Unavailable
from tests.web.gateways.pretend import PretendGateway, device
from web.core.notifications import Device, Job, Provider
from web.gateways.delivery import Delivery, DeliveryLimits
from web.gateways.keyring import Watched
from web.gateways.queue import BEHIND, NOW, SLICE, Notifier, QueueLimits

LIMITS = QueueLimits(backlog=10_000, retry_for=3600.0, pause=1.0)


@dataclass
class World:
    """Everybody has a phone and two unread messages."""

    gateway: PretendGateway = field(default_factory=PretendGateway)
    asked: list[list[str]] = field(default_factory=list)
    counted: list[set[str]] = field(default_factory=list)
    trouble: Exception | None = None
    gate: trio.Event | None = None
    unknown: set[str] = field(default_factory=set)  # whose badge nobody knows

    async def offline_devices(self, user_ids: Collection[str]) -> list[Device]:
        await trio.lowlevel.checkpoint()
        self.asked.append(list(user_ids))
        if self.gate is not None:
            await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return [device(int(user[1:]), user_id=user) for user in user_ids]

    async def count(self, user_ids: Collection[str]) -> Mapping[str, int]:
        self.counted.append(set(user_ids))
        return {user: 2 for user in user_ids if user not in self.unknown}

    async def gateways(self, tenant_id: str, provider: Provider) -> list[Watched]:
        return [Watched(self.gateway, tenant_id, 60)]

    async def forget(self, device: Device, since: float | None) -> bool:
        return False


@asynccontextmanager
async def notifying(world: World, limits: QueueLimits = LIMITS) -> AsyncIterator[Notifier]:
    """Until the block ends. Unix time is trio's."""
    most = DeliveryLimits(backlog=100_000, concurrency=8, first_pause=1, max_pause=1)
    delivery = Delivery(world, world, most, now=trio.current_time)
    notifier = Notifier(world, world, delivery, limits, now=trio.current_time)
    async with trio.open_nursery() as nursery:
        await nursery.start(notifier.run)
        yield notifier
        nursery.cancel_scope.cancel()


def job(*users: int, tenant: str = "t1", expires_at: float = 0.0) -> Job:
    """To users of these numbers; each message has the id of its user, and a thousand."""
    recipients = {f"u{number}": 1000 + number for number in users}
    return Job(
        tenant_id=tenant, recipients=recipients, title="Ann", text="hi", expires_at=expires_at
    )


async def test_every_recipient_is_notified_of_its_own_message() -> None:
    """With the id that the message has in the recipient's inbox."""
    world = World(unknown={"u2"})
    async with notifying(world) as notifier:
        notifier.notify([job(1, 2), job(3)])
        await notifier.drained()

        assert sorted(world.gateway.sent) == [("token1", 1001), ("token2", 1002), ("token3", 1003)]
        assert sorted(world.gateway.badges, key=str) == [2, 2, None]
        assert notifier.users == {"addressed": 3}


async def test_a_push_waits_for_nothing(autojump_clock: None) -> None:
    """However slow what is behind it; and it begins when who is online has heard of it."""
    world = World(gate=trio.Event())
    async with notifying(world) as notifier:
        notifier.notify([job(*range(5000))])
        await trio.testing.wait_all_tasks_blocked()
        assert not world.asked

        await trio.sleep(2 * BEHIND)

        assert len(world.asked) == 1
        assert notifier.waiting == 5000 - SLICE


async def test_users_are_looked_up_in_slices() -> None:
    """A group of many costs a few reads, none of them large."""
    world = World()
    async with notifying(world) as notifier:
        notifier.notify([job(*range(SLICE * 2 + 1))])
        await notifier.drained()

        assert [len(asked) for asked in world.asked] == [SLICE, SLICE, 1]
        assert len(world.gateway.sent) == SLICE * 2 + 1


async def test_tenants_are_looked_up_in_turn() -> None:
    """Who pushes to everybody delays nobody's single message by more than one slice."""
    world = World(gate=trio.Event())
    async with notifying(world) as notifier:
        notifier.notify([job(*range(5000), tenant="busy")])
        await trio.testing.wait_all_tasks_blocked()
        notifier.notify([job(7777, tenant="calm")])
        assert world.gate is not None
        world.gate.set()
        await notifier.drained()

        assert ["u7777"] in world.asked[:3]


async def test_too_much_is_dropped_and_counted() -> None:
    """And never refused: the push was a success."""
    world = World(gate=trio.Event())
    limits = QueueLimits(backlog=SLICE * 2, retry_for=3600, pause=1)
    async with notifying(world, limits) as notifier:
        notifier.notify([job(*range(SLICE * 5), tenant="busy")])
        notifier.notify([job(9999, tenant="calm")])
        assert world.gate is not None
        world.gate.set()
        await notifier.drained()

        assert ["u9999"] in world.asked
        lost, found = notifier.users["dropped"], notifier.users["addressed"]
        assert lost >= SLICE * 2
        assert lost + found == SLICE * 5 + 1


@pytest.mark.parametrize("trouble", [Unavailable("the database is away")])
async def test_while_the_database_is_away_users_wait(
    trouble: PushError, autojump_clock: trio.testing.MockClock
) -> None:
    """Until it is back, or their notification has lapsed."""
    world = World(trouble=trouble)
    async with notifying(world) as notifier:
        notifier.notify([job(1, expires_at=trio.current_time() + 30)])
        notifier.notify([job(2, expires_at=trio.current_time() + 300)])
        await trio.sleep(60)
        assert notifier.trouble is not None
        world.trouble = None
        await trio.sleep(5)

        assert notifier.users == {"lapsed": 1, "addressed": 1}
        assert world.gateway.sent == [("token2", 1002)]
        assert notifier.trouble is None


async def test_without_a_ttl_it_is_now_or_never(autojump_clock: trio.testing.MockClock) -> None:
    """What could not be said at once is not said at all."""
    world = World(trouble=Unavailable("the database is away"))
    async with notifying(world) as notifier:
        notifier.notify([job(1)])
        await trio.sleep(NOW + 2)
        world.trouble = None
        await trio.sleep(NOW)

        assert world.gateway.sent == []
        assert notifier.users == {"lapsed": 1}


async def test_a_bug_in_one_job_costs_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    """It is counted, and the next one is looked up; the original's process ended (W5)."""
    world = World(trouble=ZeroDivisionError("a bug"))
    async with notifying(world) as notifier:
        notifier.notify([job(1)])
        await notifier.drained()
        world.trouble = None
        notifier.notify([job(2)])
        await notifier.drained()

        assert notifier.users == {"bug": 1, "addressed": 1}
        assert world.gateway.sent == [("token2", 1002)]
    capfd.readouterr()


async def test_nobody_who_has_no_device_is_counted() -> None:
    """Badges are asked for those who are notified, and once."""
    world = World()
    none = World(gateway=world.gateway)

    async def nobody(user_ids: Collection[str]) -> list[Device]:
        return []

    none.offline_devices = nobody  # type: ignore[method-assign]  # nobody has one
    async with notifying(none) as notifier:
        notifier.notify([job(1, 2)])
        await notifier.drained()

        assert none.counted == []
        assert notifier.users == {"addressed": 2}
