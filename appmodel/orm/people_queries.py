"""Users, read. Whoever selects `*PERSON` of table `user` gets `Person`s, and never a password."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.people import Person
from appmodel.orm.base import DISABLED
from appmodel.orm.contacts import UserUser
from appmodel.orm.organisations import Tenant
from appmodel.orm.pages import page
from appmodel.orm.people import User

PERSON = (
    User.id,
    User.name,
    User.nickname,
    User.avatar,
    User.name_py,
    User.name_quanpin,
    User.status,
    User.tenant_id,
    User.email,
    User.mobile,
    User.area,
    User.role,
)
"""Columns for a select, in the order of the fields of Person."""


def person_of(row: Sequence[Any]) -> Person:
    """A row that begins with `PERSON`."""
    return Person(*row[: len(PERSON)])


def people_of(rows: Iterable[Sequence[Any]]) -> list[Person]:
    """The same for many."""
    return [person_of(row) for row in rows]


def find_people(session: Session, uids: Collection[str]) -> dict[str, Person]:
    """Those of `uids` that exist, of whatever tenant: the caller looks at `tenant_id`."""
    rows = session.execute(sa.select(*PERSON).where(User.id.in_(uids)))
    return {person.uid: person for person in people_of(rows)}


def find_person(session: Session, uid: str, tenant_id: str) -> Person | None:
    """One of a tenant."""
    wanted = sa.select(*PERSON).where(User.id == uid, User.tenant_id == tenant_id)
    row = session.execute(wanted).one_or_none()
    return None if row is None else person_of(row)


def find_enabled(session: Session, uid: str) -> Person | None:
    """One of any tenant, unless he or the tenant is disabled."""
    wanted = (
        sa.select(*PERSON)
        .outerjoin(Tenant, Tenant.id == User.tenant_id)
        .where(User.id == uid, User.status != DISABLED)
        .where(sa.func.coalesce(Tenant.status, 0) != DISABLED)
    )
    row = session.execute(wanted).one_or_none()
    return None if row is None else person_of(row)


def find_member(
    session: Session, uid: str, tenant_id: str, viewer: str
) -> tuple[Person, bool] | None:
    """One of a tenant, and whether `viewer` starred him. One statement."""
    starred = sa.and_(UserUser.to_user_id == User.id, UserUser.from_user_id == viewer)
    wanted = (
        sa.select(*PERSON, UserUser.id)
        .outerjoin(UserUser, starred)
        .where(User.id == uid, User.tenant_id == tenant_id)
    )
    row = session.execute(wanted).first()
    return None if row is None else (person_of(row), row[-1] is not None)


def page_of_people(
    session: Session, tenant_id: str, text: str, after: Sequence[str | int] | None, limit: int
) -> list[Person]:
    """Those of a tenant, by id; `text`: only whose nickname contains it; one more than `limit`."""
    wanted = sa.select(*PERSON).where(in_tenant(tenant_id, text))
    return people_of(session.execute(page(wanted, [User.id], after, limit)))


def in_tenant(tenant_id: str, text: str) -> sa.ColumnElement[bool]:
    """Users of a tenant whose nickname contains `text`: "A" is "a", and "%" and "_" are what they are."""
    mine = User.tenant_id == tenant_id
    if not text:
        return mine
    return sa.and_(mine, User.nickname.icontains(text, autoescape=True))
