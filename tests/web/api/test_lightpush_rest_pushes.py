"""Pushes over the light-push REST, their reports, and who is online."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Ack, Tally
from appmodel.core.names import Key
from appmodel.io.database import Database
from appmodel.io.lightpush_pushes import SqlPushBook
from tests.web.lightpush_tenants import COMET, a_tenant, admin, connect, said
from tests.web.world import World, open_world

R1 = Key("/demo", "r1", "qun")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A node at home."""
    async with open_world() as world:
        yield world


def now_ms() -> int:
    """This moment."""
    return time.time_ns() // 1_000_000


async def test_a_push_goes_to_the_key_of_its_room(world: World) -> None:
    """4: the answer is its id, a number, and how many were offered it; D1."""
    demo = await a_tenant(world, "/demo")
    world.comet.subscribers[R1] = 3

    pushed = {"room": "r1", "pushData": {"a": 1, "apsData": {"aps": {}}}, "except": "/demo#u#web-d"}
    first = await demo.post("push", **pushed, **{"from": "me", "namespace": "/other"})
    second = await demo.post("push", room="user_u1", pushData=[1])

    assert first == {"id": first["id"], "expectAckCount": 3}
    assert second["id"] > first["id"]
    assert second["expectAckCount"] == 0
    sent, other = (call[0] for call in world.comet.calls)
    assert (sent.keys, sent.without, sent.tally) == ((R1,), "/demo#u#web-d", first["id"])
    assert not sent.expires_at
    name, event = json.loads(sent.body)
    assert name == "push"
    assert event == {
        "id": first["id"],
        "namespace": "/demo",
        "room": "r1",
        "pushData": {"a": 1},
        "sendDate": event["sendDate"],
    }
    assert other.keys == (Key("/demo", "u1", "user"),)


async def test_lost_pushes_are_kept_and_not_sent(world: World) -> None:
    """6.3: counted and listed, delivered to nobody."""
    demo = await a_tenant(world, "/demo")
    world.comet.subscribers[R1] = 3

    made = await demo.post("push", room="r1", pushData={}, extra="lost")

    assert made["expectAckCount"] == 0
    assert world.comet.calls == []
    assert (await demo.get("report/push"))[0]["extra"] == "lost"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"pushData": {}}, "room can not be empty"),
    ({"room": "", "pushData": {}}, "room can not be empty"),
    ({"room": "a b", "pushData": {}}, "room invalid"),
    ({"room": "r" * 101, "pushData": {}}, "room invalid"),
    ({"room": ["r1"], "pushData": {}}, "room invalid"),
    ({"room": "r1"}, "pushData can not be empty and must be an Object"),
    ({"room": "r1", "pushData": "x"}, "pushData can not be empty and must be an Object"),
    ({"room": "r1", "pushData": {}, "except": ["a"]}, "except must be string"),
    ({"room": "r1", "pushData": {}, "expire": 10.5}, "expire invalid"),
    ({"room": "r1", "pushData": {}, "expire": -1}, "expire invalid"),
    ({"room": "r1", "pushData": {}, "expire": "1"}, "expire invalid"),
    (
        {"room": "r1", "pushData": {"apsData": {"a": "x" * 4000}}, "leaveMessage": True},
        "pushData.apsData size must be less then 4000 bytes",
    ),
]


async def test_pushes_that_are_refused(world: World) -> None:
    """5.3: with the original's texts; nothing is kept or sent."""
    demo = await a_tenant(world, "/demo")

    assert [await demo.post("push", **fields) for fields, _ in REFUSED] == [
        text for _, text in REFUSED
    ]
    assert await demo.get("report/push") == []
    assert world.comet.calls == []


async def test_nothing_is_pushed_into_a_namespace_that_is_offline(world: World) -> None:
    """3.6: nor transferred; and on again it is as before. It counts at once on this node."""
    demo = await a_tenant(world, "/demo")
    transfer = {"targetRoom": "r1", "sourceRooms": ["r2"], "type": "join"}

    await demo.post("namespace/save", offline="on")
    refused = [
        await demo.post("push", room="r1", pushData={}),
        await demo.post("transfer", **transfer),
    ]
    await demo.post("namespace/save", offline="off")

    assert refused == ["this namespace offline"] * 2
    assert (await demo.post("push", room="r1", pushData={}))["id"] > 0
    assert await demo.post("transfer", **transfer) == {}


