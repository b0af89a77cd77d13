"""Departments: create, read, change, move, delete; and the tree that phones show.

Everybody sees the departments of his tenant; who changes them has permission SYNC there, or is an
operator. A change locks the tenant, so the tenant must exist. Moving a department moves all that lies below it,
in one statement. What is noted for caches:

    d3@org         a department, or who is in it
    tree:<tenant>  the departments of a tenant: the tree
    orgs:<tenant>  those, or who is in any of them: sub-trees of members

Source: appmsgsrv app/org.go; spec/appmsgsrv.md 4.5 (37) and 10. Differences: a department moves with all that is
below it (C5), never into a circle; roots are numbered per tenant, not over all of them; a parent that there is
not is refused, where the original makes a row without a place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.core.departments import DepartmentRow
from appmodel.core.locations import MAX_LOCATION, is_below, next_location
from appmodel.errors import BadInput, Conflict, NotFound
from appmodel.io.caching import Cache, Changes
from appmodel.io.database import Database
from appmodel.orm import organisation_queries as queries
from appmodel.orm.base import new_id
from appmodel.orm.changes import note_change
from appmodel.orm.organisations import Tenant as TenantModel
from web.core.department_tree import Company
from web.core.organisation import Department, DepartmentChange, NewDepartment
from web.core.paging import Paging, cut
from web.core.principals import Permission, Principal, tenant_for

TREES = 200  # tenants whose trees are remembered; one of 1,000 departments is 1 MB


class Departments:
    """The use cases. `tenant`: what the caller names, None = nothing; see `tenant_for`."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._companies: Cache[str, Company] = Cache(
            database, changes, load=_companies, subject_of=tree_subject, limit=TREES
        )

    async def create(self, caller: Principal, wanted: NewDepartment) -> Department:
        """A new one.

        Raises:
            BadInput: a field; or there is no such parent, or tenant.
            Conflict: the id is taken, or there is no place left below the parent.
        """
        caller.require(Permission.SYNC)
        wanted.check()
        row = DepartmentRow(
            id=new_id() if wanted.id is UNSET else wanted.id,
            name=wanted.name,
            short_name=wanted.short_name,
            parent_id=wanted.parent_id,
            location="",
            tenant_id=tenant_for(caller, wanted.tenant_id),
            sort=wanted.sort,
        )
        return await self._write(row, _create)

    async def put(self, caller: Principal, row: DepartmentRow) -> Department:
        """Create it, or change it to be so. Its location is not looked at. Raises as `create`."""
        caller.require(Permission.SYNC)
        return await self._write(row, _put)

    async def get(self, caller: Principal, department_id: str, tenant: str | None) -> Department:
        """One of the tenant. Raises NotFound."""
        tenant_id = tenant_for(caller, tenant)

        def find(session: Session) -> DepartmentRow:
            return found(session, tenant_id, department_id)

        return department_of(await self._database.read(find))

    async def page(
        self, caller: Principal, paging: Paging, tenant: str | None, parent_id: str | None
    ) -> tuple[list[Department], str | None]:
        """Some of the tenant, by id; `parent_id`: only those right below it, "" = the roots."""
        tenant_id = tenant_for(caller, tenant)

        def find(session: Session) -> list[DepartmentRow]:
            return queries.page_of_departments(
                session, tenant_id, parent_id, paging.after, paging.limit
            )

        rows, more = cut(await self._database.read(find), paging, lambda row: (row.id,))
        return [department_of(row) for row in rows], more

    async def company(self, caller: Principal, tenant: str | None) -> Company:
        """The tree of the tenant, as old as `database.staleness` at most."""
        tenant_id = tenant_for(caller, tenant)
        return await self._companies.get(tenant_id) or Company("", "", ())

    async def change(
        self,
        caller: Principal,
        department_id: str,
        wanted: DepartmentChange,
        tenant: str | None,
    ) -> Department:
        """Change or move one.

        Raises:
            NotFound: the tenant has no such department.
            BadInput: a field; or there is no such parent.
            Conflict: the parent lies below the department, or has no place left.
        """
        caller.require(Permission.SYNC)
        wanted.check()
        tenant_id = tenant_for(caller, tenant)
        given = {k: v for k, v in msgspec.structs.asdict(wanted).items() if v is not UNSET}

        def change(session: Session) -> DepartmentRow:
            lock(session, tenant_id)
            return _change(session, found(session, tenant_id, department_id), given)

        return department_of(await self._database.write(change))

    async def delete(
        self, caller: Principal, department_id: str, tenant: str | None, *, cascade: bool
    ) -> None:
        """Delete one; `cascade`: with all below it, and nobody is in any of them any more.

        Raises:
            NotFound: the tenant has no such department.
            Conflict: it is not empty, and `cascade` is not asked for.
        """
        caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, tenant)

        def delete(session: Session) -> None:
            lock(session, tenant_id)
            _delete(session, found(session, tenant_id, department_id), cascade=cascade)

        await self._database.write(delete)

    async def _write(
        self, row: DepartmentRow, work: Callable[[Session, DepartmentRow], DepartmentRow]
    ) -> Department:
        def write(session: Session) -> DepartmentRow:
            lock(session, row.tenant_id)
            return work(session, row)

        try:
            return department_of(await self._database.write(write))
        except IntegrityError:
            raise taken(row.id) from None


