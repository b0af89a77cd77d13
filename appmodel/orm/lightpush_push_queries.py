"""Pushes of light-push: made, counted, acknowledged, listed, swept.

An ack counts once because its push's row is locked first: who comes meanwhile waits, and then finds it there.
What has expired is not there, whether it has been swept or not.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Ack, AckDetails, Draft, StoredPush, Tally, Unit
from appmodel.orm.deleting import delete_some
from appmodel.orm.lightpush import NspAck, NspInbox, NspJob, NspPush, NspStat, NspTally
from appmodel.orm.upserts import upsert

TALLIES_KEPT = Unit.DAY.length  # ms: longer than a process repeats one
COUNTERS = {Platform.IOS: "ios", Platform.ANDROID: "android"}  # parameters of _ADD_ACKS


def create(session: Session, wanted: Sequence[tuple[Draft, int | None]]) -> list[int]:
    """See PushBook.create: several, in their order, each with its `offline_after`."""
    push_ids = _insert(session, [_row_of(draft) for draft, _ in wanted])
    buckets = Counter(
        (draft.namespace, unit.value, unit.bucket(draft.send_date))
        for draft, _ in wanted
        for unit in Unit
    )
    rows = [
        {"namespace": namespace, "unit": unit, "bucket": bucket, "count": count}
        for (namespace, unit, bucket), count in sorted(buckets.items())
    ]
    upsert(session, NspStat, rows, update=[], add=["count"])
    jobs = [
        {"namespace": draft.namespace, "push_id": push_id, "due_at": draft.send_date + after}
        for push_id, (draft, after) in zip(push_ids, wanted, strict=True)
        if after is not None
    ]
    if jobs:
        session.connection().execute(sa.insert(NspJob), jobs)
    return push_ids


_INSERT = sa.insert(NspPush)
_INSERT_MANY = _INSERT.returning(NspPush.id, sort_by_parameter_order=True)


def _row_of(draft: Draft) -> dict[str, Any]:
    return {
        "namespace": draft.namespace,
        "room": draft.room,
        "push_data": draft.push_data,
        "expire": draft.expire,
        "send_date": draft.send_date,
        "expires_at": draft.expires_at,
        "without": draft.without,
        "apns_name": draft.apns_name,
        "leave_message": int(draft.leave_message),
        "extra": draft.extra,
        "sender": draft.sender,
    }


def _insert(session: Session, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Their ids, rising."""
    connection = session.connection()
    if len(rows) == 1:
        made = connection.execute(_INSERT, rows[0]).inserted_primary_key
        assert made is not None, "a single row has a key"
        return [int(made[0])]
    return [int(push_id) for push_id in connection.execute(_INSERT_MANY, rows).scalars()]


def find_push(session: Session, namespace: str, push_id: int, now: int) -> StoredPush | None:
    """A push of this namespace."""
    found = pushes_of(session, namespace, [push_id], now)
    return found[0] if found else None


def pushes_of(
    session: Session, namespace: str, push_ids: Collection[int], now: int
) -> list[StoredPush]:
    """Those of these that are of the namespace and have not expired, the newest first."""
    mine = _alive(namespace, now).where(NspPush.id.in_(push_ids))
    return [stored(row) for row in session.scalars(mine.order_by(NspPush.id.desc()))]


def history(
    session: Session, namespace: str, offset: int, limit: int, now: int
) -> list[StoredPush]:
    """See PushBook.history."""
    newest = _alive(namespace, now).order_by(NspPush.id.desc()).offset(offset).limit(limit)
    return [stored(row) for row in session.scalars(newest)]


def details(session: Session, namespace: str, push_id: int, most: int) -> AckDetails:
    """See PushBook.details."""
    found = {
        platform: list(
            session.scalars(
                sa.select(NspAck.client)
                .where(
                    NspAck.namespace == namespace,
                    NspAck.push_id == push_id,
                    NspAck.platform == platform.value,
                )
                .order_by(NspAck.client)
                .limit(most)
            )
        )
        for platform in Platform
    }
    listed = {one: clients if len(clients) < most else None for one, clients in found.items()}
    return AckDetails(listed[Platform.IOS], listed[Platform.ANDROID], listed[Platform.WEB])


def acknowledge(session: Session, acks: Sequence[Ack], now: int) -> int:
    """See PushBook.acknowledge."""
    ids = sorted({ack.push_id for ack in acks})
    alive = sa.select(NspPush.id, NspPush.namespace).where(
        NspPush.id.in_(ids), NspPush.expires_at > now
    )
    owners: dict[int, str] = dict(
        session.execute(alive.order_by(NspPush.id).with_for_update()).all()
    )
    wanted = {ack[:3]: ack for ack in sorted(acks) if owners.get(ack.push_id) == ack.namespace}
    known = _known(session, wanted)
    new = [ack for key, ack in wanted.items() if key not in known]
    if new:
        rows = [ack._asdict() | {"platform": ack.platform.value} for ack in new]
        session.connection().execute(sa.insert(NspAck), rows)
        _count(session, new)
    return len(new)


def acknowledged(
    session: Session, namespace: str, push_id: int, clients: Collection[str]
) -> frozenset[str]:
    """Those of `clients` that have."""
    mine = sa.select(NspAck.client).where(
        NspAck.namespace == namespace, NspAck.push_id == push_id, NspAck.client.in_(clients)
    )
    return frozenset(session.scalars(mine))


