"""Line 12 of the checklist: what is done for clients that did not acknowledge a push with `leaveMessage`.

Apple is a server of HTTP/2 on loopback. Times are short here (installation.py): it takes less than a second.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import trio

from appmodel.runtime.config import LightPushConfig
from tests.lightpush.devices import Device
from tests.lightpush.installation import AUTHORITY, INBOX
from tests.lightpush.world import OK, Tenant, World, becomes
from tests.web.absent import number_of
from tests.web.gateways.apple import KEY_ID, TEAM_ID, TOPIC, Apple, apple_error, device_token
from tests.web.gateways.authority import pem
from tests.web.gateways.h2_server import serving

HOUR = 3600.0  # seconds
PATIENCE = 40.0  # seconds
PAUSE = 0.1  # seconds between two connects of a client that looks for what it missed


class Absent:
    """The suite."""

    @pytest.fixture
    async def apple(self, world: World) -> AsyncIterator[Apple]:
        """Where the installation looks for it. Whose namespace has no way, goes the one of `/`."""
        apple = Apple()
        apple.server.port = world.place.apple
        async with serving(apple.server, AUTHORITY.server_context()):
            await world.admin.post("namespace/save", key="/", apns_list=[_way("default", apple)])
            yield apple

    async def test_12_it_takes_five_seconds_and_keeps_a_hundred(self) -> None:
        """12. Unless an operator wants otherwise, as these tests do."""
        config = LightPushConfig()
        assert (float(config.offline_after), config.inbox) == (5.0, 100)

    async def test_12_android_clients_get_what_they_missed(self, world: World) -> None:
        """12. Before `ok`, once; who is away and who is here but says nothing; not who has acknowledged, is spared,
        wants nothing kept, or runs on something else."""
        tenant = await world.tenant()
        names = ("away", "mute", "acked", "spared", "unwilling")
        devices = {name: await self._android(tenant, name) for name in names}
        web = await tenant.comes("uuid=web", rooms=["r1"])
        assert await devices["unwilling"].asks("info", {"leaveMessage": False}) == OK
        await tenant.until_present("r1", 6)
        await devices["away"].carrier.cut()
        await tenant.until_present("r1", 5)

        spared = tenant.name("spared", "android-spared")
        made = await self._leave(tenant, pushData={"a": 1, "apsData": {"b": 2}}, **{"except": spared})  # fmt: skip
        await devices["acked"].event("push")
        await devices["acked"].emits("ackPush", {"id": made["id"]})

        (missed,) = await self._missed(tenant, "away")
        assert (missed["id"], missed["room"]) == (made["id"], "r1")
        assert missed["pushData"] == {"a": 1}
        await devices["mute"].say(f"1{tenant.key},")
        assert [each["id"] for each in await self._missed(tenant, "mute")] == [made["id"]]
        for name in ("acked", "spared", "unwilling"):
            await devices[name].say(f"1{tenant.key},")
            again = await self._again(tenant, name)
            await again.connects()
            assert again.heard == []
        await web.say(f"1{tenant.key},")
        again = await tenant.device("uuid=web")
        await again.connects()
        assert again.heard == []

    async def test_12_it_comes_once_and_can_be_acknowledged(self, world: World) -> None:
        """12. The next connect brings nothing."""
        tenant = await world.tenant()
        await self._go(tenant, await self._android(tenant, "d1"))
        made = await self._leave(tenant)
        assert len(await self._missed(tenant, "d1")) == 1

        last = world.devices[-1]
        await last.emits("ackPush", {"id": made["id"]})
        await tenant.until_reported(made["id"], ackCount="1", ackAndroidCount="1")
        await self._go(tenant, last)

        again = await self._again(tenant, "d1")
        await again.connects()
        assert again.heard == []

    async def test_12_the_newest_are_kept(self, world: World) -> None:
        """12. The newest first, as many as are kept."""
        tenant = await world.tenant()
        await self._go(tenant, await self._android(tenant, "d1"))
        ids = [(await self._leave(tenant))["id"] for _ in range(INBOX + 2)]
        await self._settle(tenant)

        found = await self._missed(tenant, "d1")

        assert [each["id"] for each in found] == [*reversed(ids)][:INBOX]

    async def test_12_what_has_expired_is_passed_over(self, world: World) -> None:
        """12. And stands in nobody's way (W10)."""
        tenant = await world.tenant()
        await self._go(tenant, await self._android(tenant, "d1"))
        brief = await self._leave(tenant, expire=1.5 / HOUR)
        kept = await self._leave(tenant)
        await becomes(partial(tenant.report, brief["id"]), "this id not exists")

        found = await self._missed(tenant, "d1")

        assert [each["id"] for each in found] == [kept["id"]]

    async def test_11_what_is_lost_is_missed(self, world: World) -> None:
        """11. `extra: lost` with `leaveMessage`: the absent get it."""
        tenant = await world.tenant()
        await self._go(tenant, await self._android(tenant, "d1"))

        made = await self._leave(tenant, extra="lost")

        assert [each["id"] for each in await self._missed(tenant, "d1")] == [made["id"]]

    async def test_12_nothing_is_kept_that_is_not_to_be(self, world: World) -> None:
        """12. Without `leaveMessage`; or if a room's clients want nothing kept."""
        tenant = await world.tenant()
        await self._go(tenant, await self._android(tenant, "d1"))
        await tenant.post("push", room="r1", pushData={})
        assert await tenant.post("room-leave-message", room="r1", leaveMessage=False) == {}
        await self._leave(tenant)
        await self._settle(tenant)

        again = await self._again(tenant, "d1")
        await again.connects()

        assert again.heard == []

    async def test_12_iphones_are_told_by_apple(self, world: World, apple: Apple) -> None:
        """12. There is always an alert; the rest is `apsData`. Not who has no token, muted it, or got it."""
        tenant = await world.tenant()
        for number, name in enumerate(["away", "other", "muted", "unwilling", "spared"], start=1):
            await self._iphone(tenant, name, number)
        acked = await self._iphone(tenant, "acked", 6, stays=True)
        without = await tenant.comes("uuid=without&platform=ios", rooms=["r1"])
        await self._go(tenant, without)
        for name, fields in [
            ("other", {"add": ["r10", "r", "1"]}),  # (port): the original mutes r1 with r10
            ("muted", {"add": ["r1"]}),
        ]:
            again = await tenant.comes(f"uuid={name}&platform=ios")
            assert await again.asks("apns", fields) == OK
        unwilling = {"id": tenant.name("unwilling", "ios-unwilling"), "leaveMessage": False}
        await tenant.post("client", **unwilling)

        made = await self._leave(
            tenant,
            pushData={"a": 1, "apsData": {"aps": {"badge": 3}, "order": 7}},
            **{"except": tenant.name("spared", "ios-spared")},
        )
        await acked.event("push")
        await acked.emits("ackPush", {"id": made["id"]})

        await tenant.until_reported(
            made["id"], apnsCount="2", apnsSuccessCount="2", result="apnsEnv:production"
        )
        assert Counter(map(number_of, apple.server.asked)) == {1: 1, 2: 1}
        for asked in apple.server.asked:
            told = {"aps": {"badge": 3, "alert": "Notification"}, "order": 7}
            assert json.loads(asked.body) == told
            assert asked.headers["apns-topic"] == TOPIC
            assert int(asked.headers["apns-expiration"]) > 0

    async def test_12_a_namespace_has_ways_of_its_own(self, world: World, apple: Apple) -> None:
        """12. `apnsName` names one; an alert that is given stays; a room can be muted for all of its clients."""
        way = _way("mine", apple) | {"apns_env": "development"}
        tenant = await world.tenant(apns_list=[way])
        await self._iphone(tenant, "ann", 1)
        push = {"apnsName": "mine", "pushData": {"apsData": {"aps": {"alert": "hi"}}}}
        assert await tenant.post("room-apns", room="r1", add=["r1", "r2"]) == {}
        muted = await self._leave(tenant, **push)
        assert await tenant.post("room-apns", room="r1", remove=["r2"]) == {}
        still = await self._leave(tenant, **push)
        await self._settle(tenant)
        assert apple.server.asked == []
        assert await tenant.post("room-apns", room="r1", remove=["r1"]) == {}

        made = await self._leave(tenant, **push)

        await tenant.until_reported(made["id"], apnsCount="1", result="apnsEnv:development")
        (asked,) = apple.server.asked
        assert json.loads(asked.body) == {"aps": {"alert": "hi"}}
        for each in (muted, still):
            assert "apnsCount" not in await tenant.report(each["id"])

    async def test_12_there_may_be_no_way(self, world: World, apple: Apple) -> None:
        """12. The report says so."""
        tenant = await world.tenant()
        await self._iphone(tenant, "ann", 1)
        nowhere = await self._leave(tenant, apnsName="nowhere")
        await tenant.until_reported(nowhere["id"], result="apnsName:nowhere not exists")
        await world.admin.post("namespace/save", key="/", apns_list=[{"name": "default", "del": True}])  # fmt: skip

        made = await self._leave(tenant)

        await tenant.until_reported(made["id"], result="no default apns")
        assert apple.server.asked == []

    async def test_12_dead_tokens_are_forgotten(self, world: World, apple: Apple) -> None:
        """12. 410, BadDeviceToken, DeviceTokenNotForTopic, Unregistered; other refusals are no reason."""
        tenant = await world.tenant()
        refusals = {
            "gone": (410, "ExpiredToken"),
            "unregistered": (410, "Unregistered"),
            "bad": (400, "BadDeviceToken"),
            "foreign": (400, "DeviceTokenNotForTopic"),
            "large": (413, "PayloadTooLarge"),
        }
        for number, (name, (status, reason)) in enumerate(refusals.items(), start=1):
            await self._iphone(tenant, name, number)
            apple.said[device_token(number)] = apple_error(status, reason)
        await self._iphone(tenant, "fine", 9)

        made = await self._leave(tenant)

        await tenant.until_reported(made["id"], apnsCount="6", apnsSuccessCount="1")
        result = (await tenant.report(made["id"]))["result"].split("  >>>>  ")
        noted = [f"{tenant.name(n, f'ios-{n}')}:{reason}" for n, (_, reason) in refusals.items()]
        assert result[0] == "apnsEnv:production"
        assert sorted(result[1:]) == sorted(noted)

        async def with_token() -> set[str]:
            names = [*refusals, "fine"]
            records = {name: await tenant.client(name, f"ios-{name}") for name in names}
            return {name for name, record in records.items() if record.get("device_token")}

        await becomes(with_token, {"large", "fine"})

    @staticmethod
    async def _leave(tenant: Tenant, **fields: Any) -> dict[str, Any]:
        push = {"room": "r1", "pushData": {}, "leaveMessage": True} | fields
        made: dict[str, Any] = await tenant.post("push", **push)
        assert isinstance(made, dict), made
        return made

    async def _settle(self, tenant: Tenant) -> None:
        """Wait until what was pushed before has been looked after: a later push has been."""
        await self._go(tenant, await self._android(tenant, "last", room="last"))
        await self._leave(tenant, room="last")
        await self._missed(tenant, "last")

    @staticmethod
    async def _android(tenant: Tenant, name: str, room: str = "r1") -> Device:
        return await tenant.comes(f"uuid={name}&platform=android", rooms=[room])

    @staticmethod
    async def _again(tenant: Tenant, name: str) -> Device:
        return await tenant.device(f"uuid={name}&platform=android")

    async def _iphone(
        self, tenant: Tenant, name: str, number: int, *, stays: bool = False
    ) -> Device:
        """A client in r1 with Apple's token of that number. Away, unless it stays."""
        phone = await tenant.comes(f"uuid={name}&platform=ios", rooms=["r1"])
        assert await phone.asks("info", {"device_token": device_token(number)}) == OK
        if not stays:
            await self._go(tenant, phone)
        return phone

    @staticmethod
    async def _go(tenant: Tenant, device: Device) -> None:
        """It leaves the namespace, and is known as a member of its rooms for good."""
        await device.asks("info", {})  # what was written behind is written then
        await device.say(f"1{tenant.key},")

    async def _missed(self, tenant: Tenant, name: str) -> list[dict[str, Any]]:
        """What was kept for an Android client: it comes again and again until there is something."""
        device = await self._again(tenant, name)
        with trio.fail_after(PATIENCE):
            while True:
                await device.connects()
                if device.heard and device.heard[0][0] == "offlineMessage":
                    found: list[dict[str, Any]] = device.heard[0][1]
                    return found
                await device.say(f"1{tenant.key},")
                await trio.sleep(PAUSE)


def _way(name: str, apple: Apple) -> dict[str, str]:
    """A configuration that this Apple knows."""
    return {
        "name": name,
        "apns_env": "production",
        "apns_topic": TOPIC,
        "token_key": pem(apple.key),
        "token_keyId": KEY_ID,
        "token_teamId": TEAM_ID,
    }
