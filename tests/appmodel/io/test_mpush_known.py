"""What web remembers of devices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush_stores import Receiver, ReceiverKind
from appmodel.core.sealing import Sealing
from appmodel.io.caching import Changes
from appmodel.io.database import Database
from appmodel.io.mpush_books import SqlDevices, SqlReceivers
from appmodel.io.mpush_known import KnownDevices
from tests.databases import limits

NOW = 1_800_000_000_000  # ms
SEALING = Sealing(b"")
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@asynccontextmanager
async def remembering(database: Database) -> AsyncIterator[KnownDevices]:
    """For as long as the block lasts, changes are read once; what other nodes do then is not heard of."""
    changes = Changes(database, staleness=1e6)
    async with trio.open_nursery() as nursery:
        await nursery.start(changes.run)
        while not changes.is_fresh:  # noqa: ASYNC110  nobody is told of it but by asking
            await trio.sleep(0.01)
        known = KnownDevices(
            SqlDevices(database), SqlReceivers(database, SEALING), database, changes
        )
        yield known
        nursery.cancel_scope.cancel()


@pytest.fixture
def elsewhere(database: Database) -> Database:
    """The same database, as another node has it open."""
    return Database(limits(str(database.engine.url)))


async def test_a_first_login_elsewhere_is_seen_at_once(
    database: Database, elsewhere: Database
) -> None:
    """Though it was asked for just before, and no note of it is read: `no` would be a lie."""
    async with remembering(database) as known:
        assert not await known.exists("d")
        assert await known.members("g") == ()

        await SqlDevices(elsewhere).register("d", group="g", now=NOW)

        assert await known.exists("d")
        assert await known.members("g") == ["d"]
    elsewhere.close()


async def test_a_group_is_who_is_in_it_now(database: Database, elsewhere: Database) -> None:
    """Who joined elsewhere is in and who left is out, at once: what is pushed to it comes to them once or never."""
    devices = SqlDevices(elsewhere)
    async with remembering(database) as known:
        await devices.register("a", group="g", now=NOW)
        assert await known.members("g") == ["a"]

        await devices.register("b", group="g", now=NOW)
        await devices.register("a", group="h", now=NOW)

        assert await known.members("g") == ["b"]
        assert await known.members("h") == ["a"]
    elsewhere.close()


async def test_a_device_that_is_known_costs_no_statement(database: Database) -> None:
    """Nor do its receivers; also when there are none."""
    await SqlDevices(database).register("d", group="g", now=NOW)
    async with remembering(database) as known:
        await known.exists("d")
        await known.receivers_of(["d"])
        before = database.statements

        assert await known.exists("d")
        assert await known.find("d") is not None
        assert await known.receivers_of(["d"]) == {}

        assert database.statements == before


async def test_what_changes_here_is_known_here(database: Database) -> None:
    """At once: a change of group, a receiver, and that a device is forgotten."""
    devices, receivers = SqlDevices(database), SqlReceivers(database, SEALING)
    await devices.register("d", group="g", now=NOW)
    hook = Receiver("d", ReceiverKind.WEBHOOK, "https://a/", Hidden("x"), NOW)
    async with remembering(database) as known:
        assert await known.members("g") == ["d"]
        assert await known.receivers_of(["d"]) == {}

        await devices.register("d", group="h", now=NOW)
        await receivers.add(hook, cursor=0, now=NOW)

        assert await known.members("g") == ()
        assert await known.members("h") == ["d"]
        assert await known.receivers_of(["d", "e"]) == {"d": [hook]}
        assert await devices.forget("d")
        assert not await known.exists("d")
        assert await known.members("h") == ()
        assert await known.receivers_of(["d"]) == {}
