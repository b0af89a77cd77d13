"""Opening a Redis store on a real server, each time under a prefix of its own: new and empty."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from appmodel.core.units import Duration
from message.config import MessageConfig, RedisConfig
from message.stores.redis import RedisStore, open_redis
from tests.contract.saves import Time
from tools.servers.daemon import Missing
from tools.servers.redis import Server

LIMITS = ("depth", "queue_depth", "page_limit", "round_limit", "queue_limit")

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


def config(*servers: Server, **options: Any) -> MessageConfig:
    """Of a store on these servers. Options are those of [message.redis], and limits of [message]."""
    limits = {name: options.pop(name) for name in LIMITS if name in options}
    options = {"prefix": new_prefix(), "timeout": Duration(5), **options}
    redis = RedisConfig(addresses=tuple(server.address for server in servers), **options)
    return MessageConfig(store="redis", redis=redis, **limits)


@asynccontextmanager
async def open_on(
    *servers: Server, now: Callable[[], float] | None = None, **options: Any
) -> AsyncIterator[RedisStore]:
    """A store on these servers."""
    async with open_redis(config(*servers, **options), now or Time()) as store:
        yield store
