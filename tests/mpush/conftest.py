"""What every module here has: the installation that it names, and a world of it for each test.

INSTALLATION = one_node      in a test module
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.mpush.installation import Installation
from tests.mpush.world import World, open_world

SUITES = ("logging_in", "pushing", "acknowledging", "version_2", "waiting", "failing")
pytest.register_assert_rewrite(*(f"tests.mpush.{name}" for name in SUITES))


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """For all tests of a module."""
    with request.module.INSTALLATION(tmp_path_factory.mktemp("mpush")) as place:
        yield place


@pytest.fixture
async def world(place: Installation) -> AsyncIterator[World]:
    """With names of the test's own."""
    async with open_world(place) as world:
        yield world
