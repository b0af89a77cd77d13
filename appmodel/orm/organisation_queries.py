"""Departments: the questions and the changes, one statement each. Who is in them: link_queries.py.

What changes departments of a tenant first locks the tenant (`lock_tenant`): two moves at once could make a
circle, and two new ones take the same place. Below a department lies what has its location in front;
locations are made by appmodel/core/locations.py.

Synchronous, for `Database.read` and `Database.write`.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.departments import DepartmentRow
from appmodel.core.locations import STEP
from appmodel.orm.organisations import Org, OrgUser, Tenant
from appmodel.orm.pages import page
from appmodel.orm.upserts import upsert

MANY = 5000  # ids in one statement: SQLite takes 32,766
DEPARTMENT = (
    Org.id,
    Org.name,
    Org.short_name,
    Org.parent_id,
    Org.location,
    Org.tenant_id,
    Org.sort,
)
"""Columns for a select, in the order of the fields of DepartmentRow."""


def below(location: str) -> sa.ColumnElement[bool]:
    """Rows of the department with this location and of all below it. "" has none."""
    if not location:
        return sa.false()
    return lies_below(Org.location, location)


def lies_below(location: Any, top: Any) -> sa.ColumnElement[bool]:
    """Whether a location is `top` or below it; both are texts or columns, and neither is ""."""
    return sa.and_(location >= top, location < top + "{")  # "{" comes after "z"


def lock_tenant(session: Session, tenant_id: str) -> bool:
    """Whether the tenant is there; until the transaction ends nobody else changes its departments."""
    wanted = sa.select(Tenant.id).where(Tenant.id == tenant_id).with_for_update()
    return session.scalar(wanted) is not None


def hold_department(session: Session, tenant_id: str, department_id: str) -> bool:
    """Whether the tenant has it; until the transaction ends nobody deletes it."""
    wanted = sa.select(Org.id).where(Org.id == department_id, Org.tenant_id == tenant_id)
    return session.scalar(wanted.with_for_update(read=True)) is not None


def find_department(session: Session, tenant_id: str, department_id: str) -> DepartmentRow | None:
    """One of a tenant."""
    found = _departments(session, Org.id == department_id, Org.tenant_id == tenant_id)
    return found[0] if found else None


def find_departments(
    session: Session, tenant_id: str, ids: Collection[str]
) -> dict[str, DepartmentRow]:
    """Those of `ids` that the tenant has."""
    found = _departments(session, Org.id.in_(ids), Org.tenant_id == tenant_id)
    return {row.id: row for row in found}


def all_departments(session: Session, tenant_ids: Collection[str]) -> list[DepartmentRow]:
    """Of these tenants, in no order."""
    return _departments(session, Org.tenant_id.in_(tenant_ids))


def page_of_departments(
    session: Session,
    tenant_id: str,
    parent_id: str | None,
    after: Sequence[str | int] | None,
    limit: int,
) -> list[DepartmentRow]:
    """By id, one more than `limit`; `parent_id`: only those right below it, "" = the roots."""
    wanted = sa.select(*DEPARTMENT).where(Org.tenant_id == tenant_id)
    if parent_id is not None:
        wanted = wanted.where(Org.parent_id == parent_id)
    rows = session.execute(page(wanted, [Org.id], after, limit))
    return [DepartmentRow(*row) for row in rows]


def owners_of(session: Session, ids: Collection[str]) -> dict[str, str]:
    """The tenants of the departments of `ids` that exist, of whatever tenant."""
    rows = session.execute(sa.select(Org.id, Org.tenant_id).where(Org.id.in_(ids)))
    return dict(rows.all())


def locations_below(session: Session, tenant_id: str, location: str) -> list[str]:
    """One level below `location`; "" = the roots."""
    wanted = sa.select(Org.location).where(
        Org.tenant_id == tenant_id,
        sa.func.length(Org.location) == len(location) + STEP,  # they are ASCII
        below(location) if location else Org.location > "",
    )
    return list(session.scalars(wanted))


def longest_location(session: Session, tenant_id: str, location: str) -> int:
    """Characters of the longest location from `location` down."""
    longest = sa.func.max(sa.func.length(Org.location))
    found = session.scalar(sa.select(longest).where(Org.tenant_id == tenant_id, below(location)))
    return found or 0


def relocate(session: Session, tenant_id: str, old: str, new: str) -> None:
    """Give all from `old` down their places below `new`: one statement, however many they are."""
    place = sa.literal(new) + sa.func.substr(Org.location, len(old) + 1)
    session.execute(
        sa.update(Org)
        .where(Org.tenant_id == tenant_id, below(old))
        .values(location=place)
        .execution_options(synchronize_session=False)
    )


def add_departments(session: Session, rows: Iterable[DepartmentRow]) -> None:
    """Insert these. An id that another tenant has is an IntegrityError."""
    values = [row._asdict() for row in sorted(rows)]
    if values:
        session.connection().execute(sa.insert(Org), values)


def put_departments(session: Session, rows: Iterable[DepartmentRow]) -> None:
    """Update these. They are there, and the tenant's: who calls has looked, and has locked it."""
    columns = [name for name in DepartmentRow._fields if name not in {"id", "tenant_id"}]
    upsert(session, Org, [row._asdict() for row in sorted(rows)], update=columns)


def ids_below(session: Session, tenant_id: str, location: str) -> list[str]:
    """Of the department with this location and of all below it."""
    return list(
        session.scalars(sa.select(Org.id).where(Org.tenant_id == tenant_id, below(location)))
    )


def has_children(session: Session, tenant_id: str, department_id: str) -> bool:
    """Whether a department lies right below this one."""
    wanted = sa.select(Org.id).where(Org.tenant_id == tenant_id, Org.parent_id == department_id)
    return session.scalar(wanted.limit(1)) is not None


def has_members(session: Session, department_id: str) -> bool:
    """Whether anybody is in it."""
    wanted = sa.select(OrgUser.id).where(OrgUser.org_id == department_id)
    return session.scalar(wanted.limit(1)) is not None


def delete_departments(session: Session, tenant_id: str, ids: Sequence[str]) -> None:
    """With their links. What lies below them is the caller's to name."""
    for at in range(0, len(ids), MANY):
        some = ids[at : at + MANY]
        mine = Org.tenant_id == tenant_id, Org.id.in_(some)
        session.execute(sa.select(Org.id).where(*mine).order_by(Org.id).with_for_update())
        session.execute(sa.delete(OrgUser).where(OrgUser.org_id.in_(some)))  # no new ones now
        session.execute(sa.delete(Org).where(*mine))


def _departments(session: Session, *which: sa.ColumnElement[bool]) -> list[DepartmentRow]:
    rows = session.execute(sa.select(*DEPARTMENT).where(*which))
    return [DepartmentRow(*row) for row in rows]
