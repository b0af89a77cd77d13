"""Sessions in the application REST and in /v2: whose they are decides who sees and sets them."""

from collections.abc import AsyncIterator
from copy import deepcopy
from functools import partial
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from appmodel.core.sessions import Holder, session_key, session_of
from appmodel.io.database import Database
from appmodel.orm.presence import Session
from appmodel.orm.session_queries import write_here
from tests.web.group_people import add_users
from tests.web.phones import Device, an_application, log_in, reason, ret
from tests.web.world import World, open_world

ANN, ANN2, BOB, ZOE = "ann_iOS-d1", "ann_Mozilla-5.0-7", "bob_Android-d2", "zoe_iOS-d3"
SET: dict[str, Any] = {"sessionId": ANN, "state": "active"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """ann and bob of t1, zoe of t2; each with a session, ann with two."""
    async with open_world() as world:
        await fill(world.context.database)
        yield world


async def fill(database: Database) -> None:
    """The same, in any database."""
    await add_users(database, "ann", "bob")
    await add_users(database, "zoe", tenant="t2")
    await come(database, ANN, ANN2, BOB, ZOE)


async def come(database: Database, *ids: str) -> None:
    """These sessions hold a connection."""
    names = [name for one in ids if (name := session_of(session_key(one))) is not None]
    await database.write(partial(write_here, names=names, holder=Holder("c1", 1)))


async def states(world: World) -> dict[str, str]:
    """Of each session."""
    rows = await world.context.database.read(
        lambda session: session.scalars(sa.select(Session)).all()
    )
    return {row.id: row.state for row in rows}


async def by_application(world: World, token: str, path: str, **fields: Any) -> Any:
    """The answer to a back end's POST below /app/client/app/."""
    base = {"uid": "ann", "deviceID": "", "deviceType": "", "token": token}
    body = {"baseRequest": base, **fields}
    if "baseRequest" in fields:
        body["baseRequest"] = base | fields["baseRequest"]
    answer = await world.app.ask("POST", f"/app/client/app/{path}", msgspec.json.encode(body))
    return answer.json()


@pytest.mark.parametrize("state", ["active", "inactive"])
async def test_a_user_sets_the_state_of_his_own_session(world: World, state: str) -> None:
    """29: under both paths; nothing else changes."""
    ann = await log_in(world, "ann")
    before = await states(world)

    assert ret(await ann.ask("setSessionState", sessionId=ANN, state=state)) == 0
    assert await states(world) == before | {ANN: state}

    body = ann.body(sessionId=ANN2, state=state)
    answer = await world.app.ask(
        "POST", "/app/client/app/setSessionState", msgspec.json.encode(body)
    )
    assert ret(answer.json()) == 0
    assert await states(world) == before | {ANN: state, ANN2: state}


async def test_setting_a_state_is_no_sign_of_life(world: World) -> None:
    """`updated` says when it came; spec 7.3."""
    ann = await log_in(world, "ann")
    find = sa.select(Session.updated).where(Session.id == ANN)
    before = await world.context.database.read(lambda session: session.scalar(find))

    await ann.ask("setSessionState", **SET)
    await ann.ask("setSessionState", **SET)

    assert await world.context.database.read(lambda session: session.scalar(find)) == before


@pytest.mark.parametrize("session_id", [BOB, ZOE, "ann_tv", "nobody_x", "nonsense"])
async def test_nobody_sets_the_state_of_others(world: World, session_id: str) -> None:
    """W8: 65531, as if it were not there; the original flips anybody's."""
    ann = await log_in(world, "ann")
    before = await states(world)

    answer = await ann.ask("setSessionState", sessionId=session_id, state="active")

    assert ret(answer) == 65531
    assert await states(world) == before


async def test_an_application_sets_the_state_of_its_tenants_users(world: World) -> None:
    """41: with permission `sessions`; W9: not of another tenant's."""
    token = await an_application(world, "a1", "sessions")

    assert ret(await by_application(world, token, "setSessionState", **SET)) == 0
    foreign = await by_application(world, token, "setSessionState", sessionId=ZOE, state="active")

    assert ret(foreign) == 65531
    assert (await states(world))[ANN] == "active"
    assert (await states(world))[ZOE] == "init"


async def test_an_application_reads_the_sessions_of_its_tenants_users(world: World) -> None:
    """42: with the original's spelling; of another tenant's user there are none."""
    token = await an_application(world, "a1", "sessions")

    answer = await by_application(world, token, "getSessions")
    foreign = await by_application(world, token, "getSessions", baseRequest={"uid": "zoe"})
    unknown = await by_application(world, token, "getSessions", baseRequest={"uid": "nobody"})

    assert ret(answer) == 0
    assert [one["id"] for one in answer["memberList"]] == sorted([ANN, ANN2])
    first = answer["memberList"][1]
    assert sorted(first) == ["created", "id", "sate", "type", "updated", "userId"]
    assert (first["id"], first["type"], first["userId"]) == (ANN, "iOS", "ann")
    assert first["sate"] == "init"
    assert first["created"] == first["updated"]
    assert first["created"].endswith("Z")
    for other in (foreign, unknown):
        assert (ret(other), other["memberList"]) == (0, [])


async def test_an_application_without_permission_may_neither(world: World) -> None:
    """65533, and nothing is written."""
    token = await an_application(world, "a1", "push sync")

    for path, fields in (("setSessionState", SET), ("getSessions", {})):
        answer = await by_application(world, token, path, **fields)
        assert ret(answer) == 65533
        assert "memberList" not in answer
    assert (await states(world))[ANN] == "init"


async def test_credentials_that_are_none(world: World) -> None:
    """65533: none, garbage, and one of the wrong kind."""
    ann, application = await log_in(world, "ann"), await an_application(world, "a1", "sessions")

    for token in ("", "ann_0", ann.token[:-1], application):
        body = ann.body(**SET)
        body["baseRequest"]["token"] = token
        assert ret((await ann.post("setSessionState", body)).json()) == 65533
    for token in ("", "nonsense", ann.token):
        for path, fields in (("setSessionState", SET), ("getSessions", {})):
            assert ret(await by_application(world, token, path, **fields)) == 65533
    assert (await states(world))[ANN] == "init"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "init"),
        ("state", "ACTIVE"),
        ("state", 1),
        ("sessionId", ""),
        ("sessionId", 1),
        ("sessionId", "x" * 256),
        ("sessionId", "a\u0000"),
    ],
)
async def test_fields_that_are_wrong(world: World, field: str, value: Any) -> None:
    """C1: 65534 naming the field, mistyped or missing; nothing is written."""
    ann = await log_in(world, "ann")
    wrong = ann.body(**SET)
    missing = deepcopy(wrong)
    wrong[field] = value
    del missing[field]

    for body in (wrong, missing):
        answer = (await ann.post("setSessionState", body)).json()
        assert ret(answer) == 65534
        assert field.removesuffix("Id") in reason(answer)
    assert (await states(world))[ANN] == "init"