async def test_what_became_of_a_push(world: World) -> None:
    """5, 6: all texts; who acknowledged if somebody asks; and the delivery rate."""
    demo = await a_tenant(world, "/demo")
    ids = [
        (await demo.post("push", room="r1", pushData={"n": n}, leaveMessage=True, expire=0.5))["id"]
        for n in range(3)
    ]
    book = SqlPushBook(world.context.database)
    acks = [Ack("/demo", ids[0], f"c{n}", Platform.IOS) for n in (2, 1)]
    await book.acknowledge([*acks, acks[0]], now=now_ms())
    await book.acknowledge([Ack("/demo", ids[0], "w", Platform.WEB)], now=now_ms())
    await book.tally(Tally(COMET, 1, {("/demo", ids[0]): 4}), now=now_ms())

    report = await demo.get(f"report/push/{ids[0]}")
    detailed = await demo.get(f"report/push/{ids[0]}", ackDetail="false")
    listed = await demo.get("report/push", page=1, size=2)
    rest = await demo.get("report/push", page=2, size=2)

    assert report == {
        "namespace": "/demo",
        "room": "r1",
        "pushData": '{"n":0}',
        "expire": "0.5",
        "id": str(ids[0]),
        "sendDate": report["sendDate"],
        "ackCount": "3",
        "ackIOSCount": "2",
        "ackAndroidCount": "0",
        "onlineClientCount": "4",
        "leaveMessage": "true",
        "ackIOSDetail": [],
        "ackAndroidDetail": [],
        "ackWebDetail": [],
        "deliveryRate": 0.75,
    }
    details = {"ackIOSDetail": ["c1", "c2"], "ackAndroidDetail": [], "ackWebDetail": ["w"]}
    assert detailed == report | details
    assert [each["id"] for each in listed] == [str(ids[2]), str(ids[1])]
    assert rest == [{k: v for k, v in report.items() if "Detail" not in k and k != "deliveryRate"}]
    assert await demo.get("report/push", size=0) == []
    assert await demo.get("report/push", page=1000, size=500) == []
    assert "size" in await demo.get("report/push", size="x")


async def test_pushes_that_there_are_not(world: World) -> None:
    """One text for all."""
    demo = await a_tenant(world, "/demo")

    for number in ("0", "999999", "x", "-1", "1e3", "9" * 30, "1/2"):
        assert await demo.get(f"report/push/{number}") == "this id not exists"


async def test_pushes_of_others_are_none(world: World) -> None:
    """W4: ids are easy to guess."""
    demo, other = await a_tenant(world, "/demo"), await a_tenant(world, "/other")
    made = await demo.post("push", room="r1", pushData={})

    assert await other.get(f"report/push/{made['id']}") == "this id not exists"
    assert await other.get("report/push") == []
    assert (await other.get("namespace/current-message-stat"))["currDateMessageCount"] == 0


async def test_how_many_there_were(world: World) -> None:
    """15: now; and ours: as far back as they are counted, the current bucket last."""
    demo = await a_tenant(world, "/demo")
    empty = await demo.get("namespace/current-message-stat")
    for _ in range(2):
        await demo.post("push", room="r1", pushData={})

    current = await demo.get("namespace/current-message-stat")
    past = await demo.get("namespace/message-stat")
    days = await demo.get("namespace/message-stat", unit="day")
    anywhere = await admin(world).get("namespace/message-stat", key="demo", unit="day")

    names = ("currMinuteMessageCount", "currHourMessageCount", "currDateMessageCount")
    assert empty == dict.fromkeys(names, 0)
    assert current["currDateMessageCount"] == "2"
    assert {unit: len(buckets) for unit, buckets in past.items()} == {
        "minute": 60,
        "hour": 24,
        "day": 100,
    }
    assert all(sum(each["count"] for each in buckets) == 2 for buckets in past.values())
    assert days == anywhere == {"day": past["day"]}
    assert past["day"][-1]["count"] == 2
    assert past["day"][-1]["time"] % 86_400_000 == 0
    assert "unit" in await demo.get("namespace/message-stat", unit="week")


