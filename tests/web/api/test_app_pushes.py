"""Pushes of the application REST: devices, web pages, applications; what they reach, and what is refused."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import sqlalchemy as sa

from appmodel.core.mutes import ShieldType
from appmodel.core.names import parse_key
from appmodel.orm.contacts import ShieldMsg
from appmodel.orm.counting import Quota
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.organisations import Org, OrgUser, Tenant
from appmodel.orm.people import User
from appmodel.orm.presence import Session as SessionRow
from tests.databases import an_empty_database
from tests.web.group_people import add_users
from tests.web.phones import Device, an_application, log_in, reason, ret
from tests.web.world import World, open_world

ANN, BOB, CYD, ZOE = "ann", "bob", "cyd", "zoe"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Tenant t1: ann, bob, cyd in group g and department d (eve below it), zoe of t2; application shop."""
    async with open_world() as world:
        await _populate(world)
        yield world


async def _populate(world: World) -> None:
    database = world.context.database
    await add_users(database, ANN, BOB, CYD, "eve")
    await add_users(database, ZOE, tenant="t2")
    rows: list[Any] = [Tenant(id="t1", name="One", customer_id="c1"), Tenant(id="t2", name="Two")]
    rows += [User(id="boss", name="boss", nickname="Boss", tenant_id="t1", role="announcer")]
    rows += [Qun(id="g", name="Lunch", creator_id=ANN, tenant_id="t1")]
    rows += [QunUser(qun_id="g", user_id=uid) for uid in (ANN, BOB, CYD)]
    rows += [Org(id="d", name="Sales", tenant_id="t1", location="00")]
    rows += [Org(id="e", name="East", tenant_id="t1", parent_id="d", location="0000")]
    rows += [OrgUser(org_id="d", user_id=uid) for uid in (ANN, BOB, "boss")]
    rows += [OrgUser(org_id="e", user_id="eve")]
    rows += [SessionRow(id="bob_iOS-b1", user_id=BOB, type="iOS", state="active")]
    rows += [SessionRow(id="ann_Android-a2", user_id=ANN, type="Android")]
    await database.write(lambda session: session.add_all(rows))


def message(uid: str, to: str, **more: Any) -> dict[str, Any]:
    """`msg` of device/push."""
    return {"fromUserName": f"{uid}@user", "toUserName": to, "content": "hi", "msgType": 1} | more


async def push(device: Device, to: str, *, sessions: Any = None, **more: Any) -> Any:
    """device/push"""
    fields = {"msg": message(device.uid, to, **more)}
    if sessions is not None:
        fields["sessions"] = sessions
    return await device.ask("push", **fields)


async def inbox(world: World, name: str) -> list[Any]:
    """The messages that are kept for a name."""
    return [json.loads(body) for body in await world.kept(name)]


async def app_push(world: World, token: str, *names: str, **more: Any) -> Any:
    """app/user/push of the application whose token is `token-of-<id>`."""
    fields = {
        "baseRequest": {"token": token},
        "content": "news",
        "msgType": 102,
        "statusId": "s1",
        "objectContent": {"appId": token.removeprefix("token-of-")},
        "toUserNames": list(names),
    }
    body = msgspec.json.encode(fields | more)
    return (await world.app.ask("POST", "/app/client/app/user/push", body)).json()


async def nobody_heard(world: World) -> bool:
    """Nothing was stored for anybody."""
    names = [f"{uid}@user" for uid in (ANN, BOB, CYD, ZOE, "eve", "boss")] + ["shop@app", "g@qun"]
    return [await world.kept(name) for name in names] == [[]] * len(names)


async def test_to_a_user(world: World) -> None:
    """Stored once for each of the two; the answer echoes clientMsgId and tells the sender's id."""
    ann = await log_in(world, ANN)

    answer = await push(ann, "bob@user", clientMsgId=2**60 + 1, extra={"x": [1]})

    assert answer == {
        "baseResponse": {"ret": 0, "errMsg": ""},
        "msgID": "msgid",
        "clientMsgId": 2**60 + 1,
        "mid": answer["mid"],
    }
    [theirs], [own] = await inbox(world, "bob@user"), await inbox(world, "ann@user")
    assert theirs["activeSessions"] == ["bob_iOS-b1"]
    assert theirs["extra"] == {"x": [1]}
    assert theirs["deviceID"] == "d1"
    assert own["toUserName"] == "bob@user"
    [page] = (await world.store.fetch(_key("ann@user"), 0, limit=9)).messages
    assert page.id == answer["mid"]
    assert await world.kept("bob_iOS-b1@user") == []


