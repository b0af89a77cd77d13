"""Pushes of Mpush whose time has not come: kept, counted, given to one web node at a time, or taken back."""

from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.mpush_stores import Delayed
from appmodel.errors import LimitReached
from appmodel.orm.leases import lock
from appmodel.orm.mpush import MpushDelayed
from appmodel.orm.mpush_receiver_queries import new_token

LOCK = "mpush:delayed"  # held by who adds some: they are counted


def put(session: Session, pushes: Sequence[Delayed], most: int, most_of_one: int) -> None:
    """See Delays.put."""
    lock(session, LOCK)
    there = sa.select(MpushDelayed.id, MpushDelayed.target, MpushDelayed.is_group)
    known = {
        (delayed_id, target, bool(is_group))
        for delayed_id, target, is_group in session.execute(
            there.where(MpushDelayed.id.in_({one.id for one in pushes}))
        )
    }
    new = [one for one in pushes if (one.id, one.target, one.is_group) not in known]
    if new:
        _check_room(session, new, most, most_of_one)
        session.execute(sa.insert(MpushDelayed), [_row(one) for one in new])


def waiting_for(
    session: Session, target: str, is_group: bool, since: int, limit: int
) -> list[Delayed]:
    """See Delays.of."""
    mine = sa.select(MpushDelayed).where(*_of(target, is_group), MpushDelayed.due_at >= since)
    order = (MpushDelayed.due_at, MpushDelayed.id)
    return [_delayed(row) for row in session.scalars(mine.order_by(*order).limit(limit))]


def find_delayed(session: Session, delayed_id: str) -> list[Delayed]:
    """See Delays.find."""
    mine = sa.select(MpushDelayed).where(MpushDelayed.id == delayed_id)
    order = (MpushDelayed.is_group, MpushDelayed.target)
    return [_delayed(row) for row in session.scalars(mine.order_by(*order))]


def cancel(session: Session, delayed_id: str, target: str | None, is_group: bool) -> int:
    """See Delays.cancel."""
    free = (MpushDelayed.id == delayed_id, MpushDelayed.lease == "")
    which = () if target is None else _of(target, is_group)
    return _changed(session, sa.delete(MpushDelayed).where(*free, *which))


def claim_delayed(session: Session, now: int, lease: int, limit: int) -> list[Delayed]:
    """See Delays.claim."""
    due = sa.select(MpushDelayed).where(MpushDelayed.next_at <= now)
    claimed: list[Delayed] = []
    for row in session.scalars(due.order_by(MpushDelayed.next_at).limit(limit)).all():
        token = new_token()
        same = (MpushDelayed.next_at == row.next_at, MpushDelayed.lease == row.lease)
        mine = sa.update(MpushDelayed).where(
            MpushDelayed.id == row.id, *_of(row.target, bool(row.is_group)), *same
        )
        if _changed(session, mine.values(next_at=now + lease, lease=token)):
            claimed.append(_delayed(row, token))
    return claimed


def postpone(session: Session, delayed: Delayed, until: int) -> bool:
    """See Delays.postpone."""
    mine = sa.update(MpushDelayed).where(*_own(delayed))
    return _changed(session, mine.values(next_at=until, lease="")) > 0


def done(session: Session, delayed: Delayed) -> bool:
    """See Delays.done."""
    return _changed(session, sa.delete(MpushDelayed).where(*_own(delayed))) > 0


def _check_room(session: Session, new: Sequence[Delayed], most: int, most_of_one: int) -> None:
    count = sa.select(sa.func.count()).select_from(MpushDelayed)
    in_all = session.scalar(count) or 0
    if in_all + len(new) > most:
        raise LimitReached(
            f"mpush.delayed: {in_all} pushes wait for their time and {len(new)} more would, "
            f"expected at most {most}"
        )
    for (target, is_group), more in sorted(Counter((o.target, o.is_group) for o in new).items()):
        of_one = session.scalar(count.where(*_of(target, is_group))) or 0
        if of_one + more > most_of_one:
            kind = "group" if is_group else "device"
            raise LimitReached(
                f"mpush.delayed_per_target: {of_one} pushes to the {kind} {target!r} wait for their "
                f"time and {more} more would, expected at most {most_of_one}"
            )


def _of(target: str, is_group: bool) -> tuple[sa.ColumnElement[bool], ...]:
    return (MpushDelayed.target == target, MpushDelayed.is_group == int(is_group))


def _own(delayed: Delayed) -> tuple[sa.ColumnElement[bool], ...]:
    key = (MpushDelayed.id == delayed.id, *_of(delayed.target, delayed.is_group))
    return (*key, MpushDelayed.lease == delayed.lease, MpushDelayed.lease != "")


def _row(one: Delayed) -> dict[str, object]:
    return {
        "id": one.id,
        "is_group": int(one.is_group),
        "target": one.target,
        "due_at": one.due_at,
        "next_at": one.due_at,
        "ttl": one.ttl,
        "created_at": one.created_at,
        "body": one.body,
    }


def _delayed(row: MpushDelayed, lease: str = "") -> Delayed:
    return Delayed(
        row.id,
        row.target,
        row.due_at,
        row.body,
        row.ttl,
        bool(row.is_group),
        row.created_at,
        lease,
    )


def _changed(session: Session, statement: sa.Update | sa.Delete) -> int:
    return session.connection().execute(statement).rowcount
