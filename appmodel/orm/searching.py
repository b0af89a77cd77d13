"""Users and applications of a tenant by a part of their names, a page at a time and counted.

"A" is "a"; "%" and "_" are characters like others. Two statements.
"""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.people import Person
from appmodel.orm.applications import Application
from appmodel.orm.base import DISABLED
from appmodel.orm.people import User
from appmodel.orm.people_queries import PERSON, in_tenant, people_of


class ApplicationEntry(NamedTuple):
    """An application, as users see it."""

    id: str
    name: str
    status: int
    sort: int
    avatar: str
    tenant_id: str
    description: str
    name_py: str
    name_quanpin: str


_ENTRY = tuple(getattr(Application, name) for name in ApplicationEntry._fields)


def search_people(
    session: Session, tenant_id: str, text: str, *, offset: int, limit: int
) -> tuple[list[Person], int]:
    """Users by nickname, and how many there are in all."""
    meant = in_tenant(tenant_id, text)
    count = session.scalar(sa.select(sa.func.count()).select_from(User).where(meant)) or 0
    if count <= offset or not limit:
        return [], count
    wanted = sa.select(*PERSON).where(meant).order_by(User.nickname, User.id)
    return people_of(session.execute(wanted.offset(offset).limit(limit))), count


def search_applications(
    session: Session, tenant_id: str, text: str, *, offset: int, limit: int
) -> tuple[list[ApplicationEntry], int]:
    """Applications that are not disabled by (sort, name), and how many there are in all."""
    mine = sa.and_(Application.tenant_id == tenant_id, Application.status != DISABLED)
    meant = sa.and_(mine, Application.name.icontains(text, autoescape=True))
    count = session.scalar(sa.select(sa.func.count()).select_from(Application).where(meant)) or 0
    if count <= offset or not limit:
        return [], count
    by_sort = (Application.sort, Application.name, Application.id)
    wanted = sa.select(*_ENTRY).where(meant).order_by(*by_sort).offset(offset).limit(limit)
    return [ApplicationEntry(*row) for row in session.execute(wanted)], count
