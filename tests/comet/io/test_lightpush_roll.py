"""Who is here, written behind: what happens when stores or comets are away."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Arrival, AttendanceNews, Overview, Process
from appmodel.core.units import Duration
from appmodel.errors import Unavailable
from appmodel.io.database import Database
from comet.core.lightpush_news import presence_of
from tests.comet.tenants import QUICK, Tenants, now, open_tenants, until

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

OK = {"status": 200, "msg": "ok"}


class Away:
    """A store whose calls fail while it is away; in doubt: behind what they have done."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.is_away = False
        self.in_doubt = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._store, name)

        async def attempt(*arguments: Any, **options: Any) -> Any:
            if self.is_away and not self.in_doubt:
                raise Unavailable("the store is away")
            answer = await call(*arguments, **options)
            if self.is_away:
                raise Unavailable("the store is away")
            return answer

        return attempt


@asynccontextmanager
async def fragile(database: Database, **roll: Any) -> AsyncIterator[tuple[Tenants, list[Away]]]:
    """A comet whose stores can be made to fail."""
    config = msgspec.structs.replace(QUICK, roll=msgspec.structs.replace(QUICK.roll, **roll))
    async with open_tenants(database, lightpush=config) as tenants:
        served = tenants.lightpush
        stores = [Away(tenants.books.clients), Away(tenants.books.attendance)]
        served.roll._clients, served.roll._attendance = stores
        pushes = Away(tenants.books.pushes)
        served.receipts._pushes = pushes
        await tenants.save()
        yield tenants, [*stores, pushes]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries."""
    monkeypatch.setattr("comet.io.lightpush_roll.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("comet.io.writing_behind.FIRST_PAUSE", 0.01)


async def overview(tenants: Tenants) -> Overview:
    """Of the namespace."""
    return (await tenants.books.attendance.overviews(["/demo"]))["/demo"]


@pytest.mark.parametrize("in_doubt", [False, True])
async def test_while_the_stores_are_away_clients_come_hear_and_go(
    database: Database, in_doubt: bool
) -> None:
    """And afterwards it is written as it is, acknowledgements too."""
    async with fragile(database) as (tenants, stores):
        made = await tenants.push(room="r1", pushData={"a": 1})
        for store in stores:
            store.is_away, store.in_doubt = True, in_doubt
        devices = [await tenants.comes(f"uuid=d{number}") for number in range(3)]
        for device in devices:
            assert await device.asks("joinRoom", ["r1", "r2"]) == OK
            device.emits("ackPush", {"id": made.id})
        await devices[0].asks("leaveRoom", "r2")
        devices[2].phone.lose()
        served = tenants.lightpush
        await tenants.cluster.worlds["a"].until(
            lambda: served.roll.failures > 1 and served.receipts.failures > 1
        )

        for store in stores:
            store.is_away = False

        async def is_written() -> bool:
            found = await tenants.books.attendance.rooms("/demo", ["r1", "r2"])
            acked = await tenants.books.pushes.details("/demo", made.id, most=10)
            numbers = [found[room].clients for room in ("r1", "r2")]
            return numbers == [2, 1] and len(acked.web or ()) == 3

        await until(is_written)
        await tenants.cluster.worlds["a"].until(
            lambda: served.roll.trouble is None and served.receipts.trouble is None
        )


async def test_too_many_news_are_written_anew(database: Database) -> None:
    """What was forgotten is found by comparing."""
    async with fragile(database, backlog=2, batch=2) as (tenants, stores):
        ghost = await tenants.comes("uuid=ghost")

        async def is_there() -> bool:
            return (await overview(tenants)).clients == 1

        await until(is_there)
        for store in stores:
            store.is_away = True
        ghost.phone.lose()
        for number in range(6):
            device = await tenants.comes(f"uuid=d{number}")
            await device.asks("joinRoom", "r1")
        for store in stores:
            store.is_away = False

        async def is_right() -> bool:
            found = await tenants.books.attendance.lists("/demo", most=10)
            names = [f"/demo#d{number}#web-d{number}" for number in range(6)]
            room = await tenants.books.attendance.rooms("/demo", ["r1"])
            is_rewritten = tenants.lightpush.roll.rewritten > 0
            return is_rewritten and found.clients == names and room["r1"].clients == 6

        await until(is_right)


async def test_what_somebody_else_has_removed_comes_back(database: Database) -> None:
    """A comet that was taken for dead has its clients still."""
    async with open_tenants(database) as tenants:
        await tenants.save()
        device = await tenants.comes("uuid=d1")
        await device.asks("joinRoom", "r1")

        async def is_there() -> bool:
            room = await tenants.books.attendance.rooms("/demo", ["r1"])
            return room["r1"].clients == 1

        await until(is_there)
        gone = [("/demo", "/demo#d1#web-d1")]
        process = tenants.lightpush.roll.process
        await tenants.books.attendance.record(process, AttendanceNews(went=gone))

        await until(is_there)


async def test_clients_of_a_comet_that_is_gone_are_released(database: Database) -> None:
    """Another comet does it; who is present elsewhere stays."""
    async with open_tenants(database, ("a", "b")) as tenants:
        await tenants.save()
        await tenants.comes("uuid=d1", comet="a")
        await tenants.comes("uuid=d2", comet="b")
        dead = Process("dead", 1)
        arrival = Arrival("/demo", "/demo#x#web-x", "x", Platform.WEB, "x", now() - 1000)
        await tenants.books.clients.arrived([arrival])
        await tenants.books.attendance.record(dead, AttendanceNews(came=[presence_of(arrival)]))

        async def is_released() -> bool:
            processes = await tenants.books.attendance.processes()
            return dead not in processes and (await overview(tenants)).clients == 2

        await until(is_released)
        record = await tenants.books.clients.find("/demo", arrival.client)
        assert record is not None
        assert record.last_disconnect_time is not None


async def test_a_comet_that_stops_leaves_nobody_behind(database: Database) -> None:
    """All its clients have gone by then, and what they acknowledged is written."""
    async with open_tenants(database) as tenants:
        await tenants.save()
        made = await tenants.push(room="r1", pushData={"a": 1})
        device = await tenants.comes("uuid=d1")
        device.emits("ackPush", {"id": made.id})
        device.phone.lose()

        await tenants.lightpush.leave()

        assert await tenants.books.attendance.processes() == []
        found = await tenants.books.pushes.details("/demo", made.id, most=10)
        assert found.web == ["/demo#d1#web-d1"]


async def test_who_asks_about_itself_waits_for_a_store_that_is_away_no_longer_than_it_must(
    database: Database,
) -> None:
    """Then that is the answer."""
    async with fragile(database, settle_timeout=Duration(0.1)) as (tenants, stores):
        for store in stores:
            store.is_away = True
        device = await tenants.comes("uuid=d1")

        answer = await device.asks("info", {})

        assert answer == {
            "status": 500,
            "msg": "what is known of this client cannot be written now",
        }
