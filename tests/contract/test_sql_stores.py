"""The store in PostgreSQL and in MariaDB keeps the contracts."""

from functools import partial

from tests.contract.ledger import LedgerContract
from tests.contract.offline_store import OfflineStoreContract
from tests.message.stores.databases import open_database


class TestPostgresqlStore(OfflineStoreContract):
    open_store = staticmethod(partial(open_database, "postgresql"))


class TestMariaDbStore(OfflineStoreContract):
    open_store = staticmethod(partial(open_database, "mariadb"))


class TestPostgresqlLedger(LedgerContract):
    open_ledger = staticmethod(partial(open_database, "postgresql"))


class TestMariaDbLedger(LedgerContract):
    open_ledger = staticmethod(partial(open_database, "mariadb"))
