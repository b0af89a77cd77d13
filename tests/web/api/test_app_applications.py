"""Applications and quotas over 8093: what phones and back ends of the original get, and what they no longer can."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from appmodel.orm.applications import Application
from appmodel.orm.base import DISABLED
from appmodel.orm.counting import Quota
from appmodel.orm.people import User
from tests.web.organisations import Company, notes, put
from tests.web.shops import OPERATOR, open_shops
from web.services.passwords import hash_password

LIST, MENU, QUOTA = "device/getApplicationList", "device/getAppOperationList", "app/syncQuota"
SALES: dict[str, Any] = {
    "customerId": "c1",
    "tenantId": "t1",
    "apiName": "",
    "type": "push_cnt",
    "value": "1000",
}
ROUTES: list[tuple[str, str, dict[str, Any]]] = [
    (LIST, "ann", {}),
    (MENU, "ann", {"username": "shop@app"}),
    (QUOTA, "shop", {"quata": SALES}),
]


@pytest.fixture
async def shops() -> AsyncIterator[Company]:
    async with open_shops() as shops:
        yield shops


async def ret(shops: Company, path: str, who: str, **members: Any) -> int:
    answer: int = (await shops.app(path, who, **members))["baseResponse"]["ret"]
    return answer


async def quotas(shops: Company) -> list[tuple[str, ...]]:
    """All rows, without their ids."""
    asked = sa.select(
        Quota.customer_id, Quota.tenant_id, Quota.api_name, Quota.type, Quota.period, Quota.value
    ).order_by(Quota.period, Quota.value)
    database = shops.world.context.database
    return await database.read(lambda session: [tuple(row) for row in session.execute(asked)])


async def test_the_applications_of_a_tenant(shops: Company) -> None:
    """As members, sorted; not those of another tenant, nor disabled ones."""
    await put(
        shops.world.context.database,
        Application(id="late", name="Late", tenant_id="t1", sort=9, name_py="l", avatar="a.png"),
        Application(id="off", name="Off", tenant_id="t1", status=DISABLED),
        Application(id="none", name="None"),
    )

    answer = await shops.app(LIST, "ann")

    assert [each["userName"] for each in answer["memberList"]] == [
        "shop@app",
        "weak@app",
        "late@app",
    ]
    assert answer["memberCount"] == 3
    late = answer["memberList"][2]
    assert (late["uid"], late["name"], late["nickName"]) == ("late", "Late", "Late")
    assert (late["pYInitial"], late["avatar"], late["tenantId"]) == ("l", "a.png", "t1")
    assert late["password"] == ""
    assert "token" not in str(answer).lower()
    assert answer["baseResponse"] == {"ret": 0, "errMsg": ""}


async def test_a_menu_has_two_levels(shops: Company) -> None:
    """Each sorted, in one query; the third is never read."""
    await shops.app(MENU, "ann", username="shop@app")
    before = shops.world.context.database.statements
    answer = await shops.app(MENU, "ann", username="shop@app")

    one, two = answer["operationList"]
    assert answer["operationCount"] == 2
    assert (one["id"], one["appId"], one["content"]) == ("o1", "shop", "One")
    assert (one["action"], one["operationType"], one["sort"]) == ("https://a.example", "1", 1)
    assert [each["id"] for each in one["operationList"]] == ["o11", "o12"]
    assert [each["operationList"] for each in one["operationList"]] == [None, None]
    assert (two["id"], two["operationList"]) == ("o2", [])
    token, polls = 1, 3
    assert shops.world.context.database.statements - before <= 1 + token + polls


@pytest.mark.parametrize("name", ["other@app", "nobody@app"])
async def test_a_menu_that_is_not_ours(shops: Company, name: str) -> None:
    """Is empty, as that of an application which does not exist."""
    answer = await shops.app(MENU, "ann", username=name)

    assert answer["baseResponse"]["ret"] == 0
    assert (answer["operationList"], answer["operationCount"]) == ([], 0)
    assert (await shops.app(MENU, "bob", username="shop@app"))["operationCount"] == 0


@pytest.mark.parametrize("name", ["shop", "shop@user", "shop@app@user", ""])
async def test_a_menu_of_what_is_no_application(shops: Company, name: str) -> None:
    """65533, as the original says it."""
    assert await ret(shops, MENU, "ann", username=name) == 65533


@pytest.mark.parametrize("spelling", ["quata", "quota"])
async def test_a_quota_is_set(shops: Company, spelling: str) -> None:
    """Created, then changed; `period` is ours; caches are told."""
    assert await ret(shops, QUOTA, "shop", **{spelling: SALES}) == 0
    assert await ret(shops, QUOTA, "shop", **{spelling: SALES | {"value": "5"}}) == 0
    assert await ret(shops, QUOTA, "shop", **{spelling: SALES | {"period": "day"}}) == 0

    assert await quotas(shops) == [
        ("c1", "t1", "", "push_cnt", "day", "1000"),
        ("c1", "t1", "", "push_cnt", "total", "5"),
    ]
    assert "quota:c1" in await notes(shops.world.context.database)


REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"tenantId": "t2"}, 65533),
    ({"tenantId": "*"}, 65533),
    ({"tenantId": ""}, 65533),
    ({"customerId": "c2"}, 65533),
    ({"customerId": ""}, 65533),
    ({"type": "calls"}, 65534),
    ({"period": "week"}, 65534),
    ({"value": "many"}, 65534),
    ({"value": 5}, 65534),
    ({"apiName": "/app/client/device/push"}, 65534),
    ({"apiName": None}, 65534),
]


async def test_a_quota_that_is_refused(shops: Company) -> None:
    """Another tenant's, another customer's, that of all tenants; or one that would mean nothing (W9)."""
    for change, number in REFUSED:
        answer = await shops.app(QUOTA, "shop", quata=SALES | change)
        assert answer["baseResponse"]["ret"] == number, change
        (field,) = change
        assert field in answer["baseResponse"]["errMsg"].replace("tenant:", "tenantId")
    assert await quotas(shops) == []


@pytest.mark.parametrize(("path", "who", "members"), ROUTES)
async def test_what_is_missing_is_named(
    shops: Company, path: str, who: str, members: dict[str, Any]
) -> None:
    """65534 with the field's name, and nothing is done (C1)."""
    for missing in members:
        answer = await shops.app(path, who, **{k: v for k, v in members.items() if k != missing})
        assert answer["baseResponse"]["ret"] == 65534
        assert missing in answer["baseResponse"]["errMsg"]
        assert await ret(shops, path, who, **members | {missing: 5}) == 65534
    for missing in SALES if path == QUOTA else ():
        quata = {k: v for k, v in SALES.items() if k != missing}
        answer = await shops.app(path, who, quata=quata)
        assert answer["baseResponse"]["ret"] == 65534
        assert missing in answer["baseResponse"]["errMsg"]
    assert await quotas(shops) == []


