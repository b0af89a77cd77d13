"""What waits for those who missed a push of light-push: inboxes, and the jobs that look after them.

    job    due ──claim──> leased ──finish──> gone
            ^               │ advance: the lease and the cursor move on
            └── postpone, or the lease runs out: somebody else goes on behind the cursor

A claim is an update of a row that nobody has changed since it was read, so of two claimers one gets it. Namespaces
take turns: the index by namespace and time finds the first job of each, however many one of them has.
"""

import secrets
from collections.abc import Collection
from itertools import chain, islice, zip_longest

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.lightpush_records import Job, Progress, StoredPush
from appmodel.core.lightpush_stores import BETWEEN, MAX_RESULT
from appmodel.orm.deleting import delete_rows
from appmodel.orm.lightpush import NspInbox, NspJob, NspPush
from appmodel.orm.lightpush_push_queries import pushes_of, stored
from appmodel.orm.upserts import upsert


def put_in_inboxes(
    session: Session, push: StoredPush, clients: Collection[str], now: int, most: int
) -> None:
    """See PushBook.put_in_inboxes. `most`: pushes in one."""
    if push.draft.expires_at <= now or not clients:
        return
    namespace = push.draft.namespace
    entry = {"namespace": namespace, "push_id": push.id, "expires_at": push.draft.expires_at}
    rows = [entry | {"client": client} for client in sorted(clients)]
    upsert(session, NspInbox, rows, update=["expires_at"])
    mine = sa.and_(NspInbox.namespace == namespace, NspInbox.client.in_(clients))
    full = sa.select(NspInbox.client).where(mine).group_by(NspInbox.client)
    for client in session.scalars(full.having(sa.func.count() > most)).all():
        _trim(session, namespace, client, now, most)


def take_inbox(session: Session, namespace: str, client: str, now: int) -> list[StoredPush]:
    """See PushBook.take_inbox."""
    mine = sa.select(NspInbox.push_id).where(
        NspInbox.namespace == namespace, NspInbox.client == client
    )
    ids = list(session.scalars(mine.order_by(NspInbox.push_id.desc()).with_for_update()))
    _drop(session, namespace, client, ids)
    return pushes_of(session, namespace, ids, now) if ids else []


def has_inbox(session: Session, namespace: str, client: str) -> bool:
    """Whether anything lies there, expired or not."""
    mine = sa.select(sa.literal(1)).where(
        NspInbox.namespace == namespace, NspInbox.client == client
    )
    return session.scalar(mine.limit(1)) is not None


def forget_inboxes(session: Session, namespace: str, clients: Collection[str]) -> None:
    """All that waits for these."""
    mine = sa.delete(NspInbox).where(NspInbox.namespace == namespace, NspInbox.client.in_(clients))
    session.execute(mine, execution_options={"synchronize_session": False})


def claim_jobs(
    session: Session, now: int, lease: int, limit: int, *, after: str
) -> tuple[list[Job], str]:
    """See PushBook.claim_jobs. `after`: the namespace that had the last turn; also who had it now."""
    due = _in_turns(session, now, limit, after)
    # all claimers lock in one order, so none waits for another one in a circle
    claimed = {row: _claim(session, row, now, lease) for row in sorted(due, key=_place)}
    jobs = [job for row in due if (job := claimed[row]) is not None]
    return jobs, due[-1].namespace if due else after


def _in_turns(session: Session, now: int, limit: int, after: str) -> list[NspJob]:
    """What is due: of each namespace one, then of each another one."""
    names = _whose_turn(session, now, limit, after)
    most = limit - len(names) + 1  # of one of them
    lanes = []
    for name in names:
        mine = sa.select(NspJob).where(NspJob.namespace == name, NspJob.due_at <= now)
        lanes.append(
            session.scalars(mine.order_by(NspJob.due_at, NspJob.push_id).limit(most)).all()
        )
    turns = chain.from_iterable(zip_longest(*lanes))
    return list(islice((row for row in turns if row is not None), limit))


