"""Logins in the application REST: what clients see, and who gets no further."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from appmodel.core.units import Size
from appmodel.orm.counting import Quota
from appmodel.orm.devices import ApnsToken
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import Client, User, UserToken
from tests.web.organisations import put
from tests.web.phones import Device, an_application, log_in, reason, ret
from tests.web.world import Answer, World, open_world, web_config
from web.config import LoginConfig
from web.services.passwords import Passwords

LOGIN = "/app/client/device/login"
AUTH = "/app/client/app/user/auth"


def config(**changes: Any) -> Any:
    """Cheap hashes."""
    return web_config(login=LoginConfig(argon2_memory=Size(8192), argon2_passes=1, **changes))


async def people(world: World) -> None:
    """ann and bob of t1, zoe of t2; all with the password "secret"."""
    stored = await Passwords(memory=8, passes=1).hash("secret")
    of = {"ann": "t1", "bob": "t1", "zoe": "t2"}
    await put(
        world.context.database,
        Tenant(id="t1", customer_id="c1"),
        Tenant(id="t2", customer_id="c2"),
        *(
            User(id=uid, name=f"{uid}.x", nickname=uid.title(), tenant_id=tenant, password=stored)
            for uid, tenant in of.items()
        ),
    )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world(config=config()) as world:
        await people(world)
        yield world


def base(**changes: Any) -> dict[str, Any]:
    return {"uid": "", "deviceID": "d1", "deviceType": "iOS", "token": "", **changes}


async def post(world: World, path: str, body: Any) -> Any:
    answer = await world.app.ask("POST", path, msgspec.json.encode(body))
    assert answer.status == 200
    return answer.json()


async def try_login(
    world: World, name: str = "ann.x", password: str = "secret", **changes: Any
) -> Any:
    body = {"baseRequest": base(**changes), "userName": name, "password": password}
    return await post(world, LOGIN, body)


async def rows(world: World, *columns: Any) -> list[Any]:
    """These columns of all rows."""
    found = await world.context.database.read(lambda s: s.execute(sa.select(*columns)).all())
    return sorted(tuple(row) for row in found)


async def is_good(world: World, token: str) -> bool:
    return ret(await post(world, "/app/client/device/validateToken", {"validToken": token})) == 0


async def test_login(world: World) -> None:
    """14: uid, token and member, without the password (W2); what it leaves in the tables."""
    body = {"baseRequest": base(), "userName": "ann.x", "password": "secret", "apnsToken": "0a0b"}

    said = await post(world, LOGIN, body)

    assert said["baseResponse"] == {"errMsg": "", "ret": 0}
    assert said["uid"] == "ann"
    assert said["token"].startswith("ann_")
    assert said["member"] == {
        "uid": "ann",
        "userName": "ann@user",
        "name": "ann.x",
        "nickName": "Ann",
        "memberCount": 0,
        "memberList": None,
        "pYInitial": "",
        "pYQuanPin": "",
        "status": "0",
        "starFriend": 0,
        "avatar": "",
        "sort": 0,
        "password": "",
        "tenantId": "t1",
        "mobile": "",
        "area": "",
        "description": "",
        "headImgUrl": "",
        "email": "",
        "tel": "",
        "orgName": "",
    }
    assert list(said["member"]) == sorted(said["member"])
    assert await rows(world, Client.user_id, Client.type, Client.device_id) == [
        ("ann", "iOS", "d1")
    ]
    assert await rows(world, ApnsToken.user_id, ApnsToken.apns_token) == [("ann", "0a0b")]
    assert await is_good(world, said["token"])


@pytest.mark.parametrize(
    ("name", "password"), [("ann.x", "Secret"), ("ann.x", ""), ("zed", "secret")]
)
async def test_login_refused(world: World, name: str, password: str) -> None:
    """65539, alike for a wrong password and no such user; knowing a name is not enough (W1)."""
    said = await try_login(world, name, password)

    assert said == {"baseResponse": {"errMsg": "auth failed", "ret": 65539}}
    assert await rows(world, UserToken.digest) == await rows(world, Client.id) == []


async def test_login_of_a_disabled_tenant(world: World) -> None:
    """65539: status counts."""

    def disable(session: Any) -> None:
        session.get(Tenant, "t1").status = -1

    token = (await try_login(world))["token"]
    await world.context.database.write(disable)

    assert ret(await try_login(world)) == 65539
    assert ret(await try_login(world, "zoe.x")) == 0
    assert not await is_good(world, token)


async def test_other_devices_log_in_through_an_application(world: World) -> None:
    """With its token, and as users of its tenant only; without, 65539."""
    token = await an_application(world, "shop")

    assert ret(await try_login(world, deviceType="Mozilla")) == 65539
    assert ret(await try_login(world, deviceType="Mozilla", token="x")) == 65539
    assert ret(await try_login(world, deviceType="Mozilla", token=token)) == 0
    assert ret(await try_login(world, "zoe.x", deviceType="Mozilla", token=token)) == 65539
    assert ret(await try_login(world, "zoe.x", deviceType="ANDROID")) == 0


async def test_login_counts_against_the_quota(world: World) -> None:
    """65536 when it is used up, and there is no token; wrong passwords use up nothing."""
    quota = Quota(
        customer_id="c1", tenant_id="t1", api_name=LOGIN, type="api_cnt", value="2", period="total"
    )
    expire = Quota(
        customer_id="c1", tenant_id="t1", api_name=LOGIN, type="expire", value="2999/01/01 00:00:00"
    )
    await put(world.context.database, quota, expire)

    rets = [ret(await try_login(world, password=word)) for word in ("no", "secret", "no", "secret")]
    last = await try_login(world)

    assert rets == [65539, 0, 65539, 0]
    assert (ret(last), "token" in last) == (65536, False)
    assert ret(await try_login(world, "zoe.x")) == 0
    assert len(await rows(world, UserToken.digest)) == 3


async def test_guessing_is_slowed_down() -> None:
    """Per name, whoever tries; the answer says when to come back."""
    async with open_world(config=config(account_tries=2)) as world:
        await people(world)
        for _ in range(2):
            assert ret(await try_login(world, password="guess")) == 65539
        said = await try_login(world)

        assert ret(said) == 65535
        assert reason(said).startswith("login: too often; try again in ")
        assert ret(await try_login(world, "bob.x")) == 0


async def test_guessing_from_an_address_is_slowed_down() -> None:
    """As our own proxy names it: others come in as ever."""
    async with open_world(config=config(address_tries=2)) as world:
        await people(world)

        async def guess(name: str, password: str, address: str) -> int:
            body = {"baseRequest": base(), "userName": name, "password": password}
            headers = {"X-Forwarded-For": address}
            answer = await world.app.ask("POST", LOGIN, msgspec.json.encode(body), headers=headers)
            return ret(answer.json())

        for at in range(2):
            assert await guess(f"n{at}", "guess", "203.0.113.7") == 65539
        assert await guess("ann.x", "secret", "203.0.113.7") == 65535
        assert await guess("ann.x", "secret", "203.0.113.8") == 0


LOGIN_BODY = {"baseRequest": base(), "userName": "ann.x", "password": "secret", "apnsToken": "0a"}


@pytest.mark.parametrize(
    ("at", "value", "field"),
    [
        (("baseRequest",), None, "baseRequest"),
        (("baseRequest", "uid"), None, "baseRequest.uid"),
        (("baseRequest", "deviceID"), None, "baseRequest.deviceID"),
        (("baseRequest", "deviceType"), 1, "baseRequest.deviceType"),
        (("baseRequest", "token"), None, "baseRequest.token"),
        (("userName",), None, "userName"),
        (("userName",), "", "userName"),
        (("userName",), "x" * 65, "userName"),
        (("password",), None, "password"),
        (("password",), 7, "password"),
        (("apnsToken",), "<a b>", "apnsToken"),
        (("baseRequest", "deviceID"), "a\0b", "baseRequest.deviceID"),
    ],
)
async def test_login_names_the_field(
    world: World, at: tuple[str, ...], value: Any, field: str
) -> None:
    """65534, and nothing is written (C1)."""
    body = msgspec.json.decode(msgspec.json.encode(LOGIN_BODY))
    inside = body
    for name in at[:-1]:
        inside = inside[name]
    if value is None:
        del inside[at[-1]]
    else:
        inside[at[-1]] = value

    said = await post(world, LOGIN, body)

    assert ret(said) == 65534
    assert reason(said).startswith(f"{field}: ")
    assert await rows(world, UserToken.digest) == await rows(world, Client.id) == []


async def test_delete_token(world: World) -> None:
    """32: a login of one's own ends; also that of the call itself."""
    ann, other = await log_in(world, "ann"), await log_in(world, "ann")

    assert ret(await ann.ask("delToken", delToken=other.token)) == 0
    assert ret(await ann.ask("delToken", delToken=other.token)) == 0
    assert (await is_good(world, ann.token), await is_good(world, other.token)) == (True, False)
    assert ret(await ann.ask("delToken", delToken=ann.token)) == 0
    assert ret(await ann.ask("delToken", delToken=ann.token)) == 65533


