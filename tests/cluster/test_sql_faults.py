"""The faults that meet a store, with PostgreSQL instead of Redis."""

import pytest

from tests.cluster.cluster import Cluster, in_thread
from tests.cluster.outside import Servers, sql_store
from tests.cluster.storm import storm

STORE = sql_store
SOME = 150  # keys of orders

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <async_generator object:pytest.PytestUnraisableExceptionWarning"
    ),
]


async def test_postgres_is_killed(cluster: Cluster, servers: Servers, seed: int) -> None:
    """A crash in the middle of its transactions: what was accepted is there afterwards."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(2 * SOME)
        with load.broken("PostgreSQL is killed"):
            servers.store.kill()
            await load.until_refused()
            await in_thread(servers.store.daemon.start)
        await load.until_accepted(2 * SOME)


async def test_postgres_is_restarted(cluster: Cluster, servers: Servers, seed: int) -> None:
    """In order, as for an upgrade."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken("PostgreSQL is restarted"):
            await in_thread(servers.store.daemon.stop)
            await in_thread(servers.store.daemon.start)
        await load.until_accepted(2 * SOME)


async def test_a_message_node_dies_in_its_transaction(cluster: Cluster, seed: int) -> None:
    """What it had not committed is saved by the other one, under the same push ids."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken("m1 is killed"):
            cluster["m1"].kill()
            await load.until_accepted(SOME)
            await in_thread(cluster["m1"].start)
        await load.until_accepted(SOME)

    assert load.refusals(stored=True, lines=False) == []