async def test_expire(world: World) -> None:
    """0 = nobody keeps it; absent = the configured time; anything but a number of seconds is refused."""
    ann = await log_in(world, ANN)

    assert ret(await push(ann, "bob@user", expire=0)) == 0
    assert await nobody_heard(world)
    wrongs: list[Any] = [-1, "60", 2**32, 1.5, [], True]
    for wrong in wrongs:
        answer = await push(ann, "bob@user", expire=wrong)
        assert ret(answer) == 65534, wrong
        assert "msg.expire" in reason(answer)
    assert await nobody_heard(world)
    assert ret(await push(ann, "bob@user")) == 0
    [kept] = (await world.store.fetch(_key("bob@user"), 0, limit=9)).messages
    assert 6 * 86400 < kept.expires_at - kept.id / 1e6 < 8 * 86400


@pytest.mark.parametrize(
    ("to", "reached"),
    [
        ("bob@user", {BOB, ANN}),
        ("ann@user", {ANN}),
        ("g@qun", {ANN, BOB, CYD}),
    ],
)
async def test_who_gets_it(world: World, to: str, reached: set[str]) -> None:
    """Everybody once, the sender included."""
    ann = await log_in(world, ANN)

    assert ret(await push(ann, to)) == 0

    for uid in (ANN, BOB, CYD, ZOE, "eve", "boss"):
        assert len(await inbox(world, f"{uid}@user")) == (uid in reached)


@pytest.mark.parametrize(
    ("to", "reached"),
    [
        ("d@org", {ANN, BOB, "boss"}),
        ("d@org/**", {ANN, BOB, "boss", "eve"}),
        ("e@org", {"eve", "boss"}),
        ("t1@tenant", {ANN, BOB, CYD, "eve", "boss"}),
    ],
)
async def test_departments_and_tenants_take_a_role(
    world: World, to: str, reached: set[str]
) -> None:
    """Who has it reaches all, and they see what they were addressed as; who has not reaches nobody."""
    ann, boss = await log_in(world, ANN), await log_in(world, "boss")

    assert ret(await push(ann, to)) == 65533
    assert await nobody_heard(world)
    assert ret(await push(boss, to)) == 0

    for uid in (ANN, BOB, CYD, ZOE, "eve", "boss"):
        messages = await inbox(world, f"{uid}@user")
        assert [one["addressedTo"] for one in messages] == [to] * (uid in reached)


@pytest.mark.parametrize(
    "to", ["zoe@user", "nobody@user", "x@qun", "t2@tenant", "x@org", "x@org/**", "x@app"]
)
async def test_what_is_not_of_the_tenant_is_not_there(world: World, to: str) -> None:
    """65531, and nothing is stored for whoever it may be (W17)."""
    boss = await log_in(world, "boss")

    assert ret(await push(boss, to)) == 65531
    assert await nobody_heard(world)


async def test_another_tenants_group(world: World) -> None:
    """Its members are not found, and its own users may not be told from others."""
    zoe = await log_in(world, ZOE)

    assert ret(await push(zoe, "g@qun")) == 65531


async def test_who_is_not_a_member(world: World) -> None:
    """65538: membership is of the caller, not of the claimed sender (W7)."""
    eve = await log_in(world, "eve")

    assert ret(await push(eve, "g@qun")) == 65538
    forged = await eve.ask("push", msg=message(ANN, "g@qun"))
    assert ret(forged) == 65533
    assert await nobody_heard(world)


async def test_an_application_can_tell_who_wrote(world: World) -> None:
    """The token in the message proves the user to that application; it is not the user's own (W16)."""
    shop = await an_application(world, "shop")
    other = await an_application(world, "other")
    ann = await log_in(world, ANN)

    assert ret(await push(ann, "shop@app")) == 0

    [received] = await inbox(world, "shop@app")
    assert received["token"] != ann.token
    assert received["fromUserName"] == "ann@user"
    assert await inbox(world, "ann@user") == []
    for token, expected in ((shop, 0), (other, 65533)):
        asked = {"baseRequest": {"token": token}, "token": received["token"], "uid": ANN}
        body = msgspec.json.encode(asked)
        answer = await world.app.ask("POST", "/app/client/app/user/auth", body)
        assert ret(answer.json()) == expected
    thief = Device(world, ANN, received["token"])
    assert ret(await push(thief, "bob@user")) == 65539
    assert ret(await thief.ask("getMember", userName="bob@user")) == 65533