async def test_only_own_tokens_are_deleted(world: World) -> None:
    """65533 for another user's, for keys of other things, and for garbage (W4)."""
    ann, zoe = await log_in(world, "ann"), await log_in(world, "zoe")

    for text in (zoe.token, "ann_Android-d1@user", "zoe@user", ""):
        assert ret(await ann.ask("delToken", delToken=text)) == 65533
    assert ret(await ann.ask("delToken")) == 65534
    assert ret(await ann.ask("delToken", delToken=1)) == 65534
    assert await is_good(world, zoe.token)


async def test_validate_token(world: World) -> None:
    """33: 0 for a good one, 1001 for any other; an id with an underscore is none (W4)."""
    ann = await log_in(world, "ann")
    validate = "/app/client/device/validateToken"

    assert await post(world, validate, {"validToken": ann.token}) == {
        "baseResponse": {"errMsg": "", "ret": 0}
    }
    for text in ("", "ann_x", "ann_Android-d1@user", f"{ann.token}0", ann.token.replace("a", "b")):
        assert ret(await post(world, validate, {"validToken": text})) == 1001
    assert ret(await post(world, validate, {})) == 65534
    assert reason(await post(world, validate, {})).startswith("validToken: ")


async def prove(world: World, token: str, uid: str, text: str) -> Any:
    body = {"baseRequest": base(token=token), "uid": uid, "token": text}
    return await post(world, AUTH, body)


