"""Opening a Redis store on a real server, each time under a prefix of its own: new and empty."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from appmodel.core.units import Duration, Size
from message.config import MessageConfig, RedisConfig
from message.stores.redis import RedisStore, open_redis
from tests.contract.offline_store import Time
from tools.servers.daemon import Missing
from tools.servers.redis import Server

_numbers = itertools.count()


def new_prefix() -> str:
    """Under which nothing lies yet."""
    return f"test-{next(_numbers)}"


@contextmanager
def or_skip() -> Iterator[None]:
    """A test whose server is not installed is skipped, with the reason."""
    try:
        yield
    except Missing as missing:
        pytest.skip(str(missing))


def config(
    *servers: Server, depth: int = 1000, page_limit: int = 1 << 20, **options: Any
) -> MessageConfig:
    """Of a store on these servers. Options are those of [message.redis]."""
    options.setdefault("prefix", new_prefix())
    options.setdefault("timeout", Duration(5))
    addresses = tuple(server.address for server in servers)
    redis = RedisConfig(addresses=addresses, **options)
    return MessageConfig(store="redis", redis=redis, depth=depth, page_limit=Size(page_limit))


@asynccontextmanager
async def open_on(
    *servers: Server, now: Callable[[], float] | None = None, **options: Any
) -> AsyncIterator[RedisStore]:
    """A store on these servers."""
    async with open_redis(config(*servers, **options), now or Time()) as store:
        yield store
