"""The store in memory keeps the contracts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from appmodel.core.units import Size
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.contract.ledger import LedgerContract
from tests.contract.offline_store import OfflineStoreContract


@asynccontextmanager
async def open_memory(
    now: Callable[[], float],
    *,
    depth: int = 1000,
    queue_depth: int = 1000,
    page_limit: int = 1 << 20,
) -> AsyncIterator[MemoryStore]:
    yield MemoryStore(
        MessageConfig(depth=depth, queue_depth=queue_depth, page_limit=Size(page_limit)), now
    )


class TestMemoryStore(OfflineStoreContract):
    open_store = staticmethod(open_memory)


class TestMemoryLedger(LedgerContract):
    open_ledger = staticmethod(open_memory)