async def test_user_auth(world: World) -> None:
    """44: an application learns whose token it was given; and nothing of another tenant's."""
    shop, other = await an_application(world, "shop"), await an_application(world, "o", tenant="t2")
    ann, zoe = await log_in(world, "ann"), await log_in(world, "zoe")

    assert ret(await prove(world, shop, "ann", ann.token)) == 0
    for said in (
        await prove(world, shop, "bob", ann.token),
        await prove(world, shop, "ann", "ann_x"),
        await prove(world, shop, "zoe", zoe.token),
        await prove(world, other, "ann", ann.token),
    ):
        assert said == {"baseResponse": {"errMsg": "auth failure", "ret": 65533}}
    assert ret(await prove(world, "x", "ann", ann.token)) == 65533
    assert ret(await prove(world, ann.token, "ann", ann.token)) == 65533


async def test_user_auth_needs_its_permission(world: World) -> None:
    """65533 for an application that may not ask."""
    pusher = await an_application(world, "pusher", "push")
    ann = await log_in(world, "ann")

    assert ret(await prove(world, pusher, "ann", ann.token)) == 65533


@pytest.mark.parametrize("missing", ["token", "uid", "baseRequest"])
async def test_user_auth_names_the_field(world: World, missing: str) -> None:
    """65534."""
    shop = await an_application(world, "shop")
    body = {"baseRequest": base(token=shop), "uid": "ann", "token": "x"}
    del body[missing]

    said = await post(world, AUTH, body)

    assert ret(said) == 65534
    assert reason(said).startswith(f"{missing}: ")


async def test_what_a_message_to_an_application_carries(world: World) -> None:
    """A token that proves the sender to this application, and to nobody else, and opens nothing (W16)."""
    shop, other = await an_application(world, "shop"), await an_application(world, "other")
    ann = await log_in(world, "ann")
    said = await ann.ask(
        "push", msg={"fromUserName": "ann@user", "toUserName": "shop@app", "content": "hi"}
    )
    assert ret(said) == 0
    (message,) = [msgspec.json.decode(body) for body in await world.kept("shop@app")]
    carried = message["token"]

    assert carried != ann.token
    assert ret(await prove(world, shop, "ann", carried)) == 0
    assert ret(await prove(world, shop, "bob", carried)) == 65533
    assert ret(await prove(world, other, "ann", carried)) == 65533
    assert not await is_good(world, carried)
    assert ret(await Device(world, "ann", carried).ask("getMember", userName="bob@user")) == 65533
    assert (await world.api.ask("GET", "/v2/me", bearer=carried)).status == 401


