"""Namespaces over the light-push REST: made, changed, read, listed, emptied."""

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from appmodel.io.database import Database
from appmodel.orm.lightpush import Nsp, NspApns
from tests.web.lightpush_door import basic
from tests.web.lightpush_tenants import START, Caller, a_tenant, admin, connect, said
from tests.web.world import World, open_world, web_config
from web.config import LightpushConfig

PEM = "-----BEGIN PRIVATE KEY-----\nvery secret\n-----END PRIVATE KEY-----\n"
OFFLINE = "namespace must be set offline on"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A node at home."""
    async with open_world() as world:
        yield world


async def test_a_namespace_is_made_and_changed(world: World) -> None:
    """Only the given fields; a new one is not offline, whatever was said."""
    demo = await a_tenant(world, "/demo", name="Shop", offline="on", callback_auth="token")
    made = await demo.get("namespace")

    assert await demo.post("namespace/save", connect_callback="https://a.example/in?x=1") == {}
    changed = await demo.get("namespace")

    assert made == {
        "key": "/demo",
        "name": "Shop",
        "connect_callback": None,
        "disconnect_callback": None,
        "auth_passwd": "********",
        "apns_list": [],
        "update_date": made["update_date"],
        "client_ip": "",
        "callback_auth": "********",
        "offline": "off",
    }
    assert made["update_date"].isdecimal()
    assert changed == made | {
        "connect_callback": "https://a.example/in?x=1",
        "update_date": changed["update_date"],
    }


async def test_a_namespace_changes_itself_and_nobody_else(world: World) -> None:
    """14: `key` is the caller's, whatever it says; a new password counts at once."""
    demo, other = await a_tenant(world, "/demo"), await a_tenant(world, "/other")

    await demo.post("namespace/save", key="/other", auth_passwd="new", name="Mine")
    refused = await demo.get("namespace")

    assert refused == (401, "passwd error")
    assert (await other.get("namespace"))["name"] is None
    renewed = await admin(world).get("namespace/list", key="/demo")
    assert renewed["list"][0]["name"] == "Mine"


async def test_who_can_log_in(world: World) -> None:
    """2, 3; W7: without a password nobody. One that is taken away lets nobody in any more."""
    demo = await a_tenant(world, "/demo")
    await admin(world).post("namespace/save", key="/open")

    assert await demo.post("login") == {}
    assert await admin(world).post("login") == {}
    for password in ("", "null"):
        stranger = Caller(world.lightpush, "/api/auth/", basic("/open", password))
        assert await stranger.post("login") == (401, "passwd error")
    await demo.post("namespace/save", auth_passwd=None)
    assert await demo.post("login") == (401, "passwd error")


async def test_ways_to_apple_are_merged_by_name(world: World) -> None:
    """A new name is appended, a known one changed, `del` takes away; an empty list changes nothing."""
    demo = await a_tenant(world, "/demo")
    first = {"name": "a", "apns_env": "production", "apns_topic": "x", "token_key": PEM}
    await demo.post("namespace/save", apns_list=[first, {"name": "b", "apns_topic": "y"}])

    changes = [{"name": "a", "apns_topic": "z"}, {"name": "b", "del": True}, {"name": "c"}]
    await demo.post("namespace/save", apns_list=changes)
    await demo.post("namespace/save", apns_list=[], name="n")

    assert (await demo.get("namespace"))["apns_list"] == [
        first | {"apns_topic": "z", "token_key": "********"},
        {"name": "c"},
    ]


async def test_secrets_lie_sealed_and_are_not_shown(world: World) -> None:
    """Nor does saving what was read change them."""
    demo = await a_tenant(world, "/demo", callback_auth="very secret token")
    await demo.post("namespace/save", apns_list=[{"name": "a", "token_key": PEM}])

    shown = await demo.get("namespace")
    await demo.post("namespace/save", **shown)
    answer = await demo.ask("POST", "namespace/save", {"callback_auth": "very secret\n"})

    assert "secret" not in str(shown)
    assert b"very secret" not in answer.body
    assert await demo.post("login") == {}
    rows = await world.context.database.read(
        lambda session: [*session.execute(sa.select(Nsp)), *session.execute(sa.select(NspApns))]
    )
    assert "very secret" not in str([vars(row[0]) for row in rows])


async def test_secrets_are_clear_while_moving() -> None:
    """web.lightpush.clear_secrets, for namespaces and the administrator alike."""
    config = web_config(lightpush=LightpushConfig(port=0, clear_secrets=True))
    async with open_world(config=config) as world:
        demo = await a_tenant(world, "/demo", callback_auth="token")
        await demo.post("namespace/save", apns_list=[{"name": "a", "token_key": PEM}])
        await admin(world).post("namespace/save", key="/open")

        own = await demo.get("namespace")
        listed = await admin(world).get("namespace/list")

        assert (own["auth_passwd"], own["callback_auth"]) == ("s3:cret", "token")
        assert own["apns_list"] == [{"name": "a", "token_key": PEM}]
        assert listed == {"list": [own, listed["list"][1]], "total": 2}
        assert listed["list"][1]["auth_passwd"] is None


