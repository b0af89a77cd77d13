"""Starred contacts and mutes of a user, read and written. Synchronous, for `Database.read` and `.write`.

What a user stars or mutes is in his tenant when he does it. Taking it back needs nothing: a contact may be
gone by then.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.mutes import ShieldType
from appmodel.core.people import Person
from appmodel.orm.applications import Application
from appmodel.orm.changes import note_change
from appmodel.orm.contacts import ShieldMsg, UserUser
from appmodel.orm.groups import Qun
from appmodel.orm.pages import page
from appmodel.orm.people import User
from appmodel.orm.people_queries import PERSON, person_of


@dataclass(frozen=True, slots=True)
class Contact:
    """A starred user, as the one who starred him sees him."""

    person: Person
    remark: str
    sort: int


def stars_page(
    session: Session, uid: str, tenant_id: str, after: Sequence[str | int] | None, limit: int
) -> list[Contact]:
    """A page of a user's contacts, by `sort`, then by uid."""
    wanted = (
        sa.select(*PERSON, UserUser.remark_name, UserUser.sort)
        .join(UserUser, UserUser.to_user_id == User.id)
        .where(UserUser.from_user_id == uid, User.tenant_id == tenant_id)
    )
    rows = session.execute(page(wanted, [UserUser.sort, UserUser.to_user_id], after, limit))
    return [Contact(person_of(row), row.remark_name, row.sort) for row in rows]


def find_star(session: Session, uid: str, contact_id: str) -> UserUser | None:
    """What a user keeps of another one."""
    return session.scalar(sa.select(UserUser).where(*_star(uid, contact_id)))


def count_stars(session: Session, uid: str) -> int:
    """How many contacts a user has starred."""
    wanted = sa.select(sa.func.count()).select_from(UserUser).where(UserUser.from_user_id == uid)
    return session.scalar(wanted) or 0


def remove_star(session: Session, uid: str, contact_id: str) -> None:
    """No contact of this user any more, if he was one."""
    session.connection().execute(sa.delete(UserUser).where(*_star(uid, contact_id)))


def mutes_page(
    session: Session, uid: str, after: Sequence[str | int] | None, limit: int
) -> list[ShieldMsg]:
    """A page of what a user has muted, by type and id. An adopted database may hold other types."""
    known = ShieldMsg.type.in_([int(type_) for type_ in ShieldType])
    wanted = sa.select(ShieldMsg).where(ShieldMsg.source_id == uid, known)
    return list(session.scalars(page(wanted, [ShieldMsg.type, ShieldMsg.target_id], after, limit)))


def find_mute(session: Session, uid: str, type_: ShieldType, target_id: str) -> ShieldMsg | None:
    """A mute of a user."""
    return session.scalar(sa.select(ShieldMsg).where(*_mute(uid, type_, target_id)))


def count_mutes(session: Session, uid: str) -> int:
    """How many mutes a user has set."""
    wanted = sa.select(sa.func.count()).select_from(ShieldMsg).where(ShieldMsg.source_id == uid)
    return session.scalar(wanted) or 0


def remove_mute(session: Session, uid: str, type_: ShieldType, target_id: str) -> bool:
    """Not muted any more; False: it was not."""
    gone = sa.delete(ShieldMsg).where(*_mute(uid, type_, target_id))
    return session.connection().execute(gone).rowcount > 0


def can_be_muted(session: Session, type_: ShieldType, target_id: str, tenant_id: str) -> bool:
    """Whether there is such a user, application or group in the tenant."""
    model = _MUTED[type_]
    wanted = sa.select(model.id).where(model.id == target_id, model.tenant_id == tenant_id)
    return session.scalar(wanted) is not None


def forget_users(session: Session, uids: Collection[str]) -> None:
    """No stars and no mutes, by them or of them, for users who are deleted or go to another tenant."""
    starred = sa.or_(UserUser.from_user_id.in_(uids), UserUser.to_user_id.in_(uids))
    session.connection().execute(sa.delete(UserUser).where(starred))
    of_them = sa.and_(ShieldMsg.type == ShieldType.USER, ShieldMsg.target_id.in_(uids))
    muted = sa.or_(ShieldMsg.source_id.in_(uids), of_them)
    targets = sorted(session.scalars(sa.select(ShieldMsg.target_id).where(muted).distinct()))
    session.connection().execute(sa.delete(ShieldMsg).where(muted))
    note_change(session, *(f"mute:{target}" for target in targets))


_MUTED: dict[ShieldType, type[User | Application | Qun]] = {
    ShieldType.USER: User,
    ShieldType.APPLICATION: Application,
    ShieldType.GROUP: Qun,
}


def _star(uid: str, contact_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return UserUser.from_user_id == uid, UserUser.to_user_id == contact_id


def _mute(uid: str, type_: ShieldType, target_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return ShieldMsg.source_id == uid, ShieldMsg.type == type_, ShieldMsg.target_id == target_id
