"""A node for all, servers that follow a script, and a clock that skips the waiting."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.clients.scripted import Comet, Web, open_comet, open_web
from tests.node import Node, running_node


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("home")) as node:
        yield node


@pytest.fixture
def node(home: Node) -> Node:
    """One for all tests: it comes back at the same addresses, with the same store."""
    if not home.is_running:  # a test failed while it was down
        home.start()
    return home


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