@pytest.mark.parametrize("uid", [None, 1, "", "x" * 65, "a\u0000"])
async def test_get_sessions_wants_a_uid(world: World, uid: Any) -> None:
    """42: it is the one thing that it is asked."""
    token = await an_application(world, "a1", "sessions")
    base = {"deviceID": "", "token": token} | ({} if uid is None else {"uid": uid})

    answer = await world.app.ask(
        "POST", "/app/client/app/getSessions", msgspec.json.encode({"baseRequest": base})
    )

    assert ret(answer.json()) == 65534


async def test_v2_shows_and_sets_ones_own(world: World) -> None:
    """And nobody else's: not even whether they are there."""
    ann = await log_in(world, "ann")

    listed = (await ann.v2("GET", "sessions?user=ann&limit=1")).json()
    rest = (await ann.v2("GET", f"sessions?user=ann&after={listed['next']}")).json()
    changed = await ann.v2("PATCH", f"sessions/{ANN}", {"state": "inactive"})

    assert [one["id"] for one in listed["items"] + rest["items"]] == sorted([ANN, ANN2])
    assert rest["next"] is None
    assert changed.status == 200
    assert changed.json()["state"] == (await states(world))[ANN] == "inactive"
    assert (await ann.v2("GET", "sessions?user=bob")).status == 403
    for other in (BOB, ZOE, "nobody_x"):
        refused = await ann.v2("PATCH", f"sessions/{other}", {"state": "active"})
        assert refused.status == 404
    assert (await ann.v2("PATCH", f"sessions/{ANN}", {"state": "init"})).status == 422
    assert (await ann.v2("GET", "sessions?user=ann&tenant=t2")).status == 403
    assert (await ann.v2("GET", "sessions")).status == 422


async def test_v2_for_applications_and_operators(world: World) -> None:
    """An application: its tenant's; an operator: whichever tenant he names."""
    back_end = Device(world, "", await an_application(world, "a1", "sessions"))
    poor = Device(world, "", await an_application(world, "a2", "push"))
    operator = Device(world, "", "")

    assert len((await back_end.v2("GET", "sessions?user=ann")).json()["items"]) == 2
    assert (await back_end.v2("GET", "sessions?user=zoe")).json()["items"] == []
    assert (await poor.v2("GET", "sessions?user=ann")).status == 403
    assert (await poor.v2("PATCH", f"sessions/{ANN}", {"state": "active"})).status == 403
    assert (await operator.v2("GET", "sessions?user=zoe")).json()["items"] == []
    found = (await operator.v2("GET", "sessions?user=zoe&tenant=t2")).json()["items"]
    assert [one["id"] for one in found] == [ZOE]
    changed = await operator.v2("PATCH", f"sessions/{ZOE}?tenant=t2", {"state": "active"})
    assert (await states(world))[ZOE] == changed.json()["state"] == "active"


async def test_any_session_id_can_be_named_in_a_path(world: World) -> None:
    """Clients choose them: with slashes, blanks and letters of any script."""
    ann = await log_in(world, "ann")
    odd = "ann_iOS-a/b c%2Fé"
    await come(world.context.database, odd)

    path = "sessions/ann_iOS-a/b%20c%252F%C3%A9"
    assert (await ann.v2("PATCH", path, {"state": "active"})).json()["id"] == odd


async def test_on_every_database(database: Database) -> None:
    """The same on all of them."""
    await fill(database)

    async with open_world(database=database.engine.url.render_as_string(False)) as world:
        ann = await log_in(world, "ann")
        await ann.ask("setSessionState", **SET)
        assert ret(await ann.ask("setSessionState", sessionId=ZOE, state="active")) == 65531
        listed = (await ann.v2("GET", "sessions?user=ann")).json()["items"]

        assert {one["id"]: one["state"] for one in listed} == {ANN: "active", ANN2: "init"}
