"""Departments and tenants over 8093: what applications and phones of the original get, and what they no longer can."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from appmodel.orm.contacts import UserUser
from appmodel.orm.organisations import Customer, Org, OrgUser, Tenant
from tests.web.organisations import Company, locations, open_company, put

ORG = {"id": "d3", "name": "Three", "shortName": "3", "parentId": "", "tenantId": "t1", "sort": 1}
TENANT = {"id": "t1", "code": "acme", "name": "Acme", "customerId": "", "status": 0}
ROUTES: list[tuple[str, str, dict[str, Any]]] = [
    ("device/getOrgInfo", "u1", {}),
    ("device/getOrgUserList", "u1", {"orgid": "d2"}),
    ("app/getOrgUserList", "weak", {"orgid": "d2"}),
    ("app/getOrgList", "weak", {"uid": "u1"}),
    ("app/syncOrg", "sync", {"org": ORG}),
    ("app/syncTenant", "sync", {"tennat": TENANT}),
    ("app/addOrgUser", "sync", {"orgid": "d1", "uid": "u2"}),
    ("app/removeOrgUser", "sync", {"orgid": "d2", "uid": "u1"}),
]
CHANGES = [route for route in ROUTES if route[1] == "sync"]


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with open_company() as company:
        yield company


async def ret(company: Company, path: str, who: str, **members: Any) -> int:
    answer: int = (await company.app(path, who, **members))["baseResponse"]["ret"]
    return answer


async def state(company: Company) -> Any:
    """All rows that these routes write."""

    def find(session: Any) -> Any:
        wanted = (
            sa.select(Org.__table__).order_by(Org.id),
            sa.select(OrgUser.org_id, OrgUser.user_id, OrgUser.sort).order_by(OrgUser.user_id),
            sa.select(Tenant.id, Tenant.code, Tenant.name, Tenant.status, Tenant.customer_id),
        )
        return [[tuple(row) for row in session.execute(each)] for each in wanted]

    return await company.world.context.database.read(find)


async def test_the_company_on_a_phone(company: Company) -> None:
    """getOrgInfo: the tenant's node with departments in it, the caller's first one, and whom he starred."""
    await put(
        company.world.context.database,
        *(UserUser(from_user_id="u1", to_user_id=to, sort=1) for to in ("u2", "v1", "gone")),
        OrgUser(org_id="d1", user_id="u1", sort=8),
    )

    answer = await company.app("device/getOrgInfo", "u1", userName="u1", password="x")

    node = answer["ognizationMemberList"]
    assert (node["uid"], node["userName"], node["nickName"], node["name"]) == (
        "t1",
        "t1@tenant",
        "T1",
        "",
    )
    (one,) = node["memberList"]
    assert (one["userName"], one["nickName"], one["memberCount"]) == ("d1@org", "One", 1)
    assert [each["uid"] for each in one["memberList"]] == ["d2"]
    assert answer["userOgnization"] == "d2"
    assert [each["uid"] for each in answer["starMemberList"]] == ["u2"]  # of his tenant only
    assert answer["starMemberCount"] == 1
    assert answer["baseResponse"] == {"ret": 0, "errMsg": ""}


async def test_a_user_in_no_department(company: Company) -> None:
    """Has no userOgnization at all."""
    answer = await company.app("device/getOrgInfo", "v1")

    assert "userOgnization" not in answer
    assert answer["ognizationMemberList"]["uid"] == "t2"
    assert answer["ognizationMemberList"]["memberList"] == []


@pytest.mark.parametrize(
    ("path", "who"), [("device/getOrgUserList", "u1"), ("app/getOrgUserList", "sync")]
)
async def test_the_members_of_a_department(company: Company, path: str, who: str) -> None:
    """Those in it, not below it; sorted; without a password."""
    await put(company.world.context.database, OrgUser(org_id="d2", user_id="u2", sort=3))

    answer = await company.app(path, who, orgid="d2")
    above = await company.app(path, who, orgid="d1")

    assert [(m["uid"], m["sort"], m["password"]) for m in answer["memberList"]] == [
        ("u2", 3, ""),
        ("u1", 7, ""),
    ]
    assert answer["memberCount"] == 2
    assert (above["memberCount"], above["memberList"]) == (0, [])


async def test_the_departments_of_a_user(company: Company) -> None:
    """getOrgList: all that is known of them."""
    answer = await company.app("app/getOrgList", "weak", uid="u1")

    assert answer["orgCount"] == 1
    assert answer["orgList"] == [
        {
            "id": "d2",
            "name": "Two",
            "shortName": "",
            "parentId": "d1",
            "tenantId": "t1",
            "location": "0000",
            "sort": 2,
        }
    ]


async def test_a_department_is_made_and_moved(company: Company) -> None:
    """syncOrg: new; the same again; below another, with what lies below it (C5)."""
    place = company.world.context.database
    rets = [
        await ret(company, "app/syncOrg", "sync", org=ORG),
        await ret(company, "app/syncOrg", "sync", org=ORG | {"name": "Drei", "sort": 4.0}),
        await ret(company, "app/syncOrg", "sync", org=ORG | {"tenantId": "", "location": "zz"}),
    ]
    made = await locations(place)
    rets.append(await ret(company, "app/syncOrg", "sync", org=ORG | {"id": "d1", "parentId": "d3"}))

    assert rets == [0, 0, 0, 0]
    assert made == {"d1": "00", "d2": "0000", "d3": "01"}
    assert await locations(place) == {"d3": "01", "d1": "0100", "d2": "010000"}


async def test_a_tenant_changes_itself(company: Company) -> None:
    """syncTenant, by the original's spelling and by the right one; phones see the new name."""
    await company.app("device/getOrgInfo", "u1")

    first = await ret(company, "app/syncTenant", "sync", tennat=TENANT)
    answer = await company.app("device/getOrgInfo", "u1")
    second = await ret(company, "app/syncTenant", "sync", tenant=TENANT | {"name": "Acme 2"})

    assert (first, second) == (0, 0)
    assert answer["ognizationMemberList"]["nickName"] == "Acme"
    assert (await state(company))[2][0] == ("t1", "acme", "Acme 2", 0, "")


