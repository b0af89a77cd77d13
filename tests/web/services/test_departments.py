"""Departments: their places in the tree, whoever writes at once, and whose they are."""

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.departments import DepartmentRow
from appmodel.errors import BadInput, Conflict, Forbidden, NotFound, PushError
from appmodel.io.caching import Changes
from appmodel.io.database import Database
from appmodel.orm.organisations import Org, OrgUser
from tests.web.organisations import (
    OPERATOR,
    app_of,
    forget_notes,
    locations,
    notes,
    placed,
    put,
    tenants,
    user_of,
)
from web.core.organisation import DepartmentChange, NewDepartment
from web.core.paging import Paging
from web.core.principals import Permission
from web.services.departments import Departments

APP = app_of("t1")
SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def departments(database: Database, nursery: trio.Nursery) -> Departments:
    """Of the tenants t1 and t2, both without any."""
    await tenants(database, "t1", "t2")
    changes = Changes(database, staleness=1)
    await nursery.start(changes.run)
    return Departments(database, changes)


async def create(departments: Departments, *ids: str, parent: str = "", **more: Any) -> None:
    """Departments below a parent."""
    for each in ids:
        wanted = NewDepartment(id=each, name=each.upper(), parent_id=parent, **more)
        await departments.create(APP, wanted)


async def move(departments: Departments, department_id: str, parent: str) -> None:
    """To another parent."""
    await departments.change(APP, department_id, DepartmentChange(parent_id=parent), None)


async def test_new_ones_get_places(departments: Departments, database: Database) -> None:
    """One after the other, two characters a level."""
    await create(departments, "a", "b")
    await create(departments, "c", "d", parent="b")
    await create(departments, "e", parent="d")

    assert await locations(database) == {
        "a": "00",
        "b": "01",
        "c": "0100",
        "d": "0101",
        "e": "010100",
    }


async def test_roots_are_numbered_per_tenant(departments: Departments, database: Database) -> None:
    """The original counts over all of them, and is full after 1,296 departments of anybody's."""
    await create(departments, "a", "b")
    await departments.create(app_of("t2"), NewDepartment(id="x", name="X"))

    assert await locations(database, "t2") == {"x": "00"}


async def test_moving_takes_along_what_lies_below(
    departments: Departments, database: Database
) -> None:
    """In the original no location changes, not even its own; others stay where they are, another tenant's too."""
    await create(departments, "a", "b")
    await create(departments, "moved", "stays", parent="a")
    await create(departments, "child", parent="moved")
    await create(departments, "grandchild", parent="child")
    await put(
        database,
        Org(id="last", parent_id="moved", location="0000zz", tenant_id="t1"),
        Org(id="theirs", location="0000", tenant_id="t2"),
    )

    await move(departments, "moved", "b")

    expected = {
        "a": "00",
        "b": "01",
        "stays": "0001",
        "moved": "0100",
        "child": "010000",
        "grandchild": "01000000",
        "last": "0100zz",
    }
    assert await locations(database) == expected
    assert await locations(database, "t2") == {"theirs": "0000"}
    await move(departments, "moved", "")
    assert (await locations(database))["grandchild"] == "020000"


@SQLITE
async def test_a_department_cannot_lie_below_itself(
    departments: Departments, database: Database
) -> None:
    """Neither below what lies below it: a circle would be lost to the tree."""
    await create(departments, "a")
    await create(departments, "b", parent="a")
    before = await locations(database)

    for parent in ("a", "b"):
        with pytest.raises(Conflict, match="parent_id"):
            await move(departments, "a", parent)

    assert await locations(database) == before


async def test_moves_at_once_make_no_circle(departments: Departments, database: Database) -> None:
    """Of two that would, one is refused."""
    await create(departments, "a", "b")
    refused: list[PushError] = []

    async def swap(department_id: str, parent: str) -> None:
        try:
            await move(departments, department_id, parent)
        except Conflict as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(swap, "a", "b")
        nursery.start_soon(swap, "b", "a")

    assert len(refused) == 1
    assert sorted(map(len, (await locations(database)).values())) == [2, 4]


async def test_what_comes_at_once_has_places_of_its_own(
    departments: Departments, database: Database
) -> None:
    """New ones and moves, of several connections."""
    await create(departments, "a", "b")
    await create(departments, "m0", "m1", "m2", parent="a")

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(partial(create, departments, f"n{number}", parent="b"))
        for number in range(3):
            nursery.start_soon(move, departments, f"m{number}", "b")

    wished = {
        "a": "",
        "b": "",
        **{f"n{n}": "b" for n in range(6)},
        **{f"m{n}": "b" for n in range(3)},
    }
    assert not placed(wished.items(), await locations(database))


