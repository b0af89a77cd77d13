"""Notifications in their lanes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from appmodel.errors import PushError, Unavailable
from tests.web.gateways.pretend import PretendGateway, device, notification
from web.core.notifications import Device, Provider
from web.gateways.delivery import Delivery, DeliveryLimits, Errand
from web.gateways.interface import DELIVERED, Kind, Receipt
from web.gateways.keyring import Watched

BUSY = Receipt(Kind.RETRY, "busy")
LIMITS = DeliveryLimits(backlog=100, concurrency=4, first_pause=1.0, max_pause=8.0)
NEVER = 1e12  # Unix seconds: nothing lapses
GONE = Receipt(Kind.GONE, "Unregistered", at=50.0)
UNKNOWN = Receipt(Kind.GONE, "BadDeviceToken")
REFUSED = Receipt(Kind.REFUSED, "PayloadTooLarge")


@dataclass
class World:
    """Tenants with gateways, tokens that are forgotten, and the time."""

    gateways_of: dict[str, list[PretendGateway]] = field(default_factory=dict)
    forgotten: list[tuple[str, float | None]] = field(default_factory=list)
    trouble: PushError | None = None

    async def gateways(self, tenant_id: str, provider: Provider) -> list[Watched]:
        if self.trouble is not None:
            raise self.trouble
        mine = self.gateways_of.get(tenant_id, [])
        return [Watched(gateway, tenant_id, 60) for gateway in mine]

    async def forget(self, device: Device, since: float | None) -> bool:
        if self.trouble is not None:
            raise self.trouble
        self.forgotten.append((device.token, since))
        return True


@asynccontextmanager
async def delivering(world: World, limits: DeliveryLimits = LIMITS) -> AsyncIterator[Delivery]:
    """Until the block ends. Unix time is trio's, and jitter takes the longest."""
    delivery = Delivery(world, world, limits, now=trio.current_time, jitter=lambda low, high: high)
    async with trio.open_nursery() as nursery:
        await nursery.start(delivery.run)
        yield delivery
        nursery.cancel_scope.cancel()


def errand(number: int = 1, give_up_at: float = NEVER, provider: Provider = "apns") -> Errand:
    """For a device of that number."""
    return Errand(device(number, provider), notification(number), 3, give_up_at)


def outcomes(delivery: Delivery) -> dict[str, int]:
    """Of all providers."""
    return {outcome: number for (_, outcome), number in delivery.outcomes.items()}


async def test_what_is_put_is_delivered_once() -> None:
    """With its message and its badge."""
    gateway = PretendGateway()
    async with delivering(World({"t1": [gateway]})) as delivery:
        for number in range(50):
            delivery.put("t1", errand(number))
        await delivery.settled()

        assert sorted(gateway.sent) == sorted((f"token{n}", n) for n in range(50))
        assert gateway.badges == [3] * 50
        assert delivery.outcomes == {("apns", "delivered"): 50}
        assert delivery.is_idle


async def test_a_lane_has_so_many_under_way() -> None:
    """Not more, however many wait."""
    gateway = PretendGateway()
    gateway.gate = trio.Event()
    async with delivering(World({"t1": [gateway]})) as delivery:
        for number in range(20):
            delivery.put("t1", errand(number))
        await trio.testing.wait_all_tasks_blocked()
        assert gateway.waiting == LIMITS.concurrency
        assert delivery.waiting == 20 - LIMITS.concurrency
        gateway.gate.set()
        await delivery.settled()

        assert (gateway.most, len(gateway.sent)) == (LIMITS.concurrency, 20)


async def test_a_slow_tenant_or_provider_delays_no_other() -> None:
    """Neither another tenant, nor the same one at another provider."""
    slow, quick = PretendGateway(), PretendGateway()
    slow.gate = trio.Event()
    async with delivering(World({"slow": [slow], "quick": [quick]})) as delivery:
        for number in range(50):
            delivery.put("slow", errand(number))
        delivery.put("quick", errand(99))
        await trio.testing.wait_all_tasks_blocked()

        assert quick.sent == [("token99", 99)]
        delivery.put("slow", errand(5, provider="fcm"))
        await trio.testing.wait_all_tasks_blocked()
        assert slow.waiting == LIMITS.concurrency + 1


async def test_a_bug_in_one_costs_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    """It is counted, and its lane goes on."""
    gateway = PretendGateway(ZeroDivisionError("a bug"))
    async with delivering(World({"t1": [gateway]})) as delivery:
        for number in range(10):
            delivery.put("t1", errand(number))
        await delivery.settled()

        assert outcomes(delivery) == {"bug": 1, "delivered": 9}
    capfd.readouterr()


async def test_a_busy_provider_is_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    """After pauses that grow up to a bound; then it is delivered, once."""
    gateway = PretendGateway(*[BUSY] * 6)
    async with delivering(World({"t1": [gateway]})) as delivery:
        delivery.put("t1", errand())
        await trio.sleep(1 + 2 + 4 + 8 + 8 + 8 - 0.5)
        assert outcomes(delivery) == {}
        await trio.sleep(1)

        assert outcomes(delivery) == {"delivered": 1}
        assert delivery.retries == {"apns": 6}
        assert len(gateway.sent) == 7