@pytest.mark.parametrize(("path", "who", "members"), ROUTES)
async def test_whose_credential_it_takes(
    shops: Company, path: str, who: str, members: dict[str, Any]
) -> None:
    """65533 without one, with one of the other kind, and with one that lacks the permission."""
    right = who in {"ann", "bob"}
    for wrong in ["nobody", *(["shop", "weak"] if right else ["ann", "bob", "eve", "weak"])]:
        assert await ret(shops, path, wrong, **members) == 65533
        assert await quotas(shops) == []
    assert await ret(shops, path, who, **members) == 0


MESSAGE = {"fromUserName": "ann@user", "toUserName": "eve@user", "content": "hi"}


async def limit(shops: Company, value: int, **columns: Any) -> None:
    """A quota of t1 that an operator sets."""
    wanted = {"tenant_id": "t1", "type": "push_cnt", "value": str(value)} | columns
    assert (await shops.v2("POST", "quotas", OPERATOR, wanted)).status == 201


async def test_pushes_are_limited(shops: Company) -> None:
    """65537, and nothing goes out; another tenant goes on. In the original the limits of a tenant are never reached (C6)."""
    await limit(shops, 0, period="day")

    answer = await shops.app("device/push", "ann", msg=MESSAGE)

    assert answer["baseResponse"]["ret"] == 65537
    assert "push_cnt" in answer["baseResponse"]["errMsg"]
    assert shops.world.comet.calls == []
    note = MESSAGE | {"fromUserName": "bob@user", "toUserName": "bob@user"}
    assert await ret(shops, "device/push", "bob", msg=note) == 0


async def test_calls_are_limited_by_path_without_query(shops: Company) -> None:
    """65536; a query string makes no other API of it (C6)."""
    await limit(shops, 1, type="api_cnt", api_name="/app/client/device/push")

    assert await ret(shops, "device/push", "ann", msg=MESSAGE) == 0
    assert await ret(shops, "device/push", "ann", msg=MESSAGE) == 65536
    assert await ret(shops, "device/push?x=1", "ann", msg=MESSAGE) == 65536
    assert await ret(shops, "device/getApplicationList", "ann") == 0


async def test_strangers_do_not_use_up_logins(shops: Company) -> None:
    """A wrong password costs the tenant nothing; the right one does, until 65536."""
    database = shops.world.context.database
    sue = User(id="sue", name="sue", tenant_id="t1", password=hash_password("right"))
    await put(database, sue)
    await limit(shops, 1, type="api_cnt", api_name="/app/client/device/login")

    async def log_in(password: str) -> int:
        return await ret(shops, "device/login", "", userName="sue", password=password)

    assert await log_in("wrong") == 65539
    assert await log_in("right") == 0
    assert await log_in("right") == 65536
    assert await log_in("wrong") == 65539


async def test_status_counts(shops: Company) -> None:
    """A disabled application proves nothing, nor does one of a disabled tenant; heard of at once here (W9)."""
    assert await ret(shops, QUOTA, "shop", quata=SALES) == 0
    await shops.v2("PATCH", "applications/shop?tenant=t1", OPERATOR, {"disabled": True})
    assert await ret(shops, QUOTA, "shop", quata=SALES) == 65533
    await shops.v2("PATCH", "applications/shop?tenant=t1", OPERATOR, {"disabled": False})
    assert await ret(shops, QUOTA, "shop", quata=SALES) == 0

    await shops.v2("PATCH", "tenants/t1", OPERATOR, {"disabled": True})
    assert await ret(shops, QUOTA, "shop", quata=SALES) == 65533
    await shops.v2("PATCH", "tenants/t1", OPERATOR, {"disabled": False})
    assert await ret(shops, QUOTA, "shop", quata=SALES) == 0


async def test_a_clear_token_proves_nothing(shops: Company) -> None:
    """What the original compares is not looked at: only the digest counts (W9)."""
    database = shops.world.context.database
    await put(database, Application(id="old", tenant_id="t1", token="clear", permissions="quota"))

    for token in ("clear", "", "x" * 256, "\ud800"):
        base = {"uid": "", "deviceID": "d", "deviceType": "iOS", "token": token}
        answer = await shops.app(QUOTA, "nobody", quata=SALES, baseRequest=base)
        assert answer["baseResponse"]["ret"] in {65533, 65534}
    assert await quotas(shops) == []
