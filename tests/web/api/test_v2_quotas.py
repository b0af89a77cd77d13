"""/v2: quotas and statistics."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from appmodel.io.database import Database
from appmodel.orm.counting import ApiCall, PushCnt, Quota
from appmodel.orm.organisations import Tenant
from tests.databases import an_empty_database
from tests.web.organisations import Company, notes, put
from tests.web.shops import OPERATOR, open_shops

DAILY = {"tenant_id": "t1", "type": "push_cnt", "period": "day", "value": "1000"}


@pytest.fixture
async def shops() -> AsyncIterator[Company]:
    async with open_shops() as shops:
        yield shops


async def rows(shops: Company) -> list[Any]:
    """All quotas."""
    asked = sa.select(Quota.__table__).order_by(Quota.id)
    database = shops.world.context.database
    return await database.read(lambda session: [tuple(row) for row in session.execute(asked)])


async def test_a_quota(shops: Company) -> None:
    """Set, read, changed, lifted; its customer is the tenant's; caches are told each time."""
    made = await shops.v2("POST", "quotas", OPERATOR, DAILY)
    quota = made.json()
    path = f"quotas/{quota['id']}"

    assert made.status == 201
    assert quota == DAILY | {
        "id": quota["id"],
        "customer_id": "c1",
        "api_name": "",
        "used": 0,
        "used_in": "",
    }
    assert (await shops.v2("GET", path, OPERATOR)).json() == quota
    assert (await shops.v2("POST", "quotas", OPERATOR, DAILY)).status == 409
    changed = await shops.v2("PATCH", path, OPERATOR, {"value": "-1"})
    assert changed.json() == quota | {"value": "-1"}
    assert (await shops.v2("DELETE", path, OPERATOR)).status == 204
    assert (await shops.v2("GET", path, OPERATOR)).status == 404
    assert await rows(shops) == []
    assert "quota:c1" in await notes(shops.world.context.database)


async def test_a_limit_after_none_begins_with_what_was_counted(shops: Company) -> None:
    """From -1 to a number: what was used is read from the counters again. From one number to another not."""
    unlimited = Quota(id="a", type="push_cnt", value="-1", used=3, used_in="total", tenant_id="t1")
    limited = Quota(id="b", type="push_cnt", value="5", used=3, used_in="total", tenant_id="t2")
    await put(shops.world.context.database, unlimited, limited)

    first = await shops.v2("PATCH", "quotas/a", OPERATOR, {"value": "10"})
    second = await shops.v2("PATCH", "quotas/b", OPERATOR, {"value": "10"})

    assert (first.json()["used_in"], second.json()["used_in"]) == ("", "total")


async def test_who_sets_quotas(shops: Company) -> None:
    """Applications with permission quota those of their tenant; never those of "*" or of another one (W9)."""
    mine = {"type": "push_cnt", "value": "5"}
    made = await shops.v2("POST", "quotas", "shop", mine)
    path = f"quotas/{made.json()['id']}"
    shared = (
        await shops.v2("POST", "quotas", OPERATOR, mine | {"tenant_id": "*", "customer_id": "c1"})
    ).json()
    before = await rows(shops)

    assert (made.status, made.json()["tenant_id"], made.json()["customer_id"]) == (201, "t1", "c1")
    for who in ("ann", "eve", "weak"):
        assert (await shops.v2("POST", "quotas", who, mine | {"period": "day"})).status == 403
    for tenant in ("t2", "*", ""):
        wanted = mine | {"tenant_id": tenant, "period": "day"}
        assert (await shops.v2("POST", "quotas", "shop", wanted)).status == 403
    for who, status in (("weak", 403), ("other", 404), ("ann", 403), ("nobody", 401)):
        assert (await shops.v2("PATCH", path, who, {"value": "9"})).status == status
        assert (await shops.v2("DELETE", path, who)).status == status
    for who in ("shop", "other"):
        assert (
            await shops.v2("PATCH", f"quotas/{shared['id']}", who, {"value": "9"})
        ).status == 403
        assert (await shops.v2("DELETE", f"quotas/{shared['id']}", who)).status == 403
    assert await rows(shops) == before


