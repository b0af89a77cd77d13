"""People in the application REST: members, search, versions, phones, delivered users."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from appmodel.orm.applications import Application
from appmodel.orm.contacts import UserUser
from appmodel.orm.devices import ApnsToken
from appmodel.orm.organisations import Org, OrgUser, Tenant
from appmodel.orm.people import ClientVersion, User
from tests.web.organisations import put
from tests.web.phones import Device, an_application, log_in, reason, ret
from tests.web.world import World, open_world

HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43
SYNC = "/app/client/app/syncUser"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """ann, bob and cyd of t1, zoe of t2."""
    async with open_world() as world:
        of = {"ann": "t1", "bob": "t1", "cyd": "t1", "zoe": "t2"}
        await put(
            world.context.database,
            Tenant(id="t1"),
            Tenant(id="t2"),
            *(
                User(
                    id=uid,
                    name=f"{uid}.x",
                    nickname=f"{uid.title()} <b>",
                    tenant_id=tenant,
                    password=HASH,
                    email=f"{uid}@shop.example",
                    mobile="123",
                )
                for uid, tenant in of.items()
            ),
            UserUser(from_user_id="ann", to_user_id="bob"),
        )
        yield world


async def rows(world: World, *columns: Any) -> list[Any]:
    """These columns of all rows."""
    found = await world.context.database.read(lambda s: s.execute(sa.select(*columns)).all())
    return sorted(tuple(row) for row in found)


async def test_get_member(world: World) -> None:
    """17: a colleague, starred or not; never a password (W2)."""
    ann, bob = await log_in(world, "ann"), await log_in(world, "bob")

    answer = await ann.post("getMember", ann.body(userName="bob@user"))
    said = answer.json()["member"]

    assert ret(answer.json()) == 0
    assert (said["uid"], said["userName"], said["starFriend"]) == ("bob", "bob@user", 1)
    assert (said["mobile"], said["tenantId"], said["password"]) == ("123", "t1", "")
    assert b"argon2" not in answer.body
    assert (await bob.ask("getMember", userName="ann@user"))["member"]["starFriend"] == 0


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nobody@user", 65531),
        ("zoe@user", 65531),
        ("bob", 65534),
        ("bob@app", 65534),
        ("@user", 65534),
        ("a\0b@user", 65534),
        ("x" * 65 + "@user", 65534),
    ],
)
async def test_get_member_refused(world: World, name: str, code: int) -> None:
    """Nobody of that name, or of another tenant: alike."""
    ann = await log_in(world, "ann")

    said = await ann.ask("getMember", userName=name)

    assert ret(said) == code
    assert "member" not in said


async def test_check_update(world: World) -> None:
    """18: the version with the highest code, whatever order they came in."""
    await put(
        world.context.database,
        ClientVersion(type="Android", ver_code=9, ver_name="0.9"),
        ClientVersion(
            type="Android",
            ver_code=12,
            ver_name="1.2",
            ver_description="New: groups",
            download_url="https://shop.example/a",
            file_name="a.apk",
        ),
        ClientVersion(type="iOS", ver_code=99),
    )
    ann = await log_in(world, "ann")

    said = await ann.ask("checkUpdate", type="Android")

    assert said["msg"] == {
        "msgType": 1001,
        "content": "New: groups",
        "objectContent": {
            "versionCode": 12,
            "versionName": "1.2",
            "url": "https://shop.example/a",
            "fileName": "a.apk",
        },
    }
    assert ret(await ann.ask("checkUpdate", type="WP")) == 65535
    assert ret(await ann.ask("checkUpdate", type="a\0b")) == 65534


async def found(device: Device, key: str, kind: str = "user", **bounds: Any) -> Any:
    bounds = {"offset": 0, "limit": 20, **bounds}
    return await device.ask("search", searchKey=key, searchType=kind, **bounds)


async def test_search(world: World) -> None:
    """21: colleagues by a part of their nickname; the page, and how many there are."""
    ann = await log_in(world, "ann")

    said = await found(ann, "<B>", limit=2)
    rest = await found(ann, "<B>", offset=2.0, limit=2.0)

    assert (said["memberListSize"], said["count"]) == (2, 3)
    assert [member["uid"] for member in said["memberList"]] == ["ann", "bob"]
    assert [member["uid"] for member in rest["memberList"]] == ["cyd"]
    assert {member["password"] for member in said["memberList"]} == {""}
    for key in ("%", "_", "zoe"):
        none = await found(ann, key)
        assert (none["count"], none["memberList"], none["memberListSize"]) == (0, [], 0)


async def test_search_is_bounded(world: World) -> None:
    """At most 100 at once, whatever is asked for."""
    await put(
        world.context.database,
        *(User(id=f"n{at}", nickname="Many", tenant_id="t1") for at in range(120)),
    )
    ann = await log_in(world, "ann")

    said = await found(ann, "many", limit=100_000)

    assert (said["memberListSize"], said["count"]) == (100, 120)


async def test_search_for_applications(world: World) -> None:
    """The type that the original names and does not know; others find nothing."""
    await put(
        world.context.database,
        Application(id="a1", name="Canteen", tenant_id="t1", description="Lunch"),
        Application(id="a2", name="Canteen", tenant_id="t2"),
    )
    ann = await log_in(world, "ann")

    said = await found(ann, "can", "app")

    (member,) = said["memberList"]
    assert (member["uid"], member["userName"], member["description"]) == ("a1", "a1@app", "Lunch")
    assert said["count"] == 1
    nothing = await ann.ask("search", searchKey="can", searchType="qun")
    assert (nothing["count"], nothing["memberList"]) == (0, [])


async def test_apns_tokens(world: World) -> None:
    """27, 28: a phone goes by its deviceID, and belongs to who registered it last."""
    ann, bob = await log_in(world, "ann"), await log_in(world, "bob")
    bare = bob.body(apnsToken="0b")
    del bare["baseRequest"]["deviceID"]

    said = [
        await ann.ask("addApnsToken", apnsToken="0a"),
        await ann.ask("addApnsToken", apnsToken="0a"),
        await bob.ask("addApnsToken", apnsToken="0a"),
        (await bob.post("addApnsToken", bare)).json(),
    ]
    columns = (ApnsToken.user_id, ApnsToken.device_id, ApnsToken.apns_token)

    assert {ret(each) for each in said} == {0}
    assert {reason(each) for each in said} == {"Save apns_token success"}
    assert await rows(world, *columns) == [("bob", "0b", "0b"), ("bob", "d1", "0a")]
    for text in ("0a", "0b", "0c"):
        assert ret(await ann.ask("delApnsToken", apnsToken=text)) == 0
    assert len(await rows(world, *columns)) == 2
    assert reason(await bob.ask("delApnsToken", apnsToken="0a")) == "Save apns_token success"
    assert await rows(world, *columns) == [("bob", "0b", "0b")]


async def test_phones_of_a_user_are_bounded(world: World) -> None:
    """The oldest go."""
    ann = await log_in(world, "ann")
    for at in range(23):
        await ann.ask("addApnsToken", apnsToken=f"{at:02}")

    assert [token for (token,) in await rows(world, ApnsToken.apns_token)] == [
        f"{at:02}" for at in range(3, 23)
    ]


FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("getMember", {}, "userName"),
    ("getMember", {"userName": 1}, "userName"),
    ("checkUpdate", {}, "type"),
    ("checkUpdate", {"type": None}, "type"),
    ("search", {"searchType": "user", "offset": 0, "limit": 1}, "searchKey"),
    ("search", {"searchKey": "a", "offset": 0, "limit": 1}, "searchType"),
    ("search", {"searchKey": "a", "searchType": "user", "limit": 1}, "offset"),
    ("search", {"searchKey": "a", "searchType": "user", "offset": 0}, "limit"),
    ("search", {"searchKey": "a", "searchType": "user", "offset": -1, "limit": 1}, "offset"),
    ("search", {"searchKey": "a", "searchType": "user", "offset": 0.5, "limit": 1}, "offset"),
    ("search", {"searchKey": "a", "searchType": "user", "offset": "0", "limit": 1}, "offset"),
    ("search", {"searchKey": "a", "searchType": "user", "offset": 0, "limit": -1}, "limit"),
    ("search", {"searchKey": "a\0", "searchType": "user", "offset": 0, "limit": 1}, "searchKey"),
    ("addApnsToken", {}, "apnsToken"),
    ("addApnsToken", {"apnsToken": ""}, "apnsToken"),
    ("addApnsToken", {"apnsToken": "a/b"}, "apnsToken"),
    ("addApnsToken", {"apnsToken": "a" * 256}, "apnsToken"),
    ("delApnsToken", {"apnsToken": 1}, "apnsToken"),
]


@pytest.mark.parametrize(("path", "fields", "field"), FIELDS)
async def test_the_field_is_named(
    world: World, path: str, fields: dict[str, Any], field: str
) -> None:
    """65534 for what is missing, mistyped or out of range (C1); nothing is written."""
    ann = await log_in(world, "ann")

    said = await ann.ask(path, **fields)

    assert ret(said) == 65534
    assert reason(said).startswith(f"{field}: ")
    assert await rows(world, ApnsToken.id) == []


@pytest.mark.parametrize(
    "path", ["getMember", "checkUpdate", "search", "addApnsToken", "delApnsToken"]
)
async def test_only_users_may_call(world: World, path: str) -> None:
    """65533 without a user's token, whatever else the body says; nobody is "ann" by saying so."""
    shop = await an_application(world, "shop", "sync")
    for token in ("", "ann_x", shop, world.token("admin")):
        said = await Device(world, "ann", token).ask(path, apnsToken="0a", userName="bob@user")
        assert ret(said) == 65533
    assert await rows(world, ApnsToken.id) == []
    assert (await world.app.ask("GET", f"/app/client/device/{path}")).status == 405


