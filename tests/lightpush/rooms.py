"""Lines 6, 7, 14 to 17 and 22 of the checklist: rooms, and what clients are known for."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from tests.lightpush.devices import Device
from tests.lightpush.installation import LISTED
from tests.lightpush.world import OK, Tenant, World, becomes

INVALID = {"status": 500, "msg": "joinOrleaveRoom error: Error: room invalid"}
FORBIDDEN = {"status": 403, "msg": "Forbidden"}


class Rooms:
    """The suite."""

    async def test_06_joining_is_answered(self, world: World) -> None:
        """6. One name, a number, a list, none of a list; what is joined already; all of them count."""
        tenant = await world.tenant()
        device = await tenant.comes("uuid=d1")

        for rooms in ("r1", ["r2", "r3"], [], 4, "r1", ["user_d1"], "a/b\\c.d$e#f-g_h", "x" * 100):
            assert await device.asks("joinRoom", rooms) == OK

        for room in ("r1", "r2", "r3", "4", "user_d1", "a/b\\c.d$e#f-g_h", "x" * 100):
            await tenant.until_present(room, 1)
        await tenant.until_present("r9", 0)

    @pytest.mark.parametrize("bad", ["", "a b", "é", "r1\n", "x" * 101, {"r": 1}, None, True, []])
    async def test_06_a_bad_name_is_told(self, world: World, bad: object) -> None:
        """6. And the good ones beside it are joined."""
        tenant = await world.tenant()
        device = await tenant.comes("uuid=d1")

        assert await device.asks("joinRoom", ["r1", bad, "r2"]) == INVALID

        for room in ("r1", "r2"):
            await tenant.post("push", room=room, pushData={})
            assert (await device.event("push"))["room"] == room

    async def test_06_the_room_of_another_user_is_denied(self, world: World) -> None:
        """6. In any spelling (W1); its pushes stay its own."""
        tenant = await world.tenant()
        owner = await tenant.comes("uuid=d1&userid=ann")
        stranger = await tenant.comes("uuid=d1&userid=bob")

        for room in ("user_ann", ["user_ann"], "USER_ann"):
            assert await stranger.asks("joinRoom", room) == FORBIDDEN
        await tenant.post("push", room="user_ann", pushData={})
        await tenant.post("push", room="user_bob", pushData={})

        assert (await owner.event("push"))["room"] == "user_ann"
        assert (await stranger.event("push"))["room"] == "user_bob"
        assert owner.heard == stranger.heard == []

    async def test_07_the_last_room_can_be_left(self, world: World) -> None:
        """7. It hears nothing of it any more, and stays a member for good."""
        tenant = await world.tenant()
        device = await tenant.comes("uuid=d1&platform=android", rooms=["r1"])
        await tenant.until_present("r1", 1)

        assert await device.asks("leaveRoom", ["r1", "user_d1", "r9"]) == OK

        for room in ("r1", "user_d1"):
            await tenant.until_present(room, 0)
            await tenant.post("push", room=room, pushData={})
        (found,) = await tenant.rooms("r1")
        assert (found["totalClientCount"], found["totalAndroidClientCount"]) == (1, 1)
        overview = {"roomCount": 0, "userCount": 0, "clientCount": 1, "totalClientCount": 1}
        found = await tenant.get("report/online")
        assert found == overview | {"userCount": found["userCount"]}
        assert await device.asks("joinRoom", "r1") == OK
        await tenant.post("push", room="r1", pushData={"a": 1})
        assert (await device.event("push"))["pushData"] == {"a": 1}
        assert device.heard == []

    async def test_14_an_iphone_mutes_rooms(self, world: World) -> None:
        """14. A read is a list, remove wins; what was emptied is empty."""
        tenant = await world.tenant()
        phone = await tenant.comes("uuid=d1&platform=ios")

        assert await phone.asks("apns", {}) == []
        assert await phone.asks("apns", {"add": ["r1", "r2", "r3"], "remove": ["r2"]}) == OK
        assert await phone.asks("apns", {}) == ["r1", "r3"]
        assert await phone.asks("apns", {"remove": ["r1", "r3"]}) == OK
        assert await phone.asks("apns", {}) == []
        assert await phone.asks("apns", {"add": ["r9", "r9"]}) == OK

        assert await phone.asks("apns", {"add": "r1"}) == ["r9"]
        await phone.asks("info", {})  # its record is written then
        assert (await tenant.client("d1", "ios-d1"))["no_send_apns"] == "r9"

    @pytest.mark.parametrize("platform", ["web", "android"])
    async def test_14_others_may_not(self, world: World, platform: str) -> None:
        """14. 403."""
        tenant = await world.tenant()
        device = await tenant.comes(f"uuid=d1&platform={platform}")

        assert await device.asks("apns", {}) == FORBIDDEN
        assert await device.asks("apns", {"add": ["r1"]}) == FORBIDDEN

    async def test_15_a_client_reads_and_writes_itself(self, world: World) -> None:
        """15. A read has the documented fields, as texts; a write is 200, and REST sees it."""
        tenant = await world.tenant()
        device = await tenant.comes("uuid=d1&userid=u1&platform=ios")
        first = await device.asks("info", {})
        assert first == OK | {"userid": "u1", "last_connect_time": first["last_connect_time"]}

        written = {"mobile": "1", "system": "iOS 9", "device_token": "t", "leaveMessage": False}
        assert await device.asks("info", written | {"userId": "x", "nspName": "/x"}) == OK
        assert await device.asks("apns", {"add": ["r1", "r2"]}) == OK

        read = await device.asks("info", {})
        assert read == first | {
            "mobile": "1", "system": "iOS 9", "device_token": "t", "leaveMessage": "false",
            "no_send_apns": "r1,r2", "update_date": read["update_date"],
        }  # fmt: skip
        assert read["update_date"].isdecimal()
        record = await tenant.client("u1", "ios-d1")
        assert (record["userId"], record["nspName"]) == ("u1", tenant.key)
        assert {name: record[name] for name in read.keys() - OK.keys()} == {
            name: read[name] for name in read.keys() - OK.keys()
        }

    async def test_15_a_client_comes_back_as_it_was(self, world: World) -> None:
        """15. With the time when it went."""
        tenant = await world.tenant()
        device = await tenant.comes("uuid=d1")
        assert await device.asks("info", {"mobile": 49123}) == OK
        await device.say(f"1{tenant.key},")
        await tenant.until_present("user_d1", 0)

        async def is_noted() -> bool:
            return (await tenant.client("d1", "web-d1")).get("disconnect_reason") == "network"

        await becomes(is_noted, True)
        again = await tenant.comes("uuid=d1")

        read = await again.asks("info", {})
        assert read["mobile"] == "49123"
        assert int(read["last_connect_time"]) >= int(read["last_disconnect_time"])

    async def test_15_nobody_reads_or_writes_another_one(self, world: World) -> None:
        """15. `clientId` is nobody else, of this namespace or of another (W2)."""
        tenant, other = await world.tenant(), await world.tenant()
        device = await tenant.comes("uuid=d1")
        for each in (tenant, other):
            await each.comes("uuid=victim")
            victim = each.name("victim", "web-victim")
            assert await device.asks("info", {"clientId": victim, "mobile": "1"}) == FORBIDDEN
            assert await device.asks("info", {"clientId": victim}) == FORBIDDEN
            assert await device.asks("discover", {"clientId": victim}) == FORBIDDEN
            await each.until_present("user_victim", 1)
            assert "mobile" not in await each.client("victim", "web-victim")

    async def test_16_members_are_moved_into_a_room(self, world: World) -> None:
        """16. On both layers, on every comet, absent ones too; who was in it already hears nothing."""
        tenant = await world.tenant()
        movers = await self._crowd(tenant, "r1", "abc")
        (inside,) = await self._crowd(tenant, "r1", "d")
        assert await inside.asks("joinRoom", "r2") == OK
        (outside,) = await self._crowd(tenant, "r3", "e")
        (absent,) = await self._crowd(tenant, "r1", "f", "ios")
        await tenant.until_present("r1", 5)
        await absent.carrier.cut()
        await tenant.until_present("r1", 4)

        order: dict[str, Any] = {"targetRoom": "r2", "sourceRooms": ["r1", "r9"]}
        assert await tenant.post("transfer", **order, type="join") == {}

        told = order | {"namespace": tenant.key, "type": "join"}
        for device in movers:
            assert await device.event("joinRoom") == told
        await tenant.until_present("r2", 4)
        (found,) = await tenant.rooms("r2")
        assert (found["totalClientCount"], found["totalIOSClientCount"]) == (5, 1)
        await tenant.post("push", room="r2", pushData={})
        await tenant.post("push", room="r3", pushData={})
        for device in (*movers, inside):
            assert (await device.event("push"))["room"] == "r2"
        assert (await outside.event("push"))["room"] == "r3"
        assert inside.heard == outside.heard == []

    @pytest.mark.parametrize("kind", ["leave", "anything"])
    async def test_16_members_are_moved_out_of_a_room(self, world: World, kind: str) -> None:
        """16. Anything but join leaves; also the last room, and a target among the sources."""
        tenant = await world.tenant()
        movers = await self._crowd(tenant, "r1", "abc")
        (staying,) = await self._crowd(tenant, "r1", "d")
        for device in movers:
            assert await device.asks("joinRoom", "r2") == OK
        await tenant.until_present("r1", 4)
        await tenant.until_present("r2", 3)

        order: dict[str, Any] = {"targetRoom": "r1", "sourceRooms": ["r2"]}
        assert await tenant.post("transfer", **order, type=kind) == {}

        told = order | {"namespace": tenant.key, "type": "leave"}
        for device in movers:
            assert await device.event("leaveRoom") == told
        await tenant.until_present("r1", 1)
        (found,) = await tenant.rooms("r1")
        assert found["totalClientCount"] == 1
        await tenant.post("push", room="r1", pushData={})
        assert (await staying.event("push"))["room"] == "r1"
        assert staying.heard == []

        order = {"targetRoom": "user_d", "sourceRooms": ["user_d"]}
        assert await tenant.post("transfer", **order, type=kind) == {}
        assert (await staying.event("leaveRoom"))["targetRoom"] == "user_d"
        assert await staying.asks("leaveRoom", "r1") == OK

    async def test_16_what_is_no_transfer_is_told(self, world: World) -> None:
        """16. Sources without anybody are fine."""
        tenant = await world.tenant()
        transfer = partial(tenant.post, "transfer")
        missing = "targetRoom and sourceRooms and type and namespace can not be empty"

        assert await transfer(targetRoom="r1", sourceRooms=["r8", "r9"], type="join") == {}
        assert await transfer(targetRoom="r1", sourceRooms=["r8", "r9"], type="leave") == {}
        assert await transfer() == missing
        assert await transfer(targetRoom="r1", sourceRooms=[], type="join") == missing
        assert await transfer(targetRoom="r1", sourceRooms=["r2"]) == missing
        bad = {"targetRoom": "a b", "sourceRooms": ["r2"], "type": "join"}
        assert await transfer(**bad) == "targetRoom invalid"
        bad = {"targetRoom": "r1", "sourceRooms": ["r2", "a b"], "type": "join"}
        assert await transfer(**bad) == "sourceRoom invalid"

    async def test_17_a_namespace_is_counted(self, world: World) -> None:
        """17. Ordinary rooms, users, clients, and whoever was there; lists if they are asked for, with any text."""
        tenant = await world.tenant()
        await self._crowd(tenant, "r1", "ab")
        await tenant.comes("uuid=x&userid=a&platform=ios", rooms=["r2"])
        gone = await tenant.comes("uuid=y&userid=c", rooms=["r3"])
        online = partial(tenant.get, "report/online")
        counts = {"roomCount": 3, "userCount": 3, "clientCount": 4, "totalClientCount": 4}
        await becomes(online, counts)
        await gone.carrier.cut()

        counts = {"roomCount": 2, "userCount": 2, "clientCount": 3, "totalClientCount": 4}
        await becomes(online, counts)
        clients = [tenant.name(*name) for name in (("a", "ios-x"), ("a", "web-a"), ("b", "web-b"))]
        lists = {"room": ["r1", "r2"], "client": clients, "user": ["a", "b"]}
        assert await online(detail="false") == counts | lists
        of_all = await world.admin.get("report/online", namespace=tenant.key)
        assert of_all == counts
        platform = await world.admin.get("report/online")
        assert platform.keys() == {"userCount", "roomCount", "clientCount"}
        assert platform["clientCount"] >= 3

    async def test_17_rooms_are_counted(self, world: World) -> None:
        """17. In the order in which they were asked for, as often as they were; a user's room has no users."""
        tenant = await world.tenant()
        await tenant.comes("uuid=d1&userid=a", rooms=["r1", "r2"])
        await tenant.comes("uuid=d2&userid=a&platform=ios", rooms=["r1"])
        gone = await tenant.comes("uuid=d3&userid=b&platform=android", rooms=["r1"])
        await tenant.until_present("r1", 3)
        await gone.carrier.cut()
        await tenant.until_present("r1", 2)
        names = ["r2", "r1", "r9", "user_a", "r2"]

        found = await tenant.rooms(*names)

        counted = (
            "userCount", "clientCount", "totalClientCount", "iosClientCount",
            "totalIOSClientCount", "androidClientCount", "totalAndroidClientCount",
        )  # fmt: skip
        assert [each["name"] for each in found] == names
        assert {each["name"]: [each[name] for name in counted] for each in found} == {
            "r2": [1, 1, 1, 0, 0, 0, 0],
            "r1": [1, 2, 3, 1, 1, 0, 1],
            "r9": [0, 0, 0, 0, 0, 0, 0],
            "user_a": [0, 2, 2, 1, 1, 0, 0],
        }
        (detailed,) = await tenant.rooms("r1", detail=1)
        clients = [tenant.name("a", "ios-d2"), tenant.name("a", "web-d1")]
        assert detailed == found[1] | {"client": clients, "user": ["a"]}
        of_all = partial(world.admin.get, "report/online", namespace=tenant.key)
        assert await of_all(room=names) == found

    async def test_17_long_lists_are_left_out(self, world: World) -> None:
        """17. Each by itself; the numbers stay."""
        tenant = await world.tenant()
        names = [f"r{number}" for number in range(LISTED + 1)]
        await tenant.comes("uuid=d1", rooms=names)
        overview = {"roomCount": LISTED + 1, "userCount": 1, "clientCount": 1}
        lists = {"client": [tenant.name("d1", "web-d1")], "user": ["d1"]}

        online = partial(tenant.get, "report/online", detail=1)

        await becomes(online, overview | {"totalClientCount": 1} | lists)

    async def test_22_others_hear_who_comes_and_goes(self, world: World) -> None:
        """22. On every comet, in each room, a user's own too; `clientOffline` tells leaving from going."""
        tenant = await world.tenant()
        watchers = await self._crowd(tenant, "r1", "abc")
        (apart,) = await self._crowd(tenant, "r2", "d")
        twin = await tenant.comes("uuid=twin&userid=m")
        mover = await tenant.comes("uuid=m1&userid=m&activityBroadcast=1")
        person = {"sid": tenant.name("m", "web-m1"), "uuid": "m1", "userid": "m"}

        assert await mover.asks("joinRoom", ["r1", "r1"]) == OK
        await self._all_hear(watchers, "peopleJoin", person | {"room": "r1"})
        assert await mover.asks("leaveRoom", "r1") == OK
        await self._all_hear(
            watchers, "peopleLeave", person | {"room": "r1", "clientOffline": False}
        )
        assert await mover.asks("leaveRoom", "r1") == OK  # where it is not: nobody hears of it
        assert await mover.asks("joinRoom", "r1") == OK
        await self._all_hear(watchers, "peopleJoin", person | {"room": "r1"})
        await mover.carrier.cut()
        gone = person | {"clientOffline": True}
        await self._all_hear(watchers, "peopleLeave", gone | {"room": "r1"})

        assert await twin.event("peopleJoin") == person | {"room": "user_m"}
        assert await twin.event("peopleLeave") == gone | {"room": "user_m"}
        assert mover.heard == apart.heard == twin.heard == []

    async def test_22_silent_clients_are_not_told_of(self, world: World) -> None:
        """22. Who does not ask for it: others hear nothing of it."""
        tenant = await world.tenant()
        watchers = await self._crowd(tenant, "r1", "abc")

        silent = await tenant.comes("uuid=s", rooms=["r1"])
        assert await silent.asks("leaveRoom", "r1") == OK
        assert await silent.asks("joinRoom", "r1") == OK
        await tenant.until_present("r1", 4)
        await silent.carrier.cut()
        await tenant.until_present("r1", 3)

        await tenant.post("push", room="r1", pushData={})
        for device in watchers:
            await device.event("push")
            assert device.heard == []

    @staticmethod
    async def _crowd(
        tenant: Tenant, room: str, names: str, platform: str = "web"
    ) -> Sequence[Device]:
        """Users that are named by letters, with a device each; on one comet after the other."""
        return [
            await tenant.comes(f"uuid={name}&platform={platform}", rooms=[room]) for name in names
        ]

    @staticmethod
    async def _all_hear(devices: Sequence[Device], name: str, told: dict[str, Any]) -> None:
        for device in devices:
            assert await device.event(name) == told
            assert device.heard == []