async def test_a_provider_says_when(autojump_clock: trio.testing.MockClock) -> None:
    """Not before that, and others are not kept waiting."""
    gateway = PretendGateway(Receipt(Kind.RETRY, "busy", after=100.0))
    async with delivering(World({"t1": [gateway]})) as delivery:
        delivery.put("t1", errand(1))
        await trio.sleep(1)
        delivery.put("t1", errand(2))
        await delivery.settled()
        assert gateway.sent == [("token1", 1), ("token2", 2)]

        await trio.sleep(98.5)
        assert len(gateway.sent) == 2
        await trio.sleep(1)
        assert gateway.sent[2:] == [("token1", 1)]


async def test_what_lapses_is_not_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    """Nor for the first time: old news helps nobody."""
    gateway = PretendGateway(*[BUSY] * 100)
    async with delivering(World({"t1": [gateway]})) as delivery:
        delivery.put("t1", errand(1, give_up_at=trio.current_time() + 10))
        delivery.put("t1", errand(2, give_up_at=trio.current_time() - 1))
        await trio.sleep(60)

        assert outcomes(delivery) == {"lapsed": 2}
        assert len(gateway.sent) == 4  # at 0, 1, 3, 7; the next would be too late
        assert delivery.postponed == 0


async def test_too_much_loses_the_oldest_of_the_longest_lane() -> None:
    """What waits is bounded, and who waits for little loses nothing."""
    slow, other = PretendGateway(), PretendGateway()
    slow.gate = other.gate = trio.Event()
    limits = DeliveryLimits(backlog=10, concurrency=1, first_pause=1, max_pause=1)
    async with delivering(World({"slow": [slow], "other": [other]}), limits) as delivery:
        for number in range(2):
            delivery.put("other", errand(number))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(100, 120):
            delivery.put("slow", errand(number))
        slow.gate.set()
        await delivery.settled()

        assert len(other.sent) == 2
        assert slow.sent[-1] == ("token119", 119)
        assert outcomes(delivery)["dropped"] == 20 + 2 - len(slow.sent) - len(other.sent)


async def test_what_waits_for_its_next_try_is_bounded_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A provider that is down for hours fills no memory."""
    gateway = PretendGateway(*[BUSY] * 1000)
    limits = DeliveryLimits(backlog=10, concurrency=4, first_pause=60, max_pause=60)
    async with delivering(World({"t1": [gateway]}), limits) as delivery:
        for number in range(30):
            delivery.put("t1", errand(number))
            await delivery.settled()

        assert delivery.postponed == 10
        assert outcomes(delivery) == {"dropped": 20}


async def test_a_dead_token_is_forgotten_with_the_providers_time() -> None:
    """So that a registration since then survives."""
    world = World({"t1": [PretendGateway(GONE, UNKNOWN)]})
    async with delivering(world) as delivery:
        delivery.put("t1", errand(1))
        await delivery.settled()
        delivery.put("t1", errand(2))
        await delivery.settled()

        assert world.forgotten == [("token1", 50.0), ("token2", None)]
        assert (delivery.forgotten, outcomes(delivery)) == (2, {"gone": 2})


@pytest.mark.parametrize(
    ("receipts", "outcome"),
    [
        ([UNKNOWN, DELIVERED], "delivered"),  # a phone of the test app
        ([UNKNOWN, GONE], "gone"),
        ([UNKNOWN, REFUSED], "refused"),
        ([REFUSED, UNKNOWN], "refused"),
        ([Receipt(Kind.MISCONFIGURED, "x"), UNKNOWN], "misconfigured"),
        ([Receipt(Kind.MISCONFIGURED, "x"), DELIVERED], "delivered"),
    ],
)
async def test_all_credentials_of_a_tenant_are_asked(receipts: list[Receipt], outcome: str) -> None:
    """In their order, until one delivers; a token is dead only if each of them says so."""
    world = World({"t1": [PretendGateway(receipt) for receipt in receipts]})
    async with delivering(world) as delivery:
        delivery.put("t1", errand())
        await delivery.settled()

        assert outcomes(delivery) == {outcome: 1}
        assert world.forgotten == ([("token1", 50.0)] if outcome == "gone" else [])


async def test_a_tenant_without_a_credential_is_counted() -> None:
    """And harms nothing."""
    async with delivering(World()) as delivery:
        delivery.put("t1", errand())
        await delivery.settled()

        assert outcomes(delivery) == {"misconfigured": 1}


async def test_credentials_that_cannot_be_read_are_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The database comes back; nothing is lost."""
    world = World({"t1": [PretendGateway()]}, trouble=Unavailable("the database is away"))
    async with delivering(world) as delivery:
        delivery.put("t1", errand())
        await trio.sleep(5)
        world.trouble = None
        await trio.sleep(10)

        assert outcomes(delivery) == {"delivered": 1}


async def test_a_token_that_cannot_be_forgotten_now_stays() -> None:
    """The next notification for it says the same again."""
    world = World({"t1": [PretendGateway(GONE)]})
    original = world.gateways

    async def gateways(tenant_id: str, provider: Provider) -> list[Watched]:
        found = await original(tenant_id, provider)
        world.trouble = Unavailable("the database is away")
        return found

    world.gateways = gateways  # type: ignore[method-assign]  # away from now on
    async with delivering(world) as delivery:
        delivery.put("t1", errand())
        await delivery.settled()

        assert (outcomes(delivery), delivery.forgotten) == ({"gone": 1}, 0)


async def test_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not even that of a dead one."""
    world = World({"t1": [PretendGateway(GONE, REFUSED, BUSY, Receipt(Kind.MISCONFIGURED, "x"))]})
    async with delivering(world) as delivery:
        for number in range(5):
            delivery.put("t1", errand(number))
        await delivery.settled()

    assert "token" not in caplog.text
