"""The door of Engine.IO: who gets a session, what the answers say, and every way to be refused."""

import json
from typing import Any

import pytest

from appmodel.core.units import Duration, Size
from comet.config import CometConfig
from tests.comet.engine_world import EngineClient, EngineWorld, Reply, open_engine, opened
from tests.comet.world import changed

DEFAULTS = CometConfig()
CODES = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    4: "Forbidden",
    5: "Unsupported protocol version",
}
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def config(**values: Any) -> CometConfig:
    """With other settings of [comet.socketio]."""
    return changed(DEFAULTS, "socketio", **values)


def refused(reply: Reply, code: int, status: int = 400) -> None:
    """It says so as Engine.IO does."""
    assert (reply.status, json.loads(reply.body)) == (
        status,
        {"code": code, "message": CODES[code]},
    )
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("target", ["EIO=3&transport=polling", "transport=polling"])
async def test_a_session_of_revision_3_begins(target: str) -> None:
    """Also for who does not say which: lengths before packets, in UTF-16 units."""
    async with open_engine() as world:
        client = await world.connect()

        reply = await client.get(target)

        length, _, packet = reply.body.decode().partition(":")
        assert int(length) == len(packet)
        said = opened(packet)
        assert said.pop("sid").endswith(world.engine.home)
        assert said == {
            "upgrades": ["websocket"],
            "pingInterval": 20000,
            "pingTimeout": 10000,
            "maxPayload": 1000000,
        }
        assert world.speaker.transport.handshake.revision == 3
        assert world.engine.opened == {"polling 3": 1}


async def test_a_session_of_revision_4_begins() -> None:
    """The open packet is the whole answer, and it tells what a client may do."""
    async with open_engine(config(ping_interval=Duration(0.3), max_payload=Size(5000))) as world:
        client = await world.connect()

        reply = await client.get("EIO=4&transport=polling&t=abc")

        said = opened(reply.body.decode())
        assert (said["pingInterval"], said["maxPayload"]) == (300, 5000)
        assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
        assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("revision", [3, 4])
async def test_a_session_may_begin_on_a_websocket(revision: int) -> None:
    """With nothing to upgrade to, and without a cookie."""
    async with open_engine() as world:
        client = await world.connect()
        await client.ask("GET", f"EIO={revision}&transport=websocket", b"", **UPGRADE)

        reply = await client.reply()
        said = opened(await client.hear())

        assert reply.status == 101
        assert "set-cookie" not in reply.headers
        assert said["upgrades"] == []
        assert world.engine.opened == {f"websocket {revision}": 1}


async def test_what_the_handshake_said_is_kept() -> None:
    """Back ends of namespaces are shown it."""
    async with open_engine() as world:
        client = await world.connect()

        await client.get(
            "EIO=4&transport=polling&uuid=u%201&uuid=2", Cookie="a=b", Origin="http://localhost"
        )

        handshake = world.speaker.transport.handshake
        assert handshake.query == {"EIO": "4", "transport": "polling", "uuid": "u 1"}
        assert (handshake.cookie, handshake.origin) == ("a=b", "http://localhost")
        assert (handshake.address, handshake.secure) == ("127.0.0.1", False)


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", "EIO=4", 0),
        ("GET", "EIO=4&transport=abc", 0),
        ("GET", "EIO=4&transport=", 0),
        ("GET", "EIO=4&transport=polling&sid=abc", 1),
        ("POST", "EIO=4&transport=polling&sid=abc", 1),
        ("GET", "EIO=4&transport=websocket&sid=abc", 1),
        ("POST", "EIO=4&transport=polling", 2),
        ("PUT", "EIO=4&transport=polling", 2),
        ("DELETE", "EIO=4&transport=polling", 2),
        ("PATCH", "EIO=4&transport=polling", 2),
        ("GET", "EIO=4&transport=websocket", 3),
        ("GET", "EIO=4&transport=polling&a=%ff", 3),
        ("GET", "EIO=4&transport=polling" + "&a=1" * 70, 3),
        ("GET", "EIO=3&transport=polling&j=x", 3),
        ("GET", "EIO=3&transport=polling&j=12345678901", 3),
        ("GET", "EIO=abc&transport=polling", 5),
        ("GET", "EIO=2&transport=polling", 5),
        ("GET", "EIO=&transport=polling", 5),
        ("GET", "EIO=44&transport=polling", 5),
    ],
)
async def test_a_request_that_cannot_be_is_told_why(method: str, target: str, code: int) -> None:
    """By the original's numbers, and the connection goes on."""
    async with open_engine() as world:
        client = await world.connect()

        await client.ask(method, target)
        refused(await client.reply(), code)

        assert (await client.get("EIO=4&transport=polling")).status == 200
        assert len(world.engine.sessions) == 1


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        ("EIO=4&transport=polling", UPGRADE, 3),
        ("EIO=4&transport=abc", UPGRADE, 0),
        ("EIO=5&transport=websocket", UPGRADE, 5),
        ("EIO=4&transport=websocket", UPGRADE | {"Sec_WebSocket_Key": "x"}, 3),
        ("EIO=4&transport=websocket", UPGRADE | {"Sec_WebSocket_Version": "8"}, 3),
        ("EIO=4&transport=websocket", UPGRADE | {"Upgrade": "h2c"}, 3),
        ("EIO=4&transport=websocket", UPGRADE | {"Connection": "close"}, 3),
    ],
)
async def test_a_websocket_that_cannot_be_is_told_why(
    target: str, headers: dict[str, str], code: int
) -> None:
    """Before it is one."""
    async with open_engine() as world:
        client = await world.connect()

        await client.ask("GET", target, b"", **headers)

        refused(await client.reply(), code)
        assert world.engine.sessions == {}


