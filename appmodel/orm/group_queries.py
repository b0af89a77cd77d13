"""Groups and their members, read and written. Synchronous, for `Database.read` and `Database.write`.

Who changes a group locks its row first (`lock`), so that what was read of it is true until the commit: two who
invite at once never exceed its size, and it never has two owners. SQLite has one writer at a time anyway.

The owner of a group is its member of role OWNER, and `qun.creator_id` names the same user: what clients of
appmsgsrv take for the owner.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.groups import Role
from appmodel.core.people import Person
from appmodel.orm.base import new_id
from appmodel.orm.changes import note_change
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.pages import SelectT, page
from appmodel.orm.people import User
from appmodel.orm.people_queries import PERSON, person_of

MANY = 1000  # parameters of one statement: SQLite takes 32,766

_AGE = (QunUser.created.is_not(None), QunUser.created, QunUser.user_id)
"""The oldest first. An adopted row may be without a time, and is older than all."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A user in a group."""

    person: Person
    role: Role
    joined: datetime | None  # None: in an adopted group


def find(session: Session, group_id: str, tenant_id: str) -> Qun | None:
    """A group of a tenant."""
    return session.scalar(_group(group_id, tenant_id))


def lock(session: Session, group_id: str, tenant_id: str) -> Qun | None:
    """The same, and nobody else changes it until the transaction ends."""
    return session.scalar(_group(group_id, tenant_id).with_for_update())


def role_in(session: Session, group_id: str, uid: str) -> Role | None:
    """What a user is in a group; None: no member."""
    wanted = sa.select(QunUser.role).where(QunUser.qun_id == group_id, QunUser.user_id == uid)
    found = session.scalar(wanted)
    return None if found is None else _role(found)


def roles(session: Session, group_id: str, tenant_id: str) -> dict[str, Role]:
    """All members of a group, the oldest first."""
    wanted = _in(sa.select(QunUser.user_id, QunUser.role), group_id, tenant_id)
    return {uid: _role(role) for uid, role in session.execute(wanted.order_by(*_AGE))}


def seats(session: Session, group_id: str, tenant_id: str) -> list[Seat]:
    """The members of a group with what is known of them: owner, admins, members, each by age."""
    rows = session.execute(_seats(group_id, tenant_id).order_by(QunUser.role, *_AGE))
    return [_seat(row) for row in rows]


def seats_page(
    session: Session, group_id: str, tenant_id: str, after: Sequence[str | int] | None, limit: int
) -> list[Seat]:
    """A page of them, by uid."""
    wanted = page(_seats(group_id, tenant_id), [QunUser.user_id], after, limit)
    return [_seat(row) for row in session.execute(wanted)]


def seat(session: Session, group_id: str, tenant_id: str, uid: str) -> Seat | None:
    """One of them."""
    wanted = _seats(group_id, tenant_id).where(QunUser.user_id == uid)
    row = session.execute(wanted).one_or_none()
    return None if row is None else _seat(row)


def count_owned(session: Session, uid: str) -> int:
    """How many groups a user owns."""
    wanted = sa.select(sa.func.count()).select_from(QunUser)
    return session.scalar(wanted.where(QunUser.user_id == uid, QunUser.role == Role.OWNER)) or 0


def groups_of(
    session: Session, uid: str, tenant_id: str, after: Sequence[str | int] | None, limit: int
) -> list[tuple[Qun, Role]]:
    """A page of the groups that a user is in, by id."""
    mine = (
        sa.select(Qun, QunUser.role)
        .join(QunUser, QunUser.qun_id == Qun.id)
        .where(QunUser.user_id == uid, Qun.tenant_id == tenant_id)
    )
    rows = session.execute(page(mine, [Qun.id], after, limit))
    return [(group, _role(role)) for group, role in rows]


def groups_in(
    session: Session, tenant_id: str, after: Sequence[str | int] | None, limit: int
) -> list[Qun]:
    """A page of a tenant's groups, by id."""
    wanted = sa.select(Qun).where(Qun.tenant_id == tenant_id)
    return list(session.scalars(page(wanted, [Qun.id], after, limit)))


def add_group(session: Session, group: Qun, owner_id: str, member_ids: Iterable[str]) -> None:
    """A new group with its owner and other members."""
    session.add(group)
    session.flush()
    add_members(session, group.id, {owner_id: Role.OWNER})
    add_members(session, group.id, dict.fromkeys(member_ids, Role.MEMBER))


def add_members(session: Session, group_id: str, members: Mapping[str, Role]) -> None:
    """Users who are not in the group yet, in one statement."""
    rows = [
        {"id": new_id(), "qun_id": group_id, "user_id": uid, "role": int(role)}
        for uid, role in members.items()
    ]
    if rows:
        session.execute(sa.insert(QunUser), rows)


