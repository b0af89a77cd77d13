"""Who is in a department: linked once, within one tenant, whoever does so at once."""

from contextlib import suppress
from functools import partial

import pytest
import sqlalchemy as sa
import trio

from appmodel.errors import BadInput, Conflict, NotFound
from appmodel.io.caching import Changes
from appmodel.io.database import Database
from appmodel.orm.organisations import Org, OrgUser
from appmodel.orm.people import User
from tests.web.organisations import app_of, forget_notes, notes, put, tenants, user_of
from web.core.organisation import LinkChange, NewLinks
from web.core.paging import Paging
from web.services.department_members import DepartmentMembers
from web.services.departments import Departments

APP = app_of("t1")


@pytest.fixture
async def members(database: Database) -> DepartmentMembers:
    """Of a tenant with the departments d1 > d2 > d3, and d4; its users are u0 to u9."""
    await tenants(database, "t1", "t2")
    places = {"d1": ("", "00"), "d2": ("d1", "0000"), "d3": ("d2", "000000"), "d4": ("", "01")}
    await put(
        database,
        *(Org(id=i, parent_id=p, location=at, tenant_id="t1") for i, (p, at) in places.items()),
        *(User(id=f"u{n}", name=f"u{n}", nickname=f"U{9 - n}", tenant_id="t1") for n in range(10)),
        User(id="v1", name="v1", tenant_id="t2"),
    )
    return DepartmentMembers(database)


async def in_(members: DepartmentMembers, department_id: str, *, deep: bool = False) -> list[str]:
    items, _ = await members.page(APP, department_id, Paging(), None, deep=deep)
    return [each.id for each in items]


async def test_linking_at_once_is_linking_once(members: DepartmentMembers) -> None:
    """By one call or the other; the original makes a row each time."""
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(members.link, APP, "d1", "u1")
            nursery.start_soon(members.add, APP, "d1", NewLinks(["u1", "u2"]), None)

    assert await in_(members, "d1") == ["u1", "u2"]


async def test_who_is_below_is_there_once(members: DepartmentMembers) -> None:
    """In one department: those in it. Deep: all below it too, each once; and nobody from beside it."""
    for department_id, uids in {"d1": "12", "d2": "23", "d3": "34", "d4": "5"}.items():
        await members.add(APP, department_id, NewLinks([f"u{n}" for n in uids]), None)

    assert await in_(members, "d2") == ["u2", "u3"]
    assert await in_(members, "d2", deep=True) == ["u2", "u3", "u4"]
    assert await in_(members, "d1", deep=True) == ["u1", "u2", "u3", "u4"]


async def test_the_order_on_a_phone(members: DepartmentMembers) -> None:
    """By sort, then nickname."""
    await members.add(APP, "d1", NewLinks(["u1", "u2", "u3"], 5), None)
    await members.sort(APP, "d1", "u1", LinkChange(4), None)

    rows = await members.everybody(user_of("t1"), "d1")

    assert [(row.person.uid, row.sort) for row in rows] == [("u1", 4), ("u3", 5), ("u2", 5)]


async def test_a_link_and_its_department_do_not_miss_each_other(
    members: DepartmentMembers, database: Database
) -> None:
    """Linked and deleted at once: no link is left to a department that is gone."""
    departments = Departments(database, Changes(database, staleness=1))

    async def link(uid: str) -> None:
        with suppress(NotFound):
            await members.link(APP, "d4", uid)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(link, f"u{number}")
        nursery.start_soon(partial(departments.delete, APP, "d4", None, cascade=True))
        for number in range(5, 10):
            nursery.start_soon(link, f"u{number}")

    left = await database.read(lambda session: list(session.scalars(sa.select(OrgUser.user_id))))
    assert left == []


async def test_a_department_with_people_stays(
    members: DepartmentMembers, database: Database
) -> None:
    """Unless it is said that they may lose it."""
    await members.link(APP, "d4", "u1")
    departments = Departments(database, Changes(database, staleness=1))

    with pytest.raises(Conflict, match="people"):
        await departments.delete(APP, "d4", None, cascade=False)
    await members.remove(APP, "d4", "u1", None)
    await departments.delete(APP, "d4", None, cascade=False)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_strangers_are_not_linked(members: DepartmentMembers) -> None:
    """Not a user of another tenant, nor into its departments."""
    with pytest.raises(BadInput, match="user_ids"):
        await members.add(APP, "d1", NewLinks(["u1", "v1"]), None)
    with pytest.raises(NotFound):
        await members.link(APP, "d1", "v1")
    with pytest.raises(NotFound):
        await members.link(app_of("t2"), "d1", "v1")

    assert await in_(members, "d1", deep=True) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_changes_is_noted(members: DepartmentMembers, database: Database) -> None:
    """And what does not, is not."""
    told = {"d1@org", "orgs:t1"}
    await members.link(APP, "d1", "u1")
    assert await notes(database) == told
    await forget_notes(database)

    await members.link(APP, "d1", "u1")
    await members.remove(APP, "d1", "u2", None)
    assert await notes(database) == set()
    await members.sort(APP, "d1", "u1", LinkChange(2), None)
    assert await notes(database) == told
    await forget_notes(database)
    await members.remove(APP, "d1", "u1", None)

    assert await notes(database) == told