SAVES_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "key is null"),
    ({"key": "demo"}, "namespace invalid"),
    ({"key": "/" + "x" * 50}, "namespace invalid"),
    ({"key": "__proto__", "connect_callback": "https://evil.example"}, "namespace invalid"),
    ({"key": "/a", "connect_callback": "javascript:x"}, "connect_callback: got "),
    ({"key": "/a", "disconnect_callback": "/relative"}, "disconnect_callback: got "),
    ({"key": "/a", "apns_list": [{"apns_topic": "x"}]}, "apns_list[0].name: got "),
]


async def test_saves_that_are_refused(world: World) -> None:
    """With a text that says why; nothing is made."""
    for fields, text in SAVES_REFUSED:
        assert str(await admin(world).post("namespace/save", **fields)).startswith(text)

    assert await admin(world).get("namespace/list") == {"list": [], "total": 0}


async def test_namespaces_are_listed(world: World) -> None:
    """16: by key, a page at a time, filtered by parts of key and name, and by state."""
    for key, name in (("/b", "Shop"), ("/a", None), ("/ab", "shop")):
        await admin(world).post("namespace/save", key=key, name=name)
    await admin(world).post("namespace/save", key="/b", offline="on")
    await connect(world, "/ab", "u1", rooms=["r1"])

    async def keys(**query: Any) -> tuple[list[str], int]:
        answer = await admin(world).get("namespace/list", **query)
        return [each["key"] for each in answer["list"]], answer["total"]

    assert await keys() == (["/a", "/ab", "/b"], 3)
    assert await keys(pageSize=2, page=2) == (["/b"], 3)
    assert await keys(pageSize=2, page=3) == ([], 3)
    assert await keys(key="a") == (["/a", "/ab"], 2)
    assert (await keys(name="hop"))[0] == ["/ab", "/b"]
    assert [await keys(**{part: text}) for part in ("key", "name") for text in "%_"] == [
        ([], 0)
    ] * 4
    assert await keys(offline="on") == (["/b"], 1)
    assert await keys(offline="off") == (["/a", "/ab"], 2)
    assert await keys(offline="all") == (["/a", "/ab", "/b"], 3)
    online = (await admin(world).get("namespace/list", key="/ab", online="true"))["list"][0]
    numbers = ("roomCount", "userCount", "clientCount", "totalClientCount")
    assert [online[name] for name in numbers] == [1, 1, 1, 1]
    assert "expected" in str(await admin(world).get("namespace/list", page="x"))


async def test_the_record_of_the_root_holds_configuration_only(world: World) -> None:
    """It can be saved and read by the administrator; nobody is it."""
    root = {"key": "/", "auth_passwd": "x", "apns_list": [{"name": "default", "apns_topic": "t"}]}
    assert await admin(world).post("namespace/save", **root) == {}

    listed = (await admin(world).get("namespace/list"))["list"]
    stranger = await Caller(world.lightpush, "/api/auth/", basic("/", "x")).post("login")

    assert [each["apns_list"] for each in listed] == [[{"name": "default", "apns_topic": "t"}]]
    assert stranger == (400, "namespace not found")


MAINTENANCE = [
    ("GET", "namespace/clear/demo"),
    ("GET", "namespace/clear/%2Fdemo"),
    ("GET", "namespace/flush/demo"),
    ("GET", "namespace/del/demo"),
    ("GET", "namespace/del/demo?flushAll=true"),
    ("POST", "namespace/clear-realtime-data"),
    ("POST", "clear-legacy-client"),
]


async def test_maintenance_wants_the_namespace_offline(world: World) -> None:
    """18 to 21: as it is written now; an unknown one is not, and one has to be named."""
    demo = await a_tenant(world, "/demo")
    await connect(world, "/demo", "u1")

    for method, path in MAINTENANCE:

        async def refusal(namespace: str, method: str = method, path: str = path) -> Any:
            fields = {"namespace": namespace} if method == "POST" else None
            return said(await admin(world).ask(method, path.replace("demo", namespace), fields))

        assert await refusal("demo") == OFFLINE
        assert await refusal("unknown") == OFFLINE
        if method == "POST":
            assert await refusal("") == "can not find key"
    assert (await demo.get("report/online"))["totalClientCount"] == 1
    assert world.comet.orders == []