async def test_linking_twice_is_linking_once(company: Company) -> None:
    """And what is gone is gone; the original makes a second row."""
    link = {"orgid": "d1", "uid": "u2"}
    answers = [
        await company.app("app/addOrgUser", "sync", **link),
        await company.app("app/addOrgUser", "sync", **link),
    ]
    linked = (await state(company))[1]
    answers += [
        await company.app("app/removeOrgUser", "sync", **link),
        await company.app("app/removeOrgUser", "sync", **link),
    ]

    assert [a["successed"] for a in answers] == [True] * 4
    assert [a["baseResponse"]["ret"] for a in answers] == [0] * 4
    assert linked == [("d2", "u1", 7), ("d1", "u2", 0)]
    assert (await state(company))[1] == [("d2", "u1", 7)]


async def test_a_sort_outlives_linking_again(company: Company) -> None:
    """An import that runs each night does not put everybody to the front."""
    await company.app("app/addOrgUser", "sync", orgid="d2", uid="u1")

    assert (await state(company))[1] == [("d2", "u1", 7)]


@pytest.mark.parametrize(("orgid", "uid"), [("d9", "u1"), ("d1", "nobody"), ("d1", "v1")])
async def test_what_is_not_there_is_not_linked(company: Company, orgid: str, uid: str) -> None:
    """The original links whatever it is told; `successed` says no, and `ret` why."""
    before = await state(company)

    answer = await company.app("app/addOrgUser", "sync", orgid=orgid, uid=uid)

    assert (answer["successed"], answer["baseResponse"]["ret"]) == (False, 65531)
    assert await state(company) == before


