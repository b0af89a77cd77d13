"""Groups, contacts and mutes in /v2: who may, pages, and what is refused. What they do: tests/web/services."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from appmodel.orm.contacts import ShieldMsg, UserUser
from appmodel.orm.groups import Qun, QunUser
from tests.web.group_people import add_users
from tests.web.phones import Device, an_application, log_in
from tests.web.world import Answer, World, open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """ann, bob and cyd of t1, zoe of t2; operators need a token."""
    async with open_world(auth="on") as world:
        await add_users(world.context.database, "ann", "bob", "cyd")
        await add_users(world.context.database, "zoe", tenant="t2")
        yield world


async def a_group(device: Device, *uids: str, name: str = "Lunch") -> str:
    """Its id."""
    answer = await device.v2("POST", "groups", {"name": name, "user_ids": uids})
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


async def ask(world: World, bearer: str, method: str, path: str, body: Any = None) -> Answer:
    raw = b"" if body is None else msgspec.json.encode(body)
    return await world.api.ask(method, f"/v2/{path}", raw, bearer=bearer)


async def rows(world: World) -> list[Any]:
    """All that these parts may change."""

    def read(session: Any) -> list[Any]:
        wanted = [
            sa.select(Qun.id, Qun.name, Qun.creator_id, Qun.max_member).order_by(Qun.id),
            sa.select(QunUser.qun_id, QunUser.user_id, QunUser.role).order_by(QunUser.id),
            sa.select(UserUser.from_user_id, UserUser.to_user_id).order_by(UserUser.id),
            sa.select(ShieldMsg.source_id, ShieldMsg.target_id).order_by(ShieldMsg.id),
        ]
        return [tuple(row) for each in wanted for row in session.execute(each)]

    return await world.context.database.read(read)


async def test_the_life_of_a_group(world: World) -> None:
    """Created, filled, given away, left, dissolved."""
    ann, bob, cyd = [await log_in(world, uid) for uid in ("ann", "bob", "cyd")]
    group = f"groups/{await a_group(ann, 'bob')}"

    added = await bob.v2("POST", f"{group}/members", {"user_ids": ["cyd", "bob"]})
    named = await ann.v2("PATCH", f"{group}/members/bob", {"role": "admin"})
    removed = await bob.v2("DELETE", f"{group}/members/cyd")
    shut_out = await cyd.v2("GET", group)
    given = await ann.v2("POST", f"{group}/owner", {"user_id": "bob"})
    left = await ann.v2("POST", f"{group}/leave")
    members = await bob.v2("GET", f"{group}/members")
    ended = await bob.v2("DELETE", group)
    gone = await bob.v2("GET", group)

    assert (added.status, added.json()) == (200, {"added": ["cyd"]})
    assert (named.json()["id"], named.json()["role"]) == ("bob", "admin")
    assert (removed.status, shut_out.status) == (204, 403)
    assert given.json()["owner_id"] == "bob"
    assert left.status == 204
    assert [(m["id"], m["nickname"], m["role"]) for m in members.json()["items"]] == [
        ("bob", "Bob", "owner")
    ]
    assert (ended.status, gone.status) == (204, 404)


async def test_lists_come_in_pages(world: World) -> None:
    """Each row once; a user's groups with his role, a keeper's without."""
    ann, bob = await log_in(world, "ann"), await log_in(world, "bob")
    mine = {await a_group(ann, "bob") for _ in range(3)}
    other = await a_group(bob)
    app = await an_application(world, "a1", "sync")
    found: dict[str, list[Any]] = {}

    for who, bearer, path in (
        ("ann", ann.token, "groups?limit=2"),
        ("app", app, "groups?limit=3"),
        ("operator", world.token("admin"), "groups?tenant=t1&limit=2"),
    ):
        items: list[Any] = []
        after: str | None = ""
        while after is not None:
            page = (await ask(world, bearer, "GET", f"{path}{after and f'&after={after}'}")).json()
            items += page["items"]
            after = page["next"]
        found[who] = items

    assert [one["id"] for one in found["ann"]] == sorted(mine)
    assert {one["role"] for one in found["ann"]} == {"owner"}
    assert [one["id"] for one in found["app"]] == sorted({*mine, other})
    assert all("role" not in one for one in found["app"])
    assert found["operator"] == found["app"]


async def test_members_come_in_pages(world: World) -> None:
    """By id."""
    ann = await log_in(world, "ann")
    group = await a_group(ann, "cyd", "bob")

    first = (await ann.v2("GET", f"groups/{group}/members?limit=2")).json()
    rest = (await ann.v2("GET", f"groups/{group}/members?after={first['next']}")).json()

    assert [one["id"] for one in first["items"]] == ["ann", "bob"]
    assert ([one["id"] for one in rest["items"]], rest["next"]) == (["cyd"], None)


async def test_contacts_and_mutes(world: World) -> None:
    """Put in, changed in part, listed in pages, taken out; all of it twice if one likes."""
    ann = await log_in(world, "ann")
    await an_application(world, "a1")
    group = await a_group(ann)

    for _ in range(2):
        await ann.v2("PUT", "contacts/cyd", {"remark": "Cy", "sort": 1})
        await ann.v2("PUT", "contacts/bob", {})
        for name in ("a1@app", "bob@user", f"{group}@qun"):
            assert (await ann.v2("PUT", f"mutes/{name}", {"memo": "loud"})).status == 200
    changed = await ann.v2("PUT", "contacts/cyd", {"sort": -1})
    contacts = (await ann.v2("GET", "contacts?limit=1")).json()
    more = (await ann.v2("GET", f"contacts?after={contacts['next']}")).json()
    mutes = (await ann.v2("GET", "mutes?limit=2")).json()
    rest = (await ann.v2("GET", f"mutes?after={mutes['next']}")).json()
    for path in ("contacts/cyd", "contacts/bob", "mutes/a1@app", "mutes/bob@user"):
        assert [(await ann.v2("DELETE", path)).status for _ in range(2)] == [204, 204]

    assert changed.json()["remark"] == "Cy"
    assert [one["id"] for one in contacts["items"] + more["items"]] == ["cyd", "bob"]
    assert [one["name"] for one in mutes["items"]] == ["bob@user", "a1@app"]
    assert rest == {"items": [{"name": f"{group}@qun", "memo": "loud"}], "next": None}
    assert (await rows(world))[-1] == ("ann", group)


IN_A_GROUP: list[tuple[str, str, Any]] = [
    ("GET", "groups/{id}", None),
    ("PATCH", "groups/{id}", {"name": "Mine"}),
    ("DELETE", "groups/{id}", None),
    ("GET", "groups/{id}/members", None),
    ("POST", "groups/{id}/members", {"user_ids": ["cyd"]}),
    ("PATCH", "groups/{id}/members/bob", {"role": "admin"}),
    ("DELETE", "groups/{id}/members/bob", None),
    ("POST", "groups/{id}/owner", {"user_id": "bob"}),
    ("POST", "groups/{id}/leave", None),
]
OWN: list[tuple[str, str, Any]] = [
    ("GET", "contacts", None),
    ("PUT", "contacts/bob", {}),
    ("DELETE", "contacts/bob", None),
    ("GET", "mutes", None),
    ("PUT", "mutes/bob@user", {}),
    ("DELETE", "mutes/bob@user", None),
]
LISTS: list[tuple[str, str, Any]] = [
    ("GET", "groups", None),
    ("POST", "groups", {"name": "Mine", "owner_id": "ann"}),
]


@pytest.mark.parametrize(("method", "path", "body"), IN_A_GROUP)
async def test_strangers_and_other_tenants(world: World, method: str, path: str, body: Any) -> None:
    """403 in the tenant, 404 outside, 403 for naming another tenant; nothing changes."""
    group = await a_group(await log_in(world, "ann"), "bob")
    cyd, zoe = (await log_in(world, "cyd")).token, (await log_in(world, "zoe")).token
    app = await an_application(world, "a1", "push sessions")
    elsewhere = await an_application(world, "a2", "sync", tenant="t2")
    before = await rows(world)
    path = path.format(id=group)

    stranger = await ask(world, cyd, method, path, body)
    foreign = await ask(world, zoe, method, path, body)

    assert (stranger.status, foreign.status) == (403, 404)
    if not path.endswith("leave"):
        assert (await ask(world, zoe, method, f"{path}?tenant=t1", body)).status == 403
        assert (await ask(world, app, method, path, body)).status == 403
        assert (await ask(world, elsewhere, method, path, body)).status == 404
        assert (await ask(world, world.token("admin"), method, path, body)).status == 404
    assert await rows(world) == before


@pytest.mark.parametrize(("method", "path", "body"), IN_A_GROUP + OWN + LISTS)
async def test_credentials_that_are_none(world: World, method: str, path: str, body: Any) -> None:
    """401, or 403 for a token whose scopes are others; nothing changes."""
    ann = await log_in(world, "ann")
    group = await a_group(ann, "bob")
    before = await rows(world)
    path = path.format(id=group)

    for bearer in ("", "ann_0", "nonsense", ann.token[:-1]):
        assert (await ask(world, bearer, method, path, body)).status == 401
    assert (await ask(world, world.token("push"), method, path, body)).status in {401, 403}
    assert await rows(world) == before


@pytest.mark.parametrize(("method", "path", "body"), OWN)
async def test_only_users_have_contacts_and_mutes(
    world: World, method: str, path: str, body: Any
) -> None:
    """An application or an operator has none: 401."""
    for bearer in (await an_application(world, "a1", "sync"), world.token("admin")):
        assert (await ask(world, bearer, method, path, body)).status == 401
    assert await rows(world) == []


async def test_what_is_others_own(world: World) -> None:
    """W8: nobody sees, stars or mutes for another user; nobody of another tenant is there."""
    ann, bob, zoe = [await log_in(world, uid) for uid in ("ann", "bob", "zoe")]
    await ann.v2("PUT", "contacts/bob", {})
    await ann.v2("PUT", "mutes/bob@user", {})
    before = await rows(world)

    await bob.v2("DELETE", "contacts/bob")
    await bob.v2("DELETE", "mutes/bob@user")
    seen = [(await bob.v2("GET", path)).json()["items"] for path in ("contacts", "mutes")]
    foreign = [
        (await zoe.v2("PUT", path, {})).status for path in ("contacts/bob", "mutes/bob@user")
    ]

    assert await rows(world) == before
    assert (seen, foreign) == ([[], []], [404, 404])


async def test_admins_of_a_tenant_keep_its_groups(world: World) -> None:
    """A user whose role has sync: any group of his tenant, and `all=true`."""
    group = await a_group(await log_in(world, "ann"), "bob")
    await world.context.database.write(
        lambda session: session.execute(
            sa.text("UPDATE \"user\" SET role = 'admin' WHERE id = 'cyd'")
        )
    )
    cyd = await log_in(world, "cyd")

    mine = (await cyd.v2("GET", "groups")).json()["items"]
    every = (await cyd.v2("GET", "groups?all=true")).json()["items"]
    renamed = await cyd.v2("PATCH", f"groups/{group}", {"name": "Meeting"})
    bob = await log_in(world, "bob")

    assert (mine, [one["id"] for one in every]) == ([], [group])
    assert renamed.json()["name"] == "Meeting"
    assert (await bob.v2("GET", "groups?all=true")).status == 403


WRONG: list[tuple[str, str, Any, str]] = [
    ("POST", "groups", {}, "name"),
    ("POST", "groups", {"name": "x" * 46}, "name"),
    ("POST", "groups", {"name": "x", "topic": "y"}, "topic"),
    ("POST", "groups", {"name": "x", "user_ids": ["a\u0000"]}, "user_ids[0]"),
    ("POST", "groups", {"name": "x", "user_ids": [str(n) for n in range(1001)]}, "user_ids"),
    ("POST", "groups", {"name": "x", "user_ids": "bob"}, "user_ids"),
    ("POST", "groups", {"name": "x", "max_member": 0}, "max_member"),
    ("POST", "groups", {"name": "x", "max_member": 2**40}, "max_member"),
    ("POST", "groups", {"name": "x", "tenant_id": "a\u0000"}, "tenant_id"),
    ("POST", "groups?x=1", {"name": "x"}, "x"),
    ("GET", "groups?limit=0", None, "limit"),
    ("GET", "groups?after=WzFd", None, "after"),
    ("GET", "groups?all=yes", None, "all"),
    ("GET", "groups?member=ann", None, "member"),
    ("GET", f"groups/{'x' * 65}", None, "group"),
    ("GET", "groups/a%00b", None, "group"),
    ("PATCH", "groups/{id}", {"name": "a\nb"}, "name"),
    ("PATCH", "groups/{id}", {"owner_id": "bob"}, "owner_id"),
    ("PATCH", "groups/{id}", {"max_member": 10_001}, "max_member"),
    ("POST", "groups/{id}/members", {"user_ids": [1]}, "user_ids[0]"),
    ("POST", "groups/{id}/members", {"uids": ["bob"]}, "uids"),
    ("PATCH", "groups/{id}/members/bob", {"role": "owner"}, "role"),
    ("PATCH", f"groups/{{id}}/members/{'x' * 65}", {"role": "admin"}, "user_id"),
    ("DELETE", f"groups/{{id}}/members/{'x' * 65}", None, "user_ids[0]"),
    ("POST", "groups/{id}/owner", {"user_id": ""}, "user_id"),
    ("POST", "groups/{id}/leave?tenant=t1", None, "tenant"),
    ("GET", "contacts?after=WyJ4Il0", None, "after"),
    ("PUT", "contacts/bob", {"remark": "x" * 46}, "remark"),
    ("PUT", "contacts/bob", {"sort": 2**31}, "sort"),
    ("PUT", "contacts/bob", {"star": 1}, "star"),
    ("PUT", "mutes/bob", {}, "name"),
    ("PUT", "mutes/t1@tenant", {}, "name"),
    ("PUT", "mutes/bob@user", {"memo": "x" * 256}, "memo"),
    ("DELETE", "mutes/d1@org", None, "name"),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), WRONG)
async def test_fields_that_are_wrong(
    world: World, method: str, path: str, body: Any, field: str
) -> None:
    """422 naming the field; nothing changes."""
    ann = await log_in(world, "ann")
    path = path.format(id=await a_group(ann, "bob"))
    before = await rows(world)

    answer = await ann.v2(method, path, body)

    assert (answer.status, answer.json().get("field")) == (422, field)
    assert await rows(world) == before
