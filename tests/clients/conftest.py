"""Servers that follow a script, and a clock that skips the waiting."""

import socket
from collections.abc import AsyncIterator, Iterator

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


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a comet that refuses connections: its port is taken, but nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{taken.getsockname()[1]}/sub"