@pytest.mark.parametrize(("path", "who", "members"), ROUTES)
async def test_nobody_calls_without_a_credential(
    company: Company, path: str, who: str, members: dict[str, Any]
) -> None:
    """None, a bad one, or one of the other kind: 65533, and nothing has changed. (W10: the original's
    device/getOrgUserList asks for none.)"""
    before = await state(company)
    other_kind = "sync" if who == "u1" else "u1"

    answers = [await company.app(path, each, **members) for each in ("", other_kind)]

    assert [a["baseResponse"]["ret"] for a in answers] == [65533, 65533]
    assert [a.keys() for a in answers] == [{"baseResponse"}] * 2
    assert await state(company) == before


@pytest.mark.parametrize(("path", "_who", "members"), CHANGES)
async def test_changing_needs_a_permission(
    company: Company, path: str, _who: str, members: dict[str, Any]
) -> None:
    """An application without SYNC changes nothing (W9)."""
    before = await state(company)

    assert await ret(company, path, "weak", **members) == 65533
    assert await state(company) == before


@pytest.mark.parametrize(("path", "_who", "members"), CHANGES)
async def test_another_tenants_application_changes_nothing(
    company: Company, path: str, _who: str, members: dict[str, Any]
) -> None:
    """Whatever it may in its own tenant (W9): the original lets any application do it."""
    before = await state(company)

    assert await ret(company, path, "other", **members) in {65531, 65533}
    assert await state(company) == before


async def test_an_id_of_another_tenant_is_taken(company: Company) -> None:
    """Its department cannot be taken over by its id, in the name of one's own tenant."""
    before = await state(company)

    assert (
        await ret(company, "app/syncOrg", "other", org=ORG | {"id": "d1", "tenantId": "t2"})
        == 65534
    )
    assert await ret(company, "app/syncTenant", "other", tennat=TENANT | {"id": "t1"}) == 65531

    assert await state(company) == before


async def test_another_tenants_departments_are_not_seen(company: Company) -> None:
    """By a phone or an application: as if they were not there."""
    members = [
        await company.app("device/getOrgUserList", "v1", orgid="d2"),
        await company.app("app/getOrgUserList", "other", orgid="d2"),
        await company.app("app/getOrgUserList", "other", orgid="nowhere"),
    ]
    orgs = await company.app("app/getOrgList", "other", uid="u1")

    assert [(m["memberCount"], m["memberList"]) for m in members] == [(0, [])] * 3
    assert (orgs["orgCount"], orgs["orgList"]) == (0, [])


async def test_links_across_tenants_of_an_adopted_database_do_not_count(company: Company) -> None:
    """The original wrote them."""
    await put(
        company.world.context.database,
        OrgUser(org_id="d2", user_id="v1"),
        OrgUser(org_id="d2", user_id="gone"),
    )

    answer = await company.app("app/getOrgUserList", "sync", orgid="d2")
    theirs = await company.app("app/getOrgUserList", "other", orgid="d2")
    orgs = await company.app("app/getOrgList", "other", uid="v1")

    assert [m["uid"] for m in answer["memberList"]] == ["u1"]
    assert theirs["memberList"] == []
    assert orgs["orgList"] == []


@pytest.mark.parametrize(
    "wanted", [TENANT | {"customerId": "c1"}, TENANT | {"status": -1}, TENANT | {"id": "t3"}]
)
async def test_an_application_does_not_make_sell_or_disable_a_tenant(
    company: Company, wanted: dict[str, Any]
) -> None:
    """That is the operator's (W9)."""
    await put(company.world.context.database, Customer(id="c1", name="C"))
    before = await state(company)

    assert await ret(company, "app/syncTenant", "sync", tennat=wanted) in {65531, 65533}
    assert await state(company) == before