async def test_who_reads_quotas(shops: Company) -> None:
    """Applications what concerns their tenant, operators all or what they ask for, users nothing."""
    await put(
        shops.world.context.database,
        Tenant(id="t3", name="Three", customer_id="c2"),
        Quota(id="q1", customer_id="c1", tenant_id="t1", type="push_cnt", value="1"),
        Quota(id="q2", customer_id="c1", tenant_id="t2", type="push_cnt", value="1"),
        Quota(id="q3", customer_id="c2", tenant_id="t3", type="push_cnt", value="1"),
        Quota(id="q4", customer_id="c1", tenant_id="*", type="push_cnt", value="1"),
        Quota(id="q5", customer_id="c2", tenant_id="*", type="push_cnt", value="1"),
    )

    async def seen(who: str, query: str = "") -> list[str]:
        answer = await shops.v2("GET", f"quotas{query}", who)
        return [each["id"] for each in answer.json()["items"]]

    assert await seen("weak") == ["q4", "q1"]
    assert await seen("other") == ["q4", "q2"]
    assert await seen("weak", "?tenant=t2") == []
    assert await seen(OPERATOR) == ["q4", "q5", "q1", "q2", "q3"]
    assert await seen(OPERATOR, "?customer=c2") == ["q5", "q3"]
    assert await seen(OPERATOR, "?tenant=*&customer=c1") == ["q4"]
    page = (await shops.v2("GET", "quotas?limit=2", OPERATOR)).json()
    assert await seen(OPERATOR, f"?after={page['next']}") == ["q1", "q2", "q3"]
    assert (await shops.v2("GET", "quotas", "ann")).status == 403
    assert (await shops.v2("GET", "quotas/q1", "eve")).status == 403
    assert (await shops.v2("GET", "quotas/q2", "shop")).status == 404


BAD: list[tuple[str, str, Any, str]] = [
    ("POST", "quotas", {}, "type"),
    ("POST", "quotas", {"type": "push_cnt", "value": "1"}, "tenant_id"),
    ("POST", "quotas", DAILY | {"tenant_id": "t9"}, "tenant_id"),
    ("POST", "quotas", DAILY | {"tenant_id": "*"}, "customer_id"),
    ("POST", "quotas", DAILY | {"customer_id": "c2"}, "customer_id"),
    ("POST", "quotas", DAILY | {"value": "x"}, "value"),
    ("POST", "quotas", DAILY | {"value": 5}, "value"),
    ("POST", "quotas", DAILY | {"value": " " * 46 + "1"}, "value"),
    ("POST", "quotas", DAILY | {"period": "year"}, "period"),
    ("POST", "quotas", DAILY | {"api_name": "/a"}, "api_name"),
    ("POST", "quotas", DAILY | {"type": "api_cnt", "api_name": "/" * 256}, "api_name"),
    ("POST", "quotas", DAILY | {"used": 5}, "used"),
    ("PATCH", "quotas/q1", {"value": "many"}, "value"),
    ("PATCH", "quotas/q1", {"used": 0}, "used"),
    ("GET", "statistics?kind=login", None, "kind"),
    ("GET", "statistics?period=year", None, "period"),
    ("GET", "statistics?from=2026-11", None, "from"),
    ("GET", "statistics?to=2026-02-30", None, "to"),
    ("GET", "statistics?period=month&from=2026-13", None, "from"),
    ("GET", "statistics?limit=0", None, "limit"),
    ("GET", "statistics?after=x", None, "after"),
]


async def test_bad_input_names_the_field_and_changes_nothing(shops: Company) -> None:
    """422."""
    row = Quota(id="q1", customer_id="c1", tenant_id="t1", type="push_cnt", value="1")
    await put(shops.world.context.database, row)
    before = await rows(shops)
    for method, path, wanted, field in BAD:
        answer = await shops.v2(method, path, OPERATOR, wanted)
        assert (answer.status, answer.json()["field"]) == (422, field), (path, wanted)
    assert await rows(shops) == before