PAGE = "/app/client/appweb/login"
FIELDS = {"baseRequest[uid]": "ann", "baseRequest[deviceType]": "web", "password": "secret"}


async def from_page(world: World, fields: Mapping[str, str], method: str = "GET") -> Answer:
    text = urlencode(fields)
    if method == "GET":
        return await world.app.ask("GET", f"{PAGE}?{text}")
    return await world.app.ask(method, PAGE, text.encode())


async def test_browser_login(world: World) -> None:
    """12: answered at last (C5), as a call of the page's function."""
    answer = await from_page(world, FIELDS | {"callbackparam": "got"})

    assert answer.body.startswith(b"got ( {")
    assert answer.body.endswith(b"} )\n")
    assert answer.headers["content-type"].startswith("application/javascript")
    assert answer.headers["x-content-type-options"] == "nosniff"
    said = msgspec.json.decode(answer.body[6:-3])
    assert (ret(said), said["uid"], said["member"]["password"]) == (0, "ann", "")
    assert await is_good(world, said["token"])


async def test_browser_login_by_form_or_name(world: World) -> None:
    """A POSTed form, without a callback plain JSON; the login name does as well as the uid."""
    by_name = {"userName": "ann.x", "password": "secret"}

    for fields in (FIELDS, by_name):
        answer = await from_page(world, fields, "POST")
        assert answer.headers["content-type"].startswith("application/json")
        assert (ret(answer.json()), answer.json()["uid"]) == (0, "ann")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"password": "wrong"}, 65534),
        ({"password": ""}, 65534),
        ({"baseRequest[uid]": "nobody"}, 65534),
        ({"baseRequest[uid]": "ann.x"}, 65534),
        ({"baseRequest[uid]": ""}, 65534),
        ({"callbackparam": "<script>"}, 65534),
        ({"callbackparam": "a b"}, 65534),
    ],
)
async def test_browser_login_refused(world: World, changes: dict[str, str], code: int) -> None:
    """65534; a callback that is no name is not echoed (W14)."""
    answer = await from_page(world, FIELDS | changes)

    assert ret(answer.json()) == code
    assert "token" not in answer.json()
    assert b"<script>" not in answer.body
    assert answer.headers["content-type"].startswith("application/json")
    if "password" in changes:
        assert reason(answer.json()) == "auth failed"


async def test_a_page_of_another_site_cannot_read_a_login(world: World) -> None:
    """A form from elsewhere is refused, and no permission is given to read the answer."""
    evil = {"Origin": "https://evil.example"}

    answer = await world.app.ask("POST", PAGE, urlencode(FIELDS).encode(), headers=evil)

    assert ret(answer.json()) != 0
    assert "token" not in answer.json()
    assert "access-control-allow-origin" not in answer.headers


async def test_credentials_are_for_their_routes(world: World) -> None:
    """A user's token at a route for applications, and the other way round: 65533."""
    shop, ann = await an_application(world, "shop"), await log_in(world, "ann")

    assert ret(await prove(world, ann.token, "ann", ann.token)) == 65533
    assert ret(await Device(world, "ann", shop).ask("delToken", delToken=ann.token)) == 65533
    assert ret(await Device(world, "ann", "").ask("delToken", delToken=ann.token)) == 65533
    assert (
        ret(await Device(world, "ann", world.token("admin")).ask("delToken", delToken="x")) == 65533
    )


async def test_no_get(world: World) -> None:
    """405 where the original checks the method."""
    for path in (LOGIN, "/app/client/device/delToken", "/app/client/device/validateToken", AUTH):
        answer = await world.app.ask("GET", path)
        assert (answer.status, answer.body) == (405, b"Method Not Allowed")


async def test_no_log_line_has_a_secret(world: World) -> None:
    """Neither a password nor a token, whatever becomes of the call (W15)."""
    ann = await log_in(world, "ann")
    shop = await an_application(world, "shop")
    with capture_logs() as lines:
        token = (await try_login(world))["token"]
        await try_login(world, password="wrong-password")
        await post(world, LOGIN, {"baseRequest": base(), "password": "secret"})
        await from_page(world, FIELDS | {"callbackparam": "<b>"})
        await prove(world, shop, "bob", token)
        await ann.ask("delToken", delToken=token)
        await ann.ask("addApnsToken", apnsToken="0a0b0c")

    said = str(lines)
    for secret in ("secret", "wrong-password", "argon2", token, ann.token, shop, "0a0b0c"):
        assert secret not in said