@pytest.mark.parametrize(
    ("kind", "target", "to", "reached"),
    [
        (ShieldType.USER, ANN, "bob@user", {ANN}),
        (ShieldType.USER, ANN, "g@qun", {ANN, CYD}),
        (ShieldType.GROUP, "g", "g@qun", {ANN, CYD}),
        (ShieldType.GROUP, ANN, "bob@user", {ANN, BOB}),
        (ShieldType.APPLICATION, ANN, "bob@user", {ANN, BOB}),
    ],
)
async def test_who_muted_it_does_not_get_it(
    world: World, kind: ShieldType, target: str, to: str, reached: set[str]
) -> None:
    """Neither online nor later; the sender is not told."""
    mute = ShieldMsg(source_id=BOB, target_id=target, type=kind)
    await world.context.database.write(lambda session: session.add(mute))
    ann = await log_in(world, ANN)

    assert ret(await push(ann, to)) == 0

    for uid in (ANN, BOB, CYD):
        assert len(await inbox(world, f"{uid}@user")) == (uid in reached)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"fromUserName": None}, "msg.fromUserName"),
        ({"toUserName": 7}, "msg.toUserName"),
        ({"toUserName": "bob"}, "msg.toUserName"),
        ({"toUserName": "bob@nothing"}, "msg.toUserName"),
        ({"content": 5}, "msg.content"),
        ({"customFilelds": []}, "msg.customFilelds"),
        ({"msgType": 2}, "msg.objectContent"),
        ({"msgType": 2, "objectContent": {"responseUpload": {"fid": "f"}}}, "fileName"),
        ({"msgType": 2, "objectContent": {"responseUpload": 3}}, "responseUpload"),
    ],
)
async def test_a_wrong_field_is_named(world: World, change: dict[str, Any], field: str) -> None:
    """65534, and nothing is done: some of these ended the original's process (W5)."""
    ann = await log_in(world, ANN)

    answer = await ann.ask("push", msg=message(ANN, "bob@user") | change)

    assert ret(answer) == 65534
    assert field in reason(answer)
    assert await nobody_heard(world)


@pytest.mark.parametrize("missing", ["fromUserName", "toUserName", "content"])
async def test_a_missing_field_is_named(world: World, missing: str) -> None:
    """The original answers 0 and does nothing (C1)."""
    ann = await log_in(world, ANN)
    msg = message(ANN, "bob@user")
    del msg[missing]

    answer = await ann.ask("push", msg=msg)

    assert ret(answer) == 65534
    assert missing in reason(answer)
    assert ret(await ann.ask("push")) == 65534


async def test_a_device_that_no_session_can_have(world: World) -> None:
    """Between nodes it would be too long, and fail all that travels with it."""
    ann = await log_in(world, ANN)
    body = ann.body(msg=message(ANN, "bob@user"))
    for length, code in ((255, 0), (256, 65534), (60_000, 65534)):
        body["baseRequest"]["deviceID"] = "d" * length
        answer = (await ann.post("push", body)).json()
        assert ret(answer) == code, length
        assert code == 0 or "baseRequest.deviceID" in reason(answer)


async def test_members_of_another_tenant_are_none(world: World) -> None:
    """An adopted group may have them: neither its members nor an operator reach them."""
    stray = QunUser(qun_id="g", user_id=ZOE)
    await world.context.database.write(lambda session: session.add(stray))
    ann = await log_in(world, ANN)

    assert ret(await push(ann, "g@qun")) == 0
    answer = await world.api.ask("POST", "/v2/push", b'{"to":"g@qun","msg":1,"ttl":60}')

    assert answer.json()["results"][0]["members"] == 3
    assert await inbox(world, "zoe@user") == []


async def test_an_empty_content_is_a_content(world: World) -> None:
    """The original drops it silently (C2)."""
    ann = await log_in(world, ANN)

    assert ret(await push(ann, "bob@user", content="")) == 0

    assert [one["content"] for one in await inbox(world, "bob@user")] == [""]


async def test_who_does_not_prove_itself(world: World) -> None:
    """65539 as the original's wrapper says, whatever else is wrong; other device types too."""
    ann = await log_in(world, ANN)
    for token in ("", "ann_x", "garbage", ann.token[:-8] + "0" * 8, "token-of-shop"):
        stranger = Device(world, ANN, token)
        assert ret(await push(stranger, "bob@user")) == 65539
    body = ann.body(msg=message(ANN, "bob@user"))
    body["baseRequest"]["deviceType"] = "fridge"
    assert ret((await ann.post("push", body)).json()) == 65539
    assert await nobody_heard(world)


