"""Users, logins, devices and client versions in /v2: who may what, and what comes back."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from appmodel.core.units import Size
from appmodel.orm.devices import ApnsToken, PushDevice
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import ClientVersion, User, UserToken
from tests.web.organisations import put
from tests.web.phones import an_application
from tests.web.world import Answer, World, open_world, web_config
from web.config import LoginConfig
from web.services.passwords import Passwords

SUBSCRIPTION = {
    "endpoint": "https://push.example/x",
    "keys": {
        "p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u"
        "-Ts1XbjhazAkj7I99e8QcYP7DkM",
        "auth": "tBHItJI5svbpez7KI4CCXg",
    },
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Auth on. ann (member) and max (admin) of t1, zoe (admin) of t2; all with the password "secret"."""
    login = LoginConfig(argon2_memory=Size(8192), argon2_passes=1, account_tries=3)
    async with open_world(auth="on", config=web_config(login=login)) as world:
        stored = await Passwords(memory=8, passes=1).hash("secret")
        await put(
            world.context.database,
            Tenant(id="t1", customer_id="c1"),
            Tenant(id="t2"),
            User(id="ann", name="ann", tenant_id="t1", password=stored),
            User(id="max", name="max", tenant_id="t1", password=stored, role="admin"),
            User(id="zoe", name="zoe", tenant_id="t2", password=stored, role="admin"),
        )
        yield world


async def ask(world: World, method: str, path: str, body: Any = None, *, as_: str = "") -> Answer:
    """`as_`: a user's id, "op" for an operator, "app" for an application with SYNC, or a token."""
    if as_ == "op":
        as_ = world.token("admin")
    elif as_ == "app":
        as_ = "token-of-app"
    elif as_ and as_.isalpha():
        as_ = await world.context.tokens.issue(as_)
    raw = b"" if body is None else json.dumps(body).encode()
    return await world.api.ask(method, f"/v2/{path}", raw, bearer=as_)


async def log_in(world: World, name: str, password: str = "secret", **fields: Any) -> Answer:
    return await ask(world, "POST", "tokens", {"name": name, "password": password, **fields})


async def rows(world: World, *columns: Any) -> list[Any]:
    found = await world.context.database.read(lambda s: s.execute(sa.select(*columns)).all())
    return sorted(tuple(row) for row in found)


async def test_a_login_and_its_end(world: World) -> None:
    """201 with a token that works, until it is deleted; no answer has a password."""
    answer = await log_in(world, "ann", device_id="d1", device_type="iOS")
    said = answer.json()
    me = await ask(world, "GET", "me", as_=said["token"])

    assert answer.status == 201
    assert (said["expires_in"], said["user"]["id"]) == (3600, "ann")
    assert me.json() == said["user"]
    assert "password" not in said["user"]
    ended = await ask(world, "DELETE", "tokens/current", as_=said["token"])
    assert (ended.status, ended.body) == (204, b"")
    assert (await ask(world, "GET", "me", as_=said["token"])).status == 401
    assert await rows(world, UserToken.digest) == []


async def test_a_login_refused(world: World) -> None:
    """401 alike for name and password; then 429, with when to come back."""
    refused = [await log_in(world, *one) for one in (("ann", "wrong"), ("nobody", "secret"))]
    assert [answer.status for answer in refused] == [401, 401]
    assert len({answer.body for answer in refused}) == 1

    for _ in range(2):
        await log_in(world, "ann", "wrong")
    late = await log_in(world, "ann")
    assert (late.status, late.json()["code"]) == (429, "limit")
    assert "try again in" in late.json()["detail"]


async def test_a_login_in_a_tenant(world: World) -> None:
    """Only users of the one that is named."""
    assert (await log_in(world, "ann", tenant_id="t1")).status == 201
    assert (await log_in(world, "ann", tenant_id="t2")).status == 401


async def test_users_are_made_and_kept(world: World) -> None:
    """By operators in any tenant, by others in their own."""
    await an_application(world, "app", "sync")
    for as_, more in (("op", {"tenant_id": "t2"}), ("max", {}), ("app", {"tenant_id": "t1"})):
        made = await ask(world, "POST", "users", {"name": f"new-{as_}", **more}, as_=as_)
        tenant = made.json()["tenant_id"]
        path = f"users/{made.json()['id']}?tenant={tenant}"
        changed = await ask(world, "PATCH", path, {"nickname": "New"}, as_=as_)
        read = await ask(world, "GET", path, as_=as_)
        deleted = await ask(world, "DELETE", path, as_=as_)
        gone = await ask(world, "GET", path, as_=as_)

        assert (made.status, changed.status, deleted.status, gone.status) == (201, 200, 204, 404)
        assert read.json() == changed.json() == {**made.json(), "nickname": "New"}
    assert [uid for (uid,) in await rows(world, User.id)] == ["ann", "max", "zoe"]


