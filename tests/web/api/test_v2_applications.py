"""/v2: applications, their tokens and menus; and what tenants notify phones with."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from appmodel.core.application_tokens import digest_of
from appmodel.orm.applications import Application, Operation, PushCredential
from tests.web.documented_applications import a_credential, a_p8
from tests.web.gateways.authority import pem
from tests.web.organisations import Company, notes, put
from tests.web.shops import OPERATOR, open_shops
from web.core.applications import MAX_OPERATIONS

ENTRY = {"content": "Three", "action": "https://a.example/3", "sort": 3}
MENU = "applications/shop/operations"


@pytest.fixture
async def shops() -> AsyncIterator[Company]:
    async with open_shops() as shops:
        yield shops


async def rows(shops: Company, model: type[Any]) -> list[Any]:
    """All of a table."""
    asked = sa.select(model.__table__).order_by(model.id)
    database = shops.world.context.database
    return await database.read(lambda session: [tuple(row) for row in session.execute(asked)])


async def create(shops: Company, **members: Any) -> Any:
    """The answer to an operator who creates an application in t1."""
    wanted = {"id": "new", "name": "New", "tenant_id": "t1"} | members
    return (await shops.v2("POST", "applications", OPERATOR, wanted)).json()


async def works(shops: Company, token: str) -> bool:
    """Whether a token proves anything."""
    answer = await shops.world.api.ask("GET", "/v2/applications", bearer=token)
    return answer.status == 200


async def test_a_token_is_shown_once(shops: Company) -> None:
    """In the answer to who creates it; what is kept is its digest, and no other answer has either."""
    made = await create(shops)
    token = made["token"]

    assert await works(shops, token)
    assert made["application"]["permissions"] == ["auth", "push", "sessions"]
    kept = {row.id: row for row in await _applications(shops)}["new"]
    assert (kept.token, kept.token_digest) == (None, digest_of(token))
    for path in ("applications/new?tenant=t1", "applications?tenant=t1"):
        said = (await shops.v2("GET", path, OPERATOR)).body.decode()
        assert token not in said
        assert digest_of(token) not in said


async def _applications(shops: Company) -> list[Application]:
    database = shops.world.context.database
    return await database.read(lambda session: list(session.scalars(sa.select(Application))))


async def test_rotation(shops: Company) -> None:
    """The new token is good at once, the old one void, and comets are told to hang up on it."""
    old = (await create(shops))["token"]
    assert await works(shops, old)

    answer = await shops.v2("POST", "applications/new/token?tenant=t1", OPERATOR)

    new = answer.json()["token"]
    assert (answer.status, new != old) == (201, True)
    assert (await works(shops, old), await works(shops, new)) == (False, True)
    assert await works(shops, old) is False
    told = {each.subject for each in await shops.world.store.revocations(0)}
    assert told == {f"token:{digest_of(old)}", "key:new@app"}
    assert {"new@app", f"token:{digest_of(old)}", f"token:{digest_of(new)}"} <= await notes(
        shops.world.context.database
    )


async def test_disabling(shops: Company) -> None:
    """The token proves nothing until it is enabled again; comets are told."""
    token = (await create(shops))["token"]
    path = "applications/new?tenant=t1"

    disabled = await shops.v2("PATCH", path, OPERATOR, {"disabled": True})
    assert disabled.json()["disabled"] is True
    assert not await works(shops, token)
    assert len(await shops.world.store.revocations(0)) == 2

    enabled = await shops.v2("PATCH", path, OPERATOR, {"disabled": False})
    assert enabled.json()["disabled"] is False
    assert await works(shops, token)


async def test_an_application_keeps_itself(shops: Company) -> None:
    """It changes what users see of it, and its token; not what it may do, nor another application."""
    changed = await shops.v2("PATCH", "applications/shop", "shop", {"name": "Mall", "sort": 4})
    assert (changed.json()["name"], changed.json()["sort"]) == ("Mall", 4)
    assert (await shops.v2("POST", "applications/shop/token", "shop")).status == 201
    assert not await works(shops, "shop")

    before = await rows(shops, Application)
    for who, path, wanted in [
        ("weak", "applications/weak", {"permissions": ["sync"]}),
        ("weak", "applications/weak", {"disabled": False}),
        ("weak", "applications/shop", {"name": "Mine"}),
        ("other", "applications/weak", {"name": "Mine"}),
        ("ann", "applications/weak", {"name": "Mine"}),
        ("eve", "applications/weak", {"name": "Mine"}),
    ]:
        assert (await shops.v2("PATCH", path, who, wanted)).status == 403
    for who in ("ann", "eve", "weak", "other"):
        assert (await shops.v2("POST", "applications/shop/token", who)).status == 403
        assert (await shops.v2("DELETE", "applications/shop", who)).status == 403
        assert (await shops.v2("POST", "applications", who, {"name": "X"})).status == 403
    assert await rows(shops, Application) == before


async def test_who_sees_what(shops: Company) -> None:
    """Everybody the applications of his tenant, operators those of the tenant they name."""
    for who, path, ids in [
        ("ann", "applications", ["shop", "weak"]),
        ("weak", "applications", ["shop", "weak"]),
        ("bob", "applications", ["other"]),
        (OPERATOR, "applications?tenant=t2", ["other"]),
        (OPERATOR, "applications", []),
    ]:
        answer = await shops.v2("GET", path, who)
        assert [each["id"] for each in answer.json()["items"]] == ids
    assert (await shops.v2("GET", "applications/shop", "ann")).json()["name"] == "Shop"
    assert (await shops.v2("GET", "applications/other", "ann")).status == 404
    assert (await shops.v2("GET", "applications?tenant=t2", "ann")).status == 403
    assert (await shops.v2("GET", "applications", "nobody")).status == 401


async def test_operators_of_another_realm(shops: Company) -> None:
    """People and applications live in the default realm: who is at home elsewhere sees nothing (law 7)."""
    token = shops.world.token("admin", realm="t1")
    for method, path, body in [
        ("GET", "applications", b""),
        ("POST", "applications", b'{"name":"X"}'),
        ("GET", "applications/shop?tenant=t1", b""),
        ("PATCH", "applications/shop?tenant=t1", b'{"name":"X"}'),
        ("DELETE", "applications/shop?tenant=t1", b""),
        ("POST", "applications/shop/token?tenant=t1", b""),
        ("GET", f"{MENU}?tenant=t1", b""),
        ("POST", f"{MENU}?tenant=t1", b'{"content":"X"}'),
        ("DELETE", f"{MENU}/o1?tenant=t1", b""),
        ("GET", "push-credentials?tenant=t1", b""),
        ("POST", "push-credentials", a_credential()),
        ("DELETE", "push-credentials/p1?tenant=t1", b""),
        ("GET", "quotas", b""),
        ("POST", "quotas", b'{"tenant_id":"t1","type":"push_cnt","value":"1"}'),
        ("GET", "quotas/q1", b""),
        ("PATCH", "quotas/q1", b'{"value":"1"}'),
        ("DELETE", "quotas/q1", b""),
        ("GET", "statistics", b""),
    ]:
        answer = await shops.world.api.ask(method, f"/v2/{path}", body, bearer=token)
        assert answer.status == 403, (method, path)
    assert len(await rows(shops, Application)) == 3


async def test_pages(shops: Company) -> None:
    """By id; `next` leads through all of them."""
    seen, after = [], ""
    while True:
        page = (await shops.v2("GET", f"applications?limit=1{after}", "ann")).json()
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert seen == ["shop", "weak"]


async def test_deleting(shops: Company) -> None:
    """Its menu goes too; its token proves nothing."""
    assert (await shops.v2("DELETE", "applications/shop?tenant=t1", OPERATOR)).status == 204

    assert not await works(shops, "shop")
    assert await rows(shops, Operation) == []
    assert (await shops.v2("DELETE", "applications/shop?tenant=t1", OPERATOR)).status == 404


BAD: list[tuple[str, str, Any, str]] = [
    ("POST", "applications", {}, "name"),
    ("POST", "applications", {"name": ""}, "name"),
    ("POST", "applications", {"name": "x" * 46}, "name"),
    ("POST", "applications", {"name": "a\u0000b"}, "name"),
    ("POST", "applications", {"name": "A", "id": "a b"}, "id"),
    ("POST", "applications", {"name": "A", "tenant_id": "t9"}, "tenant_id"),
    ("POST", "applications", {"name": "A", "permissions": ["root"]}, "permissions"),
    ("POST", "applications", {"name": "A", "sort": 2**31}, "sort"),
    ("POST", "applications", {"name": "A", "description": "x" * 4097}, "description"),
    ("POST", "applications", {"name": "A", "token": "mine"}, "token"),
    ("PATCH", "applications/shop?tenant=t1", {"tenant_id": "t2"}, "tenant_id"),
    ("PATCH", "applications/shop?tenant=t1", {"avatar": "x" * 256}, "avatar"),
    ("PATCH", "applications/shop?tennant=t1", {}, "tennant"),
    ("POST", f"{MENU}?tenant=t1", {"content": ""}, "content"),
    ("POST", f"{MENU}?tenant=t1", {"content": "x", "operation_type": "3"}, "operation_type"),
    ("POST", f"{MENU}?tenant=t1", {"content": "x", "parent_id": "o11"}, "parent_id"),
    ("POST", f"{MENU}?tenant=t1", {"content": "x", "parent_id": "nothing"}, "parent_id"),
    ("PATCH", f"{MENU}/o1?tenant=t1", {"action": "x" * 256}, "action"),
    ("PATCH", f"{MENU}/o1?tenant=t1", {"parent_id": "o2"}, "parent_id"),
]


async def test_bad_input_names_the_field_and_changes_nothing(shops: Company) -> None:
    """422."""
    before = await rows(shops, Application), await rows(shops, Operation)
    for method, path, wanted, field in BAD:
        answer = await shops.v2(method, path, OPERATOR, wanted)
        assert (answer.status, answer.json()["field"]) == (422, field), (path, wanted)
    assert (await rows(shops, Application), await rows(shops, Operation)) == before


async def test_a_menu(shops: Company) -> None:
    """The application and operators change it, everybody of the tenant reads it; below goes with above."""
    added = (await shops.v2("POST", MENU, "shop", ENTRY | {"parent_id": "o2", "id": "o21"})).json()
    assert added == ENTRY | {"id": "o21", "parent_id": "o2", "operation_type": "1"}
    changed = await shops.v2("PATCH", f"{MENU}/o2?tenant=t1", OPERATOR, {"content": "II"})
    assert changed.json()["content"] == "II"
    assert (await shops.v2("DELETE", f"{MENU}/o1", "shop")).status == 204

    items = (await shops.v2("GET", MENU, "ann")).json()["items"]
    assert [(each["id"], each["content"]) for each in items] == [
        ("o2", "II"),
        ("o111", "1.1.1"),
        ("o21", "Three"),
    ]
    assert (await shops.v2("GET", MENU, "bob")).json()["items"] == []
    assert (await shops.v2("POST", MENU, "shop", ENTRY | {"id": "o2"})).status == 409


async def test_a_menu_is_nobody_elses(shops: Company) -> None:
    """403 for users and other applications, 404 in another tenant."""
    before = await rows(shops, Operation)
    for who in ("ann", "eve", "weak", "other"):
        assert (await shops.v2("POST", MENU, who, ENTRY)).status == 403
        assert (await shops.v2("PATCH", f"{MENU}/o1", who, {"sort": 9})).status == 403
        assert (await shops.v2("DELETE", f"{MENU}/o1", who)).status == 403
    for path in (f"{MENU}/o1?tenant=t2", f"{MENU}/o9?tenant=t1"):
        assert (await shops.v2("PATCH", path, OPERATOR, {"sort": 9})).status == 404
        assert (await shops.v2("DELETE", path, OPERATOR)).status == 404
    assert await rows(shops, Operation) == before


async def test_a_menu_is_bounded(shops: Company) -> None:
    """429 with what is in it."""
    many = [Operation(id=f"m{n}", app_id="weak", content="x") for n in range(MAX_OPERATIONS)]
    await put(shops.world.context.database, *many)

    answer = await shops.v2("POST", "applications/weak/operations", "weak", ENTRY)

    assert (answer.status, answer.json()["code"]) == (429, "limit")


async def test_a_push_credential_is_never_shown(shops: Company) -> None:
    """It is kept as it was sent; no answer and no log line has it (W15)."""
    content = a_p8()
    with capture_logs() as lines:
        wanted = json.loads(a_credential(content=content))
        made = await shops.v2("POST", "push-credentials", "shop", wanted)
        found = await shops.v2("GET", "push-credentials", "shop")
        again = await shops.v2("POST", "push-credentials", "shop", wanted)

    assert (made.status, found.status, again.status) == (201, 200, 409)
    (item,) = found.json()["items"]
    assert item == made.json()
    assert (item["tenant_id"], item["provider"], item["kind"]) == ("t1", "apns", "p8")
    ((*_, kept, _, _),) = await rows(shops, PushCredential)
    assert kept == content
    for shown in (made.body.decode(), found.body.decode(), again.body.decode(), str(lines)):
        assert "PRIVATE KEY" not in shown
    assert "push_credential:t1" in await notes(shops.world.context.database)


NO_GOOD: list[tuple[dict[str, str], str]] = [
    ({"provider": "mqtt"}, "kind"),
    ({"kind": "vapid"}, "kind"),
    ({"environment": "test"}, "environment"),
    ({"topic": ""}, "topic"),
    ({"topic": "a\u0000"}, "topic"),
    ({"content": "secret"}, "content"),
    ({"content": a_p8() + "\u0000"}, "content"),
    ({"content": a_p8(key="secret")}, "content.key"),
    ({"content": a_p8(key=pem(ec.generate_private_key(ec.SECP384R1())))}, "content.key"),
    ({"content": a_p8(team_id="x")}, "content.team_id"),
    ({"tenant_id": "t9"}, "tenant_id"),
    ({"kind": "certificate", "content": "secret"}, "content"),
    ({"provider": "fcm", "kind": "service_account", "content": "{}"}, "content"),
    ({"provider": "webpush", "kind": "vapid", "content": "{}"}, "content"),
]


async def test_a_push_credential_that_is_no_good(shops: Company) -> None:
    """422 with the field, and never with what it held."""
    for change, field in NO_GOOD:
        wanted = json.loads(a_credential()) | {"tenant_id": "t1"} | change
        answer = await shops.v2("POST", "push-credentials", OPERATOR, wanted)
        assert (answer.status, answer.json()["field"]) == (422, field), change
        assert b"secret" not in answer.body
        assert b"PRIVATE KEY" not in answer.body
    assert await rows(shops, PushCredential) == []


async def test_a_push_credential_over_the_limit(shops: Company) -> None:
    """413."""
    wanted = json.loads(a_credential(content="x" * 16_385))

    assert (await shops.v2("POST", "push-credentials", OPERATOR, wanted)).status == 413


async def test_whose_push_credentials(shops: Company) -> None:
    """Operators', and applications' with permission sync: of their own tenant."""
    wanted = json.loads(a_credential())
    made = (await shops.v2("POST", "push-credentials", "shop", wanted)).json()
    one = f"push-credentials/{made['id']}"

    for who in ("ann", "eve", "weak"):
        assert (await shops.v2("GET", "push-credentials", who)).status == 403
        assert (await shops.v2("POST", "push-credentials", who, wanted)).status == 403
        assert (await shops.v2("DELETE", one, who)).status == 403
    assert (await shops.v2("GET", "push-credentials", "other")).json()["items"] == []
    assert (await shops.v2("DELETE", one, "other")).status == 404
    assert (await shops.v2("POST", "push-credentials?tenant=t2", "shop", wanted)).status == 422
    elsewhere = wanted | {"tenant_id": "t2"}
    assert (await shops.v2("POST", "push-credentials", "shop", elsewhere)).status == 403
    assert len(await rows(shops, PushCredential)) == 1
    assert (await shops.v2("DELETE", f"{one}?tenant=t1", OPERATOR)).status == 204
