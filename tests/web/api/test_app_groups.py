"""Groups in the application REST: what clients see, and who gets no further."""

from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from appmodel.orm.counting import Quota
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User
from tests.web.group_people import add_users
from tests.web.phones import Device, an_application, log_in, reason, ret
from tests.web.world import World, open_world, web_config
from web.config import AppConfig


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """ann, bob and cyd of t1, zoe of t2; texts in Chinese, avatars in weed-fs."""
    config = web_config(app=AppConfig(port=0, language="zh", weedfs="weed:8080"))
    async with open_world(config=config) as world:
        await add_users(world.context.database, "ann", "bob", "cyd")
        await add_users(world.context.database, "zoe", tenant="t2")
        yield world


async def phones(world: World, *uids: str) -> list[Device]:
    return [await log_in(world, uid) for uid in uids]


async def a_group(ann: Device, *uids: str) -> str:
    """The name of a new group of ann's."""
    listed = [{"uid": uid} for uid in uids]
    said = await ann.ask("create-qun", topic="Lunch", memberCount=2, memberList=listed)
    return str(said["ChatRoomName"])


def named(*uids: str) -> list[dict[str, str]]:
    return [{"uid": uid, "nickName": "whoever"} for uid in uids]


async def rows(world: World) -> list[Any]:
    """All groups and seats, to see that nothing was written."""

    def read(session: Any) -> list[Any]:
        groups = session.execute(sa.select(Qun.id, Qun.name, Qun.creator_id).order_by(Qun.id))
        seats = session.execute(sa.select(QunUser.qun_id, QunUser.user_id).order_by(QunUser.id))
        return [*groups, *seats]

    return await world.context.database.read(read)


async def notices(world: World, uid: str) -> list[str]:
    """The texts that a user's inbox has."""
    return [msgspec.json.decode(body)["content"] for body in await world.kept(f"{uid}@user")]


async def test_create(world: World) -> None:
    """22: owned by whose token it is, whatever uid the body claims (W8); N1 is in the inbox."""
    (ann,) = await phones(world, "ann")
    body = ann.body(topic="Lunch", memberCount=2.0, memberList=[{"uid": "bob", "x": 1}])
    body["baseRequest"]["uid"] = "cyd"

    said = (await ann.post("create-qun", body)).json()

    assert ret(said) == 0
    assert said["ChatRoomName"].endswith("@qun")
    assert (said["topic"], said["memberCount"]) == ("Lunch", 2)
    assert [(m["uid"], m["userName"]) for m in said["memberList"]] == [
        ("ann", "ann@user"),
        ("bob", "bob@user"),
    ]
    assert await notices(world, "ann") == ["你创建了群“Lunch”"]
    assert await notices(world, "bob") == []


async def test_a_notice_on_the_wire(world: World) -> None:
    """Type 51, from the group, under its name, to each recipient; kept."""
    (ann,) = await phones(world, "ann")
    name = await a_group(ann)

    (body,) = await world.kept("ann@user")

    notice = msgspec.json.decode(body)
    assert notice["msgType"] == 51
    assert notice["fromUserName"] == name
    assert notice["fromDisplayName"] == "Lunch"
    assert notice["toUserName"] == "ann@user"
    assert "deviceID" not in notice


async def test_members(world: World) -> None:
    """23: the group and its members as section 5 has them; no password, avatars at weed-fs."""
    ann, bob = await phones(world, "ann", "bob")
    picture = sa.update(User).where(User.id == "bob").values(avatar="3,0163,x", password="secret")
    await world.context.database.write(lambda session: session.execute(picture))
    name = await a_group(ann, "bob")

    said = await bob.ask("getQunMembers", userName=name)

    info = said["quninfo"]
    assert ret(said) == 0
    assert sorted(said) == ["baseResponse", "memberCount", "memberList", "quninfo"]
    assert {key: info[key] for key in info.keys() - {"created", "updated"}} == {
        "id": name.removesuffix("@qun"),
        "creatorId": "ann",
        "creatorUserName": "ann@user",
        "name": "Lunch",
        "description": "",
        "maxMember": 100,
        "avatar": "",
        "tenantId": "t1",
    }
    assert info["created"].endswith("Z")
    assert said["memberCount"] == 2
    assert [m["avatar"] for m in said["memberList"]] == ["", "http://weed:8080/3/0163,x"]
    assert {m["password"] for m in said["memberList"]} == {""}


