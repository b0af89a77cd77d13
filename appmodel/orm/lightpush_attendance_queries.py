"""The present layer of light-push: who is connected, and in which rooms.

Each row says at which process, so a client that two processes hold for a moment has two, and none of them can
take the other's away. It is counted once. Rooms are created by the first who joins, and gone with the last.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.lightpush import Platform, is_user_room
from appmodel.core.lightpush_records import (
    AttendanceNews,
    Lists,
    Overview,
    Presence,
    Process,
    RoomOverview,
    Seat,
)
from appmodel.core.realms import USER_ROOM
from appmodel.orm.deleting import delete_rows, delete_some
from appmodel.orm.lightpush import NspOnline, NspPresent
from appmodel.orm.upserts import upsert

PRESENCE = (
    NspOnline.namespace,
    NspOnline.client,
    NspOnline.userid,
    NspOnline.platform,
    NspOnline.at,
)
IS_ORDINARY = sa.func.lower(sa.func.substr(NspPresent.room, 1, len(USER_ROOM))) != USER_ROOM


def record(session: Session, process: Process, news: AttendanceNews) -> None:
    """See Attendance.record."""
    for namespace, clients in _by_namespace(news.went).items():
        for model in (NspPresent, NspOnline):
            gone = sa.delete(model).where(
                model.namespace == namespace, model.client.in_(clients), *_at(model, process)
            )
            session.execute(gone, execution_options={"synchronize_session": False})
    came = [
        one._asdict() | {"platform": one.platform.value} | process._asdict()
        for one in sorted(news.came)
    ]
    upsert(session, NspOnline, came, update=["userid", "at"])
    left = [one._asdict() | process._asdict() for one in sorted(news.left)]
    delete_rows(session, NspPresent, left)
    joined = _seats(session, process, sorted(news.joined))
    upsert(session, NspPresent, joined, update=["userid"])


def processes(session: Session) -> list[Process]:
    """All at which somebody is present."""
    found = session.execute(sa.select(NspOnline.node, NspOnline.incarnation).distinct())
    return [Process(node, incarnation) for node, incarnation in found]


def count_at(session: Session, process: Process) -> tuple[int, int]:
    """Clients, and seats, of a process."""
    counts = [
        session.scalar(sa.select(sa.func.count()).select_from(model).where(*_at(model, process)))
        for model in (NspOnline, NspPresent)
    ]
    return counts[0] or 0, counts[1] or 0


def present_at(
    session: Session, process: Process, after: tuple[str, str], limit: int
) -> list[Presence]:
    """A page of those of a process."""
    namespace, client = after
    behind = sa.or_(
        NspOnline.namespace > namespace,
        sa.and_(NspOnline.namespace == namespace, NspOnline.client > client),
    )
    mine = sa.select(*PRESENCE).where(*_at(NspOnline, process), behind)
    return _presences(
        session.execute(mine.order_by(NspOnline.namespace, NspOnline.client).limit(limit))
    )


def seats_of(session: Session, process: Process, namespace: str, client: str) -> list[str]:
    """The rooms of a client, as written of a process."""
    mine = sa.select(NspPresent.room).where(
        *_at(NspPresent, process), NspPresent.namespace == namespace, NspPresent.client == client
    )
    return sorted(
        session.scalars(mine)
    )  # SQLite would look through the namespace to have them in order


def is_present(session: Session, namespace: str, room: str, client: str) -> bool:
    """Whether it is in the room, at any process."""
    mine = sa.select(sa.literal(1)).where(
        NspPresent.namespace == namespace, NspPresent.room == room, NspPresent.client == client
    )
    return session.scalar(mine.limit(1)) is not None


def overviews(session: Session, namespaces: Collection[str] | None) -> dict[str, Overview]:
    """Numbers of each of these, or of all where somebody is present."""
    people = sa.select(
        NspOnline.namespace,
        sa.func.count(NspOnline.userid.distinct()),
        sa.func.count(NspOnline.client.distinct()),
    ).group_by(NspOnline.namespace)
    rooms = sa.select(NspPresent.namespace, sa.func.count(NspPresent.room.distinct())).where(
        IS_ORDINARY
    )
    rooms = rooms.group_by(NspPresent.namespace)
    if namespaces is not None:
        people = people.where(NspOnline.namespace.in_(namespaces))
        rooms = rooms.where(NspPresent.namespace.in_(namespaces))
    numbers: dict[str, int] = dict(session.execute(rooms).all())
    found = {
        namespace: Overview(numbers.get(namespace, 0), users, clients)
        for namespace, users, clients in session.execute(people)
    }
    return found | {one: Overview() for one in namespaces or () if one not in found}


def lists(session: Session, namespace: str, most: int) -> Lists:
    """Rooms, clients and users of a namespace."""
    here, seated = NspOnline.namespace == namespace, NspPresent.namespace == namespace
    return Lists(
        _list(session, NspPresent.room, most, seated, IS_ORDINARY),
        _list(session, NspOnline.client, most, here),
        _list(session, NspOnline.userid, most, here),
    )


def rooms(session: Session, namespace: str, names: Collection[str]) -> dict[str, RoomOverview]:
    """Numbers of each."""
    client = NspPresent.client
    on = {one: sa.case((NspPresent.platform == one.value, client)) for one in Platform}
    counted = (
        sa.select(
            NspPresent.room,
            sa.func.count(NspPresent.userid.distinct()),
            sa.func.count(client.distinct()),
            sa.func.count(on[Platform.IOS].distinct()),
            sa.func.count(on[Platform.ANDROID].distinct()),
        )
        .where(NspPresent.namespace == namespace, NspPresent.room.in_(names))
        .group_by(NspPresent.room)
    )
    found = dict.fromkeys(names, RoomOverview())
    for room, users, clients, ios, android in session.execute(counted):
        found[room] = RoomOverview(0 if is_user_room(room) else users, clients, ios, android)
    return found


def room_lists(
    session: Session, namespace: str, names: Collection[str], most: int
) -> dict[str, Lists]:
    """Clients and users of each."""
    found: dict[str, Lists] = {}
    for room in names:
        mine = sa.and_(NspPresent.namespace == namespace, NspPresent.room == room)
        clients = _list(session, NspPresent.client, most, mine)
        users = [] if is_user_room(room) else _list(session, NspPresent.userid, most, mine)
        found[room] = Lists([], clients, users)
    return found


def online(session: Session, namespace: str, after: str, limit: int) -> list[Presence]:
    """A page of who is present, by client."""
    page = sa.select(NspOnline.client).distinct()
    page = page.where(NspOnline.namespace == namespace, NspOnline.client > after)
    clients = list(session.scalars(page.order_by(NspOnline.client).limit(limit)))
    mine = sa.select(*PRESENCE).where(
        NspOnline.namespace == namespace, NspOnline.client.in_(clients)
    )
    newest = {one.client: one for one in _presences(session.execute(mine.order_by(NspOnline.at)))}
    return [newest[client] for client in clients if client in newest]


def clear(session: Session, namespace: str, limit: int) -> int:
    """A step of emptying a namespace: how many rows went; 0 = none is left."""
    return sum(
        delete_some(session, model, model.namespace == namespace, limit=limit)
        for model in (NspPresent, NspOnline)
    )


def _seats(session: Session, process: Process, seats: Sequence[Seat]) -> list[dict[str, Any]]:
    """Rows of those whose clients are at the process."""
    here: dict[tuple[str, str], Presence] = {}
    names = _by_namespace((one.namespace, one.client) for one in seats)
    for namespace, clients in names.items():
        mine = sa.select(*PRESENCE).where(
            NspOnline.namespace == namespace,
            NspOnline.client.in_(clients),
            *_at(NspOnline, process),
        )
        here |= {(one.namespace, one.client): one for one in _presences(session.execute(mine))}
    rows: list[dict[str, Any]] = []
    for seat in seats:
        if one := here.get((seat.namespace, seat.client)):
            who = {"userid": one.userid, "platform": one.platform.value}
            rows.append(seat._asdict() | process._asdict() | who)
    return rows


def _by_namespace(names: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for namespace, client in dict.fromkeys(names):
        found.setdefault(namespace, []).append(client)
    return found


def _at(
    model: type[NspOnline] | type[NspPresent], process: Process
) -> tuple[sa.ColumnElement[bool], ...]:
    return model.node == process.node, model.incarnation == process.incarnation


def _presences(rows: Iterable[Any]) -> list[Presence]:
    return [
        Presence(namespace, client, userid, Platform(platform), at)
        for namespace, client, userid, platform, at in rows
    ]


def _list(
    session: Session,
    column: sa.SQLColumnExpression[str],
    most: int,
    *where: sa.ColumnElement[bool],
) -> list[str] | None:
    """Distinct values, sorted; None: there are more than `most`."""
    found = sa.select(column).where(*where).distinct().order_by(column).limit(most + 1)
    values = list(session.scalars(found))
    return values if len(values) <= most else None
