"""The store in memory has a bound."""

import pytest

from appmodel.core.message import DEDUPE_WINDOW
from appmodel.core.units import Size
from appmodel.errors import NotStored
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.contract.saves import NOW, A, B, Time, ids, push

BIG = b"1" * 10_000


@pytest.fixture
def time() -> Time:
    """The store's clock."""
    return Time()


@pytest.fixture
def store(time: Time) -> MemoryStore:
    """With room for four big bodies, of which a key keeps three."""
    return MemoryStore(MessageConfig(memory_limit=Size(45_000), depth=3), time)


async def fill(store: MemoryStore) -> None:
    """Save big bodies, half of them under A, until there is no room."""
    for number in range(10, 14):
        await store.save([push(number, [B if number % 2 else A], body=BIG)])
    with pytest.raises(NotStored, match="full"):
        await store.save([push(14, body=BIG)])


async def test_a_push_too_many_is_refused_whole(store: MemoryStore) -> None:
    """Of a call that does not fit nothing is kept."""
    await fill(store)
    before = await store.marks([A, B])

    with pytest.raises(NotStored, match="full"):
        await store.save([push(1), push(2, body=BIG)])

    assert await store.marks([A, B]) == before
    assert len(ids(await store.fetch(A, 0, limit=10))) == 2


async def test_tails_need_room(store: MemoryStore) -> None:
    """Each counts, until the last message of the body goes."""
    tails = [b'"t":"%b"' % BIG] * 2
    for number in range(2):
        await store.save([push(number, [A, B], body=b'{"n":1}', tails=tails)])
    with pytest.raises(NotStored, match="full"):
        await store.save([push(2, [A, B], body=b'{"n":1}', tails=tails)])

    await store.delete(A)
    with pytest.raises(NotStored, match="full"):
        await store.save([push(2, [A, B], body=b'{"n":1}', tails=tails)])
    await store.delete(B)

    await store.save([push(2, [A, B], body=b'{"n":1}', tails=tails)])


@pytest.mark.parametrize("freeing", ["delete", "expiry"])
async def test_what_goes_makes_room(store: MemoryStore, time: Time, freeing: str) -> None:
    """The bodies at once, the receipts after their window."""
    await fill(store)

    if freeing == "delete":
        await store.delete(A)
    else:
        time.now += 61
        await store.sweep(limit=100)

    await store.save([push(1, body=BIG, expires_at=time.now + 60)])


async def test_a_trimmed_key_needs_no_more_room(store: MemoryStore, time: Time) -> None:
    """Pushes to one key may go on for ever, if receipts go after a day."""
    for number in range(100):
        time.now += DEDUPE_WINDOW / 10
        await store.save([push(number, at=NOW, body=BIG, expires_at=time.now + DEDUPE_WINDOW)])
        await store.sweep(limit=100)

    assert len(ids(await store.fetch(A, 0, limit=10))) == 3