async def fill(world: World) -> tuple[Caller, Caller]:
    """/demo and /other with a client and a push each; /demo is offline."""
    tenants = [await a_tenant(world, key) for key in ("/demo", "/other")]
    for key, tenant in zip(("/demo", "/other"), tenants, strict=True):
        await connect(world, key, "u1", rooms=["r1"])
        assert (await tenant.post("push", room="r1", pushData={}))["id"] > 0
    assert await tenants[0].post("namespace/save", offline="on") == {}
    return tenants[0], tenants[1]


async def counts(tenant: Caller) -> dict[str, Any]:
    """What is left of a namespace."""
    online = await tenant.get("report/online")
    return {
        "present": (online["clientCount"], online["roomCount"], online["userCount"]),
        "clients": online["totalClientCount"],
        "pushes": len(await tenant.get("report/push")),
        "counted": await tenant.get("namespace/current-message-stat"),
    }


ONE = dict.fromkeys(("currMinuteMessageCount", "currHourMessageCount", "currDateMessageCount"), "1")
FULL = {"present": (1, 1, 1), "clients": 1, "pushes": 1}


@pytest.mark.parametrize(
    ("method", "path", "left"),
    [
        ("POST", "namespace/clear-realtime-data", {"present": (0, 0, 0)}),
        ("GET", "namespace/clear/demo", {"present": (0, 0, 0), "clients": 0, "pushes": 0}),
        ("GET", "namespace/del/demo", {"present": (0, 0, 0), "clients": 0, "pushes": 0}),
        (
            "GET",
            "namespace/del/demo?flushAll=false",
            {"present": (0, 0, 0), "clients": 0, "pushes": 0},
        ),
    ],
)
async def test_emptying_keeps_the_record_and_the_others(
    world: World, method: str, path: str, left: dict[str, Any]
) -> None:
    """Who is connected still is sent away; counters stay; another namespace hears nothing."""
    demo, other = await fill(world)

    fields = {"namespace": "demo"} if method == "POST" else None
    answer = said(await admin(world).ask(method, path, fields))

    assert answer == {}
    found, others = await counts(demo), await counts(other)
    found.pop("counted"), others.pop("counted")
    assert found == FULL | left
    assert others == FULL
    assert world.comet.orders == [("/demo", "clear")]
    if path.endswith("data"):
        kept = await demo.get("client/%2Fdemo%23u1%23web-d1")
        assert kept["disconnect_reason"] == "clear"
        assert int(kept["last_disconnect_time"]) > START


@pytest.mark.parametrize(
    "path",
    ["namespace/flush/%2Fdemo", "namespace/del/demo?flushAll", "namespace/del/demo?flushAll=true"],
)
async def test_flushing_takes_the_record_too(world: World, path: str) -> None:
    """And made again it is as if it had never been: also its counters."""
    demo, other = await fill(world)

    assert said(await admin(world).ask("GET", path)) == {}

    assert await demo.post("login") == (400, "namespace not found")
    assert (await admin(world).get("namespace/list"))["total"] == 1
    again = await a_tenant(world, "/demo")
    assert (await counts(again))["counted"] == dict.fromkeys(ONE, 0)
    assert (await counts(again))["clients"] == 0
    others = await counts(other)
    assert others.pop("counted").keys() == ONE.keys()
    assert others == FULL


async def test_clients_that_were_not_seen_for_long_are_forgotten(world: World) -> None:
    """21: by their last connect; the answer names them. Others' stay."""
    demo, other = await a_tenant(world, "/demo"), await a_tenant(world, "/other")
    now = int(time.time() * 1000)
    long_ago = now - 240 * 3_600_000 - 60_000
    old = [await connect(world, "/demo", f"u{n}", at=long_ago) for n in (2, 1)]
    new = await connect(world, "/demo", "u3", at=now)
    await connect(world, "/other", "u1", at=long_ago)
    await demo.post("namespace/save", offline="on")

    gone = await admin(world).post("clear-legacy-client", namespace="/demo")

    assert gone == sorted(old)
    assert await admin(world).post("clear-legacy-client", namespace="/demo") == []
    assert (await demo.get("report/online"))["totalClientCount"] == 1
    assert (await demo.get(f"client/{quote(new, '')}"))["userid"] == "u3"
    assert (await other.get("report/online"))["totalClientCount"] == 1


async def test_on_every_database(database: Database) -> None:
    """The same on all of them."""
    url = database.engine.url.render_as_string(False)
    async with open_world(database=url) as world:
        demo, other = await fill(world)
        await demo.post("namespace/save", apns_list=[{"name": "a", "token_key": PEM}])

        assert (await demo.get("namespace"))["apns_list"] == [
            {"name": "a", "token_key": "********"}
        ]
        assert (await counts(demo))["clients"] == 1
        assert (await admin(world).get("namespace/list", name="x")) == {"list": [], "total": 0}
        assert await admin(world).get("namespace/flush/demo") == {}
        assert await demo.post("login") == (400, "namespace not found")
        assert (await counts(other))["pushes"] == 1