def remove_members(session: Session, group_id: str, uids: Collection[str]) -> None:
    """Out of the group; see `settle` for what may be left."""
    gone = sa.delete(QunUser).where(QunUser.qun_id == group_id, QunUser.user_id.in_(uids))
    session.connection().execute(gone)


def appoint(session: Session, group_id: str, uid: str, role: Role) -> None:
    """Another role for a member, which is not OWNER: see `hand_over`."""
    _set_role(session, role, QunUser.qun_id == group_id, QunUser.user_id == uid)


def hand_over(session: Session, group: Qun, uid: str) -> None:
    """A member owns the group; who did is an admin now."""
    _set_role(session, Role.ADMIN, QunUser.qun_id == group.id, QunUser.role == Role.OWNER)
    _set_role(session, Role.OWNER, QunUser.qun_id == group.id, QunUser.user_id == uid)
    group.creator_id = uid


def dissolve(session: Session, group_ids: Sequence[str]) -> None:
    """The groups and all their seats."""
    for model, column in ((QunUser, QunUser.qun_id), (Qun, Qun.id)):
        gone = sa.delete(model).where(column.in_(group_ids))
        session.connection().execute(gone)


def settle(session: Session, group_ids: Sequence[str]) -> dict[str, str | None]:
    """Give groups without an owner to the oldest admin, else the oldest member; dissolve empty ones.

    Returns:
        For each group that this was done to its new owner; None if it is no more.
    """
    first = (
        sa.select(
            QunUser.id,
            QunUser.qun_id,
            QunUser.user_id,
            QunUser.role,
            sa.func.row_number()
            .over(partition_by=QunUser.qun_id, order_by=(QunUser.role, *_AGE))
            .label("place"),
        )
        .join(Qun, Qun.id == QunUser.qun_id)
        .join(User, sa.and_(User.id == QunUser.user_id, User.tenant_id == Qun.tenant_id))
        .where(QunUser.qun_id.in_(group_ids))
        .subquery()
    )
    heads = session.execute(sa.select(first).where(first.c.place == 1)).all()
    heirs = [row for row in heads if row.role != Role.OWNER]
    if heirs:
        session.execute(sa.update(QunUser), [{"id": r.id, "role": int(Role.OWNER)} for r in heirs])
        owners = [{"id": row.qun_id, "creator_id": row.user_id} for row in heirs]
        session.execute(sa.update(Qun), owners)
    empty = sorted(set(group_ids) - {row.qun_id for row in heads})
    if empty:
        dissolve(session, empty)
    return {row.qun_id: row.user_id for row in heirs} | dict.fromkeys(empty)


def forget_users(session: Session, uids: Collection[str]) -> None:
    """Out of all groups, for users who are deleted or go to another tenant. Notes each group.

    Nobody is told: the members see it when they look.
    """
    theirs = sa.select(QunUser.qun_id).where(QunUser.user_id.in_(uids)).distinct()
    group_ids = sorted(session.scalars(theirs))
    for at in range(0, len(group_ids), MANY):
        some = group_ids[at : at + MANY]
        # locked in order of their ids, so that two who do this at once do not wait for each other
        locked = sa.select(Qun.id).where(Qun.id.in_(some)).order_by(Qun.id).with_for_update()
        session.execute(locked)
        gone = sa.delete(QunUser).where(QunUser.user_id.in_(uids), QunUser.qun_id.in_(some))
        session.connection().execute(gone)
        settle(session, some)
        note_change(session, *(f"{group_id}@qun" for group_id in some))


def _group(group_id: str, tenant_id: str) -> sa.Select[Qun]:
    return sa.select(Qun).where(Qun.id == group_id, Qun.tenant_id == tenant_id)


def _seats(group_id: str, tenant_id: str) -> sa.Select[*tuple[Any, ...]]:
    return _in(sa.select(*PERSON, QunUser.role, QunUser.created), group_id, tenant_id)


def _in(select: SelectT, group_id: str, tenant_id: str) -> SelectT:
    """Of members who are users of the tenant. An adopted group may have others, and deleted ones.

    The tenant is an expression, so that no planner looks through a whole company for each member.
    """
    return (
        select.select_from(QunUser)
        .join(User, User.id == QunUser.user_id)
        .where(QunUser.qun_id == group_id, sa.func.coalesce(User.tenant_id, "") == tenant_id)
    )


def _seat(row: Sequence[object]) -> Seat:
    *_, role, joined = row
    assert isinstance(role, int)
    assert joined is None or isinstance(joined, datetime)
    return Seat(person_of(row), _role(role), joined)


def _role(number: int) -> Role:
    """The original checks nothing: what is no role is a member."""
    return Role(number) if number in (Role.OWNER, Role.ADMIN) else Role.MEMBER


def _set_role(session: Session, role: Role, *where: sa.ColumnElement[bool]) -> None:
    changed = sa.update(QunUser).where(*where).values(role=int(role))
    session.connection().execute(changed)