async def test_rename(world: World) -> None:
    """24: by any member, with the original's errMsg; N2 and N3."""
    ann, bob = await phones(world, "ann", "bob")
    name = await a_group(ann, "bob")

    said = await bob.ask("updateQunTopic", ChatRoomName=name, topic="Dinner")

    assert said == {"baseResponse": {"ret": 0, "errMsg": "update Qun Topic success"}}
    assert (await ann.ask("getQunMembers", userName=name))["quninfo"]["name"] == "Dinner"
    assert await notices(world, "bob") == ["你将群名称修改为“Dinner”"]
    assert (await notices(world, "ann"))[1:] == ["Bob将群名称修改为“Dinner”"]


async def test_add(world: World) -> None:
    """25: by any member; names in notices are the database's; N4 to N6."""
    ann, bob = await phones(world, "ann", "bob")
    name = await a_group(ann, "bob")

    said = await bob.ask("addQunMember", ChatRoomName=name, memberList=named("cyd", "ann"))

    assert (ret(said), said["memberCount"]) == (0, 3)
    assert [m["uid"] for m in said["memberList"]] == ["ann", "bob", "cyd"]
    assert said["quninfo"]["creatorId"] == "ann"
    assert await notices(world, "bob") == ["你邀请Cyd加入了群聊"]
    assert (await notices(world, "ann"))[1:] == ["Bob邀请Cyd加入了群聊"]
    assert await notices(world, "cyd") == ["Bob邀请你加入了群聊"]


async def test_remove_and_leave(world: World) -> None:
    """26: the owner removes others (N8 to N10), everybody himself (N7)."""
    ann, bob, cyd = await phones(world, "ann", "bob", "cyd")
    name = await a_group(ann, "bob", "cyd")

    refused = await bob.ask("delQunMember", ChatRoomName=name, memberList=named("cyd"))
    removed = await ann.ask("delQunMember", ChatRoomName=name, memberList=named("bob"))
    left = await cyd.ask("delQunMember", ChatRoomName=name, memberList=named("cyd"))

    assert ret(refused) == 65535
    assert reason(refused) == "delete Qun Member faild,only qun creater can delete"
    assert (ret(removed), [m["uid"] for m in removed["memberList"]]) == (0, ["ann", "cyd"])
    assert (ret(left), left["memberCount"]) == (0, 1)
    assert (await notices(world, "ann"))[1:] == ["你将Bob移出了群聊", "Cyd退出了群聊"]
    assert await notices(world, "bob") == ["你被Ann移出了群聊"]
    assert await notices(world, "cyd") == ["Ann将Bob移出了群聊"]


async def test_the_owner_leaves(world: World) -> None:
    """C8: the group keeps an owner, and clients see it as its creator; the last one ends it."""
    ann, bob = await phones(world, "ann", "bob")
    name = await a_group(ann, "bob")

    left = await ann.ask("delQunMember", ChatRoomName=name, memberList=named("ann"))
    last = await bob.ask("delQunMember", ChatRoomName=name, memberList=named("bob"))
    gone = await bob.ask("getQunMembers", userName=name)

    assert left["quninfo"]["creatorUserName"] == "bob@user"
    assert await notices(world, "bob") == ["Ann退出了群聊", "你已成为新群主"]
    assert (ret(last), last["memberList"]) == (0, [])
    assert ret(gone) == 65531


