"""Users, put in, changed and taken out. Each change is noted for the caches, in the same transaction.

    u1@user       the row is new or gone, or its name, role, status changed
    t1@tenant     a user joined the tenant or left it
    d3@org        a department of a user who is gone; and orgs:<tenant>
    g7@qun        a group of his

Synchronous, for `Database.write`.
"""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm import contact_queries, group_queries
from appmodel.orm.changes import note_change
from appmodel.orm.device_queries import forget_devices_of
from appmodel.orm.organisations import OrgUser
from appmodel.orm.people import Client, User
from appmodel.orm.token_queries import forget_logins_of


def insert_user(session: Session, columns: Mapping[str, Any]) -> None:
    """A new user, by the columns of the model.

    Raises:
        IntegrityError: the id is taken, perhaps by a user of another tenant.
    """
    session.add(User(**columns))
    session.flush()
    note_change(session, f"{columns['id']}@user", f"{columns['tenant_id']}@tenant")


def update_user(session: Session, tenant_id: str, uid: str, columns: Mapping[str, Any]) -> bool:
    """Change these columns of a user of the tenant; whether there is one."""
    mine = sa.and_(User.id == uid, User.tenant_id == tenant_id)
    if session.scalar(sa.select(User.id).where(mine).with_for_update()) is None:
        return False
    if columns:
        session.execute(sa.update(User).where(mine).values(**columns))
        note_change(session, f"{uid}@user")
    return True


def name_is_taken(session: Session, tenant_id: str, uid: str, name: str, email: str) -> str | None:
    """Which of the two another user of the tenant logs in with: "name", "email", or None.

    Adopted names need not be unique, so no key forbids it: lock the tenant first.
    """
    others = sa.select(User.name, User.email).where(User.tenant_id == tenant_id, User.id != uid)
    same = [column == value for column, value in ((User.name, name), (User.email, email)) if value]
    found = session.execute(others.where(sa.or_(sa.false(), *same)).limit(1)).first()
    if found is None:
        return None
    return "name" if name and found.name == name else "email"


def delete_users(session: Session, tenant_id: str, uids: Collection[str]) -> set[str]:
    """Take users of a tenant out, with all that is theirs; the ids that were there."""
    mine = sa.select(User.id).where(User.id.in_(uids), User.tenant_id == tenant_id)
    there = sorted(session.scalars(mine.order_by(User.id).with_for_update()))
    if not there:
        return set()
    linked = sa.select(OrgUser.org_id).where(OrgUser.user_id.in_(there)).distinct()
    departments = session.scalars(linked).all()
    group_queries.forget_users(session, there)
    contact_queries.forget_users(session, there)
    forget_logins_of(session, there)
    forget_devices_of(session, there)
    session.execute(sa.delete(OrgUser).where(OrgUser.user_id.in_(there)))
    session.execute(sa.delete(Client).where(Client.user_id.in_(there)))
    session.execute(sa.delete(User).where(User.id.in_(there)))
    note_change(session, *(f"{uid}@user" for uid in there), f"{tenant_id}@tenant")
    if departments:
        note_change(session, *(f"{one}@org" for one in departments), f"orgs:{tenant_id}")
    return set(there)