def a_member(**changes: Any) -> dict[str, Any]:
    """As syncUser wants it."""
    names = (
        "uid name nickName pYInitial pYQuanPin status avatar password tenantId email mobile area"
    )
    return {**dict.fromkeys(names.split(), ""), "uid": "dan", "name": "dan", **changes}


async def sync(world: World, token: str, **fields: Any) -> Any:
    body = {"baseRequest": {"token": token}, "orgId": "", "member": a_member(), **fields}
    answer = await world.app.ask("POST", SYNC, msgspec.json.encode(body))
    assert b"secret" not in answer.body
    return answer.json()


async def test_sync_user(world: World) -> None:
    """38: a new one into his department, then changed, really (C5); the password is hashed."""
    await put(world.context.database, Org(id="d1", tenant_id="t1"))
    shop = await an_application(world, "shop", "sync")

    made = await sync(world, shop, orgId="d1", member=a_member(nickName="Dan", password="secret"))
    changed = await sync(world, shop, member=a_member(nickName="Dani", status="3", tenantId="t1"))

    assert ret(made) == ret(changed) == 0
    (row,) = [r for r in await rows(world, User.id, User.nickname, User.status) if r[0] == "dan"]
    assert row == ("dan", "Dani", 3)
    assert await rows(world, OrgUser.org_id, OrgUser.user_id) == [("d1", "dan")]
    passwords = dict(await rows(world, User.id, User.password))
    assert passwords["dan"].startswith("$argon2id$")


