"""Users, read. Whoever selects `*PERSON` of table `user` gets `Person`s, and never a password."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.people import Person
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
