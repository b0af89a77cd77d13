"""Worlds for the tests of the web node."""

from collections.abc import AsyncIterator

import pytest

from tests.web.world import World, open_world


@pytest.fixture
async def home() -> AsyncIterator[World]:
    """A node that asks for no credential."""
    async with open_world() as world:
        yield world


@pytest.fixture
async def guarded() -> AsyncIterator[World]:
    """A node with auth.mode = "on"."""
    async with open_world(auth="on") as world:
        yield world
