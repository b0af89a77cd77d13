"""What has expired is freed by itself."""

import trio
from trio.testing import MockClock

from appmodel.errors import NotStored
from message.config import MessageConfig
from message.io.sweeper import sweep_for_ever
from message.stores.memory import MemoryStore
from tests.contract.saves import START, A, push


async def test_all_that_has_expired_is_freed_at_each_look(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """In slices, until none is left; then not before the next interval."""
    store = MemoryStore(MessageConfig(), lambda: START + trio.current_time())
    began = trio.current_time()
    await store.save([push(number, expires_at=store._now() + 7) for number in range(25)])
    nursery.start_soon(lambda: sweep_for_ever(store, interval=5, limit=4))

    await trio.sleep(9)
    before = len(store._keys[A].messages)
    await trio.sleep(2)
    after = len(store._keys[A].messages)
    nursery.cancel_scope.cancel()

    assert (before, after) == (25, 0)
    assert trio.current_time() - began == 11


class Failing(MemoryStore):
    """A store that is away at its first sweep."""

    calls = 0

    async def sweep(self, *, limit: int) -> int:
        self.calls += 1
        if self.calls == 1:
            raise NotStored("away")
        return await super().sweep(limit=limit)


async def test_a_store_in_trouble_is_tried_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The sweeper outlives it."""
    store = Failing(MessageConfig())
    nursery.start_soon(lambda: sweep_for_ever(store, interval=5, limit=4))

    await trio.sleep(11)
    nursery.cancel_scope.cancel()

    assert store.calls == 2
