"""Lines 1 to 5 of the checklist: how clients come in, and what a namespace's own back end hears of them."""

import socket
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import trio

from comet.core.lightpush_calling import Reply
from tests.comet.back_end import Heard
from tests.comet.engine_world import opened
from tests.lightpush.devices import Device, a_wire, packets
from tests.lightpush.world import World, becomes

HEARTBEAT: dict[str, Any] = {"pingInterval": 20000, "pingTimeout": 10000}
CARRIERS = pytest.mark.parametrize("polls", [False, True], ids=["websocket", "polling"])


class Connecting:
    """The suite."""

    async def test_01_a_polling_session_opens(self, world: World) -> None:
        """1. Its first payload has the open packet and `40`; pings are answered, on whichever comet they land."""
        async with a_wire(world.port) as wire:
            reply = await wire.get("EIO=3&transport=polling&uuid=d1")

        first, second = packets(reply.body)
        said = opened(first)
        assert said["upgrades"] == ["websocket"]
        assert HEARTBEAT.items() <= said.items()
        assert second == "40"
        assert reply.headers["set-cookie"].startswith(f"io={said['sid']};")

        for _ in world.place.comets:
            target = f"EIO=3&transport=polling&sid={said['sid']}"
            async with a_wire(world.port) as wire:
                posted = await wire.post(target, b"1:2")
            assert (posted.status, posted.body) == (200, b"ok")
            async with a_wire(world.port) as wire:
                assert packets((await wire.get(target)).body) == ["3"]

    async def test_01_a_websocket_opens(self, world: World) -> None:
        """1. The open packet and `40` in frames of their own, and nothing to upgrade to."""
        async with a_wire(world.port) as wire:
            await wire.upgrade("EIO=3&transport=websocket&uuid=d1")

            said = opened(await wire.hear())
            assert said["upgrades"] == []
            assert HEARTBEAT.items() <= said.items()
            assert await wire.hear() == "40"
            await wire.say("2")
            assert await wire.hear() == "3"

    async def test_01_polling_becomes_a_websocket(self, world: World) -> None:
        """1. The probe, which may land on another comet; the client stays who it is."""
        tenant = await world.tenant()
        device = await tenant.comes("uuid=d1", polls=True)
        async with a_wire(world.port) as wire:
            await wire.upgrade(f"EIO=3&transport=websocket&sid={device.sid}")

            await wire.say("2probe")
            assert await wire.hear() == "3probe"
            await wire.say("5")
            await wire.say(f'42{tenant.key},7["joinRoom","r1"]')

            assert await wire.hear() == f'43{tenant.key},7[{{"status":200,"msg":"ok"}}]'

    @CARRIERS
    @pytest.mark.parametrize(
        ("query", "name"),
        [
            ("uuid=d1", "d1#web-d1"),
            ("uuid=d1&userid=&platform=", "d1#web-d1"),
            ("uuid=edgw453&userid=u001&platform=ios", "u001#ios-edgw453"),
            ("uuid=a.b%24%23&userid=x%2F%5C-_&platform=android", "x/\\-_#android-a.b$#"),
        ],
    )
    async def test_02_a_client_comes_in(
        self, world: World, polls: bool, query: str, name: str
    ) -> None:
        """2. `40/demo,` with uuid in the URL: `40/demo,`, then `ok` with its id."""
        tenant = await world.tenant()
        device = await tenant.device(query, polls=polls)

        told = await device.connects()

        assert told["clientId"] == f"{tenant.key}#{name}"
        assert told["system"] == socket.gethostname()
        assert told["port"] in world.place.comets
        assert set(told) == {"system", "port", "clientId"}

    async def test_02_the_url_wins(self, world: World) -> None:
        """2. The connect may repeat the query, as the JS client does, or have it alone (W17)."""
        tenant = await world.tenant()
        both = await tenant.device("uuid=d1&userid=u1")
        alone = await tenant.device("t=x")

        told = await both.connects("?uuid=other&userid=other&platform=ios")
        assert told["clientId"] == f"{tenant.key}#u1#ios-d1"
        told = await alone.connects("?uuid=d1&userid=u1")
        assert told["clientId"] == f"{tenant.key}#u1#web-d1"

    @pytest.mark.parametrize(
        ("query", "text"),
        [
            ("", "uuid invalid"),
            ("uuid=", "uuid invalid"),
            (f"uuid={'x' * 101}", "uuid invalid"),
            ("uuid=a%20b", "uuid invalid"),
            ("uuid=%C3%A9", "uuid invalid"),
            ("uuid=d1%0A", "uuid invalid"),
            ("uuid=d1&userid=a@b", "userid invalid"),
            (f"uuid=d1&userid={'x' * 101}", "userid invalid"),
            ("uuid=d1&platform=Web", "platform invalid"),
        ],
    )
    async def test_03_who_is_nobody_is_refused(self, world: World, query: str, text: str) -> None:
        """3. 41, then 44 with the text; the back end hears nothing; the transport stays."""
        tenant = await world.with_callbacks()
        device = await tenant.device(query or "t=x")

        await device.ask_in()

        assert await device.hears() == f"1{tenant.key},"
        assert await device.hears() == f'4{tenant.key},"{text}"'
        await device.shows_life()
        await device.carrier.cut()
        await self._nobody_but(world, tenant.key, asked=0)

    async def test_03_what_is_no_namespace_refuses(self, world: World) -> None:
        """3. Unknown, and `/` with its record, and one that is offline."""
        tenant = await world.tenant()
        offline = await world.tenant()
        assert await offline.post("namespace/save", offline="on") == {}
        for namespace, text in [
            ("/nowhere", "this namespace not found"),
            (tenant.key + "x", "this namespace not found"),
            (offline.key, "this namespace offline"),
        ]:
            device = await tenant.device("uuid=d1")
            device.namespace = namespace
            await device.ask_in()

            assert await device.hears() == f"1{namespace},"
            assert await device.hears() == f'4{namespace},"{text}"'
            await device.shows_life()

    @pytest.mark.parametrize("status", [403, 201, 302, 500])
    async def test_03_a_back_end_refuses(self, world: World, status: int) -> None:
        """3. Whatever is not 200; nothing follows, and the client may try again."""
        world.back_end.answer = lambda heard: Reply(status, b"{}")
        tenant = await world.with_callbacks()
        device = await tenant.device("uuid=d1")

        await device.ask_in()

        assert await device.hears() == f"1{tenant.key},"
        assert await device.hears() == f'4{tenant.key},"handshake fail statusCode: {status}"'
        assert await tenant.client("d1", "web-d1") == {}
        world.back_end.answer = lambda heard: Reply(200, b"")
        await device.connects()
        await device.carrier.cut()
        await self._nobody_but(world, tenant.key, asked=2)

    async def test_03_a_back_end_that_is_away_refuses(self, world: World) -> None:
        """3. Only 44, and no address of the inside (W29)."""
        world.back_end.answer = lambda heard: None
        tenant = await world.with_callbacks()
        device = await tenant.device("uuid=d1")

        await device.ask_in()

        assert await device.hears() == f'4{tenant.key},"connect callback failed"'
        await device.shows_life()

    async def test_03_an_id_is_there_once(self, world: World) -> None:
        """3. A second one: only 44, on whichever comet; it may come when the first has gone."""
        tenant = await world.with_callbacks()
        first = await tenant.comes("uuid=d1&userid=u1")
        others = [await tenant.device("uuid=d1&userid=u1") for _ in world.place.comets]

        for device in others:
            await device.ask_in()
            assert await device.hears() == f'4{tenant.key},"socket.id conflict"'
            await device.shows_life()
        await first.shows_life()
        await first.say(f"1{tenant.key},")
        await world.back_end.hears(2)

        await others[-1].connects()
        await others[-1].carrier.cut()
        await self._nobody_but(world, tenant.key, asked=2)

    async def test_04_a_back_end_is_asked(self, world: World) -> None:
        """4. GET with the whole query, the cookie, the authorization as it is, and the namespace."""
        tenant = await world.with_callbacks(
            connect_callback=world.back_end.url("/in?a=1"), callback_auth="Bearer x y"
        )
        query = "uuid=d1&userid=u1&platform=ios&activityBroadcast=true&mine=%26%C3%A9"

        await (await tenant.device(query, cookie="session=7; b=c")).connects("?more=2")

        (heard,) = world.back_end.requests
        assert heard.method == "GET"
        assert heard.headers["cookie"] == "session=7; b=c"
        assert heard.headers["authorization"] == "Bearer x y"
        assert heard.headers["namespace"] == tenant.key
        assert heard.headers["accept"] == "application/json"
        assert urlsplit(heard.target).path == "/in"
        asked = {"a": "1", "more": "2", "EIO": "3", "transport": "websocket", "mine": "&é"}
        asked |= {"uuid": "d1", "userid": "u1", "platform": "ios", "activityBroadcast": "true"}
        assert _query(heard) == asked

    async def test_04_defaults_are_filled_in(self, world: World) -> None:
        """4. And headers that have no value are none."""
        tenant = await world.with_callbacks()

        await tenant.comes("uuid=d1")

        (heard,) = world.back_end.requests
        assert _query(heard) == {
            "uuid": "d1", "userid": "d1", "platform": "web", "EIO": "3", "transport": "websocket"
        }  # fmt: skip
        assert not {"cookie", "authorization"} & heard.headers.keys()

    async def test_04_a_back_end_names_user_and_rooms(self, world: World) -> None:
        """4. They count, from `ok` on; the id is what the client said."""
        wishes = {"userid": "bob", "rooms": ["r1", "r2", "not a room", 7]}
        world.back_end.answer = lambda heard: Reply(200, msgspec.json.encode(wishes))
        tenant = await world.with_callbacks()

        device = await tenant.device("uuid=d1&userid=u1")
        told = await device.connects()

        assert told["clientId"] == f"{tenant.key}#u1#web-d1"
        for room in ("user_bob", "r1", "r2", "7"):
            await tenant.post("push", room=room, pushData={})
            assert (await device.event("push"))["room"] == room
        online = partial(tenant.get, "report/online", detail="true")
        await becomes(online, {
            "roomCount": 3, "userCount": 1, "clientCount": 1, "totalClientCount": 1,
            "room": ["7", "r1", "r2"], "client": [told["clientId"]], "user": ["bob"],
        })  # fmt: skip
        assert (await tenant.client("u1", "web-d1"))["userid"] == "bob"

    async def test_05_a_back_end_hears_who_has_gone(self, world: World) -> None:
        """5. POST with the same query and headers, once for each session that was let in, however it ended."""
        tenant = await world.with_callbacks(callback_auth="secret")
        cut, left, closed = [
            await tenant.comes(f"uuid={uuid}&mine=1", cookie="c=1") for uuid in ("d1", "d2", "d3")
        ]
        twice = await tenant.comes("uuid=d4&mine=1", cookie="c=1")

        await cut.carrier.cut()
        await left.say(f"1{tenant.key},")
        await closed.carrier.say("1")
        await twice.say(f"1{tenant.key},")
        await world.back_end.hears(8)
        await twice.connects()
        await twice.carrier.cut()

        told = await self._nobody_but(world, tenant.key, asked=5)
        uuids = sorted(heard.json["query"]["uuid"] for heard in told)
        assert uuids == ["d1", "d2", "d3", "d4", "d4"]
        for heard in told:
            said = heard.json
            uuid = said["query"]["uuid"]
            assert said == {
                "query": {
                    "uuid": uuid, "userid": uuid, "platform": "web", "mine": "1", "EIO": "3",
                    "transport": "websocket",
                }
            }  # fmt: skip
            assert urlsplit(heard.target).path == "/out"
            assert heard.headers["content-type"] == "application/json"
            assert heard.headers["cookie"] == "c=1"
            assert heard.headers["authorization"] == "secret"
            assert heard.headers["namespace"] == tenant.key

    @staticmethod
    async def _nobody_but(world: World, key: str, *, asked: int) -> list[Heard]:
        """What the back end was told: of each that was let in, once. A last client shows that there is no more."""
        world.back_end.answer = lambda heard: Reply(200, b"")
        last = await Device.open(world.port, "uuid=last", key, world.nursery)
        await last.connects()
        await last.carrier.cut()
        end = trio.current_time() + 10
        told: list[Any] = []
        while not any(heard.json["query"]["uuid"] == "last" for heard in told):
            assert trio.current_time() < end
            await trio.sleep(0.01)
            told = [heard for heard in world.back_end.requests if heard.method == "POST"]
        questions = [heard for heard in world.back_end.requests if heard.method == "GET"]
        assert len(questions) == asked + 1
        return [heard for heard in told if heard.json["query"]["uuid"] != "last"]


def _query(heard: Heard) -> dict[str, str]:
    """Of a question; each parameter once."""
    found = parse_qs(urlsplit(heard.target).query, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}
