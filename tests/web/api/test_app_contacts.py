"""Contacts and mutes in the application REST: whose they are is what the token says."""

from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest
import sqlalchemy as sa

from appmodel.orm.contacts import ShieldMsg, UserUser
from tests.web.group_people import add_users
from tests.web.phones import an_application, log_in, reason, ret
from tests.web.world import World, open_world

MUTE = {"sourceId": "ann", "targetId": "a1", "type": 1}
GOOD: dict[str, dict[str, Any]] = {
    "addOrRemoveContact": {"uid": "bob", "starFriend": 1},
    "setShieldMsg": {**MUTE, "memo": "noise"},
    "cancelShieldMsg": MUTE,
    "isUserShieldApp": {"sourceId": "ann", "targetId": "a1"},
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """ann and bob of t1 with application a1, zoe of t2."""
    async with open_world() as world:
        await add_users(world.context.database, "ann", "bob")
        await add_users(world.context.database, "zoe", tenant="t2")
        await an_application(world, "a1")
        yield world


async def rows(world: World) -> list[Any]:
    """All stars and mutes."""

    def read(session: Any) -> list[Any]:
        stars = session.execute(sa.select(UserUser.from_user_id, UserUser.to_user_id))
        shields = session.execute(sa.select(ShieldMsg.source_id, ShieldMsg.target_id))
        return [tuple(row) for row in [*stars, *shields]]

    return await world.context.database.read(read)


async def test_star(world: World) -> None:
    """16: 1 stars, anything else takes it back; both may be repeated."""
    ann = await log_in(world, "ann")
    seen = []

    for star in (1, 1.0, 0, 2):
        assert ret(await ann.ask("addOrRemoveContact", uid="bob", starFriend=star)) == 0
        seen.append(await rows(world))

    assert seen == [[("ann", "bob")], [("ann", "bob")], [], []]


async def test_contacts_are_the_tokens_owners(world: World) -> None:
    """W8: the original writes for whatever uid the body has."""
    ann = await log_in(world, "ann")
    body = ann.body(uid="ann", starFriend=1)
    body["baseRequest"]["uid"] = "bob"

    await ann.post("addOrRemoveContact", body)

    assert await rows(world) == [("ann", "ann")]


async def test_mute(world: World) -> None:
    """34 to 36: set twice is set once, cancelled twice is cancelled."""
    ann = await log_in(world, "ann")
    states = []

    for path in ("isUserShieldApp", "setShieldMsg", "setShieldMsg", "cancelShieldMsg") * 2:
        answer = await ann.ask(path, **GOOD[path])
        assert ret(answer) == 0
        states.append((await ann.ask("isUserShieldApp", **GOOD["isUserShieldApp"]))["isShield"])

    assert states == [False, True, True, False] * 2


@pytest.mark.parametrize(("type_", "target"), [(0, "bob"), (1, "a1"), (0, "ann")])
async def test_users_and_applications_can_be_muted(world: World, type_: int, target: str) -> None:
    """And isUserShieldApp asks about applications only."""
    ann = await log_in(world, "ann")

    answer = await ann.ask("setShieldMsg", sourceId="ann", targetId=target, type=type_)
    asked = await ann.ask("isUserShieldApp", sourceId="ann", targetId=target)

    assert (ret(answer), asked["isShield"]) == (0, type_ == 1)
    assert await rows(world) == [("ann", target)]


@pytest.mark.parametrize("path", ["setShieldMsg", "cancelShieldMsg", "isUserShieldApp"])
async def test_nobody_mutes_for_others(world: World, path: str) -> None:
    """W8: 65533; the original writes whatever source the body has, and tells anybody."""
    ann, bob = await log_in(world, "ann"), await log_in(world, "bob")
    await ann.ask("setShieldMsg", **MUTE)

    answer = await bob.ask(path, **GOOD[path])

    assert ret(answer) == 65533
    assert "isShield" not in answer
    assert await rows(world) == [("ann", "a1")]


async def test_other_tenants(world: World) -> None:
    """65531: nobody of another tenant is starred or muted, and nobody learns that he exists."""
    ann, zoe = await log_in(world, "ann"), await log_in(world, "zoe")

    for uid in ("zoe", "nobody"):
        assert ret(await ann.ask("addOrRemoveContact", uid=uid, starFriend=1)) == 65531
    for target in ("a1", "nothing"):
        wanted = {"sourceId": "zoe", "targetId": target, "type": 1}
        assert ret(await zoe.ask("setShieldMsg", **wanted)) == 65531
    assert await rows(world) == []


@pytest.mark.parametrize("path", GOOD)
async def test_credentials_that_are_none(world: World, path: str) -> None:
    """65533, and nothing is written."""
    ann = await log_in(world, "ann")
    application = await an_application(world, "a2", "sync")

    for token in ("", "ann_0", ann.token[:-1], application):
        body = ann.body(**GOOD[path])
        body["baseRequest"]["token"] = token
        assert ret((await ann.post(path, body)).json()) == 65533
    assert await rows(world) == []


FIELDS: list[tuple[str, str, Any]] = [
    ("addOrRemoveContact", "uid", 1),
    ("addOrRemoveContact", "uid", ""),
    ("addOrRemoveContact", "starFriend", "1"),
    ("addOrRemoveContact", "baseRequest.uid", None),
    ("setShieldMsg", "sourceId", 1),
    ("setShieldMsg", "targetId", ["a1"]),
    ("setShieldMsg", "targetId", "x" * 65),
    ("setShieldMsg", "type", "1"),
    ("setShieldMsg", "type", 3),
    ("setShieldMsg", "type", 0.5),
    ("cancelShieldMsg", "sourceId", None),
    ("cancelShieldMsg", "targetId", "a\u0000"),
    ("cancelShieldMsg", "type", -1),
    ("isUserShieldApp", "sourceId", 1),
    ("isUserShieldApp", "targetId", 1),
]


@pytest.mark.parametrize(("path", "field", "value"), FIELDS)
async def test_fields_that_are_wrong(world: World, path: str, field: str, value: Any) -> None:
    """C1: 65534 naming the field, whether it is mistyped or missing; nothing is written."""
    ann = await log_in(world, "ann")
    wrong = ann.body(**GOOD[path])
    missing = deepcopy(wrong)
    place, _, last = field.rpartition(".")
    (wrong[place] if place else wrong)[last] = value
    del (missing[place] if place else missing)[last]

    mistyped = (await ann.post(path, wrong)).json()
    absent = (await ann.post(path, missing)).json()

    assert ret(mistyped) == ret(absent) == 65534
    assert reason(mistyped).startswith(f"{field}: ")
    assert reason(absent).startswith(f"{field}: ")
    assert await rows(world) == []


async def test_other_methods(world: World) -> None:
    """405, as in the original."""
    for path in GOOD:
        answer = await world.app.ask("GET", f"/app/client/device/{path}")
        assert answer.status == 405