def tally(session: Session, tally: Tally, now: int) -> None:
    """See PushBook.tally."""
    process = tally.process._asdict()
    upsert(session, NspTally, [process | {"number": -1, "at": now}], update=["at"])  # locks it
    mine = sa.update(NspTally).where(
        NspTally.node == tally.process.node,
        NspTally.incarnation == tally.process.incarnation,
        NspTally.number < tally.number,
    )
    if not session.connection().execute(mine.values(number=tally.number)).rowcount:
        return
    rows = [
        {"the_namespace": namespace, "the_id": push_id, "the_frames": frames}
        for (namespace, push_id), frames in sorted(tally.frames.items(), key=lambda one: one[0][1])
    ]
    if rows:
        session.connection().execute(_ADD_FRAMES, rows)


def counts(session: Session, namespace: str, unit: Unit, now: int) -> list[int]:
    """See PushBook.counts."""
    last = unit.bucket(now)
    first = last - unit.kept + 1
    kept = sa.select(NspStat.bucket, NspStat.count).where(
        NspStat.namespace == namespace,
        NspStat.unit == unit.value,
        NspStat.bucket.between(first, last),
    )
    found: dict[int, int] = dict(session.execute(kept).all())
    return [found.get(bucket, 0) for bucket in range(first, last + 1)]


def clear(session: Session, namespace: str, limit: int, *, counters: bool) -> int:
    """A step of forgetting the pushes of a namespace: how many rows went; 0 = none is left."""
    models: list[Any] = [NspJob, NspInbox, NspAck, NspPush]
    if counters:
        models.append(NspStat)
    return sum(
        delete_some(session, model, model.namespace == namespace, limit=limit) for model in models
    )


def sweep(session: Session, now: int, limit: int) -> int:
    """See PushBook.sweep. A push goes when none of its acks is left."""
    ends = NspInbox.expires_at
    swept = delete_some(session, NspInbox, ends <= now, limit=limit, first=ends)
    swept += delete_some(session, NspTally, NspTally.at < now - TALLIES_KEPT, limit=limit)
    for unit in Unit:
        oldest = unit.bucket(now) - unit.kept
        is_old = (NspStat.unit == unit.value, NspStat.bucket <= oldest)
        swept += delete_some(session, NspStat, *is_old, limit=limit, first=NspStat.bucket)
    expired = sa.select(NspPush.namespace, NspPush.id).where(NspPush.expires_at <= now)
    for namespace, push_id in session.execute(
        expired.order_by(NspPush.expires_at).limit(limit)
    ).all():
        mine = (NspAck.namespace == namespace, NspAck.push_id == push_id)
        acks = delete_some(session, NspAck, *mine, limit=limit)
        swept += acks
        if acks < limit:
            swept += delete_some(session, NspPush, NspPush.id == push_id, limit=1)
        if swept >= limit:
            break
    return swept


def stored(row: NspPush) -> StoredPush:
    """A push, read."""
    draft = Draft(
        row.namespace,
        row.room,
        row.push_data,
        row.expire,
        row.send_date,
        row.expires_at,
        row.without,
        row.apns_name,
        bool(row.leave_message),
        row.extra,
        row.sender,
    )
    return StoredPush(
        row.id,
        draft,
        row.acks,
        row.ios_acks,
        row.android_acks,
        row.online_clients,
        row.apns_count,
        row.apns_success_count,
        row.result,
    )


def _alive(namespace: str, now: int) -> sa.Select[NspPush]:
    return sa.select(NspPush).where(NspPush.namespace == namespace, NspPush.expires_at > now)


def _known(session: Session, wanted: Collection[tuple[str, int, str]]) -> set[tuple[str, int, str]]:
    """Those of `wanted` that are there. A query for each push: a batch is of few, and of many clients."""
    by_push: dict[tuple[str, int], list[str]] = {}
    for namespace, push_id, client in wanted:
        by_push.setdefault((namespace, push_id), []).append(client)
    known: set[tuple[str, int, str]] = set()
    for (namespace, push_id), clients in by_push.items():
        there = acknowledged(session, namespace, push_id, clients)
        known.update((namespace, push_id, client) for client in there)
    return known


def _count(session: Session, acks: Sequence[Ack]) -> None:
    """Add them to the counters of their pushes, which are locked."""
    rows: dict[int, dict[str, int]] = {}
    for ack in acks:
        row = rows.setdefault(
            ack.push_id, {"the_id": ack.push_id, "all": 0, "ios": 0, "android": 0}
        )
        row["all"] += 1
        if counter := COUNTERS.get(ack.platform):
            row[counter] += 1
    session.connection().execute(_ADD_ACKS, list(rows.values()))


_PUSH = NspPush.__table__
_ADD_ACKS = (
    sa.update(NspPush)
    .where(_PUSH.c.id == sa.bindparam("the_id"))
    .values(
        acks=_PUSH.c.acks + sa.bindparam("all"),
        ios_acks=_PUSH.c.ios_acks + sa.bindparam("ios"),
        android_acks=_PUSH.c.android_acks + sa.bindparam("android"),
    )
)
_ADD_FRAMES = (
    sa.update(NspPush)
    .where(_PUSH.c.id == sa.bindparam("the_id"), _PUSH.c.namespace == sa.bindparam("the_namespace"))
    .values(online_clients=_PUSH.c.online_clients + sa.bindparam("the_frames"))
)
