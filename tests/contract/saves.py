"""What the suites of a store share: a clock, three keys, pushes, and how a store is opened."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Page, Save
from appmodel.core.names import Key

A, B, C = Key("", "a", "user"), Key("", "b", "user"), Key("tenant1", "a", "user")
QUEUE = Key("", "a@mpush", "")
START = 1_800_000_000.0  # Unix seconds at which each test begins
NOW = int(START * 1e6)  # the same as an id


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def push(
    number: int,
    keys: Iterable[Key] = (A,),
    *,
    at: int = NOW,
    body: bytes = b'"body"',
    expires_at: float = START + 60,
    tails: Iterable[bytes] = (),
) -> Save:
    """The save of a push; its push id is `number`, its proposed id `at`."""
    return Save(number.to_bytes(16, "big"), at, tuple(keys), body, expires_at, tuple(tails))


def ids(page: Page) -> list[int]:
    """The ids on a page."""
    return [message.id for message in page.messages]


class StoreSuite:
    """Tests of a store; a subclass says how to open it."""

    def open_store(
        self,
        now: Callable[[], float],
        *,
        depth: int = 1000,
        queue_depth: int = 1000,
        page_limit: int = 1 << 20,
    ) -> AbstractAsyncContextManager[OfflineStore]:
        """A new and empty store; `now` is its clock, `page_limit` the bytes of bodies on a page."""
        raise NotImplementedError

    @pytest.fixture
    def time(self) -> Time:
        """The store's clock."""
        return Time()

    @pytest.fixture
    async def store(self, time: Time) -> Any:
        """An empty store."""
        async with self.open_store(time) as store:
            yield store
