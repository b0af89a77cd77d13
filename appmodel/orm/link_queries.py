"""Who is in which department: the questions and the changes, one statement each.

A link counts only within one tenant: rows of an adopted database that join a user of one with a department of
another are as good as not there.

Synchronous, for `Database.read` and `Database.write`.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.departments import DepartmentRow, LinkRow
from appmodel.core.people import Person
from appmodel.orm.contacts import UserUser
from appmodel.orm.organisation_queries import DEPARTMENT, below
from appmodel.orm.organisations import Org, OrgUser
from appmodel.orm.pages import page
from appmodel.orm.people import User
from appmodel.orm.people_queries import PERSON, people_of, person_of
from appmodel.orm.upserts import upsert


class MemberRow(NamedTuple):
    """A user in a department."""

    person: Person
    sort: int  # within the department


def members_of(session: Session, tenant_id: str, department_id: str) -> list[MemberRow]:
    """All who are in a department itself, in the order in which they are shown."""
    wanted = _members(tenant_id, Org.id == department_id)
    rows = session.execute(wanted.order_by(OrgUser.sort, User.nickname, User.id))
    return [_member_of(row) for row in rows]


def page_of_members(
    session: Session,
    tenant_id: str,
    department_id: str,
    after: Sequence[str | int] | None,
    limit: int,
) -> list[MemberRow]:
    """Those who are in a department itself, by (sort, id), one more than `limit`."""
    wanted = _members(tenant_id, Org.id == department_id)
    return [_member_of(r) for r in session.execute(page(wanted, _BY_SORT, after, limit))]


def page_of_people_below(
    session: Session,
    tenant_id: str,
    location: str,
    after: Sequence[str | int] | None,
    limit: int,
) -> list[Person]:
    """Those who are in a department or anywhere below it, each once, by id, one more than `limit`."""
    linked = (
        sa.select(OrgUser.user_id)
        .join(Org, Org.id == OrgUser.org_id)
        .where(Org.tenant_id == tenant_id, below(location))
    )
    wanted = sa.select(*PERSON).where(User.tenant_id == tenant_id, User.id.in_(linked))
    return people_of(session.execute(page(wanted, [User.id], after, limit)))


def departments_of(session: Session, tenant_id: str, uid: str) -> list[DepartmentRow]:
    """In which a user of the tenant is, his first one first."""
    wanted = (
        sa.select(*DEPARTMENT)
        .join(OrgUser, OrgUser.org_id == Org.id)
        .join(User, User.id == OrgUser.user_id)
        .where(Org.tenant_id == tenant_id, User.tenant_id == tenant_id, User.id == uid)
        .order_by(OrgUser.sort, Org.id)
    )
    return [DepartmentRow(*row) for row in session.execute(wanted)]


def find_links(
    session: Session, department_ids: Collection[str], uids: Collection[str]
) -> dict[tuple[str, str], int]:
    """The sort of each link between these, by (department, user)."""
    wanted = sa.select(OrgUser.org_id, OrgUser.user_id, OrgUser.sort)
    wanted = wanted.where(OrgUser.org_id.in_(department_ids), OrgUser.user_id.in_(uids))
    return {(org_id, uid): sort for org_id, uid, sort in session.execute(wanted)}


def users_of(session: Session, tenant_id: str, uids: Collection[str]) -> set[str]:
    """Those of `uids` that are the tenant's. They stay until the transaction ends."""
    wanted = sa.select(User.id).where(User.id.in_(uids), User.tenant_id == tenant_id)
    return set(session.scalars(wanted.with_for_update(read=True)))


def put_links(session: Session, rows: Iterable[LinkRow]) -> None:
    """Insert these, or set the sort of those that are there."""
    columns = [
        {"org_id": r.department_id, "user_id": r.user_id, "sort": r.sort} for r in sorted(rows)
    ]
    upsert(session, OrgUser, columns, keys=["org_id", "user_id"], update=["sort"])


def delete_links(session: Session, department_id: str, uids: Collection[str]) -> int:
    """How many there were."""
    wanted = sa.delete(OrgUser).where(OrgUser.org_id == department_id, OrgUser.user_id.in_(uids))
    return _count(session.execute(wanted))


def delete_these_links(session: Session, links: Collection[tuple[str, str]]) -> None:
    """By (department, user)."""
    if links:
        which = sa.tuple_(OrgUser.org_id, OrgUser.user_id).in_(links)
        session.execute(sa.delete(OrgUser).where(which))


def starred_by(session: Session, tenant_id: str, uid: str, limit: int) -> list[Person]:
    """Whom a user starred, as far as they are of his tenant, in his order."""
    wanted = (
        sa.select(*PERSON)
        .join(UserUser, UserUser.to_user_id == User.id)
        .where(UserUser.from_user_id == uid, User.tenant_id == tenant_id)
        .order_by(UserUser.sort, User.nickname, User.id)
        .limit(limit)
    )
    return people_of(session.execute(wanted))


_BY_SORT = (OrgUser.sort, OrgUser.user_id)


def _members(tenant_id: str, *which: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(*PERSON, OrgUser.sort)
        .join(OrgUser, OrgUser.user_id == User.id)
        .join(Org, Org.id == OrgUser.org_id)
        .where(Org.tenant_id == tenant_id, User.tenant_id == tenant_id, *which)
    )


def _member_of(row: Sequence[Any]) -> MemberRow:
    return MemberRow(person_of(row), row[-1])


def _count(result: Any) -> int:
    assert isinstance(result, sa.CursorResult)
    return result.rowcount
