"""What comets write of sessions, and what is read of them.

    a session comes    upsert session (locks its row), upsert session_holder
    a session goes     lock session, delete session_holder, delete session if nobody holds it any more

The row of `session` is locked before its holders are looked at or changed, so two comets of which one says "here"
and the other "gone" of the same session come one after the other, and nobody deletes what the other has just
made. Rows are locked in the order of their ids; one transaction does only one of the two.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.sessions import Holder, SessionName, SessionState
from appmodel.orm.base import now
from appmodel.orm.pages import page
from appmodel.orm.people import User
from appmodel.orm.presence import Session as SessionRow
from appmodel.orm.presence import SessionHolder
from appmodel.orm.upserts import upsert


def write_here(session: Session, names: Iterable[SessionName], holder: Holder) -> None:
    """These are held by `holder`. A session that is there already keeps its state."""
    at = now()
    init = {"state": SessionState.INIT.value, "created": at, "updated": at}
    sessions: list[dict[str, Any]] = []
    holders: list[dict[str, Any]] = []
    for name in sorted(names):
        sessions.append({"id": name.id, "type": name.type, "user_id": name.user, **init})
        holders.append({"session_id": name.id, **holder._asdict()})
    upsert(session, SessionRow, sessions, update=["updated"])
    upsert(session, SessionHolder, holders, update=["node"])


def write_gone(session: Session, ids: Collection[str], holder: Holder) -> None:
    """These are not held by `holder` any more. Those that nobody else holds are deleted."""
    there = sa.select(SessionRow.id).where(SessionRow.id.in_(ids)).order_by(SessionRow.id)
    locked = list(session.scalars(there.with_for_update()))
    ours = sa.delete(SessionHolder).where(SessionHolder.session_id.in_(ids), *_held_by(holder))
    held = sa.exists().where(SessionHolder.session_id == SessionRow.id)
    unheld = sa.delete(SessionRow).where(SessionRow.id.in_(locked), ~held)
    for rows in (ours, unheld):
        session.execute(rows, execution_options={"synchronize_session": False})


def release(session: Session, holder: Holder, limit: int) -> int:
    """A step of forgetting a process that is gone: how many of its sessions; 0 = none is left."""
    ids = held_after(session, holder, "", limit)
    if ids:
        write_gone(session, ids, holder)
    return len(ids)


def held_after(session: Session, holder: Holder, after: str, limit: int) -> list[str]:
    """A page of the ids that `holder` holds, behind `after`."""
    ids = sa.select(SessionHolder.session_id).where(*_held_by(holder))
    ids = ids.where(SessionHolder.session_id > after).order_by(SessionHolder.session_id)
    return list(session.scalars(ids.limit(limit)))


def count_held(session: Session, holder: Holder) -> int:
    """How many sessions `holder` holds."""
    held = sa.select(sa.func.count()).select_from(SessionHolder).where(*_held_by(holder))
    return session.scalar(held) or 0


def all_holders(session: Session) -> list[Holder]:
    """Every process that holds a session."""
    found = sa.select(SessionHolder.node, SessionHolder.incarnation).distinct()
    return [Holder(node, incarnation) for node, incarnation in session.execute(found)]


def sessions_page(
    session: Session, user: str, tenant: str, after: Sequence[str | int] | None, limit: int
) -> list[SessionRow]:
    """The sessions of a user by their ids, one more than `limit`. None if he is of another tenant."""
    return list(session.scalars(page(_of_tenant(user, tenant), [SessionRow.id], after, limit)))


def set_state(
    session: Session, session_id: str, state: SessionState, *, user: str | None, tenant: str
) -> SessionRow | None:
    """The session with its new state; `updated` stays.

    None if it is not there, or of another tenant's user, or of another one than `user` (None = any).
    """
    wanted = _of_tenant(user, tenant).where(SessionRow.id == session_id)
    row = session.scalar(wanted.with_for_update(of=SessionRow))
    if row is not None and row.state != state:
        change = sa.update(SessionRow).where(SessionRow.id == session_id)
        session.execute(change.values(state=state.value, updated=SessionRow.updated))
    return row


def _of_tenant(user: str | None, tenant: str) -> sa.Select[SessionRow]:
    found = sa.select(SessionRow).join(User, User.id == SessionRow.user_id)
    found = found.where(User.tenant_id == tenant)
    return found if user is None else found.where(SessionRow.user_id == user)


def _held_by(holder: Holder) -> tuple[sa.ColumnElement[bool], ...]:
    return SessionHolder.node == holder.node, SessionHolder.incarnation == holder.incarnation
