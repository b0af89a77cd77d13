"""The ways to Apple of light-push's namespaces: opened once, and not for ever."""

from pathlib import Path

import pytest
import trio
import trio.testing

from appmodel.core.lightpush_records import Draft, Hidden, StoredPush
from appmodel.io.database import Database
from tests.web.absent import AUTHORITY, START, Absent, opened
from tests.web.gateways.apple import TOPIC, device_token
from web.core.lightpush_apns import Place, letter_of
from web.gateways import lightpush_apns as module
from web.gateways.interface import DELIVERED, Receipt
from web.gateways.lightpush_apns import Ways

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


async def send(ways: Ways, place: Place) -> Receipt:
    """One notification."""
    way = await ways.find(place)
    assert way is not None
    push = StoredPush(7, Draft("/demo", "r1", "{}", 1.0, START, START + 1000))
    return await way.send(
        device_token(1), letter_of(push, way.config, alert="Hi", now=START), push.id
    )


async def closed(absent: Absent, connections: int) -> None:
    """Wait until so many are open at Apple's."""
    while absent.apple.server.open != connections:
        await trio.testing.wait_all_tasks_blocked(0.001)


async def test_a_way_is_opened_once(database: Database, tmp_path: Path) -> None:
    """Also by two jobs at once; another place has its own."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/a", "main")
        pair = Hidden(AUTHORITY.issue("Apple Push Services", uid=TOPIC))
        fields = {"production_cert": pair, "production_key": pair, "token_key": None}
        await absent.configure("/b", "main", **fields)  # takes longer to open
        ways, places = absent.ways(), [Place("/a", "main"), Place("/b", "main")]
        said: list[Receipt] = []

        async def say(place: Place) -> None:
            said.append(await send(ways, place))

        async with trio.open_nursery() as nursery:
            for place in places * 3:
                nursery.start_soon(say, place)

        assert said == [DELIVERED] * 6
        assert absent.apple.server.connections == 2
        await ways.aclose()
        await closed(absent, 0)


async def test_what_is_not_there_is_no_way(database: Database, tmp_path: Path) -> None:
    """Neither an unknown name nor another namespace's."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/a", "main")
        ways = absent.ways()

        assert await ways.find(Place("/a", "Main")) is None
        assert await ways.find(Place("/b", "main")) is None


async def test_the_longest_unused_ways_are_closed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tenants come and go; connections do not stay."""
    monkeypatch.setattr(module, "MAX_GATEWAYS", 2)
    async with opened(database, tmp_path) as absent:
        places = [Place(key, "main") for key in ("/a", "/b", "/c")]
        for place in places:
            await absent.configure(*place)
        ways = absent.ways()
        for place in (places[0], places[1], places[0], places[2], places[0]):
            assert await send(ways, place) == DELIVERED

        assert absent.apple.server.connections == 3
        await closed(absent, 2)
