"""The store in PostgreSQL and in MariaDB keeps the contracts."""

from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.ledger import LedgerContract
from tests.contract.offline_store import OfflineStoreContract
from tests.message.stores.databases import open_database


class SqlStoreContract(OfflineStoreContract):
    """The suite with fewer random histories: each step takes several round trips."""

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    async def test_any_history_reads_like_its_model(self, data: st.DataObject) -> None:
        """Saves, retries, deletions, sweeps and passing time in any order, against plain lists."""
        await self.live_through(data)


class TestPostgresqlStore(SqlStoreContract):
    open_store = staticmethod(partial(open_database, "postgresql"))


class TestMariaDbStore(SqlStoreContract):
    open_store = staticmethod(partial(open_database, "mariadb"))


class TestPostgresqlLedger(LedgerContract):
    open_ledger = staticmethod(partial(open_database, "postgresql"))


class TestMariaDbLedger(LedgerContract):
    open_ledger = staticmethod(partial(open_database, "mariadb"))