@pytest.mark.parametrize(
    ("path", "outer", "members"),
    [("app/syncOrg", "org", ORG), ("app/syncTenant", "tennat", TENANT)],
)
async def test_each_field_is_there_and_of_its_type(
    company: Company, path: str, outer: str, members: dict[str, Any]
) -> None:
    """65534 with its name (C1: the original answers 0, and leaks a connection each time, W6)."""
    before = await state(company)

    for name in members:
        missing = {key: value for key, value in members.items() if key != name}
        for wrong in (missing, members | {name: None}, members | {name: []}, members | {name: {}}):
            answer = await company.app(path, "sync", **{outer: wrong})
            assert answer["baseResponse"]["ret"] == 65534
            assert answer["baseResponse"]["errMsg"].startswith(f"{outer}.{name}: ")

    assert await state(company) == before


BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("device/getOrgUserList", "u1", {}, "orgid"),
    ("device/getOrgUserList", "u1", {"orgid": 7}, "orgid"),
    ("device/getOrgUserList", "u1", {"orgid": "a\0"}, "orgid"),
    ("app/getOrgUserList", "sync", {"orgid": "x" * 65}, "orgid"),
    ("app/getOrgList", "sync", {}, "uid"),
    ("app/getOrgList", "sync", {"uid": ""}, "uid"),
    ("app/addOrgUser", "sync", {"orgid": "d1"}, "uid"),
    ("app/addOrgUser", "sync", {"uid": "u1"}, "orgid"),
    ("app/removeOrgUser", "sync", {"orgid": "d1", "uid": None}, "uid"),
    ("app/removeOrgUser", "sync", {"orgid": "", "uid": "u1"}, "orgid"),
    ("app/syncOrg", "sync", {}, "org"),
    ("app/syncOrg", "sync", {"org": "d1"}, "org"),
    ("app/syncOrg", "sync", {"org": ORG | {"id": "a b"}}, "org.id"),
    ("app/syncOrg", "sync", {"org": ORG | {"name": "x" * 121}}, "org.name"),
    ("app/syncOrg", "sync", {"org": ORG | {"shortName": "a\0"}}, "org.shortName"),
    ("app/syncOrg", "sync", {"org": ORG | {"sort": 0.5}}, "org.sort"),
    ("app/syncOrg", "sync", {"org": ORG | {"sort": 2**31}}, "org.sort"),
    ("app/syncOrg", "sync", {"org": ORG | {"parentId": "nowhere"}}, "org.parentId"),
    ("app/syncOrg", "sync", {"org": ORG | {"id": "d1", "parentId": "d2"}}, "parent_id"),
    ("app/syncTenant", "sync", {}, "tennat"),
    ("app/syncTenant", "sync", {"tennat": TENANT | {"code": "x" * 65}}, "tennat.code"),
    ("app/syncTenant", "sync", {"tennat": TENANT | {"status": "0"}}, "tennat.status"),
]


async def test_bad_input_names_the_field(company: Company) -> None:
    """65534, and nothing has changed."""
    before = await state(company)

    for path, who, members, field in BAD:
        answer = await company.app(path, who, **members)
        assert answer["baseResponse"]["ret"] == 65534, (path, members)
        assert answer["baseResponse"]["errMsg"].startswith(f"{field}: ")

    assert await state(company) == before


async def test_bad_calls_keep_no_connection(company: Company) -> None:
    """After more of them than there are connections, good ones are still served (W6)."""
    for _ in range(20):
        assert await ret(company, "app/syncOrg", "", org={}) == 65533
        assert await ret(company, "app/syncOrg", "sync", org={}) == 65534
        assert await ret(company, "app/syncOrg", "sync", org=ORG | {"parentId": "no"}) == 65534

    assert await ret(company, "app/syncOrg", "sync", org=ORG) == 0


@pytest.mark.parametrize("uid", ["u1') OR ('1'='1", "u1; DELETE FROM org", "%", "_"])
async def test_ids_are_values_never_sql(company: Company, uid: str) -> None:
    """W12: they are bound, so such an id is only one that there is not."""
    answer = await company.app("app/getOrgList", "sync", uid=uid)
    members = await company.app("app/getOrgUserList", "sync", orgid=uid)

    assert (answer["orgCount"], members["memberCount"]) == (0, 0)
