"""Tenants, customers, departments and members over /v2: who may, what is refused, and what nobody sees."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from appmodel.orm.groups import Qun
from appmodel.orm.organisations import Customer, Org, OrgUser, Tenant
from appmodel.orm.people import User
from tests.databases import KINDS, an_empty_database
from tests.web.organisations import Company, forget_notes, notes, open_company, put


@pytest.fixture
async def company(request: pytest.FixtureRequest) -> AsyncIterator[Company]:
    with an_empty_database(getattr(request, "param", "sqlite")) as url:
        async with open_company(url) as company:
            yield company


EVERYWHERE = pytest.mark.parametrize("company", KINDS, indirect=True)


async def status(company: Company, method: str, path: str, who: str, body: Any = None) -> int:
    return (await company.v2(method, path, who, body)).status


async def state(company: Company) -> Any:
    """All rows that these operations write."""

    def find(session: Any) -> Any:
        wanted = (
            sa.select(Org.__table__).order_by(Org.id),
            sa.select(OrgUser.org_id, OrgUser.user_id, OrgUser.sort).order_by(OrgUser.user_id),
            sa.select(Tenant.id, Tenant.code, Tenant.name, Tenant.status, Tenant.customer_id),
            sa.select(Customer.id, Customer.name),
        )
        return [[tuple(row) for row in session.execute(each)] for each in wanted]

    return await company.world.context.database.read(find)


CHANGES: list[tuple[str, str, Any]] = [
    ("POST", "departments", {"id": "d9", "name": "Nine"}),
    ("PATCH", "departments/d2", {"name": "New"}),
    ("DELETE", "departments/d2?cascade=true", None),
    ("POST", "departments/d1/members", {"user_ids": ["u2"]}),
    ("PATCH", "departments/d2/members/u1", {"sort": 1}),
    ("DELETE", "departments/d2/members/u1", None),
    ("PATCH", "tenants/t1", {"name": "New"}),
    ("POST", "sync", {"users": [{"id": "u9", "name": "u9"}]}),
]
READS = [
    "departments",
    "departments/d1",
    "department-tree",
    "departments/d2/members",
    "departments/d1/members?deep=true",
    "users/u1/departments",
    "tenants/t1",
]
OPERATORS: list[tuple[str, str, Any]] = [
    ("GET", "tenants", None),
    ("POST", "tenants", {"name": "T"}),
    ("DELETE", "tenants/t1", None),
    ("GET", "customers", None),
    ("POST", "customers", {"name": "C"}),
    ("GET", "customers/c1", None),
    ("PATCH", "customers/c1", {"name": "C"}),
    ("DELETE", "customers/c1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_changes_are_for_permission_sync(
    company: Company, method: str, path: str, body: Any
) -> None:
    """Nobody: 401. A user, an application without it: 403. With it, or an operator: done."""
    before = await state(company)

    refused = [await status(company, method, path, who, body) for who in ("", "u1", "weak")]
    unchanged = await state(company)
    done = await status(company, method, path, "sync", body)

    assert refused == [401, 403, 403]
    assert unchanged == before
    assert done in {200, 201, 204}


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_operators_say_whose(company: Company, method: str, path: str, body: Any) -> None:
    """By ?tenant=, or by tenant_id of what they create; a token of other scopes is none."""
    reader = company.world.token("read", "push", "ticket")
    of_tenant = body | {"tenant_id": "t1"} if method == "POST" and "/" not in path else body
    mark = "&" if "?" in path else "?"
    whose = "" if of_tenant is not body or "tenants" in path else f"{mark}tenant=t1"

    refused = await company.world.api.ask(method, f"/v2/{path}", b"", bearer=reader)
    done = await status(company, method, path + whose, "operator", of_tenant)

    assert refused.status == 403
    assert done in {200, 201, 204}


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_another_tenants_application_changes_nothing(
    company: Company, method: str, path: str, body: Any
) -> None:
    """Not in its own name, and not in the other's (W9)."""
    before = await state(company)
    mark = "&" if "?" in path else "?"

    if method != "POST" or "/" in path:
        assert await status(company, method, path, "other", body) == 404
        if "tenants" not in path:
            named = f"{path}{mark}tenant=t1"
            assert await status(company, method, named, "other", body) == 403
    else:
        assert await status(company, method, path, "other", body | {"tenant_id": "t1"}) == 403

    assert await state(company) == before


