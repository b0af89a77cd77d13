"""Clients of light-push: who was ever seen, and what is kept of them.

Comets write in batches, behind the connections, and may repeat them: a first connect is kept, a last one only
grows, and a disconnect counts only for a client that has not connected again since.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.orm import Session

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import (
    Arrival,
    ClientChange,
    ClientRecord,
    Departure,
    Neighbour,
)
from appmodel.orm.deleting import delete_some
from appmodel.orm.lightpush import NspClient, NspMember, NspMute
from appmodel.orm.upserts import upsert

EARTH = 6371.0088  # km: mean radius, IUGG
KM_PER_DEGREE = math.pi * EARTH / 180
CANDIDATES = 5000  # clients of which the nearest of each user are chosen


def note_arrivals(session: Session, arrivals: Sequence[Arrival]) -> None:
    """See Clients.arrived."""
    rows = [
        {
            "namespace": one.namespace,
            "client": one.client,
            "userid": one.userid,
            "platform": one.platform.value,
            "uuid": one.uuid,
            "first_connect_time": one.at,
            "last_connect_time": one.at,
        }
        for one in sorted(arrivals)
    ]
    upsert(session, NspClient, rows, update=["userid"], raise_to=["last_connect_time"])


def note_departures(session: Session, departures: Sequence[Departure]) -> None:
    """See Clients.departed."""
    table = NspClient.__table__
    change = (
        sa.update(NspClient)
        .where(
            table.c.namespace == sa.bindparam("the_namespace"),
            table.c.client == sa.bindparam("the_client"),
            table.c.last_connect_time <= sa.bindparam("the_arrival"),
        )
        .values(
            last_disconnect_time=sa.bindparam("the_time"),
            disconnect_reason=sa.bindparam("the_reason"),
            located=0,
        )
    )
    names = ("the_namespace", "the_client", "the_arrival", "the_time", "the_reason")
    rows = [dict(zip(names, one, strict=True)) for one in sorted(departures)]
    if rows:
        session.connection().execute(change, rows)


def find_client(session: Session, namespace: str, client: str) -> ClientRecord | None:
    """All that is kept of a client."""
    row = session.get(NspClient, (namespace, client))
    if row is None:
        return None
    return ClientRecord(
        namespace,
        client,
        row.userid,
        Platform(row.platform),
        row.uuid,
        row.first_connect_time,
        row.last_connect_time,
        row.last_disconnect_time,
        row.disconnect_reason,
        row.update_date,
        row.device_token,
        row.mobile,
        row.system,
        None if row.leave_message is None else bool(row.leave_message),
        row.longitude,
        row.latitude,
        tuple(mutes_of(session, namespace, client)),
    )


def mutes_of(session: Session, namespace: str, client: str) -> list[str]:
    """Rooms that a client mutes, sorted."""
    mine = sa.select(NspMute.room).where(NspMute.namespace == namespace, NspMute.client == client)
    return list(session.scalars(mine.order_by(NspMute.room)))


def change_client(
    session: Session, namespace: str, client: str, change: ClientChange, now: int
) -> bool:
    """Whether it is known."""
    names = ("device_token", "mobile", "system", "longitude", "latitude")
    given = {name: getattr(change, name) for name in names}
    values = {name: value for name, value in given.items() if value is not UNSET}
    if change.leave_message is not UNSET:
        values["leave_message"] = int(change.leave_message)
    if change.longitude is not UNSET and change.latitude is not UNSET:
        values["located"] = 1
    mine = sa.update(NspClient).where(NspClient.namespace == namespace, NspClient.client == client)
    return _rows(session, mine.values(update_date=now, **values)) > 0


def forget_token(session: Session, namespace: str, client: str, device_token: str) -> bool:
    """Whether it was still this one."""
    mine = sa.update(NspClient).where(
        NspClient.namespace == namespace,
        NspClient.client == client,
        NspClient.device_token == device_token,
    )
    return _rows(session, mine.values(device_token=None)) > 0


def count_clients(session: Session, namespaces: Collection[str]) -> dict[str, int]:
    """How many clients each ever had."""
    counted = sa.select(NspClient.namespace, sa.func.count()).group_by(NspClient.namespace)
    found = session.execute(counted.where(NspClient.namespace.in_(namespaces)))
    counts: dict[str, int] = dict(found.all())
    return {namespace: counts.get(namespace, 0) for namespace in namespaces}


def legacy_clients(
    session: Session, namespace: str, before: int, after: str, limit: int
) -> list[str]:
    """A page of those whose last connect is older."""
    old = _legacy(namespace, before).where(NspClient.client > after)
    return list(session.scalars(old.order_by(NspClient.client).limit(limit)))


def forget_clients(
    session: Session, namespace: str, clients: Collection[str], before: int
) -> list[str]:
    """Those of `clients` that were forgotten."""
    old = _legacy(namespace, before).where(NspClient.client.in_(clients))
    gone = list(session.scalars(old.order_by(NspClient.client).with_for_update()))
    for model in (NspMute, NspMember, NspClient):
        mine = sa.delete(model).where(model.namespace == namespace, model.client.in_(gone))
        session.execute(mine, execution_options={"synchronize_session": False})
    return gone


def clear_clients(session: Session, namespace: str, limit: int) -> int:
    """A step of forgetting all clients of a namespace: how many rows went; 0 = none is left."""
    return sum(
        delete_some(session, model, model.namespace == namespace, limit=limit)
        for model in (NspMute, NspMember, NspClient)
    )


def clients_near(
    session: Session, namespace: str, client: str, radius: float, count: int
) -> list[Neighbour] | None:
    """See Clients.near. The box around the place is asked for, the distance is computed."""
    me = session.get(NspClient, (namespace, client))
    if me is None or not me.located or me.longitude is None or me.latitude is None:
        return None
    rows = session.execute(_around(namespace, client, me.longitude, me.latitude, radius))
    nearest: dict[str, Neighbour] = {}
    for other, userid, platform, longitude, latitude in rows:
        distance = _distance(me.longitude, me.latitude, longitude, latitude)
        known = nearest.get(userid)
        if distance <= radius and (known is None or distance < known.distance):
            nearest[userid] = Neighbour(
                other, userid, Platform(platform), distance, longitude, latitude
            )
    return sorted(nearest.values(), key=lambda one: (one.distance, one.id))[:count]


def _around(
    namespace: str, client: str, longitude: float, latitude: float, radius: float
) -> sa.Select[*tuple[Any, ...]]:
    """Clients in a box around a place, roughly the nearest first."""
    height = radius / KM_PER_DEGREE
    shrinks = math.cos(math.radians(latitude))
    apart = sa.func.abs(NspClient.longitude - longitude)
    aside = sa.case((apart > 180, 360 - apart), else_=apart)  # across the date line
    up = NspClient.latitude - latitude
    columns = (
        NspClient.client,
        NspClient.userid,
        NspClient.platform,
        NspClient.longitude,
        NspClient.latitude,
    )
    found = sa.select(*columns).where(
        NspClient.namespace == namespace,
        NspClient.located == 1,
        NspClient.latitude.between(latitude - height, latitude + height),
        NspClient.client != client,
    )
    rough = up * up + aside * aside * (shrinks * shrinks)
    return found.order_by(rough, NspClient.client).limit(CANDIDATES)


def _distance(longitude: float, latitude: float, to_longitude: float, to_latitude: float) -> float:
    """In km, along the surface."""
    one, two = math.radians(latitude), math.radians(to_latitude)
    across = math.sin(math.radians(to_longitude - longitude) / 2) ** 2
    along = math.sin((two - one) / 2) ** 2 + math.cos(one) * math.cos(two) * across
    return 2 * EARTH * math.asin(math.sqrt(min(along, 1.0)))


def _legacy(namespace: str, before: int) -> sa.Select[Any]:
    return sa.select(NspClient.client).where(
        NspClient.namespace == namespace, NspClient.last_connect_time < before
    )


def _rows(session: Session, statement: sa.Update) -> int:
    return session.connection().execute(statement).rowcount
