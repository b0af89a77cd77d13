"""Servers that follow a script, and a clock that skips the waiting."""

from collections.abc import AsyncIterator

import pytest
import trio

from tests.clients.scripted import Comet, Web, open_comet, open_web


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Time jumps when everybody waits; the threshold lets loopback deliver what is on its way."""
    autojump_clock.autojump_threshold = 0.02
    return autojump_clock


@pytest.fixture
async def comet() -> AsyncIterator[Comet]:
    async with open_comet() as comet:
        yield comet


@pytest.fixture
async def other_comet() -> AsyncIterator[Comet]:
    async with open_comet() as comet:
        yield comet


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with open_web() as web:
        yield web