OTHERS = [
    ("POST", "users", {"name": "x"}),
    ("PATCH", "users/max", {"nickname": "x"}),
    ("DELETE", "users/max", None),
    ("POST", "users/max/password", {"new_password": "secret-2"}),
    ("DELETE", "users/max/tokens", None),
    ("POST", "client-versions", {"type": "a", "code": 1, "name": "x"}),
    ("PATCH", "client-versions/v1", {"name": "x"}),
    ("DELETE", "client-versions/v1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), OTHERS)
async def test_who_may_not(world: World, method: str, path: str, body: Any) -> None:
    """A member 403, nobody 401, an access token without the scope 403; and nothing happens."""
    await put(world.context.database, ClientVersion(id="v1", type="a", ver_code=1))
    before = await rows(world, User.id, User.nickname, User.password)

    statuses = [
        (await ask(world, method, path, body, as_=as_)).status
        for as_ in ("ann", "", "x", world.token("push", "read", "ticket"))
    ]

    assert statuses == [403, 401, 401, 403]
    assert await rows(world, User.id, User.nickname, User.password) == before
    assert await rows(world, ClientVersion.ver_name) == [("",)]


@pytest.mark.parametrize(("method", "path", "body"), OTHERS[1:5])
async def test_another_tenant_is_not_there(world: World, method: str, path: str, body: Any) -> None:
    """404 for its users, 403 for its name, 403 for an operator of another realm."""
    await an_application(world, "abroad", "sync", tenant="t2")
    before = await rows(world, User.id, User.nickname, User.password)

    for as_ in ("zoe", "token-of-abroad"):
        assert (await ask(world, method, path, body, as_=as_)).status == 404
        named = f"{path}?tenant=t1"
        assert (await ask(world, method, named, body, as_=as_)).status == 403
    realm = world.token("admin", realm="t7")
    assert (await ask(world, method, f"{path}?tenant=t1", body, as_=realm)).status == 403
    assert await rows(world, User.id, User.nickname, User.password) == before


async def test_everybody_reads_his_tenant(world: World) -> None:
    """And nothing of another one."""
    mine = await ask(world, "GET", "users", as_="ann")
    named = await ask(world, "GET", "users/max", as_="ann")
    foreign = await ask(world, "GET", "users/zoe", as_="ann")
    operator = await ask(world, "GET", "users?tenant=t2", as_="op")

    assert [user["id"] for user in mine.json()["items"]] == ["ann", "max"]
    assert (named.status, foreign.status) == (200, 404)
    assert [user["id"] for user in operator.json()["items"]] == ["zoe"]


async def test_pages(world: World) -> None:
    """`next` leads through all, each once; null at the end."""
    await put(
        world.context.database,
        *(User(id=f"u{at}", tenant_id="t1", nickname=f"N{at % 2}") for at in range(5)),
    )
    seen: list[str] = []
    after = ""
    while True:
        page = (await ask(world, "GET", f"users?limit=2{after}", as_="ann")).json()
        seen += [user["id"] for user in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    odd = (await ask(world, "GET", "users?q=n1", as_="ann")).json()

    assert seen == ["ann", "max", "u0", "u1", "u2", "u3", "u4"]
    assert [user["id"] for user in odd["items"]] == ["u1", "u3"]


async def test_a_password_is_changed(world: World) -> None:
    """By the user with the old one, by who keeps the tenant without; then all logins are over."""
    token = (await log_in(world, "ann")).json()["token"]
    change = {"old_password": "secret", "new_password": "secret-2"}

    own = await ask(world, "POST", "users/ann/password", change, as_=token)
    assert (own.status, (await ask(world, "GET", "me", as_=token)).status) == (204, 401)
    token = (await log_in(world, "ann", "secret-2")).json()["token"]
    reset = await ask(world, "POST", "users/ann/password", {"new_password": "secret-3"}, as_="max")
    assert (reset.status, (await ask(world, "GET", "me", as_=token)).status) == (204, 401)
    assert (await log_in(world, "ann", "secret-3")).status == 201


async def test_a_stolen_token_changes_no_password(world: World) -> None:
    """Nor does guessing with it go on."""
    token = (await log_in(world, "ann")).json()["token"]
    guess = {"old_password": "guess", "new_password": "secret-2"}

    without = await ask(world, "POST", "users/ann/password", {"new_password": "x" * 8}, as_=token)
    statuses = [
        (await ask(world, "POST", "users/ann/password", guess, as_=token)).status for _ in range(4)
    ]

    assert (without.status, without.json()["field"]) == (422, "old_password")
    assert statuses == [401, 401, 401, 429]


async def test_logging_out_everywhere(world: World) -> None:
    """All tokens of the user, and the tickets that they bought."""
    token = (await log_in(world, "ann")).json()["token"]
    ticket = (await ask(world, "POST", "tickets", {"key": "ann@user"}, as_=token)).json()["ticket"]
    assert (await ask(world, "GET", "messages?key=ann@user", as_=ticket)).status == 200

    assert (await ask(world, "DELETE", "users/ann/tokens", as_=token)).status == 204

    assert (await ask(world, "GET", "me", as_=token)).status == 401
    assert (await ask(world, "GET", "messages?key=ann@user", as_=ticket)).status == 401


async def test_tickets_of_users_and_applications(world: World) -> None:
    """A user's own inbox and sessions, an application's own inbox; nothing of others (W3)."""
    app = await an_application(world, "shop")
    token = (await log_in(world, "ann")).json()["token"]

    async def issue(as_: str, key: str, **fields: Any) -> Answer:
        return await ask(world, "POST", "tickets", {"key": key, **fields}, as_=as_)

    for as_, key in ((token, "ann@user"), (token, "ann_iOS-d1@user"), (app, "shop@app")):
        assert (await issue(as_, key)).status == 201
    for as_, key in (
        (token, "max@user"),
        (token, "max_iOS-d1@user"),
        (token, "annex@user"),
        (token, "ann@app"),
        (token, "ann"),
        (token, "_ann@user"),
        (app, "other@app"),
        (app, "ann@user"),
        (app, "shop@user"),
    ):
        assert (await issue(as_, key)).status == 403
    too_long = await issue(token, "ann@user", ttl="25h")
    assert (too_long.status, too_long.json()["field"]) == (422, "ttl")


async def test_a_ticket_ends_with_its_login(world: World) -> None:
    """And those of another login go on."""
    tokens = [(await log_in(world, "ann")).json()["token"] for _ in range(2)]
    tickets = [
        (await ask(world, "POST", "tickets", {"key": "ann@user"}, as_=token)).json()["ticket"]
        for token in tokens
    ]

    await ask(world, "DELETE", "tokens/current", as_=tokens[0])

    statuses = [
        (await ask(world, "GET", "messages?key=ann@user", as_=ticket)).status for ticket in tickets
    ]
    assert statuses == [401, 200]


async def test_who_reads_an_inbox(world: World) -> None:
    """A user his own and his sessions', an application its own; at /v2 and at /1/msg/get (W3)."""
    app = await an_application(world, "shop")
    ann = await world.context.tokens.issue("ann")
    for key in ("ann@user", "ann_iOS-d1@user", "max@user", "shop@app"):
        await world.keep(key, b"1")

    async def read(token: str, key: str) -> tuple[int, int, Any]:
        v2 = await ask(world, "GET", f"messages?key={key}&token={token}")
        header = await ask(world, "GET", f"messages?key={key}", as_=token)
        old = await world.public.ask("GET", f"/1/msg/get?k={key}&m=0&token={token}")
        return v2.status, header.status, old.json()["ret"]

    for token, key in ((ann, "ann@user"), (ann, "ann_iOS-d1@user"), (app, "shop@app")):
        assert await read(token, key) == (200, 200, 0)
    for token, key in (
        (ann, "max@user"),
        (ann, "shop@app"),
        (app, "ann@user"),
        (app, "other@app"),
    ):
        assert await read(token, key) == (403, 403, 65533)
    bad = ann[:-1] + ("0" if ann[-1] != "0" else "1")
    assert await read(bad, "ann@user") == (401, 401, 65533)
    nobody = await world.public.ask("GET", "/1/msg/get?k=ann@user&m=0")
    assert nobody.json()["ret"] == 65533


async def test_devices(world: World) -> None:
    """Each provider's; nobody is shown an address; the last user who registers one has it."""
    anns = [
        {"provider": "apns", "token": "0a", "device_id": "d1"},
        {"provider": "fcm", "token": "b:c", "device_id": "d2"},
        {"provider": "webpush", "subscription": SUBSCRIPTION},
    ]
    made = [await ask(world, "POST", "devices", one, as_="ann") for one in anns]
    again = await ask(world, "POST", "devices", anns[1], as_="ann")
    listed = await ask(world, "GET", "devices", as_="ann")

    assert [answer.status for answer in [*made, again]] == [201] * 4
    assert again.json() == made[1].json()
    items = sorted(listed.json()["items"], key=lambda one: str(one["provider"]))
    assert items == [answer.json() for answer in made]
    assert [set(item) for item in items] == [{"id", "provider", "device_id"}] * 3

    await ask(world, "POST", "devices", anns[1], as_="max")
    assert await rows(world, PushDevice.user_id, PushDevice.provider) == [
        ("ann", "webpush"),
        ("max", "fcm"),
    ]
    one = f"devices/{made[0].json()['id']}"
    assert (await ask(world, "DELETE", one, as_="max")).status == 404
    assert (await ask(world, "DELETE", one, as_="ann")).status == 204
    assert await rows(world, ApnsToken.id) == []
    assert (await ask(world, "GET", "devices", as_="op")).status == 401


BAD: list[tuple[str, str, Any, str]] = [
    ("POST", "users", {}, "name"),
    ("POST", "users", {"name": ""}, "name"),
    ("POST", "users", {"name": "x" * 46}, "name"),
    ("POST", "users", {"name": "x", "id": "a_b"}, "id"),
    ("POST", "users", {"name": "x", "id": ""}, "id"),
    ("POST", "users", {"name": "x", "password": "short"}, "password"),
    ("POST", "users", {"name": "x", "role": "king"}, "role"),
    ("POST", "users", {"name": "x", "status": 1}, "status"),
    ("POST", "users", {"name": "x", "email": "x" * 65}, "email"),
    ("POST", "users?x=1", {"name": "x"}, "x"),
    ("GET", "users?limit=0", None, "limit"),
    ("GET", "users?after=x", None, "after"),
    ("GET", "users?q=%00", None, "q"),
    ("GET", "users/a%00b", None, "uid"),
    ("PATCH", "users/ann", {"nickname": 1}, "nickname"),
    ("PATCH", "users/ann", {"password": "secret-2"}, "password"),
    ("PATCH", "users/ann", {"tenant_id": "t2"}, "tenant_id"),
    ("POST", "users/ann/password", {"new_password": "short"}, "new_password"),
    ("POST", "users/ann/password", {}, "new_password"),
    ("POST", "tokens", {"name": "ann"}, "password"),
    ("POST", "tokens", {"name": "ann", "password": "x", "tenant": "t1"}, "tenant"),
    ("POST", "devices", {"provider": "sms", "token": "x"}, "provider"),
    ("POST", "devices", {"provider": "fcm"}, "token"),
    ("POST", "devices", {"provider": "fcm", "token": "a b"}, "token"),
    ("POST", "devices", {"provider": "webpush", "token": "x"}, "subscription"),
    ("POST", "devices", {"provider": "fcm", "token": "x", "subscription": SUBSCRIPTION}, "token"),
    (
        "POST",
        "devices",
        {"provider": "webpush", "subscription": {**SUBSCRIPTION, "endpoint": "file:///x"}},
        "subscription.endpoint",
    ),
    ("GET", "client-versions?after=x", None, "after"),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), BAD)
async def test_the_field_is_named(
    world: World, method: str, path: str, body: Any, field: str
) -> None:
    """422, nothing is written, and no secret is echoed."""
    before = await rows(world, User.id, User.nickname, User.password)

    answer = await ask(world, method, path, body, as_="max")

    assert (answer.status, answer.json()["field"]) == (422, field)
    assert b"short" not in answer.body
    assert b"secret" not in answer.body
    assert await rows(world, User.id, User.nickname, User.password) == before
    assert await rows(world, PushDevice.id) == []


async def test_client_versions(world: World) -> None:
    """Operators keep them, everybody with a credential reads them."""
    new = {"type": "Android", "code": 12, "name": "1.2", "description": "New:\ngroups"}
    made = await ask(world, "POST", "client-versions", new, as_="op")
    path = f"client-versions/{made.json()['id']}"
    taken = await ask(world, "POST", "client-versions", new, as_="op")
    changed = await ask(world, "PATCH", path, {"url": "https://shop.example/a"}, as_="op")
    reads = [await ask(world, "GET", path, as_=as_) for as_ in ("ann", "zoe", "op")]
    listed = await ask(world, "GET", "client-versions?type=Android", as_="ann")

    assert (made.status, taken.status, changed.status) == (201, 409, 200)
    assert made.json() == {**new, "id": made.json()["id"], "url": "", "file_name": ""}
    assert [answer.json() for answer in reads] == [changed.json()] * 3
    assert listed.json() == {"items": [changed.json()], "next": None}
    assert (await ask(world, "GET", path)).status == 401
    assert (await ask(world, "DELETE", path, as_="op")).status == 204
    assert (await ask(world, "GET", path, as_="ann")).status == 404