def tree_subject(tenant_id: str) -> str:
    """What is noted when departments of the tenant change."""
    return f"tree:{tenant_id}"


def note_departments(session: Session, tenant_id: str, ids: Iterable[str]) -> None:
    """These departments are new, other or gone."""
    subjects = [f"{each}@org" for each in sorted(ids)]
    note_change(session, *subjects, tree_subject(tenant_id), f"orgs:{tenant_id}")


def lock(session: Session, tenant_id: str) -> None:
    """Nobody else changes departments of the tenant until the transaction ends.

    Raises:
        BadInput: there is no such tenant.
    """
    if not queries.lock_tenant(session, tenant_id):
        raise no_tenant(tenant_id)


def no_tenant(tenant_id: str) -> BadInput:
    """The refusal of a tenant that there is not."""
    return BadInput("tenant", tenant_id, "the id of a tenant")


def found(session: Session, tenant_id: str, department_id: str) -> DepartmentRow:
    """The department. Raises NotFound."""
    row = queries.find_department(session, tenant_id, department_id)
    if row is None:
        raise NotFound(f"department: there is no {department_id!r}")
    return row


def department_of(row: DepartmentRow) -> Department:
    """As /v2 shows it."""
    return Department(**row._asdict())


def taken(department_id: str) -> Conflict:
    """The refusal of an id."""
    return Conflict(f"id: {department_id!r} is taken")


def _create(session: Session, row: DepartmentRow) -> DepartmentRow:
    if queries.owners_of(session, [row.id]):
        raise taken(row.id)
    row = row._replace(location=_place_below(session, row.tenant_id, row.parent_id))
    queries.add_departments(session, [row])
    note_departments(session, row.tenant_id, [row.id])
    return row


def _put(session: Session, row: DepartmentRow) -> DepartmentRow:
    old = queries.find_department(session, row.tenant_id, row.id)
    if old is None:
        return _create(session, row)
    wanted = row._asdict()
    return _change(
        session, old, {n: wanted[n] for n in ("name", "short_name", "parent_id", "sort")}
    )


def _change(session: Session, old: DepartmentRow, given: Mapping[str, Any]) -> DepartmentRow:
    row = old._replace(**given)
    if row.parent_id != old.parent_id or not old.location:
        row = row._replace(location=_move(session, old, row.parent_id))
    if row != old:
        queries.put_departments(session, [row])
        note_departments(session, row.tenant_id, [row.id])
    return row


def _move(session: Session, row: DepartmentRow, parent_id: str) -> str:
    """The new location, where all that lies below it is already."""
    tenant_id = row.tenant_id
    place = _place_below(session, tenant_id, parent_id, apart_from=row)
    if row.location:
        longest = queries.longest_location(session, tenant_id, row.location)
        if longest - len(row.location) + len(place) > MAX_LOCATION:
            raise Conflict(f"parent_id: {parent_id!r} is too deep for what lies below {row.id!r}")
        queries.relocate(session, tenant_id, row.location, place)
    return place


def _place_below(
    session: Session, tenant_id: str, parent_id: str, *, apart_from: DepartmentRow | None = None
) -> str:
    """A free place; `apart_from`: not below this one."""
    above = ""
    if parent_id:
        parent = queries.find_department(session, tenant_id, parent_id)
        if parent is None:
            raise BadInput("parent_id", parent_id, "a department of the tenant")
        if apart_from is not None and is_below(parent.location, apart_from.location):
            raise Conflict(f"parent_id: {parent_id!r} lies below {apart_from.id!r}, or is it")
        above = parent.location
    full = f"parent_id: there is no place left below {parent_id!r}"
    if parent_id and not above:
        raise Conflict(full)
    place = next_location(above, queries.locations_below(session, tenant_id, above))
    if place is None:
        raise Conflict(full)
    return place


def _delete(session: Session, row: DepartmentRow, *, cascade: bool) -> None:
    if not cascade and queries.has_children(session, row.tenant_id, row.id):
        raise Conflict(f"department: others lie below {row.id!r}; cascade deletes them too")
    if not cascade and queries.has_members(session, row.id):
        raise Conflict(f"department: people are in {row.id!r}; cascade takes them out")
    ids = {row.id, *queries.ids_below(session, row.tenant_id, row.location)}
    queries.delete_departments(session, row.tenant_id, sorted(ids))
    note_departments(session, row.tenant_id, ids)


def _companies(session: Session, tenant_ids: Sequence[str]) -> dict[str, Company]:
    wanted = sa.select(TenantModel.id, TenantModel.name).where(TenantModel.id.in_(tenant_ids))
    names = dict(session.execute(wanted).all())
    rows: dict[str, list[DepartmentRow]] = {each: [] for each in tenant_ids}
    for row in queries.all_departments(session, tenant_ids):
        rows[row.tenant_id].append(row)
    return {
        each: Company(each if each in names else "", names.get(each, ""), rows[each])
        for each in tenant_ids
        if each in names or rows[each]
    }