@pytest.mark.parametrize("path", READS)
async def test_everybody_of_a_tenant_reads_it(company: Company, path: str) -> None:
    """Users and applications; nobody without a credential; and others see nothing of it."""
    mark = "&" if "?" in path else "?"
    named = path if path.startswith("tenants") else f"{path}{mark}tenant=t1"

    own = [await status(company, "GET", path, who) for who in ("u1", "weak", "sync")]
    nobody = await status(company, "GET", path, "")
    operator = await company.v2("GET", named, "operator")
    strangers = [await company.v2("GET", path, who) for who in ("v1", "other")]

    assert own == [200, 200, 200]
    assert (nobody, operator.status) == (401, 200)
    for answer in strangers:
        assert answer.status == 404 or not set("du") & {
            item["id"][0] for item in answer.json().get("items", answer.json().get("children"))
        }
    if not path.startswith("tenants"):
        assert await status(company, "GET", named, "v1") == 403


@pytest.mark.parametrize(("method", "path", "body"), OPERATORS)
async def test_making_tenants_is_the_operators(
    company: Company, method: str, path: str, body: Any
) -> None:
    """Applications and users may not, whatever they may else."""
    await put(company.world.context.database, Customer(id="c1", name="C1"))
    before = await state(company)

    refused = [await status(company, method, path, who, body) for who in ("", "u1", "sync")]
    unchanged = await state(company)
    done = await status(company, method, path, "operator", body)

    assert refused == [401, 403, 403]
    assert unchanged == before
    assert done == (409 if path == "tenants/t1" else done)
    assert done < 300 or path == "tenants/t1"


@EVERYWHERE
async def test_a_tenant_from_its_making_to_its_end(company: Company) -> None:
    """Created, shown, listed, changed, deleted; noted for the caches each time."""
    await company.v2("POST", "customers", "operator", {"id": "c1", "name": "C1"})
    await forget_notes(company.world.context.database)

    made = await company.v2(
        "POST", "tenants", "operator", {"id": "t3", "name": "T3", "customer_id": "c1"}
    )
    listed = (await company.v2("GET", "tenants?customer_id=c1", "operator")).json()
    changed = await company.v2("PATCH", "tenants/t3", "operator", {"disabled": True, "code": "x"})
    noted = await notes(company.world.context.database)
    kept = await status(company, "DELETE", "customers/c1", "operator")
    gone = await status(company, "DELETE", "tenants/t3", "operator")
    customer = await status(company, "DELETE", "customers/c1", "operator")

    t3 = {"id": "t3", "code": "", "name": "T3", "customer_id": "c1", "disabled": False}
    assert (made.status, made.json()) == (201, t3)
    assert listed == {"items": [t3], "next": None}
    assert changed.json() == t3 | {"disabled": True, "code": "x"}
    assert noted == {"t3@tenant", "tree:t3"}
    assert (kept, gone, customer) == (409, 204, 204)
    assert await status(company, "GET", "tenants/t3", "operator") == 404


async def test_nobody_of_a_disabled_tenant_gets_in(company: Company) -> None:
    """Its users and its applications, within the bound of what is remembered."""
    credentials = ("u1", "sync", "weak")

    async def until(disabled: bool, expected: int) -> None:
        await company.v2("PATCH", "tenants/t1", "operator", {"disabled": disabled})
        for who in credentials:
            while await status(company, "GET", "department-tree", who) != expected:
                await trio.lowlevel.checkpoint()

    assert [await status(company, "GET", "department-tree", who) for who in credentials] == [
        200
    ] * 3
    with trio.fail_after(20):
        await until(disabled=True, expected=401)
        assert await status(company, "GET", "department-tree", "other") == 200
        await until(disabled=False, expected=200)


