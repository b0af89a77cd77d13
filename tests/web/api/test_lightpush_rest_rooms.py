"""Clients and rooms over the light-push REST: read, changed, moved."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from appmodel.core.lightpush import Platform
from appmodel.core.realms import Direction, Transfer
from appmodel.io.database import Database
from tests.web.lightpush_tenants import START, Caller, a_tenant, connect, said
from tests.web.world import World, open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A node at home."""
    async with open_world() as world:
        yield world


async def client(tenant: Caller, name: str) -> Any:
    """Its record."""
    return await tenant.get(f"client/{quote(name, safe='')}")


async def test_a_client_is_read_both_ways(world: World) -> None:
    """10, D4: the documented GET, and the POST; all texts."""
    demo = await a_tenant(world, "/demo")
    ann = await connect(world, "/demo", "an/n", platform=Platform.IOS)

    record = await client(demo, ann)

    assert record == {
        "userid": "an/n",
        "first_connect_time": str(START),
        "last_connect_time": str(START),
        "userId": "an/n",
        "nspName": "/demo",
    }
    assert await demo.post("client", id=ann) == record
    assert [await demo.post("client", id=each) for each in ("/demo#x#web-d", "%")] == [{}, {}]


async def test_a_client_is_changed(world: World) -> None:
    """204 without a body; only the given fields; what is not one of them only reads."""
    demo = await a_tenant(world, "/demo")
    ann = await connect(world, "/demo", "ann", platform=Platform.IOS)
    before = await client(demo, ann)

    wrote = await demo.ask(
        "POST", "client", {"id": ann, "device_token": "t", "leaveMessage": False, "mobile": 49123}
    )
    named = await demo.ask("POST", "client", {"id": ann, "userId": "other"})
    placed = await demo.ask("POST", "client", {"id": ann, "longitude": 0, "latitude": "51.5"})
    read = await demo.post("client", id=ann, token="x", user="y")

    for answer in (wrote, named, placed):
        assert (answer.status, answer.body) == (204, b"")
    assert read == before | {
        "device_token": "t",
        "leaveMessage": "false",
        "mobile": "49123",
        "longitude": "0.0",
        "latitude": "51.5",
        "update_date": read["update_date"],
    }
    assert await client(demo, ann) == read


async def test_clients_of_others_are_none(world: World) -> None:
    """W4: neither read nor written."""
    demo, other = await a_tenant(world, "/demo"), await a_tenant(world, "/other")
    ann = await connect(world, "/demo", "ann")
    before = await client(demo, ann)

    assert await client(other, ann) == {}
    assert await other.post("client", id=ann, device_token="mine") == "this client not exists"
    assert await client(demo, ann) == before


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("client", {}, "param id can not find "),
    ("client", {"id": 7}, "id: got 7"),
    ("client", {"id": "/demo#ann#web-d1", "device_token": "x" * 256}, "device_token must be"),
    ("client", {"id": "/demo#ann#web-d1", "longitude": 1}, "longitude and latitude must"),
    ("room-apns", {"add": ["r1"]}, "can not find room"),
    ("room-apns", {"room": "r1", "add": "r1"}, "add: got 'r1'"),
    ("room-leave-message", {"leaveMessage": False}, "can not find room"),
    ("room-leave-message", {"room": "r1"}, "leaveMessage: got None"),
    ("transfer", {}, "targetRoom and sourceRooms and type and namespace can not be empty"),
    (
        "transfer",
        {"targetRoom": "a b", "sourceRooms": ["r1"], "type": "join"},
        "targetRoom invalid",
    ),
    (
        "transfer",
        {"targetRoom": "r2", "sourceRooms": ["r1", ""], "type": "join"},
        "sourceRoom invalid",
    ),
]


async def test_calls_that_are_refused(world: World) -> None:
    """Nothing has happened then."""
    demo = await a_tenant(world, "/demo")
    ann = await connect(world, "/demo", "ann", rooms=["r1"])
    before = await client(demo, ann)

    for path, fields, text in REFUSED:
        assert str(await demo.post(path, **fields)).startswith(text)

    assert await client(demo, ann) == before
    assert world.comet.orders == []


async def test_clients_of_a_room_are_muted_at_apple(world: World) -> None:
    """11: every one that was ever in it; added first, then removed."""
    demo = await a_tenant(world, "/demo")
    ann = await connect(world, "/demo", "ann", rooms=["r1"])
    bob = await connect(world, "/demo", "bob", rooms=["r2"])

    assert await demo.post("room-apns", room="r1", add=["r9", "r1"]) == {}
    assert (await client(demo, ann))["no_send_apns"] == "r1,r9"
    assert await demo.post("room-apns", room="r1", add=["r2"], remove=["r9", "r2"]) == {}

    assert (await client(demo, ann))["no_send_apns"] == "r1"
    assert "no_send_apns" not in await client(demo, bob)


async def test_clients_of_a_room_want_nothing_kept(world: World) -> None:
    """12: the same for `leaveMessage`."""
    demo = await a_tenant(world, "/demo")
    ann = await connect(world, "/demo", "ann", rooms=["r1"])
    bob = await connect(world, "/demo", "bob", rooms=["r2"])

    assert await demo.post("room-leave-message", room="r1", leaveMessage=False) == {}

    record = await client(demo, ann)
    assert record["leaveMessage"] == "false"
    assert record["update_date"].isdecimal()
    assert "leaveMessage" not in await client(demo, bob)


async def total(tenant: Caller, room: str) -> int:
    """Who was ever in a room."""
    answer = await tenant.get("report/online", room=room)
    return int(answer[0]["totalClientCount"])


async def test_members_join_and_leave_another_room(world: World) -> None:
    """9: on the total layer here; the connected ones by an order to all comets."""
    demo, other = await a_tenant(world, "/demo"), await a_tenant(world, "/other")
    for name, room in (("ann", "r1"), ("bob", "r2"), ("cid", "r3")):
        await connect(world, "/demo", name, rooms=[room])
        await connect(world, "/other", name, rooms=[room])

    fields = {"targetRoom": "r9", "sourceRooms": ["r1", "r2", "user_cid", "r1"]}
    assert await demo.post("transfer", **fields, type="join") == {}
    joined = await total(demo, "r9")
    assert await demo.post("transfer", targetRoom="r9", sourceRooms=["r2"], type="leave") == {}
    left = await total(demo, "r9")

    assert (joined, left) == (3, 2)
    assert await total(other, "r9") == 0
    assert world.comet.orders == [
        Transfer("/demo", "r9", ("r1", "r2", "user_cid"), Direction.JOIN),
        Transfer("/demo", "r9", ("r2",), Direction.LEAVE),
    ]


async def test_on_every_database(database: Database) -> None:
    """The same on all of them."""
    url = database.engine.url.render_as_string(False)
    async with open_world(database=url) as world:
        demo = await a_tenant(world, "/demo")
        ann = await connect(world, "/demo", "ann", rooms=["r1"], platform=Platform.IOS)

        assert (await demo.ask("POST", "client", {"id": ann, "mobile": "é"})).status == 204
        await demo.post("room-apns", room="r1", add=["r1"])
        await demo.post("transfer", targetRoom="r9", sourceRooms=["r1"], type="join")
        record = await client(demo, ann)

        assert (record["mobile"], record["no_send_apns"]) == ("é", "r1")
        assert await total(demo, "r9") == 1
        assert said(await demo.ask("POST", "client", {"id": ann, "mobile": "\0"})) != {}
