"""Orders with an idempotency key: done once, answered twice."""

import time
from collections.abc import AsyncIterator, Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from appmodel.core.credentials import Caller
from appmodel.core.message import DEDUPE_WINDOW, Push
from appmodel.core.names import Key
from appmodel.errors import Conflict, NotStored, Unavailable
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.web.world import World, open_world
from web.core.orders import Order, Outcome, claim_of, push_id_of
from web.services.ordering import Ordering
from web.services.pushing import Pushing

KEYS = (Key("", "u1", "user"), Key("", "u2", "user"))
SHOP = Caller("shop", "", frozenset({"push"}), "", 0.0, 0.0)


class Bench:
    """An `Ordering` over an honest comet, with a clock of its own for the ledger's window."""

    def __init__(self, world: World) -> None:
        self.comet = world.comet
        self.now = 1_800_000_000.0
        self.ledger = MemoryStore(MessageConfig(store="memory"), now=lambda: self.now)
        peers = world.context.peers
        pushing = Pushing(
            world.context.registry,
            peers,
            peers.store,
            timeout=0.2,
            fallback_after=0.1,
            now=time.time,
        )
        self.ordering = Ordering(pushing, lambda: self.ledger, now=lambda: self.now)

    async def place(self, *orders: Order) -> list[Outcome]:
        return await self.ordering.place(orders)

    @property
    def pushed(self) -> int:
        return sum(map(len, self.comet.calls))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with open_world() as world:
        yield Bench(world)


def order(
    key: str = "o-17",
    *,
    body: bytes = b"{}",
    keys: Sequence[Key] = KEYS,
    ttl: float = 0.0,
    caller: Caller = SHOP,
) -> Order:
    claim = claim_of(key, caller.subject, caller.realm, [each.stored for each in keys], body, ttl)
    return Order(Push(push_id_of(claim), tuple(keys), body, 2e9 if ttl else 0.0), claim)


async def test_the_first_answer_is_the_answer(bench: Bench) -> None:
    """The repetition pushes nothing, also without a ttl, and says what the first said."""
    bench.comet.subscribers[KEYS[0]] = 3
    (first,) = await bench.place(order())
    bench.comet.subscribers[KEYS[0]] = 0

    (again,) = await bench.place(order())

    assert again == first
    assert bench.pushed == 1


async def test_the_answer_is_remembered_for_24_hours(bench: Bench) -> None:
    """Not a moment less; afterwards the key is free again."""
    await bench.place(order())

    bench.now += DEDUPE_WINDOW - 1
    await bench.place(order())
    assert bench.pushed == 1

    bench.now += 2
    await bench.place(order(body=b"other"))
    assert bench.pushed == 2


@pytest.mark.parametrize(
    "other", [order(body=b"[]"), order(keys=KEYS[:1]), order(keys=KEYS[::-1]), order(ttl=5)]
)
async def test_another_order_under_the_key_is_a_conflict(bench: Bench, other: Order) -> None:
    """Other body, names or ttl: refused, and nothing is pushed."""
    await bench.place(order())

    (refused,) = await bench.place(other)

    with pytest.raises(Conflict):
        refused.check()
    assert bench.pushed == 1


async def test_keys_of_two_callers_do_not_meet(bench: Bench) -> None:
    """The same text from another caller or realm is another key (law 7)."""
    other = Caller("crm", "", frozenset({"push"}), "", 0.0, 0.0)
    foreign = Caller("shop", "t7", frozenset({"push"}), "", 0.0, 0.0)

    outcomes = await bench.place(order(), order(caller=other), order(caller=foreign))

    assert bench.pushed == 3
    assert len({outcome.push.push_id for outcome in outcomes}) == 3


async def test_two_at_once_are_one_push(bench: Bench, nursery: trio.Nursery) -> None:
    """The second waits for the first, and gets its answer."""
    outcomes: list[Outcome] = []

    async def place() -> None:
        outcomes.extend(await bench.place(order()))

    for _ in range(5):
        nursery.start_soon(place)
    await wait_all_tasks_blocked()
    while len(outcomes) < 5:
        await trio.lowlevel.checkpoint()

    assert bench.pushed == 1
    assert all(outcome == outcomes[0] for outcome in outcomes)


async def test_two_in_one_batch_are_one_push(bench: Bench) -> None:
    """Lines of a stream may repeat a key; a line with another order under it is refused, and only it."""
    first, again, other, free = await bench.place(
        order(), order(), order(body=b"[]"), Order(Push(b"f" * 16, KEYS, b"{}"))
    )

    assert first == again
    assert first.sent
    assert free.sent
    with pytest.raises(Conflict):
        other.check()
    assert bench.pushed == 2


async def test_a_failed_order_is_not_remembered(bench: Bench) -> None:
    """Its repetition does it, under the same push id."""
    bench.comet.trouble = NotStored("disk full")
    (failed,) = await bench.place(order(ttl=60))
    bench.comet.trouble = None

    (again,) = await bench.place(order(ttl=60))

    assert failed.failed
    assert not again.failed
    assert failed.push.push_id == again.push.push_id


async def _away(*_: object, **__: object) -> bytes:
    raise Unavailable("no message node answers")


async def test_without_a_ledger_nothing_is_pushed_twice(bench: Bench) -> None:
    """What cannot be claimed is refused; orders without a key go on."""
    bench.ledger.remember = _away  # type: ignore[method-assign]

    claimed, free = await bench.place(order(), Order(Push(b"f" * 16, KEYS, b"{}")))

    with pytest.raises(Unavailable):
        claimed.check()
    assert free.sent
    assert bench.pushed == 1


async def test_a_cancelled_order_lets_the_next_one_in(bench: Bench, nursery: trio.Nursery) -> None:
    """A client that hangs up must not hold its key."""
    scope = trio.CancelScope()

    async def place() -> None:
        with scope:
            await bench.place(order())

    nursery.start_soon(place)
    scope.cancel()
    await wait_all_tasks_blocked()

    with trio.fail_after(40):
        (outcome,) = await bench.place(order())
    assert outcome.sent
    assert not bench.ordering._turns


async def test_ten_thousand_names_are_remembered_small(bench: Bench) -> None:
    """The ledger keeps what differs: some kilobytes, not the whole answer."""
    keys = [Key("", f"u{i}", "user") for i in range(10_000)]

    (first,) = await bench.place(order(keys=keys))
    (again,) = await bench.place(order(keys=keys))

    assert again == first
    assert sum(len(value) for value, _ in bench.ledger._answers.values()) < 4096