@pytest.mark.parametrize("body", [{"customer_id": "c1"}, {"disabled": True}])
async def test_an_application_does_not_sell_or_close_its_tenant(
    company: Company, body: Any
) -> None:
    """It may rename it."""
    await put(company.world.context.database, Customer(id="c1", name="C1"))
    before = await state(company)

    assert await status(company, "PATCH", "tenants/t1", "sync", body) == 403
    assert await state(company) == before
    assert await status(company, "PATCH", "tenants/t1", "sync", {"disabled": False}) == 200


@EVERYWHERE
@pytest.mark.parametrize("kind", ["users", "departments", "groups"])
async def test_only_an_empty_tenant_is_deleted(company: Company, kind: str) -> None:
    """Else what it has would be nobody's."""
    row = {
        "users": User(id="x", name="x", tenant_id="t3"),
        "departments": Org(id="x", name="x", tenant_id="t3"),
        "groups": Qun(id="x", name="x", tenant_id="t3"),
    }[kind]
    await put(company.world.context.database, Tenant(id="t3", name="T3"), row)

    answer = await company.v2("DELETE", "tenants/t3", "operator")

    assert answer.status == 409
    assert kind in answer.json()["detail"]


@EVERYWHERE
async def test_lists_come_in_pages(company: Company) -> None:
    """Each row once; the cursor of another list is refused."""
    for number in range(3, 8):
        await company.v2("POST", "tenants", "operator", {"id": f"t{number}", "name": "T"})

    found, after = [], ""
    while True:
        page = (await company.v2("GET", f"tenants?limit=2{after}", "operator")).json()
        found += [tenant["id"] for tenant in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    wrong = await company.v2("GET", f"departments/d2/members?tenant=t1{after}", "operator")

    assert found == [f"t{number}" for number in range(1, 8)]
    assert (wrong.status, wrong.json()["field"]) == (422, "after")


@EVERYWHERE
async def test_members_of_a_department_and_of_all_below(company: Company) -> None:
    """By (sort, id) in one; by id, each once, in all. No password, no phone number, no address."""
    database = company.world.context.database
    await put(
        database,
        OrgUser(org_id="d1", user_id="u1", sort=9),
        OrgUser(org_id="d1", user_id="u2", sort=8),
        OrgUser(org_id="d2", user_id="v1", sort=1),
    )

    one = (await company.v2("GET", "departments/d1/members?limit=1", "u1")).json()
    two = (await company.v2("GET", f"departments/d1/members?after={one['next']}", "u1")).json()
    deep = (await company.v2("GET", "departments/d1/members?deep=true&limit=1", "u1")).json()
    more = await company.v2("GET", f"departments/d1/members?deep=true&after={deep['next']}", "u1")

    u1 = {"id": "u1", "name": "u1", "nickname": "U1", "avatar": "", "disabled": False}
    u2 = {"id": "u2", "name": "u2", "nickname": "U2", "avatar": "", "disabled": False}
    assert one["items"] == [u2 | {"sort": 8}]
    assert two == {"items": [u1 | {"sort": 9}], "next": None}
    assert deep["items"] == [u1]
    assert more.json() == {"items": [u2], "next": None}


@EVERYWHERE
async def test_many_are_added_or_nobody(company: Company) -> None:
    """Who is there gets the sort; a stranger in the list stops all."""
    users = {"user_ids": ["u2", "u1", "u2"], "sort": 4}

    done = await status(company, "POST", "departments/d2/members", "sync", users)
    after = (await state(company))[1]
    wrong = await company.v2("POST", "departments/d1/members", "sync", {"user_ids": ["u1", "v1"]})

    assert done == 204
    assert after == [("d2", "u1", 4), ("d2", "u2", 4)]
    assert (wrong.status, wrong.json()["field"]) == (422, "user_ids[1]")
    assert (await state(company))[1] == after


BAD: list[tuple[str, str, Any, str]] = [
    ("GET", "departments?limit=0", None, "limit"),
    ("GET", "departments?after=x", None, "after"),
    ("GET", "departments?tenent=t1", None, "tenent"),
    ("GET", "departments?tenant=%00", None, "tenant"),
    ("GET", "departments?parent_id=%00", None, "parent_id"),
    ("GET", "departments/%00", None, "department"),
    ("GET", "departments/d1/members?deep=1", None, "deep"),
    ("GET", "users/%00/departments", None, "user"),
    ("GET", "department-tree?x=1", None, "x"),
    ("POST", "departments", {}, "name"),
    ("POST", "departments", {"name": ""}, "name"),
    ("POST", "departments", {"name": "x" * 121}, "name"),
    ("POST", "departments", {"name": "a\nb"}, "name"),
    ("POST", "departments", {"name": "x", "id": "a b"}, "id"),
    ("POST", "departments", {"name": "x", "short_name": "x" * 61}, "short_name"),
    ("POST", "departments", {"name": "x", "parent_id": "no"}, "parent_id"),
    ("POST", "departments", {"name": "x", "sort": 2**31}, "sort"),
    ("POST", "departments", {"name": "x", "location": "00"}, "location"),
    ("POST", "departments", {"name": "x", "tenant_id": "a\0"}, "tenant_id"),
    ("POST", "departments?x=1", {"name": "x"}, "x"),
    ("PATCH", "departments/d1", {"name": ""}, "name"),
    ("PATCH", "departments/d1", {"tenant_id": "t2"}, "tenant_id"),
    ("PATCH", "departments/d1", {"parent_id": None}, "parent_id"),
    ("PATCH", "departments/d1", {"parent_id": "a\0"}, "parent_id"),
    ("PATCH", "departments/d1", {"short_name": "\t"}, "short_name"),
    ("PATCH", "departments/d1", {"sort": -(2**31)}, "sort"),
    ("DELETE", "departments/d1?cascade=yes", None, "cascade"),
    ("POST", "departments/d1/members", {"user_ids": []}, "user_ids"),
    ("POST", "departments/d1/members", {"user_ids": ["u1"] * 1001}, "user_ids"),
    ("POST", "departments/d1/members", {"user_ids": ["a\0"]}, "user_ids[0]"),
    ("POST", "departments/d1/members", {"user_ids": ["u1"], "sort": 2**40}, "sort"),
    ("PATCH", "departments/d2/members/u1", {}, "sort"),
    ("PATCH", "departments/d2/members/u1", {"sort": 2**40}, "sort"),
    ("PATCH", "tenants/t1", {"name": ""}, "name"),
    ("PATCH", "tenants/t1", {"id": "t9"}, "id"),
    ("PATCH", "tenants/t1", {"code": "x" * 65}, "code"),
]
BAD_FOR_OPERATORS: list[tuple[str, str, Any, str]] = [
    ("POST", "departments", {"name": "x", "tenant_id": "nowhere"}, "tenant"),
    ("POST", "departments", {"name": "x"}, "tenant"),
    ("GET", "tenants?customer_id=%00", None, "customer_id"),
    ("POST", "tenants", {"name": "x", "id": "a@b"}, "id"),
    ("POST", "tenants", {"name": ""}, "name"),
    ("POST", "tenants", {"name": "x", "customer_id": "no"}, "customer_id"),
    ("POST", "tenants", {"name": "x", "disabled": 1}, "disabled"),
    ("PATCH", "tenants/t1", {"customer_id": "no"}, "customer_id"),
    ("GET", "tenants/%00", None, "tenant"),
    ("POST", "customers", {"name": "x" * 256}, "name"),
    ("POST", "customers", {"name": "x", "id": ""}, "id"),
    ("PATCH", "customers/c1", {"name": ""}, "name"),
    ("GET", "customers?limit=x", None, "limit"),
]


REFUSED: list[tuple[str, str, Any, int]] = [
    ("GET", "departments/d9", None, 404),
    ("PATCH", "departments/d9", {"name": "x"}, 404),
    ("DELETE", "departments/d9", None, 404),
    ("GET", "departments/d9/members", None, 404),
    ("POST", "departments/d9/members", {"user_ids": ["u1"]}, 404),
    ("PATCH", "departments/d9/members/u1", {"sort": 1}, 404),
    ("PATCH", "departments/d1/members/u1", {"sort": 1}, 404),
    ("DELETE", "departments/d9/members/u1", None, 404),
    ("GET", "tenants/t9", None, 404),
    ("PATCH", "tenants/t9", {"name": "x"}, 404),
    ("POST", "departments", {"id": "d1", "name": "x"}, 409),
    ("PATCH", "departments/d1", {"parent_id": "d2"}, 409),
    ("PATCH", "departments/d1", {"parent_id": "d1"}, 409),
    ("DELETE", "departments/d1", None, 409),
    ("DELETE", "departments/d2", None, 409),
]


@pytest.mark.parametrize(("who", "cases"), [("sync", BAD), ("operator", BAD_FOR_OPERATORS)])
async def test_bad_input_names_the_field_and_changes_nothing(
    company: Company, who: str, cases: list[tuple[str, str, Any, str]]
) -> None:
    """422, a problem document."""
    before = await state(company)

    for method, path, body, field in cases:
        answer = await company.v2(method, path, who, body)
        said = (answer.status, answer.json().get("code"), answer.json().get("field"))
        assert said == (422, "bad_input", field), (method, path, body)

    assert await state(company) == before


async def test_what_is_not_there_or_cannot_be(company: Company) -> None:
    """404 and 409, and nothing has changed."""
    before = await state(company)

    for method, path, body, expected in REFUSED:
        answer = await company.v2(method, path, "sync", body)
        code = {404: "not_found", 409: "conflict"}[expected]
        assert (answer.status, answer.json()["code"]) == (expected, code), (method, path)

    assert await state(company) == before


async def test_without_its_database_nothing_is_claimed(company: Company) -> None:
    """503, and come back later."""

    def fail(*_: Any) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("away"))

    engine = company.world.context.database.engine
    sa.event.listen(engine, "before_cursor_execute", fail)
    answer = await company.v2("GET", "tenants", "operator")
    app = await company.app("app/getOrgList", "sync", uid="u1")
    sa.event.remove(engine, "before_cursor_execute", fail)

    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert app["baseResponse"]["ret"] == 65535


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    [
        "id",
        "name",
        "tenant_id",
        "parent_id",
        "sort",
        "user_ids",
        "users",
        "departments",
        "links",
        "delete",
        "dry_run",
        "code",
        "disabled",
        "customer_id",
        "short_name",
        "department_id",
        "user_id",
        "password",
        "role",
        "email",
    ]
)
BODIES = st.dictionaries(
    MEMBERS, JUNK | st.lists(st.dictionaries(MEMBERS, JUNK, max_size=3), max_size=2), max_size=4
)
PATHS = st.sampled_from(
    [
        *READS,
        *{path for _, path, _ in CHANGES},
        *{path for _, path, _ in OPERATORS},
        "departments?tenant=%ff&after=W10",
        "departments/%f0%9f%98%80/members?deep=true&after=WyJhIl0",
    ]
)


@settings(max_examples=10, deadline=None)
@given(
    requests=st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
            PATHS,
            st.sampled_from(["operator", "sync", "u1"]),
            BODIES | JUNK,
        ),
        min_size=15,
        max_size=15,
    )
)
async def test_any_request_is_answered_or_refused(
    requests: list[tuple[str, str, str, Any]],
) -> None:
    """No body and no path gives a 5xx."""
    async with open_company() as company:
        for method, path, who, body in requests:
            answer = await company.v2(method, path, who, body)
            assert answer.status < 500, (method, path, body)