async def test_a_request_with_a_wrong_method_for_a_session_is_refused() -> None:
    """A session is polled by GET and told by POST; the rest of it is untouched."""
    async with open_engine() as world:
        client, target = await world.begin()

        await client.ask("DELETE", target)

        refused(await client.reply(), 3)
        assert (await client.post(target, b"4a")).status == 200


async def test_a_head_of_a_session_is_no_poll() -> None:
    """It would take what is due and throw it away."""
    async with open_engine() as world:
        client, target = await world.begin()
        await client.post(target, b"4due")

        await client.send(f"HEAD /engine.io/?{target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        head = await client.read_until(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 400 ")
        assert (await client.get(target)).body == b"4due"


async def test_only_what_is_switched_on_is_served() -> None:
    """Transports, revisions, and whether a revision has to be said."""
    settings = config(transports=("websocket",), revisions=(4,), revision_required=True)
    async with open_engine(settings) as world:
        client = await world.connect()

        refused(await client.get("EIO=4&transport=polling"), 0)
        for target in ("transport=websocket", "EIO=3&transport=websocket"):
            await client.ask("GET", target, b"", **UPGRADE)
            refused(await client.reply(), 5)
        await client.upgrade("EIO=4&transport=websocket")


async def test_without_websockets_nothing_is_offered_to_upgrade_to() -> None:
    """And none is taken."""
    async with open_engine(config(transports=("polling",))) as world:
        client = await world.connect()
        said = opened((await client.get("EIO=4&transport=polling")).body.decode())

        await client.ask("GET", f"EIO=4&transport=websocket&sid={said['sid']}", b"", **UPGRADE)

        assert said["upgrades"] == []
        refused(await client.reply(), 0)


async def test_the_cookie_names_the_session_for_balancers() -> None:
    """With the first answer only; a script cannot read it, nor another site send it."""
    async with open_engine() as world:
        client = await world.connect()
        first = await client.get("EIO=4&transport=polling")
        sid = opened(first.body.decode())["sid"]
        await client.post(f"EIO=4&transport=polling&sid={sid}", b"4a")

        second = await client.get(f"EIO=4&transport=polling&sid={sid}")

        assert first.headers["set-cookie"] == f"io={sid}; Path=/; HttpOnly; SameSite=Strict"
        assert "set-cookie" not in second.headers


async def test_the_cookie_can_be_another_or_none() -> None:
    """As balancers need it."""
    async with open_engine(config(cookie="stick", same_site="lax")) as world:
        reply = await (await world.connect()).get("EIO=4&transport=polling")
        assert reply.headers["set-cookie"].startswith("stick=")
        assert reply.headers["set-cookie"].endswith("SameSite=Lax")
    async with open_engine(config(cookie="")) as world:
        reply = await (await world.connect()).get("EIO=4&transport=polling")
        assert "set-cookie" not in reply.headers


async def everything(world: EngineWorld, **headers: str) -> list[Reply]:
    """A handshake, a post, a poll, and two refusals, each with `headers`."""
    client = await world.connect()
    replies = [await client.get("EIO=4&transport=polling", **headers)]
    sid = opened(replies[0].body.decode())["sid"]
    target = f"EIO=4&transport=polling&sid={sid}"
    replies.append(await client.post(target, b"4a", **headers))
    replies.append(await client.get(target, **headers))
    poller = await world.connect()
    await poller.ask("GET", target, b"", **headers)
    await world.comet.until(lambda: world.engine.polls == 1)
    replies.append(await client.post(target, b"4b", **headers))
    replies.append(await poller.reply())
    replies.append(await client.get("EIO=4", **headers))
    replies.append(await client.post(target, b"x", **headers))
    return replies


