"""Logins in Redis keep the contract; and what is no login of ours is none."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from appmodel.errors import ConfigError, Unavailable
from appmodel.io.database import Database
from appmodel.io.token_store_redis import RedisTokens
from appmodel.io.token_stores import TokenStore
from tests.contract.token_store import MANY, TokenStoreContract, a_login
from tests.message.stores.redis_opening import or_skip
from tools.servers.redis import Server, redis_server


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestRedisTokens(TokenStoreContract):
    server: Server

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _serve(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with or_skip(), redis_server(tmp_path_factory.mktemp("redis")) as cls.server:
            yield

    @asynccontextmanager
    async def open_store(self, database: Database) -> AsyncIterator[TokenStore]:
        self.server.cli("FLUSHALL")
        store = RedisTokens(f"redis://{self.server.address}/0", database, timeout=5, max_life=900)
        yield store
        store.close()

    async def test_what_others_keep_is_no_login(self, store: TokenStore) -> None:
        """A key of another type, of another form, or without an end (W4)."""
        kept = msgspec.json.encode({"uid": "ann", "device_id": "", "device_type": "", "issued": 0})
        self.server.cli("RPUSH", f"appmsg:login:{'a' * 64}", "x")
        self.server.cli("SET", f"appmsg:login:{'b' * 64}", "x", "EX", "60")
        self.server.cli("SET", f"appmsg:login:{'c' * 64}", kept.decode())
        self.server.cli("HSET", "ann_0123", "expire", "9999999999")  # the original's form

        assert dict(await store.find([digest * 64 for digest in "abc"])) == {}

    async def test_nothing_is_left_behind(self, store: TokenStore) -> None:
        """Each key has an end, and no value holds a token."""
        await store.keep(a_login("a"), most=MANY)

        keys = self.server.cli("KEYS", "*")

        assert len(keys) == 2
        for key in keys:
            assert 0 < self.server.cli("PTTL", key) <= (900 + 86400) * 1000

    async def test_redis_is_away(self, store: TokenStore) -> None:
        """Unavailable; and it serves again when Redis does."""
        self.server.daemon.kill()
        with pytest.raises(Unavailable):
            await store.find(["a" * 64])
        with pytest.raises(Unavailable):
            await store.keep(a_login("a"), most=MANY)
        self.server.daemon.start()

        assert dict(await store.find(["a" * 64])) == {}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_wrong_url_ends_the_start(database: Database) -> None:
    """With the key to set, and without the secret that may stand in it."""
    with pytest.raises(ConfigError, match=r"tokens\.redis") as refused:
        RedisTokens("http://user:secret@localhost", database, timeout=5, max_life=900)
    assert "secret" not in str(refused.value)
