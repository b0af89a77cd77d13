"""The store in a SQLite file keeps the contracts."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from appmodel.core.units import Size
from message.config import MessageConfig, SqliteConfig
from message.stores.sqlite import SqliteStore, open_sqlite
from tests.contract.ledger import LedgerContract
from tests.contract.offline_store import OfflineStoreContract


@asynccontextmanager
async def open_file(
    now: Callable[[], float],
    *,
    depth: int = 1000,
    queue_depth: int = 1000,
    page_limit: int = 1 << 20,
) -> AsyncIterator[SqliteStore]:
    with tempfile.TemporaryDirectory() as folder:
        file = SqliteConfig(path=str(Path(folder) / "messages.db"), known_keys=1000)
        config = MessageConfig(
            sqlite=file, depth=depth, queue_depth=queue_depth, page_limit=Size(page_limit)
        )
        async with open_sqlite(config, now) as store:
            yield store


class TestSqliteStore(OfflineStoreContract):
    open_store = staticmethod(open_file)


class TestSqliteLedger(LedgerContract):
    open_ledger = staticmethod(open_file)
