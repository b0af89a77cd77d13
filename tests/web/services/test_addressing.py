"""Names of a /v2 push: groups, departments, tenants; what applications may, and what it costs."""

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from appmodel.core.mutes import ShieldType
from appmodel.orm.contacts import ShieldMsg
from appmodel.orm.counting import Quota
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.organisations import Org, OrgUser, Tenant
from tests.web.group_people import add_users
from tests.web.phones import an_application, log_in
from tests.web.world import Answer, World, open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """t1: ann and bob in group g, bob in department d, cyd below it; t2: zoe."""
    async with open_world(auth="on") as world:
        database = world.context.database
        await add_users(database, "ann", "bob", "cyd")
        await add_users(database, "zoe", tenant="t2")
        rows: list[Any] = [Tenant(id="t1", customer_id="c1"), Tenant(id="t2")]
        rows += [Qun(id="g", name="G", tenant_id="t1"), Qun(id="empty", tenant_id="t1")]
        rows += [QunUser(qun_id="g", user_id=uid) for uid in ("ann", "bob")]
        rows += [Org(id="d", tenant_id="t1", location="00")]
        rows += [Org(id="e", tenant_id="t1", parent_id="d", location="0000")]
        rows += [OrgUser(org_id="d", user_id="bob"), OrgUser(org_id="e", user_id="cyd")]
        await database.write(lambda session: session.add_all(rows))
        yield world


async def push(world: World, to: Any, bearer: str, **more: Any) -> Answer:
    """POST /v2/push"""
    body = msgspec.json.encode({"to": to, "msg": ["x"], "ttl": 60} | more)
    return await world.api.ask("POST", "/v2/push", body, bearer=bearer)


async def reached(world: World) -> set[str]:
    """Who has something in the inbox."""
    names = [f"{uid}@user" for uid in ("ann", "bob", "cyd", "zoe")]
    names += ["g@qun", "nowhere@qun", "shop@app"]
    return {name for name in names if await world.kept(name)}


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("g@qun", {"ann@user", "bob@user"}),
        ("d@org", {"bob@user"}),
        ("d@org/**", {"bob@user", "cyd@user"}),
        ("t1@tenant", {"ann@user", "bob@user", "cyd@user"}),
        (["g@qun", "ann@user", "d@org"], {"ann@user", "bob@user"}),
        ("nowhere@qun", {"nowhere@qun"}),
        ("empty@qun", set()),
    ],
)
async def test_an_operator_reaches_members(world: World, to: Any, expected: set[str]) -> None:
    """Each once, with the text as it was sent; what the directory does not know is a key."""
    answer = await push(world, to, world.token("push"))

    assert answer.status == 200, answer.body
    assert await reached(world) == expected
    for name in expected:
        assert await world.kept(name) == [b'["x"]']


async def test_the_answer_is_by_name(world: World) -> None:
    """How many members a name has, and how many connections they were offered on."""
    answer = await push(world, ["g@qun", "cyd@user"], world.token("push"))

    group, user = answer.json()["results"]
    assert (group["name"], group["members"], group["stored"]) == ("g@qun", 2, True)
    assert user["name"] == "cyd@user"
    assert "members" not in user


async def test_a_repetition_is_the_same_push(world: World) -> None:
    """By its idempotency key, also after somebody has joined the group."""
    token = world.token("push")
    first = await push(world, "g@qun", token, idempotency_key="k")
    await world.context.database.write(
        lambda session: session.add(QunUser(qun_id="g", user_id="cyd"))
    )

    again = await push(world, "g@qun", token, idempotency_key="k")
    other = await push(world, "d@org", token, idempotency_key="k")

    assert again.json()["id"] == first.json()["id"]
    assert [len(await world.kept(f"{uid}@user")) for uid in ("ann", "bob")] == [1, 1]
    assert other.status == 409


@pytest.mark.parametrize(
    ("permissions", "to", "status"),
    [
        ("push", "g@qun", 200),
        ("push", "bob@user", 200),
        ("push", "d@org", 403),
        ("push push_org", "d@org/**", 200),
        ("push push_org", "t1@tenant", 403),
        ("push push_tenant", "t1@tenant", 200),
        ("auth", "bob@user", 403),
        ("push", "zoe@user", 404),
        ("push", "nowhere@qun", 404),
        ("push", "any key", 404),
        ("push push_tenant", "t2@tenant", 404),
    ],
)
async def test_what_an_application_may(
    world: World, permissions: str, to: str, status: int
) -> None:
    """Its tenant's people, as far as its permissions go; a refusal reaches nobody."""
    token = await an_application(world, "shop", permissions)

    answer = await push(world, to, token)

    assert answer.status == status, answer.body
    assert bool(await reached(world)) == (status == 200)


async def test_a_user_pushes_elsewhere(world: World) -> None:
    """His messages say who wrote them: that is device/push."""
    ann = await log_in(world, "ann")

    assert (await push(world, "bob@user", ann.token)).status == 403


async def test_an_application_pays(world: World) -> None:
    """Each key counts; all or nothing."""
    quota = Quota(customer_id="c1", tenant_id="t1", type="push_cnt", value="3")
    await world.context.database.write(lambda session: session.add(quota))
    token = await an_application(world, "shop", "push")
    assert (await push(world, "g@qun", token)).status == 200

    answer = await push(world, "g@qun", token)

    assert answer.status == 429
    assert json.loads(answer.body)["code"] == "push_quota"
    assert (await push(world, "bob@user", token)).status == 200


async def test_who_muted_an_application(world: World) -> None:
    """Hears nothing of it, whatever name was addressed."""
    mute = ShieldMsg(source_id="bob", target_id="shop", type=ShieldType.APPLICATION)
    await world.context.database.write(lambda session: session.add(mute))
    token = await an_application(world, "shop", "push")

    await push(world, ["g@qun", "bob@user"], token)

    assert await reached(world) == {"ann@user"}