@SQLITE
async def test_a_level_may_be_full(departments: Departments, database: Database) -> None:
    """1,296 below one parent; a place that gets free is taken again."""
    characters = "0123456789abcdefghijklmnopqrstuvwxyz"
    places = [a + b for a in characters for b in characters]
    await put(database, *(Org(id=f"d{p}", name="D", location=p, tenant_id="t1") for p in places))

    with pytest.raises(Conflict, match="no place"):
        await create(departments, "new")
    await departments.delete(APP, "d7q", None, cascade=False)
    await create(departments, "new")

    assert (await locations(database))["new"] == "7q"


@SQLITE
async def test_the_tree_has_128_levels(departments: Departments, database: Database) -> None:
    """Neither a new department nor a move may go deeper, for no column could hold it."""
    deep = [Org(id=f"d{n}", name="D", location="00" * n, tenant_id="t1") for n in range(1, 129)]
    for each in deep[1:]:
        each.parent_id = f"d{len(each.location) // 2 - 1}"
    await put(database, *deep)
    await create(departments, "a")
    await create(departments, "b", parent="a")

    with pytest.raises(Conflict, match="no place"):
        await create(departments, "c", parent="d128")
    with pytest.raises(Conflict, match="too deep"):
        await move(departments, "a", "d127")
    await move(departments, "a", "d126")

    assert len((await locations(database))["b"]) == 256


@SQLITE
async def test_what_lost_its_parent_can_be_moved(
    departments: Departments, database: Database
) -> None:
    """An adopted row whose parent there is not has the place of a root; so has what has none at all."""
    await put(
        database,
        Org(id="orphan", parent_id="gone", location="05", tenant_id="t1"),
        Org(id="child", parent_id="orphan", location="0500", tenant_id="t1"),
        Org(id="lost", parent_id="", location="", tenant_id="t1"),
    )
    await create(departments, "a")

    await move(departments, "orphan", "a")
    await move(departments, "lost", "")

    expected = {"a": "06", "orphan": "0600", "child": "060000", "lost": "07"}
    assert await locations(database) == expected


@pytest.mark.parametrize("parent", ["nobody", "theirs"])
@SQLITE
async def test_a_parent_must_be_there(
    departments: Departments, database: Database, parent: str
) -> None:
    """In the tenant: the original makes a row without a place."""
    await departments.create(app_of("t2"), NewDepartment(id="theirs", name="X"))
    await create(departments, "a")

    with pytest.raises(BadInput, match="parent_id"):
        await create(departments, "new", parent=parent)
    with pytest.raises(BadInput, match="parent_id"):
        await move(departments, "a", parent)

    assert await locations(database) == {"a": "00"}


async def test_an_id_is_taken_whoever_has_it(departments: Departments, database: Database) -> None:
    """Ids are unique over all tenants; and at once, one wins."""
    await create(departments, "a")
    outcomes: list[str] = []

    async def try_(tenant_id: str, department_id: str) -> None:
        try:
            await departments.create(app_of(tenant_id), NewDepartment(id=department_id, name="X"))
            outcomes.append("made")
        except Conflict:
            outcomes.append("taken")

    await try_("t1", "a")
    await try_("t2", "a")
    async with trio.open_nursery() as nursery:
        for tenant_id in ("t1", "t2", "t1", "t2"):
            nursery.start_soon(try_, tenant_id, "b")

    assert outcomes[:2] == ["taken", "taken"]
    assert sorted(outcomes[2:]) == ["made", "taken", "taken", "taken"]


@SQLITE
async def test_another_tenants_department_is_not_there(
    departments: Departments, database: Database
) -> None:
    """To read, change, move, delete or put it."""
    await create(departments, "a")
    other = app_of("t2")
    before = await locations(database)

    for attempt in (
        departments.get(other, "a", None),
        departments.change(other, "a", DepartmentChange(name="Mine"), None),
        departments.delete(other, "a", None, cascade=True),
    ):
        with pytest.raises(NotFound):
            await attempt
    with pytest.raises(Conflict):
        await departments.put(other, DepartmentRow("a", "Mine", "", "", "", "t2", 0))
    with pytest.raises(Forbidden):
        await departments.get(other, "a", "t1")
    assert (await departments.page(other, Paging(), None, None))[0] == []
    assert (await departments.company(other, None)).tree.children == []

    assert await locations(database) == before
    assert (await departments.get(OPERATOR, "a", "t1")).name == "A"


