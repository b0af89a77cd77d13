"""Lines 8 to 11, 13 and 20 of the checklist: pushes of business systems and of clients, and what is told of them."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from tests.lightpush.devices import Device
from tests.lightpush.installation import ACKS
from tests.lightpush.world import OK, Tenant, World, becomes

HOUR = 3600.0  # seconds


class Pushing:
    """The suite."""

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({}, "room can not be empty"),
            ({"room": ""}, "room can not be empty"),
            ({"room": "a b"}, "room invalid"),
            ({"room": "x" * 101}, "room invalid"),
            ({"room": 7}, "room invalid"),
            ({"room": ["r1"]}, "room invalid"),
            ({"pushData": None}, "pushData can not be empty and must be an Object"),
            ({"pushData": "text"}, "pushData can not be empty and must be an Object"),
            ({"except": ["x"]}, "except must be string"),
            ({"expire": 10.5}, "expire invalid"),
            ({"expire": -1}, "expire invalid"),
            ({"expire": "1"}, "expire invalid"),
            ({"expire": 0.0001}, "expire invalid"),
            (
                {"leaveMessage": True, "pushData": {"apsData": {"a": "é" * 2000}}},
                "pushData.apsData size must be less then 4000 bytes",
            ),
        ],
    )
    async def test_08_what_is_no_push_is_told(
        self, world: World, fields: dict[str, Any], text: str
    ) -> None:
        """8. 400 with code 9999 and the original's text; nothing is kept.

        Two of its texts cannot come: the namespace is always given, and one that is lost has no credential.
        """
        tenant = await world.tenant()
        push = ({"room": "r1", "pushData": {}} if fields.keys() - {"room"} else {}) | fields

        assert await tenant.post("push", **push) == text

        assert await tenant.get("report/push") == []

    async def test_08_a_namespace_that_is_offline_pushes_nothing(self, world: World) -> None:
        """8. `this namespace offline`, on all nodes soon."""
        tenant = await world.tenant()
        push = partial(tenant.post, "push", room="r1", pushData={})
        assert await tenant.post("namespace/save", offline="on") == {}

        await world.everywhere(push, "this namespace offline")

    async def test_08_ids_grow(self, world: World) -> None:
        """8. Numbers, over all namespaces and nodes."""
        one, other = await world.tenant(), await world.tenant()
        pushed = [
            await tenant.post("push", room="r1", pushData={})
            for tenant in (one, other, one, one, other, other)
        ]

        ids = [each["id"] for each in pushed]

        assert all(isinstance(each, int) for each in ids)
        assert ids == sorted(set(ids))
        history = await one.get("report/push")
        assert [each["id"] for each in history] == [str(ids[at]) for at in (3, 2, 0)]

    @pytest.mark.parametrize(
        ("expire", "shown"), [({}, "1"), ({"expire": 0.5}, "0.5"), ({"expire": 10}, "10")]
    )
    async def test_08_pushes_live_for_hours(
        self, world: World, expire: dict[str, float], shown: str
    ) -> None:
        """8. One unless asked otherwise, ten at most, also halves."""
        tenant = await world.tenant()

        made = await tenant.post("push", room="r1", pushData={}, **expire)

        assert (await tenant.report(made["id"]))["expire"] == shown

    async def test_08_what_has_expired_is_gone(self, world: World) -> None:
        """8. After as many hours as were asked for; others stay (W21)."""
        tenant = await world.tenant()
        push = partial(tenant.post, "push", room="r1", pushData={})
        kept = await push()
        brief = await push(expire=1 / HOUR)

        async def newest() -> str:
            (found,) = await tenant.get("report/push", size=1)
            return str(found["id"])

        await becomes(newest, str(kept["id"]))

        assert await tenant.report(brief["id"]) == "this id not exists"

    async def test_09_everybody_in_the_room_gets_it(self, world: World) -> None:
        """9. Five fields, no apsData; not who is spared; frames are counted over all nodes."""
        tenant = await world.tenant()
        devices = [
            await tenant.comes(f"uuid=d{at}", rooms=["r1"], polls=at % 4 == 3) for at in range(8)
        ]
        (apart,) = await self._crowd(tenant, "r2", "x")
        before = round(time.time() * 1000)

        push = {"a": [1, "é"], "apsData": {"aps": {"badge": 1}}}
        spare = {"room": "r1", "except": tenant.name("d0", "web-d0")}
        made = await tenant.post("push", pushData=push, **spare)

        spared, *others = devices
        for device in others:
            event = await device.event("push")
            assert event == {
                "id": made["id"], "namespace": tenant.key, "room": "r1",
                "pushData": {"a": [1, "é"]}, "sendDate": event["sendDate"],
            }  # fmt: skip
            assert abs(event["sendDate"] - before) < 60_000
        assert made.keys() == {"id", "expectAckCount"}
        await tenant.post("push", room="r1", pushData=[2])
        await tenant.post("push", room="r2", pushData=[3])
        assert (await spared.event("push"))["pushData"] == [2]
        assert (await apart.event("push"))["pushData"] == [3]
        assert spared.heard == apart.heard == []
        await tenant.until_reported(made["id"], onlineClientCount="7")
        assert (await tenant.report(made["id"]))["pushData"] == msgspec.json.encode(push).decode()
        await self._until_expected(tenant, 7, **spare)

    async def test_09_a_push_reaches_one_user(self, world: World) -> None:
        """9. In the room of a user, on each device."""
        tenant = await world.tenant()
        mine = [await tenant.comes(f"uuid=d{at}&userid=ann") for at in range(3)]
        other = await tenant.comes("uuid=d1&userid=bob")

        made = await tenant.post("push", room="user_ann", pushData={})
        await tenant.post("push", room="user_bob", pushData={})

        for device in mine:
            assert (await device.event("push"))["id"] == made["id"]
        assert (await other.event("push"))["room"] == "user_bob"
        assert other.heard == []
        await self._until_expected(tenant, 3, room="user_ann")

    async def test_09_pushes_come_in_order(self, world: World) -> None:
        """9. Of one caller to one room, wherever the clients are."""
        tenant = await world.tenant()
        devices = await self._crowd(tenant, "r1", "abc")

        ids = [(await tenant.post("push", room="r1", pushData=[at]))["id"] for at in range(20)]

        for device in devices:
            assert [(await device.event("push"))["id"] for _ in ids] == ids

    async def test_10_acknowledgements_are_counted_once(self, world: World) -> None:
        """10. Of each client, by platform; who, if that is asked for; and the rate."""
        tenant = await world.tenant()
        platforms = ["web", "ios", "android", "ios", "web"]
        devices = [
            await tenant.comes(f"uuid=d{at}&platform={platform}", rooms=["r1"])
            for at, platform in enumerate(platforms)
        ]
        made = await tenant.post("push", room="r1", pushData={})

        for device in devices[:4]:
            event = await device.event("push")
            for number in (event["id"], event["id"], str(event["id"])):
                await device.emits("ackPush", {"id": number})
            assert device.heard == []

        await tenant.until_reported(made["id"], ackCount="4", ackIOSCount="2", ackAndroidCount="1",
            onlineClientCount="5", deliveryRate=0.8,
        )  # fmt: skip
        details = ("ackIOSDetail", "ackAndroidDetail", "ackWebDetail")
        plain, detailed = (
            await tenant.report(made["id"]),
            await tenant.report(made["id"], ackDetail=1),
        )
        assert [plain[name] for name in details] == [[], [], []]
        names = [
            tenant.name(f"d{at}", f"{platform}-d{at}") for at, platform in enumerate(platforms)
        ]
        assert [detailed[name] for name in details] == [
            [names[1], names[3]],
            [names[2]],
            [names[0]],
        ]
        for device in devices:  # and again, when all is written
            await device.emits("ackPush", {"id": made["id"]})
        await tenant.until_reported(made["id"], ackCount="5", deliveryRate=1.0)

    async def test_10_many_acknowledgements_are_not_listed(self, world: World) -> None:
        """10. `$$` stands for as many as may be listed, or more."""
        tenant = await world.tenant()
        made = await tenant.post("push", room="r1", pushData={})
        for at in range(ACKS):
            device = await tenant.comes(f"uuid=d{at}&platform=ios")
            await device.emits("ackPush", {"id": made["id"]})
        await (await tenant.comes("uuid=d9")).emits("ackPush", {"id": made["id"]})

        await tenant.until_reported(made["id"], ackCount=str(ACKS + 1), ackIOSCount=str(ACKS))

        report = await tenant.report(made["id"], ackDetail=1)
        assert report["ackIOSDetail"] == ["$$"]
        assert report["ackWebDetail"] == [tenant.name("d9", "web-d9")]

    async def test_10_what_is_no_push_is_not_acknowledged(self, world: World) -> None:
        """10. An unknown id makes nothing (W19); one of another namespace counts nothing (W4)."""
        tenant, other = await world.tenant(), await world.tenant()
        device = await tenant.comes("uuid=d1", rooms=["r1"])
        foreign = await other.post("push", room="r1", pushData={})
        unknown = foreign["id"] + 1_000_000

        for number in (unknown, foreign["id"], -1, 0, "x", None, 1.5, [1], 2**70):
            await device.emits("ackPush", {"id": number})
        await device.emits("ackPush")
        await device.emits("ackPush", "x")
        mine = await tenant.post("push", room="r1", pushData={})
        await device.emits("ackPush", {"id": mine["id"]})

        await tenant.until_reported(mine["id"], ackCount="1")
        for number in (unknown, foreign["id"]):
            assert await tenant.report(number) == "this id not exists"
        assert (await other.report(foreign["id"]))["ackCount"] == "0"
        assert await other.report(unknown) == "this id not exists"

    async def test_11_a_lost_push_is_kept_and_not_sent(self, world: World) -> None:
        """11. It is counted and listed; nobody gets it, and nobody is expected to."""
        tenant = await world.tenant()
        devices = await self._crowd(tenant, "r1", "abc")

        lost = await tenant.post("push", room="r1", pushData=["lost"], extra="lost")
        sent = await tenant.post("push", room="r1", pushData=["sent"], extra="found")

        for device in devices:
            assert (await device.event("push"))["pushData"] == ["sent"]
            assert device.heard == []
        assert lost["expectAckCount"] == 0
        await tenant.until_reported(sent["id"], onlineClientCount="3", extra="found")
        report = await tenant.report(lost["id"])
        assert (report["extra"], report["onlineClientCount"]) == ("lost", "0")
        assert report["deliveryRate"] is None
        history = await tenant.get("report/push")
        assert [each["id"] for each in history] == [str(sent["id"]), str(lost["id"])]

    async def test_13_clients_push_once_a_second(self, world: World) -> None:
        """13. The first is free, the next comes too early, also if the first was refused."""
        tenant = await world.tenant()
        one, other = await self._crowd(tenant, "r1", "ab")
        limited = {"status": 500, "msg": "limited access in 1s"}
        push = {"room": "r1", "pushData": {}}

        made = await one.asks("push", push)
        assert made == OK | {"id": made["id"], "expectAckCount": made["expectAckCount"]}
        assert await one.asks("push", push) == limited
        refused = '{"code": 9999,"msg": "room can not be empty"}'
        assert await other.asks("push", {}) == {"status": 400, "msg": refused}
        assert await other.asks("push", push) == limited

        assert (await other.event("push"))["id"] == made["id"]
        assert one.heard == other.heard == []

    async def test_13_the_server_knows_who_pushes(self, world: World) -> None:
        """13. Neither the namespace nor `from` is the client's to say (W1, W3); it does not hear itself."""
        tenant, other = await world.tenant(), await world.tenant()
        sender, reader = await self._crowd(tenant, "r1", "ab")
        (foreign,) = await self._crowd(other, "r1", "b")
        mine = tenant.name("a", "web-a")

        made = await sender.asks(
            "push",
            {"room": "r1", "pushData": {"typing": 1}, "namespace": other.key, "from": "boss"},
        )

        event = await reader.event("push")
        assert (event["id"], event["namespace"], event["room"]) == (made["id"], tenant.key, "r1")
        assert "from" not in event
        await other.post("push", room="r1", pushData={})
        await tenant.post("push", room="r1", pushData={})
        assert (await foreign.event("push"))["namespace"] == other.key
        assert (await sender.event("push"))["id"] != made["id"]
        assert sender.heard == foreign.heard == []
        report = await tenant.report(made["id"])
        assert (report["from"], report["except"]) == (mine, mine)
        assert report["namespace"] == tenant.key
        assert await other.report(made["id"]) == "this id not exists"

    async def test_13_a_client_may_spare_somebody_else(self, world: World) -> None:
        """13. Then it hears itself."""
        tenant = await world.tenant()
        sender, reader = await self._crowd(tenant, "r1", "ab")

        push = {"room": "r1", "pushData": [1], "except": tenant.name("b", "web-b")}
        assert (await sender.asks("push", push))["status"] == 200
        await tenant.post("push", room="r1", pushData=[2])

        assert (await sender.event("push"))["pushData"] == [1]
        assert (await reader.event("push"))["pushData"] == [2]

    async def test_20_pushes_are_counted(self, world: World) -> None:
        """20. In this minute, hour and day, of REST and of clients; texts, and the number 0 before the first one."""
        tenant = await world.tenant()
        stat = partial(tenant.get, "namespace/current-message-stat")
        names = ("currMinuteMessageCount", "currHourMessageCount", "currDateMessageCount")
        assert await stat() == dict.fromkeys(names, 0)
        device = await tenant.comes("uuid=d1")
        push = {"room": "r1", "pushData": {}}

        await _early_in_a_minute()
        for extra in ("", "lost"):
            await tenant.post("push", **push, extra=extra)
        assert (await device.asks("push", push))["status"] == 200
        assert await tenant.post("push", room="") == "room can not be empty"

        assert await stat() == dict.fromkeys(names, "3")
        past = await tenant.get("namespace/message-stat")
        assert {unit: sum(each["count"] for each in counts) for unit, counts in past.items()} == {
            "minute": 3, "hour": 3, "day": 3
        }  # fmt: skip
        assert {unit: len(counts) for unit, counts in past.items()} == {
            "minute": 60, "hour": 24, "day": 100
        }  # fmt: skip

    @staticmethod
    async def _crowd(tenant: Tenant, room: str, names: str) -> Sequence[Device]:
        return [await tenant.comes(f"uuid={name}", rooms=[room]) for name in names]

    @staticmethod
    async def _until_expected(tenant: Tenant, clients: int, **push: Any) -> None:
        """So many are expected to acknowledge a push: comets tell one another of who joined within 0.1 s."""

        async def expected() -> Any:
            return (await tenant.post("push", pushData={}, **push))["expectAckCount"]

        await becomes(expected, clients)


async def _early_in_a_minute() -> None:
    """So that what follows falls into one minute: counters begin anew with each."""
    left = 60 - time.time() % 60
    if left < 5:
        await trio.sleep(left)
