"""Batches, written: on every database, at once with others, and in a handful of statements."""

from functools import partial
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
import trio

from appmodel.errors import BadInput, Conflict, Forbidden, Unauthorized
from appmodel.io.caching import Changes
from appmodel.io.database import Database
from appmodel.orm.organisations import Org, OrgUser
from appmodel.orm.people import User
from tests.web.organisations import (
    OPERATOR,
    Company,
    app_of,
    forget_notes,
    locations,
    notes,
    open_company,
    placed,
    put,
    tenants,
    user_of,
)
from web.core.organisation import NewDepartment
from web.core.principals import Permission, Principal
from web.core.sync import MAX_PLAIN, Counts, RowsRefused, SyncAnswer, decode_batch
from web.services.departments import Departments
from web.services.passwords import Passwords, hash_password
from web.services.syncing import Syncing

APP = app_of("t1")
SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
HASH = hash_password("secret")


class FakeLogins:
    """User tokens, as far as a batch ends them."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def revoke_all(self, uid: str) -> None:
        await trio.lowlevel.checkpoint()
        self.ended.append(uid)


@pytest.fixture
def logins() -> FakeLogins:
    return FakeLogins()


@pytest.fixture
async def syncing(database: Database, logins: FakeLogins) -> Syncing:
    """Of the tenants t1 and t2, both empty."""
    await tenants(database, "t1", "t2")
    passwords = Passwords(memory=8, passes=1)
    return Syncing(database, logins, passwords)


async def sync(syncing: Syncing, caller: Principal = APP, **lists: Any) -> SyncAnswer:
    return await syncing.sync(caller, decode_batch(msgspec.json.encode(lists)))


async def everything(database: Database) -> Any:
    """All rows that a batch writes, but times and ids that are made up."""

    def find(session: Any) -> Any:
        person = (User.id, User.name, User.nickname, User.email, User.status, User.password)
        wanted = (
            sa.select(*person, User.tenant_id, User.role).order_by(User.id),
            sa.select(Org.__table__).order_by(Org.id),
            sa.select(OrgUser.org_id, OrgUser.user_id, OrgUser.sort).order_by(
                OrgUser.org_id, OrgUser.user_id
            ),
        )
        return [[tuple(row) for row in session.execute(each)] for each in wanted]

    return await database.read(find)


COMPANY: dict[str, Any] = {
    "departments": [
        {"id": "eu", "name": "Europe", "parent_id": "sales", "sort": 2},
        {"id": "sales", "name": "Sales", "short_name": "S"},
    ],
    "users": [
        {"id": "ann", "name": "ann", "nickname": "Ann 安", "password": HASH, "role": "admin"},
        {"id": "bob", "name": "bob", "email": "b@x", "disabled": True},
    ],
    "links": [
        {"department_id": "eu", "user_id": "ann", "sort": 3},
        {"department_id": "sales", "user_id": "bob"},
    ],
}


async def test_a_company_comes_changes_and_goes(syncing: Syncing, database: Database) -> None:
    """New rows, the same again, other values, deletions: each counted, each written."""
    made = await sync(syncing, **COMPANY)
    first = await everything(database)
    again = await sync(syncing, **COMPANY)
    changed = await sync(
        syncing,
        users=[{"id": "ann", "nickname": "Anna"}, {"id": "bob", "disabled": False}],
        departments=[{"id": "eu", "parent_id": ""}],
        links=[{"department_id": "eu", "user_id": "ann", "sort": 1}],
        delete={"links": [{"department_id": "sales", "user_id": "bob"}]},
    )
    second = await everything(database)
    gone = await sync(
        syncing,
        delete={"users": ["ann", "bob", "cid"], "departments": ["sales", "eu"], "links": []},
    )

    assert (made.users, made.departments, made.links) == (Counts(created=2),) * 3
    assert (again.users, again.departments, again.links) == (Counts(unchanged=2),) * 3
    assert first == [
        [
            ("ann", "ann", "Ann 安", "", 0, HASH, "t1", "admin"),
            ("bob", "bob", "", "b@x", -1, "", "t1", "member"),
        ],
        [
            ("eu", "Europe", "", "sales", "0000", "t1", 2),
            ("sales", "Sales", "S", "", "00", "t1", 0),
        ],
        [("eu", "ann", 3), ("sales", "bob", 0)],
    ]
    assert changed.users == Counts(updated=2)
    assert changed.links == Counts(updated=1, deleted=1)
    assert second == [
        [
            ("ann", "ann", "Anna", "", 0, HASH, "t1", "admin"),
            ("bob", "bob", "", "b@x", 0, "", "t1", "member"),
        ],
        [("eu", "Europe", "", "", "01", "t1", 2), ("sales", "Sales", "S", "", "00", "t1", 0)],
        [("eu", "ann", 1)],
    ]
    assert (gone.users, gone.departments) == (Counts(deleted=2, unchanged=1), Counts(deleted=2))
    assert await everything(database) == [[], [], []]


async def test_a_thousand_rows_are_a_handful_of_statements(
    syncing: Syncing, database: Database
) -> None:
    """As many as ten rows are."""

    async def cost(prefix: str, number: int) -> int:
        before = database.statements
        ids = [f"{prefix}{at}" for at in range(number // 3)]
        await sync(
            syncing,
            users=[{"id": each, "name": each, "password": HASH} for each in ids],
            departments=[{"id": each, "name": each} for each in ids],
            links=[{"department_id": each, "user_id": each} for each in ids],
        )
        again = [{"id": each, "nickname": "N", "password": hash_} for each in ids]
        moved = [{"id": each, "parent_id": ids[0]} for each in ids[1:]]
        await sync(syncing, users=again, departments=moved)
        await sync(syncing, delete={"users": ids[1:]})
        return database.statements - before

    hash_ = hash_password("other")
    few, many = await cost("a", 10), await cost("b", 999)

    assert many <= few + 4  # rows of notes come in pages of 1,000
    assert few < 80  # three calls
    assert not placed(
        [(f"b{at}", "b0" * (at > 0)) for at in range(333)],
        {k: v for k, v in (await locations(database)).items() if k.startswith("b")},
    )


async def test_one_wrong_row_stops_all(syncing: Syncing, database: Database) -> None:
    """Whatever is wrong with it, and wherever it stands."""
    await sync(syncing, **COMPANY)
    await put(database, User(id="theirs", name="x", tenant_id="t2"))
    before, noted = await everything(database), await notes(database)
    good = {"id": "new", "name": "new"}

    for lists in (
        {"users": [good, {"id": "theirs", "name": "x"}]},
        {"users": [good, {"id": "n2", "name": "ann"}]},
        {"users": [good, {"id": "n2", "name": "n2", "password": "a\0"}]},
        {"users": [good], "departments": [{"id": "eu", "parent_id": "no"}]},
        {"users": [good], "links": [{"department_id": "eu", "user_id": "theirs"}]},
        {"users": [good], "delete": {"departments": ["sales"]}},
    ):
        with pytest.raises(RowsRefused):
            await sync(syncing, **lists)

    assert await everything(database) == before
    assert await notes(database) == noted


async def test_a_dry_run_writes_nothing(
    syncing: Syncing, database: Database, logins: FakeLogins
) -> None:
    """And says what would happen, or what is wrong."""
    await sync(syncing, users=COMPANY["users"][:1])
    before, noted = await everything(database), await notes(database)

    answer = await sync(syncing, **COMPANY, delete={"links": []}, dry_run=True)
    gone = await sync(syncing, delete={"users": ["ann"]}, dry_run=True)
    with pytest.raises(RowsRefused):
        await sync(syncing, users=[{"id": "x"}], dry_run=True)

    assert answer.dry_run
    assert answer.users == Counts(created=1, unchanged=1)
    assert answer.links == Counts(created=2)
    assert gone.users == Counts(deleted=1)
    assert (await everything(database), await notes(database)) == (before, noted)
    assert logins.ended == []


async def test_batches_and_single_changes_at_once(syncing: Syncing, database: Database) -> None:
    """Each is whole, and the tree is sound in the end."""
    departments = Departments(database, Changes(database, staleness=1))
    await sync(syncing, departments=[{"id": "a", "name": "A"}, {"id": "b", "name": "B"}])

    async def batch(parent: str, number: int) -> None:
        ids = [f"{parent}{number}{at}" for at in range(20)]
        rows = [{"id": each, "name": each, "parent_id": parent} for each in ids]
        await sync(syncing, departments=rows)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(batch, "a", number)
            nursery.start_soon(batch, "b", number)
            wanted = NewDepartment(id=f"single{number}", name="S", parent_id="a")
            nursery.start_soon(partial(departments.create, APP, wanted))

    places = await locations(database)
    wished = [(id_, id_[0] if id_[1:] else "") for id_ in places if not id_.startswith("single")]
    assert len(places) == 125
    assert not placed(wished, places)


async def test_an_id_that_two_tenants_want(syncing: Syncing, database: Database) -> None:
    """One of them gets it, as a user and as a department; the other is told, and has nothing."""
    outcomes: list[str] = []

    async def want(tenant: str, list_: str) -> None:
        try:
            rows = [{"id": "x", "name": "X"}, {"id": f"{tenant}-{list_}", "name": "Y"}]
            await sync(syncing, app_of(tenant), **{list_: rows})
            outcomes.append(f"{list_} made")
        except (Conflict, RowsRefused):
            outcomes.append(f"{list_} refused")

    async with trio.open_nursery() as nursery:
        for list_ in ("users", "departments"):
            for tenant in ("t1", "t2"):
                nursery.start_soon(want, tenant, list_)

    assert sorted(outcomes) == [
        "departments made",
        "departments refused",
        "users made",
        "users refused",
    ]
    users, orgs, _ = await everything(database)
    assert (len(users), len(orgs)) == (2, 2)


@SQLITE
async def test_another_tenant_is_not_touched(syncing: Syncing, database: Database) -> None:
    """Neither changed, linked to, nor deleted: what it has is as good as not there."""
    await sync(syncing, **COMPANY)
    before = await everything(database)
    other = app_of("t2")

    nothing = await sync(
        syncing,
        other,
        delete={
            "users": ["ann"],
            "departments": ["eu"],
            "links": [{"department_id": "eu", "user_id": "ann"}],
        },
    )
    for lists in (
        {"users": [{"id": "ann", "name": "mine"}]},
        {"departments": [{"id": "eu", "name": "mine"}]},
        {"links": [{"department_id": "eu", "user_id": "ann"}]},
    ):
        with pytest.raises(RowsRefused):
            await sync(syncing, other, **lists)
    with pytest.raises(Forbidden):
        await sync(syncing, other, tenant_id="t1", delete={"users": ["ann"]})

    assert (nothing.users, nothing.links) == (Counts(unchanged=1), Counts(unchanged=1))
    assert await everything(database) == before


@SQLITE
async def test_who_may(syncing: Syncing) -> None:
    """Permission SYNC, or an operator, who says for whom."""
    row = [{"id": "x", "name": "x"}]
    for caller in (app_of("t1", Permission.PUSH), user_of("t1")):
        with pytest.raises(Forbidden):
            await sync(syncing, caller, users=row)
    for tenant in ("", "nowhere"):
        with pytest.raises(BadInput, match="tenant"):
            await sync(syncing, OPERATOR, users=row, tenant_id=tenant)

    assert (await sync(syncing, OPERATOR, users=row, tenant_id="t1")).users.created == 1
    assert (await sync(syncing, user_of("t1", role="admin"), users=row)).users.unchanged == 1


@SQLITE
async def test_passwords(syncing: Syncing, database: Database, logins: FakeLogins) -> None:
    """Ready hashes are stored as they are; plain ones and MD5s are hashed, in 20 rows; what is stored
    already is no change."""
    plain = [{"id": f"u{n}", "name": f"u{n}", "password": f"secret {n}"} for n in range(MAX_PLAIN)]
    md5 = {"id": "u0", "name": "u0", "password": "5f4dcc3b5aa765d61d8327deb882cf99"}

    made = await sync(syncing, users=[*plain, {"id": "ann", "name": "ann", "password": HASH}])
    again = await sync(syncing, users=[*plain, {"id": "ann", "name": "ann", "password": HASH}])
    stored = {row[0]: row[5] for row in (await everything(database))[0]}
    changed = await sync(syncing, users=[md5])
    with pytest.raises(RowsRefused) as refused:
        await sync(syncing, users=[*plain, {"id": "u98", "name": "u98", "password": "one more"}])

    assert made.users == Counts(created=MAX_PLAIN + 1)
    assert again.users == Counts(unchanged=MAX_PLAIN + 1)
    assert stored["ann"] == HASH
    assert all(one.startswith("$argon2id$") for one in stored.values())
    assert changed.users == Counts(updated=1)
    assert logins.ended == ["u0"]
    assert [(e.index, e.field) for e in refused.value.errors] == [(MAX_PLAIN, "password")]
    assert "one more" not in repr(refused.value.errors)


@SQLITE
async def test_what_is_new_is_noted(syncing: Syncing, database: Database) -> None:
    """For the caches: who and what changed, and nothing for rows that did not."""
    await sync(syncing, **COMPANY)
    made = await notes(database)
    await forget_notes(database)

    await sync(syncing, **COMPANY)
    assert await notes(database) == set()
    await sync(
        syncing,
        users=[{"id": "ann", "nickname": "A"}],
        links=[{"department_id": "sales", "user_id": "ann"}],
    )
    changed = await notes(database)

    assert made >= {
        "ann@user",
        "bob@user",
        "t1@tenant",
        "eu@org",
        "sales@org",
        "tree:t1",
        "orgs:t1",
    }
    assert changed == {"ann@user", "sales@org", "orgs:t1"}


@SQLITE
async def test_who_is_disabled_by_a_batch_is_out(database: Database) -> None:
    """At once, over the wire: his token is worth nothing any more."""
    async with open_company() as company:
        before = await company.app("device/getOrgInfo", "u1")
        answer = await company.v2(
            "POST", "sync", "sync", {"users": [{"id": "u1", "disabled": True}]}
        )

        with pytest.raises(Unauthorized):
            await company.world.context.tokens.verify(company.tokens["u1"])
        assert before["baseResponse"]["ret"] == 0
        assert (answer.status, answer.json()["users"]["updated"]) == (200, 1)


async def test_errors_of_rows_over_the_wire() -> None:
    """A problem document that names each."""
    async with open_company() as company:
        answer = await refused(
            company,
            {
                "departments": [{"id": "d2", "parent_id": "no"}, {"id": "d9"}],
                "links": [{"department_id": "d1", "user_id": "v1"}],
            },
        )

        assert [(e["list"], e["index"], e["field"], e["code"]) for e in answer["errors"]] == [
            ("departments", 1, "name", "bad_input"),
            ("departments", 0, "parent_id", "bad_input"),
            ("links", 0, "user_id", "bad_input"),
        ]
        assert answer["field"] == "departments[1]"


async def refused(company: Company, body: Any) -> Any:
    """The problem that a batch is answered with."""
    answer = await company.v2("POST", "sync", "sync", body)
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()