async def test_who_is_online(world: World) -> None:
    """7: a namespace, and rooms in the order in which they are asked for."""
    demo = await a_tenant(world, "/demo")
    ann = await connect(world, "/demo", "ann", rooms=["r1", "r2"], platform=Platform.IOS)
    pad = await connect(world, "/demo", "ann", rooms=["r1"], platform=Platform.ANDROID, uuid="d2")
    bob = await connect(world, "/demo", "bob")

    whole = await demo.get("report/online")
    detailed = await demo.get("report/online", detail="false")
    rooms = await demo.get("report/online", room=["r2", "nothing", "r1", "a b", "user_ann"])
    lists = await demo.get("report/online", room=["r1", "nothing"], detail="true")

    assert whole == {"roomCount": 2, "userCount": 2, "clientCount": 3, "totalClientCount": 3}
    assert detailed == whole | {
        "room": ["r1", "r2"],
        "client": sorted([ann, pad, bob]),
        "user": ["ann", "bob"],
    }
    assert [each["name"] for each in rooms] == ["r2", "nothing", "r1", "a b", "user_ann"]
    assert [each["clientCount"] for each in rooms] == [1, 0, 2, 0, 2]
    assert [each["userCount"] for each in rooms] == [1, 0, 1, 0, 0]
    assert rooms[2] == {
        "name": "r1",
        "userCount": 1,
        "clientCount": 2,
        "totalClientCount": 2,
        "iosClientCount": 1,
        "totalIOSClientCount": 1,
        "androidClientCount": 1,
        "totalAndroidClientCount": 1,
    }
    assert (lists[0]["client"], lists[0]["user"]) == (sorted([ann, pad]), ["ann"])
    assert (lists[1]["client"], lists[1]["user"]) == ([], [])


async def test_the_administrator_sees_all_of_them(world: World) -> None:
    """8: a user of two namespaces counts twice. A namespace sees itself, whatever it asks for."""
    demo, other = await a_tenant(world, "/demo"), await a_tenant(world, "/other")
    await connect(world, "/demo", "ann", rooms=["r1"])
    await connect(world, "/other", "ann", rooms=["r1"])
    await connect(world, "/other", "bob")

    platform = await admin(world).get("report/online")
    one = await admin(world).get("report/online", namespace="/other")
    room = await admin(world).get("report/online", namespace="/other", room="r1", detail="1")
    own = await demo.get("report/online", namespace="/other")

    assert platform == {"userCount": 3, "roomCount": 2, "clientCount": 3}
    assert one == {"roomCount": 1, "userCount": 2, "clientCount": 2, "totalClientCount": 2}
    assert room[0]["client"] == ["/other#ann#web-d1"]
    assert own == one | {"userCount": 1, "clientCount": 1, "totalClientCount": 1}
    assert await other.get("report/online") == one


async def test_a_push_is_answered_though_no_comet_was_reached() -> None:
    """It has an id: who repeats it makes another one."""
    async with open_world(comets=False) as world:
        demo = await a_tenant(world, "/demo")

        made = await demo.post("push", room="r1", pushData={})

        assert made["expectAckCount"] == 0
        assert len(await demo.get("report/push")) == 1


async def test_on_every_database(database: Database) -> None:
    """The same on all of them."""
    url = database.engine.url.render_as_string(False)
    async with open_world(database=url) as world:
        demo, other = await a_tenant(world, "/demo"), await a_tenant(world, "/other")
        await connect(world, "/demo", "ann", rooms=["r1"])

        text = {"text": "é\u0000\U0001f600"}
        made = await demo.post("push", room="r1", pushData=text)

        assert json.loads((await demo.get("report/push"))[0]["pushData"]) == text
        assert await other.get(f"report/push/{made['id']}") == "this id not exists"
        assert (await demo.get("namespace/current-message-stat"))["currDateMessageCount"] == "1"
        assert (await demo.get("report/online", room="r1"))[0]["clientCount"] == 1
        nul = said(await demo.ask("GET", "report/online?room=%00"))
        assert nul[0]["clientCount"] == 0
        assert "from" in await demo.post("push", room="r1", pushData={}, **{"from": "\0"})