async def test_a_spent_quota(world: World) -> None:
    """65537 when a push has more keys than are left: all or nothing."""
    quota = Quota(customer_id="c1", tenant_id="t1", type="push_cnt", value="6")
    await world.context.database.write(lambda session: session.add(quota))
    ann = await log_in(world, ANN)
    assert ret(await push(ann, "bob@user")) == 0  # bob, his session, ann, her session: 4

    answer = await push(ann, "bob@user")

    assert ret(answer) == 65537
    assert len(await inbox(world, "bob@user")) == 1


async def test_from_a_page(world: World) -> None:
    """The same as a form, answered as a script; without a callback as JSON."""
    ann = await log_in(world, ANN)
    fields = {f"msg[{name}]": value for name, value in message(ANN, "bob@user").items()}
    fields |= {"baseRequest[token]": ann.token, "baseRequest[deviceID]": "5.0"}
    fields |= {"msg[clientMsgId]": "7", "sessions": "active,inactive"}
    path = "/app/client/appweb/push"

    script = await world.app.ask("GET", f"{path}?{urlencode(fields | {'callbackparam': 'cb'})}")
    plain = await world.app.ask("POST", path, urlencode(fields).encode())

    assert script.body.startswith(b"cb ( {")
    assert script.body.endswith(b"} )\n")
    assert script.headers["content-type"].startswith("application/javascript")
    assert plain.json()["clientMsgId"] == "7"
    assert len(await inbox(world, "bob@user")) == 2
    assert (await inbox(world, "bob@user"))[0]["msgType"] == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"baseRequest[token]": ""}, 65533),
        ({"msg[msgType]": "x"}, 65534),
        ({"msg[expire]": "x"}, 65534),
        ({"msg[content]": None}, 65534),
        ({"msg[fromUserName]": "bob@user"}, 65533),
        ({"callbackparam": "<script>"}, 65534),
    ],
)
async def test_a_bad_form(world: World, change: dict[str, Any], code: int) -> None:
    """Its code, and nothing is done; a callback that is no name is not echoed (W14)."""
    ann = await log_in(world, ANN)
    fields: dict[str, Any] = {f"msg[{n}]": v for n, v in message(ANN, "bob@user").items()}
    fields |= {"baseRequest[token]": ann.token} | change
    sent = {name: value for name, value in fields.items() if value is not None}

    answer = await world.app.ask("GET", f"/app/client/appweb/push?{urlencode(sent)}")

    assert ret(answer.json()) == code
    assert b"<script>" not in answer.body
    assert await nobody_heard(world)


async def test_pages_of_other_sites_may_not_push(world: World) -> None:
    """Not even with a token; a page that may is allowed to read the answer."""
    ann = await log_in(world, ANN)
    fields = {f"msg[{name}]": value for name, value in message(ANN, "bob@user").items()}
    form = urlencode(fields | {"baseRequest[token]": ann.token}).encode()
    path, ours = "/app/client/appweb/push", f"http://{world.app.host}:8094"

    evil = await world.app.ask("POST", path, form, headers={"Origin": "https://evil.example"})
    good = await world.app.ask("POST", path, form, headers={"Origin": ours})

    assert (ret(evil.json()), ret(good.json())) == (65533, 0)
    assert good.headers["access-control-allow-origin"] == ours
    assert "access-control-allow-origin" not in evil.headers
    assert len(await inbox(world, "bob@user")) == 1


async def test_from_an_application(world: World) -> None:
    """Everybody once, in order, their sessions behind them; unknown names are told and cost nobody else."""
    shop = await an_application(world, "shop")
    await an_application(world, "till")

    answer = await app_push(world, shop, "bob@user", "g@qun", "till@app", "nobody@user", "zoe@user")

    keys = [one["key"] for one in answer["mlist"]]
    assert keys[:2] == ["bob@user", "bob_iOS-b1@user"]
    assert set(keys[2:]) == {"ann@user", "ann_Android-a2@user", "cyd@user"}
    assert ret(answer) == 65531
    assert "nobody@user" in reason(answer)
    assert "zoe@user" in reason(answer)
    for uid in (ANN, BOB, CYD):
        [one] = await inbox(world, f"{uid}@user")
        assert (one["fromUserName"], one["toUserName"]) == ("shop@app", f"{uid}@user")
        assert (one["statusId"], one["toDisplayName"]) == ("s1", uid.capitalize())
        [kept] = (await world.store.fetch(_key(f"{uid}@user"), 0, limit=9)).messages
        assert {"mid": kept.id, "key": f"{uid}@user"} in answer["mlist"]
    assert [one["toUserName"] for one in await inbox(world, "till@app")] == ["till@app"]