async def test_a_change_is_done_though_nobody_can_be_told(world: World) -> None:
    """C8: the original answers 65537 to a change that it has made."""
    company = [
        Tenant(id="t1", name="T1", customer_id="c1"),
        Quota(customer_id="c1", tenant_id="t1", type="push_cnt", value="0"),
    ]
    await world.context.database.write(lambda session: session.add_all(company))
    ann, bob = await phones(world, "ann", "bob")
    name = await a_group(ann, "bob")

    said = await ann.ask("updateQunTopic", ChatRoomName=name, topic="Dinner")

    metrics = await world.api.ask("GET", "/metrics")
    assert ret(said) == 0
    assert (await bob.ask("getQunMembers", userName=name))["quninfo"]["name"] == "Dinner"
    assert b"web_group_notices_failed_total 3.0" in metrics.body


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("getQunMembers", {"userName": "{group}"}),
    ("updateQunTopic", {"ChatRoomName": "{group}", "topic": "Mine"}),
    ("addQunMember", {"ChatRoomName": "{group}", "memberList": named("cyd")}),
    ("delQunMember", {"ChatRoomName": "{group}", "memberList": named("ann")}),
    ("delQunMember", {"ChatRoomName": "{group}", "memberList": named("cyd", "ann")}),
]
PATHS = [pytest.param(*call, id=f"{call[0]}{n}") for n, call in enumerate(CALLS)]


def filled(fields: dict[str, Any], group: str) -> dict[str, Any]:
    return {key: group if value == "{group}" else value for key, value in fields.items()}


@pytest.mark.parametrize(("path", "fields"), PATHS)
async def test_strangers_and_other_tenants(world: World, path: str, fields: dict[str, Any]) -> None:
    """W8: 65538 for who is not in the group, 65531 for who is not in its tenant; nothing changes.

    The original lists, renames and fills any group for anybody.
    """
    ann, cyd, zoe = await phones(world, "ann", "cyd", "zoe")
    name = await a_group(ann, "bob")
    before = await rows(world)

    assert ret(await cyd.ask(path, **filled(fields, name))) == 65538
    assert ret(await zoe.ask(path, **filled(fields, name))) == 65531
    assert ret(await ann.ask(path, **filled(fields, "nothing@qun"))) == 65531
    assert await rows(world) == before


@pytest.mark.parametrize(
    ("path", "fields"),
    [*CALLS, ("create-qun", {"topic": "x", "memberCount": 0, "memberList": []})],
)
async def test_credentials_that_are_none(world: World, path: str, fields: dict[str, Any]) -> None:
    """65533, whatever uid is claimed: no token, a wrong one, an application's."""
    (ann,) = await phones(world, "ann")
    name = await a_group(ann, "bob")
    before = await rows(world)
    application = await an_application(world, "a1", "sync")

    for token in ("", "ann_0", ann.token[:-1], "nonsense", application):
        body = ann.body(**filled(fields, name))
        body["baseRequest"]["token"] = token
        assert ret((await ann.post(path, body)).json()) == 65533
    assert await rows(world) == before


FIELDS: list[tuple[str, str, Any]] = [
    ("create-qun", "topic", 1),
    ("create-qun", "topic", "x" * 46),
    ("create-qun", "memberCount", "2"),
    ("create-qun", "memberList", {}),
    ("create-qun", "memberList", [{"uid": 1}]),
    ("create-qun", "baseRequest.deviceType", 1),
    ("create-qun", "baseRequest.uid", None),
    ("getQunMembers", "userName", 1),
    ("getQunMembers", "userName", "ann@user"),
    ("getQunMembers", "userName", "ann"),
    ("updateQunTopic", "ChatRoomName", 1),
    ("updateQunTopic", "ChatRoomName", "g1@org"),
    ("updateQunTopic", "topic", None),
    ("updateQunTopic", "topic", "a\u0000"),
    ("updateQunTopic", "baseRequest.deviceType", 1),
    ("addQunMember", "ChatRoomName", None),
    ("addQunMember", "memberList", [{"uid": "cyd"}]),
    ("addQunMember", "memberList", [{"uid": "cyd", "nickName": 1}]),
    ("addQunMember", "memberList", named(*map(str, range(1001)))),
    ("addQunMember", "memberList", named("a\u0000")),
    ("delQunMember", "ChatRoomName", 1),
    ("delQunMember", "memberList", "ann"),
]
GOOD = dict(CALLS) | {"create-qun": {"topic": "x", "memberCount": 0, "memberList": []}}


