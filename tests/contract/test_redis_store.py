"""The store in Redis keeps the contracts, on one server and on a Cluster."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest

from appmodel.core.units import Size
from message.stores.redis import RedisStore
from tests.contract.ledger import LedgerContract
from tests.contract.offline_store import OfflineStoreContract
from tests.message.stores.redis_opening import open_on, or_skip
from tools.servers.redis import Server, redis_cluster, redis_server


class OnServer:
    """Opens stores on a single server, which all tests of a class share."""

    server: Server

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _serve(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with or_skip(), redis_server(tmp_path_factory.mktemp("redis")) as cls.server:
            yield

    def _open(
        self,
        now: Callable[[], float],
        *,
        depth: int = 1000,
        queue_depth: int = 1000,
        page_limit: int = 1 << 20,
    ) -> AbstractAsyncContextManager[RedisStore]:
        return open_on(
            self.server, now=now, depth=depth, queue_depth=queue_depth, page_limit=Size(page_limit)
        )


class OnCluster:
    """Opens stores on a Cluster of three, in five buckets."""

    servers: list[Server]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _serve(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with or_skip(), redis_cluster(tmp_path_factory.mktemp("cluster")) as cls.servers:
            yield

    def _open(
        self,
        now: Callable[[], float],
        *,
        depth: int = 1000,
        queue_depth: int = 1000,
        page_limit: int = 1 << 20,
    ) -> AbstractAsyncContextManager[RedisStore]:
        return open_on(
            *self.servers,
            now=now,
            depth=depth,
            queue_depth=queue_depth,
            page_limit=Size(page_limit),
            mode="cluster",
            buckets=5,
        )


class TestRedisStore(OnServer, OfflineStoreContract):
    open_store = OnServer._open


class TestRedisLedger(OnServer, LedgerContract):
    open_ledger = OnServer._open


class TestRedisClusterStore(OnCluster, OfflineStoreContract):
    open_store = OnCluster._open


class TestRedisClusterLedger(OnCluster, LedgerContract):
    open_ledger = OnCluster._open