async def test_an_application_speaks_for_itself_only(world: World) -> None:
    """objectContent.appId is not believed (W7); another tenant's people are not there (W9)."""
    shop = await an_application(world, "shop")
    foreign = await an_application(world, "foreign", tenant="t2")

    assert ret(await app_push(world, shop, "bob@user", objectContent={"appId": "bank"})) == 65533
    assert ret(await app_push(world, foreign, "bob@user")) == 65531
    assert ret(await app_push(world, "token-of-nobody", "bob@user")) == 65533
    assert await nobody_heard(world)


async def test_what_an_application_may(world: World) -> None:
    """Departments and the tenant take permissions; without `push` it may not speak at all."""
    shop = await an_application(world, "shop")
    news = await an_application(world, "news", "push push_org push_tenant")
    mute = await an_application(world, "mute", "auth")

    for to in ("d@org", "d@org/**", "t1@tenant"):
        assert ret(await app_push(world, shop, to)) == 65533
        assert ret(await app_push(world, news, to)) == 0
    assert ret(await app_push(world, mute, "bob@user")) == 65533
    assert [one["addressedTo"] for one in await inbox(world, "eve@user")] == [
        "d@org/**",
        "t1@tenant",
    ]


async def test_who_muted_an_application(world: World) -> None:
    """Gets nothing from it; the type decides, not only the id."""
    shop = await an_application(world, "shop")
    mutes = [
        ShieldMsg(source_id=BOB, target_id="shop", type=ShieldType.APPLICATION),
        ShieldMsg(source_id=CYD, target_id="shop", type=ShieldType.USER),
    ]
    await world.context.database.write(lambda session: session.add_all(mutes))

    answer = await app_push(world, shop, "bob@user", "cyd@user")

    assert [one["key"] for one in answer["mlist"]] == ["cyd@user"]
    assert await inbox(world, "bob@user") == []


async def test_a_thousand_names(world: World) -> None:
    """One more is 65532, before anything else of them is looked at."""
    shop = await an_application(world, "shop")
    names = [f"x{n}@user" for n in range(999)]

    assert ret(await app_push(world, shop, *names, "bob@user")) == 65531
    assert len(await inbox(world, "bob@user")) == 1
    assert ret(await app_push(world, shop, *names, "bob@user", "cyd@user")) == 65532
    assert await inbox(world, "cyd@user") == []


@pytest.mark.parametrize(
    "field", ["content", "msgType", "statusId", "objectContent", "toUserNames", "baseRequest"]
)
async def test_an_application_leaves_a_field_out(world: World, field: str) -> None:
    """It is named; the original hangs up."""
    shop = await an_application(world, "shop")
    body = {
        "baseRequest": {"token": shop},
        "content": "",
        "msgType": 1,
        "statusId": "",
        "objectContent": {"appId": "shop"},
        "toUserNames": ["bob@user"],
    }
    del body[field]

    raw = msgspec.json.encode(body)
    answer = (await world.app.ask("POST", "/app/client/app/user/push", raw)).json()

    assert ret(answer) == 65534
    assert field in reason(answer)
    assert await nobody_heard(world)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize("to", ["bob@user", "g@qun", "many@qun"])
async def test_a_push_is_three_statements_at_most(kind: str, to: str) -> None:
    """Cold: the token, the quota, and the members with names, sessions and mutes."""
    with an_empty_database(kind) as url:
        async with open_world(database=url) as world:
            await _populate(world)
            crowd = [f"m{n}" for n in range(300)]
            await add_users(world.context.database, *crowd)
            rows: list[Any] = [Qun(id="many", name="Many", tenant_id="t1", creator_id=ANN)]
            rows += [QunUser(qun_id="many", user_id=uid) for uid in [ANN, *crowd]]
            await world.context.database.write(lambda session: session.add_all(rows))
            ann = await log_in(world, ANN)
            said: list[str] = []
            engine = world.context.database.engine
            sa.event.listen(engine, "before_cursor_execute", lambda *a: said.append(a[2]))
            assert ret(await push(ann, to)) == 0

    left = [one for one in said if not BEHIND.search(one)]
    assert len(left) <= 3, left


BEHIND = re.compile(
    r"^BEGIN|FROM .?change\b|apns_token|push_device|^INSERT INTO (api_call|push_cnt)|\bnsp_|\bmpush_(delayed|receiver)\b"
)
"""What runs beside and behind a push: notes of changes, devices to be notified, counters; light-push; what Mpush has to do."""


def _key(name: str) -> Any:

    return parse_key(name)