@pytest.mark.parametrize(("path", "field", "value"), FIELDS)
async def test_fields_that_are_wrong(world: World, path: str, field: str, value: Any) -> None:
    """C1: 65534 naming the field, whether it is mistyped or missing; nothing is written."""
    (ann,) = await phones(world, "ann")
    name = await a_group(ann, "bob")
    before = await rows(world)
    wrong = ann.body(**filled(GOOD[path], name))
    missing = deepcopy(wrong)
    place, _, last = field.rpartition(".")
    (wrong[place] if place else wrong)[last] = value
    del (missing[place] if place else missing)[last]

    mistyped = (await ann.post(path, wrong)).json()
    absent = (await ann.post(path, missing)).json()

    assert ret(mistyped) == ret(absent) == 65534
    assert reason(mistyped).startswith(field)
    assert reason(absent).startswith(f"{field}: ")
    assert await rows(world) == before


async def test_members_who_are_not_there(world: World) -> None:
    """65531, for who does not exist and who is of another tenant alike; the group stays as it is."""
    (ann,) = await phones(world, "ann")
    name = await a_group(ann)
    before = await rows(world)

    for uid in ("nobody", "zoe"):
        wanted = {"topic": "x", "memberCount": 1, "memberList": [{"uid": uid}]}
        created = await ann.ask("create-qun", **wanted)
        added = await ann.ask("addQunMember", ChatRoomName=name, memberList=named("bob", uid))
        assert (ret(created), ret(added)) == (65531, 65531)
    assert await rows(world) == before


async def test_other_methods(world: World) -> None:
    """405, as in the original."""
    for path in ("create-qun", "getQunMembers", "updateQunTopic", "addQunMember", "delQunMember"):
        answer = await world.app.ask("GET", f"/app/client/device/{path}")
        assert (answer.status, answer.body) == (405, b"Method Not Allowed")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
UIDS = st.sampled_from(["ann", "bob", "cyd", "zoe", "x", "", "\u0000", "\ud7ff", "a" * 65])
FIELD: dict[str, st.SearchStrategy[Any]] = {
    "userName": st.sampled_from(["g1@qun", "@qun", "g1", "g1@user", "\u2028@qun"]) | JSON,
    "ChatRoomName": st.sampled_from(["g1@qun", "g2@qun", "a\u0000@qun"]) | JSON,
    "topic": st.text(max_size=50) | JSON,
    "memberCount": st.integers() | st.floats(allow_nan=False) | JSON,
    "memberList": st.lists(st.fixed_dictionaries({"uid": UIDS | JSON, "nickName": UIDS})) | JSON,
}


async def test_any_body_is_answered(world: World) -> None:
    """C1: whatever is in the fields, the answer has a code that the specification knows."""
    (ann,) = await phones(world, "ann")
    paths = ["create-qun", "getQunMembers", "updateQunTopic", "addQunMember", "delQunMember"]
    group = Qun(id="g1", tenant_id="t1", creator_id="ann")
    seats = [QunUser(qun_id="g1", user_id=uid) for uid in ("ann", "bob")]
    await world.context.database.write(lambda session: session.add_all([group, *seats]))
    bodies: list[tuple[str, dict[str, Any]]] = []

    @given(st.sampled_from(paths), st.fixed_dictionaries({}, optional=FIELD))
    def collect(path: str, fields: dict[str, Any]) -> None:
        bodies.append((path, fields))

    collect()
    for path, fields in bodies:
        answer = await ann.post(path, ann.body(**fields))

        assert answer.status == 200
        assert ret(answer.json()) in {0, 65531, 65533, 65534, 65535, 65538}, (path, fields)
