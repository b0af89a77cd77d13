"""Receivers of Mpush: who gets a copy beside the socket, how far each has come, and who brings it just now.

due_at   cursor  wanted  lease   what it means
NULL     7       7               it has all that was pushed
1000     7       9               8 and 9 are to be brought, by whoever comes first from 1000 ms on
61000    7       9       4f2a    4f2a brings them; if it dies, it is due again at 61000 ms
5000     7       9               bringing 8 has failed: again at 5000 ms
"""

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush import note_of_receivers
from appmodel.core.mpush_stores import Errand, Receiver, ReceiverKind
from appmodel.core.sealing import Sealing
from appmodel.errors import LimitReached, NotFound
from appmodel.orm.changes import note_change
from appmodel.orm.mpush import MpushDevice, MpushReceiver


def add_receiver(
    session: Session, receiver: Receiver, cursor: int, now: int, most: int, sealing: Sealing
) -> None:
    """See Receivers.add."""
    name = receiver.name
    device = sa.select(MpushDevice.name).where(MpushDevice.name == name).with_for_update()
    if session.scalar(device) is None:
        raise NotFound(f"name: there is no device {name!r}")
    digest = digest_of(receiver.address)
    sealed = sealing.seal(receiver.secrets or "", _place(name, receiver.kind, digest))
    row = session.get(MpushReceiver, (name, receiver.kind.value, digest))
    if row is None:
        mine = sa.select(sa.func.count()).where(MpushReceiver.name == name)
        if (session.scalar(mine) or 0) >= most:
            raise LimitReached(
                f"mpush.receivers: {name!r} has {most} receivers, as many as it may have"
            )
        row = MpushReceiver(name=name, kind=receiver.kind.value, digest=digest)
        row.address, row.created_at, row.cursor, row.wanted = receiver.address, now, cursor, cursor
        session.add(row)
    elif row.due_at is not None and not row.lease:
        row.due_at, row.failures = (
            now,
            0,
        )  # who comes with new secrets does not wait for the old ones
    row.secrets = sealed
    note_change(session, note_of_receivers(name))


def receivers_of(
    session: Session, names: Collection[str], sealing: Sealing
) -> dict[str, list[Receiver]]:
    """See Receivers.of."""
    found: dict[str, list[Receiver]] = defaultdict(list)
    asked = sa.select(MpushReceiver).where(MpushReceiver.name.in_(names))
    order = (MpushReceiver.created_at, MpushReceiver.kind, MpushReceiver.digest)
    for row in session.scalars(asked.order_by(*order)):
        found[row.name].append(_receiver(row, sealing))
    return dict(found)


def remove_receiver(session: Session, name: str, kind: ReceiverKind, address: str) -> bool:
    """See Receivers.remove."""
    mine = sa.delete(MpushReceiver).where(
        MpushReceiver.name == name,
        MpushReceiver.kind == kind.value,
        MpushReceiver.digest == digest_of(address),
    )
    if not _changed(session, mine):
        return False
    note_change(session, note_of_receivers(name))
    return True


def want(session: Session, pushed: Mapping[str, int], now: int) -> None:
    """See Receivers.want."""
    rows = [
        {"the_name": name, "the_id": message_id, "the_time": now}
        for name, message_id in sorted(pushed.items())
    ]
    if rows:
        session.connection().execute(_WANT, rows)


def claim_errands(
    session: Session,
    now: int,
    lease: int,
    limit: int,
    kinds: Collection[ReceiverKind],
    sealing: Sealing,
) -> list[Errand]:
    """See Receivers.claim."""
    due = sa.select(MpushReceiver).where(MpushReceiver.due_at <= now)
    if len(kinds) < len(ReceiverKind):
        due = due.where(MpushReceiver.kind.in_([kind.value for kind in kinds]))
    errands: list[Errand] = []
    for row in session.scalars(due.order_by(MpushReceiver.due_at).limit(limit)).all():
        token = new_token()
        same = (MpushReceiver.due_at == row.due_at, MpushReceiver.lease == row.lease)
        claim = sa.update(MpushReceiver).where(*_key(row.name, row.kind, row.digest), *same)
        if _changed(session, claim.values(due_at=now + lease, lease=token)):
            receiver = _receiver(row, sealing)
            errands.append(Errand(receiver, row.cursor, row.wanted, row.failures, token))
    return errands


def advance(session: Session, errand: Errand, cursor: int, until: int) -> bool:
    """See Receivers.advance."""
    mine = sa.update(MpushReceiver).where(*_own(errand))
    return _changed(session, mine.values(cursor=cursor, due_at=until, failures=0))


def postpone(session: Session, errand: Errand, until: int) -> bool:
    """See Receivers.postpone."""
    mine = sa.update(MpushReceiver).where(*_own(errand))
    more = MpushReceiver.failures + 1
    return _changed(session, mine.values(due_at=until, failures=more, lease=""))


def finish(session: Session, errand: Errand, cursor: int, now: int) -> bool:
    """See Receivers.finish."""
    mine = sa.update(MpushReceiver).where(*_own(errand))
    due = sa.case((MpushReceiver.wanted > cursor, now), else_=sa.null())
    return _changed(session, mine.values(cursor=cursor, due_at=due, failures=0, lease=""))


def new_token() -> str:
    """What proves that something is one's own: nobody else's, whichever node it is of."""
    return secrets.token_hex(16)


def digest_of(address: str) -> str:
    """What names an address."""
    return hashlib.blake2b(address.encode(), digest_size=16).hexdigest()


def _place(name: str, kind: str, digest: str) -> str:
    """Where secrets lie: sealed for another receiver they cannot be opened here."""
    return f"mpush_receiver:{kind}:{digest}:{name}"


def _receiver(row: MpushReceiver, sealing: Sealing) -> Receiver:
    kind = ReceiverKind(row.kind)
    opened = sealing.open(row.secrets, _place(row.name, kind, row.digest))
    hidden = None if opened is None else Hidden(opened)
    return Receiver(row.name, kind, row.address, hidden, row.created_at)


def _key(name: str, kind: str, digest: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        MpushReceiver.name == name,
        MpushReceiver.kind == kind,
        MpushReceiver.digest == digest,
    )


def _own(errand: Errand) -> tuple[sa.ColumnElement[bool], ...]:
    receiver = errand.receiver
    key = _key(receiver.name, receiver.kind.value, digest_of(receiver.address))
    return (*key, MpushReceiver.lease == errand.lease)


def _changed(session: Session, statement: sa.Update | sa.Delete) -> bool:
    return session.connection().execute(statement).rowcount > 0


_TABLE: Any = MpushReceiver.__table__
_WANT = (
    sa.update(_TABLE)
    .where(_TABLE.c.name == sa.bindparam("the_name"), _TABLE.c.wanted < sa.bindparam("the_id"))
    .values(
        wanted=sa.bindparam("the_id"),
        due_at=sa.func.coalesce(_TABLE.c.due_at, sa.bindparam("the_time")),
    )
)