async def test_pages_of_any_origin_may_read_the_answers() -> None:
    """Errors too; with credentials, as 2.x clients ask for them."""
    async with open_engine() as world:
        for reply in await everything(world, Origin="https://shop.example"):
            assert reply.headers["access-control-allow-origin"] == "https://shop.example"
            assert reply.headers["access-control-allow-credentials"] == "true"
            assert reply.headers["vary"] == "Origin"
        for reply in await everything(world):
            assert reply.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in reply.headers


async def test_a_page_asks_before_it_sends_headers_of_its_own() -> None:
    """The preflight is answered whatever session it is about."""
    async with open_engine() as world:
        client = await world.connect()

        await client.ask(
            "OPTIONS",
            "EIO=4&transport=polling&sid=abc",
            Origin="https://shop.example",
            Access_Control_Request_Method="POST",
            Access_Control_Request_Headers="content-type, x-mine",
        )
        reply = await client.reply()

        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == "https://shop.example"
        assert reply.headers["access-control-allow-methods"] == "GET, POST"
        assert reply.headers["access-control-allow-headers"] == "content-type, x-mine"


async def test_an_origin_that_is_not_listed_is_forbidden() -> None:
    """Polling and WebSocket alike, and its page may not read why; others are not hindered."""
    async with open_engine(config(origins=("https://shop.example",))) as world:
        client = await world.connect()

        for headers in ({}, UPGRADE):
            target = f"EIO=4&transport={'websocket' if headers else 'polling'}"
            await client.ask("GET", target, b"", Origin="https://evil.example", **headers)
            reply = await client.reply()
            refused(reply, 4, 403)
            assert "access-control-allow-origin" not in reply.headers

        for origin in ("https://shop.example", "http://localhost:8080"):
            assert (await client.get("EIO=4&transport=polling", Origin=origin)).status == 200
        assert (await client.get("EIO=4&transport=polling")).status == 200


async def test_an_included_script_of_another_site_is_forbidden_where_origins_are_listed() -> None:
    """JSONP has no Origin: browsers say in another header where a script is included."""
    async with open_engine(config(origins=("https://shop.example",))) as world:
        client = await world.connect()

        reply = await client.get("EIO=3&transport=polling&j=0", Sec_Fetch_Site="cross-site")

        refused(reply, 4, 403)
        assert (await client.get("EIO=3&transport=polling&j=0")).status == 200


async def test_limits_of_the_comet_hold_here_too() -> None:
    """Polling clients hear 503; a WebSocket is closed behind its handshake."""
    async with open_engine(changed(DEFAULTS, "limits", connections=1)) as world:
        first, target = await world.begin()
        other, late = await world.connect(), await world.connect()

        reply = await other.get("EIO=4&transport=polling")
        await late.upgrade("EIO=4&transport=websocket")

        assert (reply.status, json.loads(reply.body)["code"]) == (503, 3)
        assert await late.hear() == "close 4003"
        assert world.comet.comet.live.gate.refused == {"connections": 2}

        await first.post(target, b"1")
        assert (await other.get("EIO=4&transport=polling")).status == 200


async def test_a_draining_comet_lets_nobody_in() -> None:
    """Who comes is told to try again; who is here stays."""
    async with open_engine() as world:
        client, target = await world.begin()
        world.comet.comet.reception.draining = True

        reply = await (await world.connect()).get("EIO=4&transport=polling")

        assert reply.status == 503
        assert (await client.post(target, b"4a")).status == 200


async def test_a_place_is_given_back_once_however_a_session_ends() -> None:
    """Else a comet would be full of nobody, or overfull."""
    async with open_engine() as world:
        gate = world.comet.comet.live.gate
        clients: list[EngineClient] = []
        for _ in range(3):
            clients.append(await world.websocket())
        polling, target = await world.begin()
        assert gate.connections == 4

        await clients[0].say("1")
        await clients[1].stream.aclose()
        await clients[2].say("9")
        await polling.post(target, b"1")
        for client in (clients[0], clients[2]):
            await client.hear()
            await client.stream.aclose()
        await world.comet.until(lambda: not world.engine.sessions)

        assert gate.connections == 0
        assert [len(speaker.ends) for speaker in world.heard] == [1, 1, 1, 1]
