"""Lines 18, 19 and 21 of the checklist: the life of namespaces, and who may call."""

from base64 import b64encode
from functools import partial
from typing import Any

import pytest
import trio

from tests.lightpush.world import OK, PASSWORD, Tenant, World, becomes
from tests.web.lightpush_door import basic
from tests.web.lightpush_tenants import Caller, said
from tests.web.world import Answer

MUST_BE_OFFLINE = "namespace must be set offline on"
MASK = "********"
PEM = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"
CLEARING = ["namespace/clear/{key}", "namespace/flush/{key}", "namespace/del/{key}?flushAll=true"]
PAUSE = 0.05  # seconds between two tries of a client
DISMISSAL = 25.0  # seconds: a dismissal waits for up to 5, and the machine may be busy


class Namespaces:
    """The suite."""

    async def test_18_a_namespace_is_made(self, world: World) -> None:
        """18. It is not offline, whatever is said; only the given fields change; secrets are masked."""
        tenant = await world.tenant(
            offline="on", name="Shop", connect_callback="http://a.example/in"
        )
        read = partial(tenant.get, "namespace")
        made = await read()
        assert made == {
            "key": tenant.key, "name": "Shop", "connect_callback": "http://a.example/in",
            "disconnect_callback": None, "auth_passwd": MASK, "apns_list": [], "client_ip": "",
            "callback_auth": None, "offline": "off", "update_date": made["update_date"],
        }  # fmt: skip

        assert await tenant.post("namespace/save", key="/other", name="Store") == {}
        assert await world.admin.post("namespace/save", key=tenant.key, callback_auth="x") == {}

        changed = {"name": "Store", "callback_auth": MASK}
        changed["update_date"] = (await read())["update_date"]
        assert await read() == made | changed
        assert int(changed["update_date"]) >= int(made["update_date"])

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            (None, "key is null"),
            ("", "key is null"),
            ("/" + "x" * 50, "namespace invalid"),
            ("/a b", "namespace invalid"),
            ("demo", "namespace invalid"),  # (port): no client could ever connect
        ],
    )
    async def test_18_what_is_no_key_is_told(
        self, world: World, key: str | None, text: str
    ) -> None:
        """18. 400."""
        assert await world.admin.post("namespace/save", key=key) == text

    async def test_18_ways_to_apple_merge(self, world: World) -> None:
        """18. A new name is appended, a known one overwritten by field, `del` removes; an empty list is nothing."""
        tenant = await world.tenant()

        async def save(*apns: dict[str, Any]) -> list[dict[str, Any]]:
            assert await tenant.post("namespace/save", apns_list=list(apns)) == {}
            found: list[dict[str, Any]] = (await tenant.get("namespace"))["apns_list"]
            return found

        main = {"name": "main", "apns_env": "production", "apns_topic": "a.b", "token_key": PEM}
        shown = main | {"token_key": MASK}
        assert await save(main) == [shown]
        assert await save({"name": "old", "apns_expiration": 7}, {"name": "main", "apns_topic": "c"}) == [
            shown | {"apns_topic": "c"}, {"name": "old", "apns_expiration": "7"}
        ]  # fmt: skip
        assert len(await save()) == 2
        assert await save({"name": "main", "del": True}, {"name": "never", "del": True}) == [
            {"name": "old", "apns_expiration": "7"}
        ]

    async def test_18_namespaces_are_listed(self, world: World) -> None:
        """18. By their keys, in pages; a part of the key or the name, and whether they are offline; with numbers."""
        base = await world.tenant()
        keys = [f"{base.key}/{letter}" for letter in "cab"]
        tenants = [await world.tenant(key, name=name) for key, name in zip(keys, ("Red", "redder", "x"), strict=True)]  # fmt: skip
        await tenants[0].post("namespace/save", offline="on")
        await tenants[1].comes("uuid=d1", rooms=["r1"])

        async def find(**query: Any) -> tuple[list[str], int]:
            found = await world.admin.get("namespace/list", key=f"{base.key}/", **query)
            return [each["key"].removeprefix(f"{base.key}/") for each in found["list"]], found[
                "total"
            ]

        assert await find() == (["a", "b", "c"], 3)
        assert await find(pageSize=2) == (["a", "b"], 3)
        assert await find(page=2, pageSize=2) == (["c"], 3)
        assert await find(page=9) == ([], 3)
        assert await find(offline="on") == (["c"], 1)
        assert await find(offline="off") == (["a", "b"], 2)
        assert await find(offline="all") == (["a", "b", "c"], 3)
        assert await find(name="edde") == (["a"], 1)

        async def online() -> Any:
            found = await world.admin.get("namespace/list", key=keys[1], online="yes")
            (only,) = found["list"]
            return {name: only.get(name) for name in ("roomCount", "userCount", "clientCount", "totalClientCount")}  # fmt: skip

        await becomes(
            online, {"roomCount": 1, "userCount": 1, "clientCount": 1, "totalClientCount": 1}
        )

    @pytest.mark.parametrize("call", CLEARING)
    async def test_18_what_is_emptied_must_be_offline(self, world: World, call: str) -> None:
        """18. And there; with its slash or without."""
        tenant = await world.tenant()
        admin = world.admin
        for key in (tenant.key, tenant.key[1:], f"%2F{tenant.key[1:]}", "nowhere"):
            assert await admin.get(call.format(key=key)) == MUST_BE_OFFLINE
        for route in ("namespace/clear-realtime-data", "clear-legacy-client"):
            assert await admin.post(route, namespace=tenant.key) == MUST_BE_OFFLINE
            assert await admin.post(route) == "can not find key"
        assert await tenant.post("login") == {}

    async def test_18_realtime_data_are_cleared(self, world: World) -> None:
        """18. Nobody is online, members for good stay, and it is noted why they went."""
        tenant = await self._lived_in(world)

        assert await world.admin.post("namespace/clear-realtime-data", namespace=tenant.key) == {}

        counts = {"roomCount": 0, "userCount": 0, "clientCount": 0, "totalClientCount": 1}
        assert await tenant.get("report/online") == counts
        (room,) = await tenant.rooms("r1")
        assert (room["clientCount"], room["totalClientCount"]) == (0, 1)
        record = await tenant.client("d1", "android-d1")
        assert record["disconnect_reason"] == "clear"
        assert len(await tenant.get("report/push")) == 1

    async def test_18_zombies_are_cleared(self, world: World) -> None:
        """18. Who has not connected for long (two seconds here) is forgotten, and its id told."""
        tenant = await self._lived_in(world)
        clear = partial(world.admin.post, "clear-legacy-client", namespace=tenant.key)

        await becomes(clear, [tenant.name("d1", "android-d1")])

        assert await clear() == []
        assert await tenant.client("d1", "android-d1") == {}
        assert (await tenant.rooms("r1"))[0]["totalClientCount"] == 0

    @pytest.mark.parametrize("call", CLEARING)
    async def test_18_a_namespace_is_emptied(self, world: World, call: str) -> None:
        """18. Clients, rooms, pushes; flush takes the record too."""
        tenant = await self._lived_in(world)

        assert await world.admin.get(call.format(key=tenant.key[1:])) == {}

        if "clear" in call:
            counts = {"roomCount": 0, "userCount": 0, "clientCount": 0, "totalClientCount": 0}
            assert await tenant.get("report/online") == counts
            assert await tenant.client("d1", "android-d1") == {}
            assert await tenant.get("report/push") == []
            assert (await tenant.get("namespace"))["offline"] == "on"
        else:
            login = partial(tenant.post, "login")
            await world.everywhere(login, (400, "namespace not found"))
            again = await world.tenant(tenant.key)
            await world.everywhere(login, {})
            assert await again.client("d1", "android-d1") == {}
            assert (await again.rooms("r1"))[0]["totalClientCount"] == 0

    async def test_19_who_is_in_goes_when_it_goes_offline(self, world: World) -> None:
        """19. Refused everywhere, dismissed after a while, the transports stay; and it comes back."""
        tenant = await world.with_callbacks()
        devices = [await tenant.comes(f"uuid={name}", rooms=["r1"]) for name in "abc"]
        spared = await (await world.tenant()).comes("uuid=a", rooms=["r1"])

        assert await tenant.post("namespace/save", offline="on") == {}

        offline = "this namespace offline"
        for _ in world.place.comets:
            late = await tenant.device("uuid=late")
            await self._until_refused(late, offline)
        transfer = {"targetRoom": "r2", "sourceRooms": ["r1"], "type": "join"}
        await world.everywhere(partial(tenant.post, "push", room="r1", pushData={}), offline)
        await world.everywhere(partial(tenant.post, "transfer", **transfer), offline)
        with trio.fail_after(DISMISSAL):
            for device in devices:
                packet = await device.carrier.hear()
                while packet.startswith("42"):  # pushed before all web nodes knew
                    packet = await device.carrier.hear()
                assert packet == f"41{tenant.key},"
                await device.shows_life()
        await spared.shows_life()
        assert spared.heard == []
        assert await tenant.post("namespace/save", offline="off") == {}
        for device in devices:
            await self._until_in(device)
            await device.connects()

    async def test_21_credentials_are_looked_at(self, world: World) -> None:
        """21. Missing, unknown, wrong, bare, and with the word Basic; names that JavaScript's objects inherit are none."""
        tenant = await world.tenant()

        async def login(header: str, prefix: str = "/api/auth/") -> Any:
            headers = {"Authorization": header} if header else {}
            return await Caller(world.rest, prefix, headers).post("login")

        def encoded(text: str) -> str:
            return b64encode(text.encode()).decode()

        good = encoded(f"{tenant.key}:{PASSWORD}")
        assert await login(f"Basic {good}") == {}
        assert await login(good) == {}
        assert await login("") == (400, "need authorization")
        assert await login(encoded(f"{tenant.key}:wrong")) == (401, "passwd error")
        assert await login(encoded(tenant.key)) == (401, "passwd error")
        nobodies = ["/nowhere", "constructor", "__proto__", "toString", "", "/", tenant.key[1:]]
        for name in nobodies:
            assert await login(encoded(f"{name}:{PASSWORD}")) == (400, "namespace not found")
            assert await login(encoded(name) or "=") == (400, "namespace not found")
        assert await login("%%%") == (400, "namespace not found")
        assert await login(encoded("admin:123456")) == (400, "namespace not found")

        assert await login(encoded("admin:123456"), "/api/admin/") == {}
        for wrong in (good, encoded("admin:wrong"), encoded("admin"), encoded("root:123456")):
            assert await login(wrong, "/api/admin/") == (401, "auth error")
        assert await login("", "/api/admin/") == (400, "need authorization")

    async def test_21_a_namespace_without_a_password_lets_nobody_in(self, world: World) -> None:
        """21. W7."""
        tenant = await world.tenant()
        assert await tenant.post("namespace/save", auth_passwd="") == {}

        for password in ("", "null", "undefined", PASSWORD):
            caller = Caller(world.rest, "/api/auth/", basic(tenant.key, password))
            await world.everywhere(partial(caller.post, "login"), (401, "passwd error"))

    async def test_21_pages_may_ask_first(self, world: World) -> None:
        """21. OPTIONS needs no credential below the prefixes; answers and errors can be read by pages (W33)."""
        tenant = await world.tenant()
        origin = {"Origin": "https://ops.example"}

        async def ask(method: str, path: str, headers: dict[str, str]) -> Answer:
            return await world.rest.ask(method, path, headers=headers | origin)

        for path, status in [("/api/auth/push", 200), ("/api/admin/x", 200), ("/other", 404)]:
            answer = await ask("OPTIONS", path, {})
            assert (answer.status, answer.body) == (status, b"")
            assert answer.headers["access-control-allow-methods"] == "GET, POST"
        fine = await ask("GET", "/api/auth/namespace", tenant.credential)
        refused = await ask("GET", "/api/auth/namespace", {})
        lost = await ask("GET", "/api/auth/nothing", tenant.credential)
        assert [fine.status, refused.status, lost.status] == [200, 400, 404]
        for answer in (fine, refused, lost):
            assert answer.headers["access-control-allow-origin"] == "https://ops.example"
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert answer.headers["from"] == "light-push"
        assert fine.headers["x-response-time"].endswith("ms")
        assert said(lost) == (404, "Not Found")
        assert (await ask("GET", "/health", {})).body == b"hello"

    @staticmethod
    async def _lived_in(world: World) -> Tenant:
        """A namespace with a client, a room and a push; it has just gone offline, so they are there still."""
        tenant = await world.tenant()
        await tenant.comes("uuid=d1&platform=android", rooms=["r1"])
        await tenant.until_present("r1", 1)
        await tenant.post("push", room="r1", pushData={})
        assert await tenant.post("namespace/save", offline="on") == {}
        return tenant

    @staticmethod
    async def _until_refused(device: Any, text: str) -> None:
        """Every try is refused, once its comet knows."""
        while True:
            await device.ask_in()
            packet = await device.hears()
            if packet == f"1{device.namespace},":
                assert await device.hears() == f'4{device.namespace},"{text}"'
                return
            await device.event("ok")
            await device.say(f"1{device.namespace},")
            await trio.sleep(PAUSE)

    @staticmethod
    async def _until_in(device: Any) -> None:
        """It can come in; then it leaves again."""
        while True:
            await device.ask_in()
            if await device.hears() == f"0{device.namespace},":
                await device.event("ok")
                assert await device.asks("leaveRoom", []) == OK
                await device.say(f"1{device.namespace},")
                return
            await device.hears()
            await trio.sleep(PAUSE)
