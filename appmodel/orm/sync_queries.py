"""Users of a batch: many in one statement. See web/core/sync.py.

Synchronous, for `Database.read` and `Database.write`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.people import Person
from appmodel.orm.base import now
from appmodel.orm.people import User
from appmodel.orm.people_queries import PERSON, people_of
from appmodel.orm.upserts import upsert

COLUMNS = [column.key for column in PERSON]


def stored_passwords(session: Session, tenant_id: str, uids: Collection[str]) -> dict[str, str]:
    """What is stored, by id; not of those that there are not."""
    wanted = sa.select(User.id, User.password)
    rows = session.execute(wanted.where(User.id.in_(uids), User.tenant_id == tenant_id))
    return dict(rows.all())


def find_namesakes(
    session: Session, tenant_id: str, names: Collection[str], emails: Collection[str]
) -> list[Person]:
    """Users of the tenant with one of these names or addresses."""
    wanted = sa.select(*PERSON).where(
        User.tenant_id == tenant_id, sa.or_(User.name.in_(names), User.email.in_(emails))
    )
    return people_of(session.execute(wanted))


def add_people(session: Session, people: Iterable[Person], passwords: Mapping[str, str]) -> None:
    """Insert these. An id that another tenant has is an IntegrityError."""
    rows = [
        _columns_of(person) | {"password": passwords.get(person.uid, "")}
        for person in sorted(people, key=_uid)
    ]
    if rows:
        session.connection().execute(sa.insert(User), rows)


def change_people(session: Session, people: Iterable[Person]) -> None:
    """Update these. They are there, and the tenant's: who calls has looked, and has locked it."""
    rows = [_columns_of(person) | {"updated": now()} for person in sorted(people, key=_uid)]
    update = [name for name in COLUMNS if name not in {"id", "tenant_id"}]
    upsert(session, User, rows, update=[*update, "updated"])


def change_passwords(session: Session, passwords: Mapping[str, str]) -> None:
    """Store these hashes, by id. The users are there, as for `change_people`."""
    rows = [{"id": uid, "password": password} for uid, password in sorted(passwords.items())]
    upsert(session, User, rows, update=["password"])


def hold_people(session: Session, tenant_id: str, uids: Collection[str]) -> None:
    """Nobody else changes or deletes these until the transaction ends."""
    wanted = sa.select(User.id).where(User.id.in_(uids), User.tenant_id == tenant_id)
    session.execute(wanted.order_by(User.id).with_for_update())


def _columns_of(person: Person) -> dict[str, Any]:
    values = (getattr(person, name) for name in person.__dataclass_fields__)
    return dict(zip(COLUMNS, values, strict=True))


def _uid(person: Person) -> str:
    return person.uid