async def test_sync_user_by_any_method(world: World) -> None:
    """As the original, which does not look at it."""
    shop = await an_application(world, "shop", "sync")
    body = {"baseRequest": {"token": shop}, "orgId": "", "member": a_member()}

    answer = await world.app.ask("PUT", SYNC, msgspec.json.encode(body))

    assert ret(answer.json()) == 0


async def test_sync_user_stays_in_its_tenant(world: World) -> None:
    """Another tenant's user is not touched, nor one put into another tenant (W9)."""
    shop = await an_application(world, "shop", "sync")
    before = await rows(world, User.id, User.name, User.nickname, User.tenant_id)

    taken = await sync(world, shop, member=a_member(uid="zoe", nickName="mine"))
    abroad = await sync(world, shop, member=a_member(tenantId="t2"))

    assert (ret(taken), ret(abroad)) == (65534, 65533)
    assert await rows(world, User.id, User.name, User.nickname, User.tenant_id) == before


async def test_sync_user_needs_its_permission(world: World) -> None:
    """65533 for others: another application, a user, nobody; before the body is looked at (W6)."""
    pusher, ann = await an_application(world, "pusher", "push"), await log_in(world, "ann")

    for token in (pusher, ann.token, "", "x"):
        assert ret(await sync(world, token)) == 65533
    assert ret(await sync(world, "x", member=None)) == 65533
    assert len(await rows(world, User.id)) == 4


@pytest.mark.parametrize("name", [*a_member(), "orgId", "member"])
@pytest.mark.parametrize("how", ["missing", "mistyped"])
async def test_sync_user_names_the_field(world: World, name: str, how: str) -> None:
    """65534, all of them must be there; nothing is written and no connection is lost (W6)."""
    shop = await an_application(world, "shop", "sync")
    fields: dict[str, Any] = {"orgId": "", "member": a_member()}
    inside = fields if name in fields else fields["member"]
    if how == "missing":
        del inside[name]
    else:
        inside[name] = 7
    body = {"baseRequest": {"token": shop}, **fields}

    said = (await world.app.ask("POST", SYNC, msgspec.json.encode(body))).json()

    assert ret(said) == 65534
    expected = name if name in {"orgId", "member"} else f"member.{name}"
    assert reason(said).startswith(f"{expected}: ")
    assert len(await rows(world, User.id)) == 4


async def test_a_hundred_bad_calls_lose_no_connection(world: World) -> None:
    """The original hangs after as many as its pool has connections (W6)."""
    for at in range(20):
        await sync(world, "x", member=at)

    assert ret(await (await log_in(world, "ann")).ask("getMember", userName="bob@user")) == 0