def _whose_turn(session: Session, now: int, limit: int, after: str) -> list[str]:
    """Namespaces that have something due, those behind `after` first. A look at the index for each."""
    found: list[str] = []
    for first, last in ((after, None), ("", after)):
        name: str | None = first
        while name is not None and len(found) < limit:
            due = sa.select(NspJob.namespace).where(NspJob.namespace > name, NspJob.due_at <= now)
            if last is not None:
                due = due.where(NspJob.namespace <= last)
            name = session.scalar(due.order_by(NspJob.namespace).limit(1))
            if name is not None:
                found.append(name)
    return found


def _claim(session: Session, row: NspJob, now: int, lease: int) -> Job | None:
    """None: somebody else was first, or its push has expired."""
    token = new_token()
    mine = sa.update(NspJob).where(
        NspJob.namespace == row.namespace,
        NspJob.push_id == row.push_id,
        NspJob.due_at == row.due_at,
        NspJob.lease == row.lease,
    )
    claim = mine.values(due_at=now + lease, lease=token, attempts=row.attempts + 1)
    if not session.connection().execute(claim).rowcount:
        return None
    push = session.get(NspPush, row.push_id)
    if push is None or push.expires_at <= now or push.namespace != row.namespace:
        key = {"namespace": row.namespace, "push_id": row.push_id}
        delete_rows(session, NspJob, [key])
        return None
    return Job(stored(push), row.cursor, row.attempts + 1, token)


def _place(row: NspJob) -> tuple[str, int]:
    return row.namespace, row.push_id


def new_token() -> str:
    """What proves that a job is one's own: nobody else's, whichever node it is of."""
    return secrets.token_hex(16)


def advance(session: Session, job: Job, progress: Progress, until: int) -> bool:
    """See PushBook.advance."""
    mine = sa.update(NspJob).where(*_own(job))
    moved = mine.values(due_at=until, cursor=progress.cursor)
    if not session.connection().execute(moved).rowcount:
        return False
    push = session.get(NspPush, job.push.id)
    if push is not None:
        push.apns_count = (push.apns_count or 0) + progress.apns_count
        push.apns_success_count = (push.apns_success_count or 0) + progress.apns_success_count
        push.result = add_note(push.result, progress.note)
    return True


def postpone(session: Session, job: Job, until: int) -> bool:
    """See PushBook.postpone."""
    given_back = sa.update(NspJob).where(*_own(job)).values(due_at=until, lease="")
    return session.connection().execute(given_back).rowcount > 0


def finish(session: Session, job: Job) -> bool:
    """See PushBook.finish."""
    done = sa.delete(NspJob).where(*_own(job))
    return session.connection().execute(done).rowcount > 0


def add_note(result: str | None, note: str) -> str | None:
    """`result` with one note more, if there is room for it."""
    if not note:
        return result
    text = f"{result}{BETWEEN}{note}" if result else note
    return text if len(text) <= MAX_RESULT else result or note[:MAX_RESULT]


def _own(job: Job) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        NspJob.namespace == job.push.draft.namespace,
        NspJob.push_id == job.push.id,
        NspJob.lease == job.lease,
    )


def _trim(session: Session, namespace: str, client: str, now: int, most: int) -> None:
    """Leave the newest; what has expired goes before what has not."""
    mine = sa.select(NspInbox.push_id).where(
        NspInbox.namespace == namespace, NspInbox.client == client
    )
    alive = NspInbox.expires_at > now
    kept = set(session.scalars(mine.where(alive).order_by(NspInbox.push_id.desc()).limit(most)))
    _drop(session, namespace, client, [one for one in session.scalars(mine) if one not in kept])


def _drop(session: Session, namespace: str, client: str, push_ids: Collection[int]) -> None:
    """A handful: an inbox is trimmed whenever something comes."""
    rows = [{"namespace": namespace, "client": client, "push_id": one} for one in push_ids]
    delete_rows(session, NspInbox, rows)
