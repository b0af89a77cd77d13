"""A store and a ledger at the other end of a connection keep the same contracts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from appmodel.io.calls import RemoteLedger, RemoteStore, ledger_handlers, store_handlers
from tests.appmodel.io.loopback import PATIENCE, over_rpc
from tests.contract.ledger import LedgerContract
from tests.contract.offline_store import OfflineStoreContract
from tests.contract.test_memory_store import open_memory


@asynccontextmanager
async def open_remote_store(
    now: Callable[[], float],
    *,
    depth: int = 1000,
    queue_depth: int = 1000,
    page_limit: int = 1 << 20,
) -> AsyncIterator[RemoteStore]:
    async with (
        open_memory(now, depth=depth, queue_depth=queue_depth, page_limit=page_limit) as store,
        over_rpc(store_handlers(store)) as client,
    ):
        yield RemoteStore(client, PATIENCE)


@asynccontextmanager
async def open_remote_ledger(now: Callable[[], float]) -> AsyncIterator[RemoteLedger]:
    async with open_memory(now) as ledger, over_rpc(ledger_handlers(ledger)) as client:
        yield RemoteLedger(client, PATIENCE)


class TestRemoteStore(OfflineStoreContract):
    open_store = staticmethod(open_remote_store)


class TestRemoteLedger(LedgerContract):
    open_ledger = staticmethod(open_remote_ledger)