def pushes(period: str, count: int, tenant: str = "t1", **columns: Any) -> PushCnt:
    columns = {"caller_id": "ann", "type": "ios", "push_type": "@user"} | columns
    return PushCnt(tenant_id=tenant, period=period, count=count, **columns)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
async def counted(request: pytest.FixtureRequest) -> AsyncIterator[Company]:
    """With counters of two tenants."""
    with an_empty_database(request.param) as url:
        async with open_shops(url) as shops:
            await put(
                shops.world.context.database,
                pushes("2026-11-20", 5),
                pushes("2026-11-20", 7, caller_id="shop", type="app", sharding=1),
                pushes("2026-11-20", 1, caller_id="shop", type="app", sharding=2),
                pushes("2026-11-21", 2),
                pushes("2026-11-21", 3, caller_id="eve"),
                pushes("2026-11-21", 4, push_type="@qun"),
                pushes("2026-11", 22),
                pushes("total", 999),
                pushes("2026-11-21", 70, tenant="t2"),
                ApiCall(tenant_id="t1", api_name="/a", type="ios", period="2026-11-21", count=6),
            )
            yield shops


async def test_statistics(counted: Company) -> None:
    """One item for each period, tenant, name and type, summed up over callers and shards."""

    async def seen(who: str, query: str = "") -> list[tuple[Any, ...]]:
        answer = await counted.v2("GET", f"statistics{query}", who)
        keys = ("period", "tenant_id", "name", "type", "count")
        return [tuple(each[key] for key in keys) for each in answer.json()["items"]]

    days = [
        ("2026-11-20", "t1", "@user", "app", 8),
        ("2026-11-20", "t1", "@user", "ios", 5),
        ("2026-11-21", "t1", "@qun", "ios", 4),
        ("2026-11-21", "t1", "@user", "ios", 5),
    ]
    assert await seen("weak") == days
    assert await seen(OPERATOR, "?tenant=t1") == days
    assert await seen(OPERATOR) == [*days, ("2026-11-21", "t2", "@user", "ios", 70)]
    assert await seen("weak", "?from=2026-11-21") == days[2:]
    assert await seen("weak", "?to=2026-11-20") == days[:2]
    assert await seen("weak", "?from=2026-11-21&to=2026-11-20") == []
    assert await seen("weak", "?period=month") == [("2026-11", "t1", "@user", "ios", 22)]
    assert await seen("weak", "?period=total&kind=push") == [("total", "t1", "@user", "ios", 999)]
    assert await seen("weak", "?kind=call") == [("2026-11-21", "t1", "/a", "ios", 6)]


async def test_statistics_in_pages(counted: Company) -> None:
    """`next` leads through all of them, each once."""
    seen, after = [], ""
    while True:
        page = (await counted.v2("GET", f"statistics?limit=2{after}", OPERATOR)).json()
        seen += [each["count"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert seen == [8, 5, 4, 5, 70]


async def test_whose_statistics(shops: Company) -> None:
    """A tenant's are its applications' and operators' to read."""
    assert (await shops.v2("GET", "statistics?tenant=t2", "weak")).status == 403
    assert (await shops.v2("GET", "statistics", "ann")).status == 403
    assert (await shops.v2("GET", "statistics", "nobody")).status == 401


async def test_what_was_pushed_is_in_the_statistics(shops: Company) -> None:
    """At the latest a flush later: from the push of a device to the answer of /v2."""
    database: Database = shops.world.context.database
    message = {"fromUserName": "ann@user", "toUserName": "eve@user", "content": "hi"}
    answer = await shops.app("device/push", "ann", msg=message)
    assert answer["baseResponse"]["ret"] == 0

    asked = sa.select(sa.func.count()).select_from(PushCnt)
    while not await database.read(lambda session: session.scalar(asked) or 0):
        pass

    items = (await shops.v2("GET", "statistics?period=total", OPERATOR)).json()["items"]
    assert [(each["name"], each["type"]) for each in items] == [("@user", "ios")]
    assert items[0]["count"] > 0