@SQLITE
async def test_who_may_change_departments(departments: Departments, database: Database) -> None:
    """Applications and users' roles with SYNC, and operators. Everybody of the tenant reads."""
    await create(departments, "a")
    weak = app_of("t1", Permission.PUSH)

    for caller in (weak, user_of("t1"), user_of("t1", role="announcer")):
        assert (await departments.get(caller, "a", None)).id == "a"
        for attempt in (
            departments.create(caller, NewDepartment(id="b", name="B")),
            departments.put(caller, DepartmentRow("a", "B", "", "", "", "t1", 0)),
            departments.change(caller, "a", DepartmentChange(name="B"), None),
            departments.delete(caller, "a", None, cascade=True),
        ):
            with pytest.raises(Forbidden):
                await attempt
    await departments.change(user_of("t1", role="admin"), "a", DepartmentChange(name="B"), None)
    await departments.change(OPERATOR, "a", DepartmentChange(short_name="S"), "t1")

    found = await departments.get(APP, "a", None)
    assert (found.name, found.short_name) == ("B", "S")


@SQLITE
async def test_only_an_empty_one_goes_without_asking(
    departments: Departments, database: Database
) -> None:
    """With `cascade` all below it, and who is in them is in them no more."""
    await create(departments, "a", "z")
    await create(departments, "b", parent="a")
    await create(departments, "c", parent="b")
    await put(database, OrgUser(org_id="c", user_id="u1"), OrgUser(org_id="z", user_id="u1"))

    for department_id in ("a", "b", "c"):
        with pytest.raises(Conflict, match="cascade"):
            await departments.delete(APP, department_id, None, cascade=False)
    await departments.delete(APP, "a", None, cascade=True)

    assert (await locations(database)).keys() == {"z"}
    left = await database.read(lambda session: list(session.scalars(sa.select(OrgUser.org_id))))
    assert left == ["z"]


@SQLITE
async def test_a_change_changes_what_it_names(departments: Departments, database: Database) -> None:
    """And nothing else; what changes nothing is no news."""
    await create(departments, "a", "b", short_name="short", sort=3)
    await forget_notes(database)

    same = await departments.change(APP, "a", DepartmentChange(name="A", sort=3), None)
    assert await notes(database) == set()
    other = await departments.change(APP, "a", DepartmentChange(name="New"), None)

    assert (same.name, other.name) == ("A", "New")
    assert (other.short_name, other.sort, other.location) == ("short", 3, "00")
    assert await notes(database) == {"a@org", "tree:t1", "orgs:t1"}


@SQLITE
async def test_the_tree_is_sorted_on_all_levels(
    departments: Departments, database: Database
) -> None:
    """By (sort, name, id); what has no way up to a root is left out."""
    await create(departments, "z", sort=1)
    await create(departments, "y", sort=2)
    for parent, ids in {"z": "dcb", "b": "hgf", "f": "lkj"}.items():
        await create(departments, *ids, parent=parent)
    await create(departments, "a", parent="z", sort=-1)
    await put(
        database,
        Org(id="orphan", name="O", parent_id="gone", location="05", tenant_id="t1"),
        Org(id="p", name="P", parent_id="q", location="06", tenant_id="t1"),
        Org(id="q", name="Q", parent_id="p", location="0600", tenant_id="t1"),
    )

    tree = (await departments.company(user_of("t1"), None)).tree

    def shown(nodes: Any) -> str:
        return "".join(
            node.id + (f"({shown(node.children)})" * bool(node.children)) for node in nodes
        )

    assert (tree.tenant_id, tree.name) == ("t1", "T1")
    assert shown(tree.children) == "z(ab(f(jkl)gh)cd)y"


@SQLITE
async def test_a_tree_is_remembered(departments: Departments, database: Database) -> None:
    """Until a department of the tenant changes, wherever."""
    await create(departments, "a")

    with trio.fail_after(10):  # until changes are followed
        while True:
            first = await departments.company(APP, None)
            if await departments.company(user_of("t1"), None) is first:
                break
    await create(departments, "b", parent="a")

    assert [n.id for n in (await departments.company(APP, None)).tree.children[0].children] == ["b"]


@SQLITE
async def test_departments_come_in_pages(departments: Departments, database: Database) -> None:
    """By id; all, or those below a parent, or the roots."""
    await create(departments, "a", "c", "b")
    await create(departments, "x", "y", parent="a")

    async def ids(parent_id: str | None) -> list[str]:
        paging, every = Paging(2), []
        while True:
            items, after = await departments.page(APP, paging, None, parent_id)
            every += [each.id for each in items]
            if after is None:
                return every
            paging = Paging(2, (items[-1].id,))

    assert await ids(None) == ["a", "b", "c", "x", "y"]
    assert await ids("") == ["a", "b", "c"]
    assert await ids("a") == ["x", "y"]


@SQLITE
async def test_departments_need_a_tenant(departments: Departments) -> None:
    """One that is there."""
    for tenant_id in ("", "nowhere"):
        with pytest.raises(BadInput, match="tenant"):
            await departments.create(OPERATOR, NewDepartment(name="A", tenant_id=tenant_id))
