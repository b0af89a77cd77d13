"""The total layer of light-push: who was ever in a room, who mutes which, and who may be told of what he missed.

What is done for all members of a room is done a page at a time: each step is a transaction, says behind which
client the next one begins, and may be repeated.
"""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Enrolment, MuteEdit, Reachable, Totals
from appmodel.core.lightpush_stores import MAX_ENROLMENTS, MAX_MUTES
from appmodel.errors import LimitReached
from appmodel.orm.lightpush import NspClient, NspMember, NspMute
from appmodel.orm.upserts import upsert

STEP = 1000  # clients


def enrol(session: Session, enrolments: Sequence[Enrolment]) -> None:
    """See Clients.enrolled."""
    full = _full(session, enrolments)
    rows = [
        {
            "namespace": one.namespace,
            "room": one.room,
            "client": one.client,
            "platform": one.platform.value,
        }
        for one in sorted(enrolments)
        if (one.namespace, one.client) not in full
    ]
    upsert(session, NspMember, rows, update=["platform"])


def edit_mutes(session: Session, namespace: str, clients: Collection[str], edit: MuteEdit) -> None:
    """The same edit for each of these clients.

    Raises:
        LimitReached: one of them would mute more than MAX_MUTES.
    """
    rooms = sorted(set(edit.add) - set(edit.remove))
    rows = [
        {"namespace": namespace, "client": client, "room": room}
        for client in sorted(clients)
        for room in rooms
    ]
    upsert(session, NspMute, rows, update=["room"])
    mine = sa.and_(NspMute.namespace == namespace, NspMute.client.in_(clients))
    if edit.remove:
        session.execute(sa.delete(NspMute).where(mine, NspMute.room.in_(edit.remove)))
    count = sa.func.count()
    most = sa.select(count).where(mine).group_by(NspMute.client).order_by(count.desc()).limit(1)
    if rows and (session.scalar(most) or 0) > MAX_MUTES:
        raise LimitReached(f"no_send_apns: expected at most {MAX_MUTES} rooms for a client")


def edit_room_mutes(session: Session, namespace: str, room: str, edit: MuteEdit, after: str) -> str:
    """A step: behind which client the next one begins; "" = it was the last."""
    limit = max(STEP // max(len(edit.add), 1), 1)
    members = members_after(session, namespace, room, after, limit)
    edit_mutes(session, namespace, list(members), edit)
    return _last(members, limit)


def set_leave_message(
    session: Session, namespace: str, room: str, leave_message: bool, now: int, after: str
) -> str:
    """A step: behind which client the next one begins; "" = it was the last."""
    members = members_after(session, namespace, room, after, STEP)
    mine = sa.update(NspClient).where(
        NspClient.namespace == namespace, NspClient.client.in_(members)
    )
    session.execute(
        mine.values(leave_message=int(leave_message), update_date=now),
        execution_options={"synchronize_session": False},
    )
    return _last(members, STEP)


def transfer(
    session: Session, after: str, *, namespace: str, target: str, source: str, is_join: bool
) -> str:
    """A step for one of the sources: behind which client the next one begins; "" = it was the last."""
    members = members_after(session, namespace, source, after, STEP)
    if is_join:
        enrol(session, [Enrolment(namespace, target, *member) for member in members.items()])
    else:
        leaves = sa.delete(NspMember).where(
            NspMember.namespace == namespace,
            NspMember.room == target,
            NspMember.client.in_(members),
        )
        session.execute(leaves, execution_options={"synchronize_session": False})
    return _last(members, STEP)


def members_after(
    session: Session, namespace: str, room: str, after: str, limit: int
) -> dict[str, Platform]:
    """A page of who was ever in a room, by client."""
    members = sa.select(NspMember.client, NspMember.platform).where(
        NspMember.namespace == namespace, NspMember.room == room, NspMember.client > after
    )
    found = session.execute(members.order_by(NspMember.client).limit(limit))
    return {client: Platform(platform) for client, platform in found}


def reachable(
    session: Session, namespace: str, room: str, after: str, limit: int
) -> list[Reachable]:
    """See Clients.reachable."""
    same = sa.and_(NspClient.namespace == NspMember.namespace, NspClient.client == NspMember.client)
    mutes = sa.exists().where(
        NspMute.namespace == namespace, NspMute.client == NspMember.client, NspMute.room == room
    )
    wants = sa.and_(sa.func.coalesce(NspClient.device_token, "") != "", ~mutes)
    is_android, is_ios = (
        NspMember.platform == one.value for one in (Platform.ANDROID, Platform.IOS)
    )
    columns = (NspMember.client, NspMember.platform, NspClient.device_token)
    found = sa.select(*columns).outerjoin(NspClient, same)
    found = found.where(
        NspMember.namespace == namespace,
        NspMember.room == room,
        NspMember.client > after,
        sa.func.coalesce(NspClient.leave_message, 1) != 0,
        sa.or_(is_android, sa.and_(is_ios, wants)),
    )
    return [
        Reachable(client, Platform(platform), token or "" if platform == Platform.IOS else "")
        for client, platform, token in session.execute(
            found.order_by(NspMember.client).limit(limit)
        )
    ]


def room_totals(session: Session, namespace: str, rooms: Collection[str]) -> dict[str, Totals]:
    """How many clients were ever in each."""
    counted = sa.select(NspMember.room, NspMember.platform, sa.func.count())
    counted = counted.where(NspMember.namespace == namespace, NspMember.room.in_(rooms))
    counts: dict[str, dict[str, int]] = {room: {} for room in rooms}
    for room, platform, count in session.execute(
        counted.group_by(NspMember.room, NspMember.platform)
    ):
        counts[room][platform] = count
    return {
        room: Totals(sum(by.values()), by.get(Platform.IOS, 0), by.get(Platform.ANDROID, 0))
        for room, by in counts.items()
    }


def _full(session: Session, enrolments: Sequence[Enrolment]) -> set[tuple[str, str]]:
    """Clients that are members of as many rooms as one may be."""
    clients: dict[str, set[str]] = {}
    for one in enrolments:
        clients.setdefault(one.namespace, set()).add(one.client)
    full: set[tuple[str, str]] = set()
    for namespace, some in clients.items():
        many = sa.select(NspMember.client).where(
            NspMember.namespace == namespace, NspMember.client.in_(some)
        )
        many = many.group_by(NspMember.client).having(sa.func.count() >= MAX_ENROLMENTS)
        full.update((namespace, client) for client in session.scalars(many))
    return full


def _last(members: Collection[str], limit: int) -> str:
    return max(members) if len(members) == limit else ""
