"""Devices of Mpush: who there is, in which group, and what each has acknowledged.

Logins that wait together are one transaction, and so are acknowledgements that a comet has gathered. A floor only
rises; ids at or below it are forgotten, as the floor says the same of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.mpush import note_of, note_of_group, note_of_receivers
from appmodel.core.mpush_stores import MAX_DONE, AckNews, AckState, Device
from appmodel.errors import LimitReached
from appmodel.orm.changes import note_change
from appmodel.orm.deleting import delete_rows
from appmodel.orm.leases import lock
from appmodel.orm.mpush import MpushDelayed, MpushDevice, MpushDone, MpushReceiver
from appmodel.orm.upserts import upsert

LOCK = "mpush:devices"  # held by who makes new ones: they are counted


def log_in(
    session: Session, logins: Sequence[tuple[str, str | None, int]], most: int
) -> list[AckState]:
    """See Devices.register. `logins`: name, group, time; a name may be there twice, the last one counts.

    Raises:
        LimitReached: more than `most` devices.
    """
    names = {name for name, _, _ in logins}
    before = _groups_of(session, names)
    _make_room(session, names - before.keys(), most)
    moved = _write_logins(session, logins, before)
    note_change(session, *sorted(moved))
    states = ack_states(session, names)
    return [states[name] for name, _, _ in logins]


def preregister(session: Session, names: Collection[str], now: int, most: int) -> None:
    """See Devices.preregister."""
    new = set(names) - _groups_of(session, names).keys()
    _make_room(session, new, most)
    rows = [{"name": name, "created_at": now, "logged_in_at": 0} for name in sorted(new)]
    upsert(session, MpushDevice, rows, update=[], raise_to=["logged_in_at"])
    note_change(session, *(note_of(name) for name in sorted(new)))


def find_devices(session: Session, names: Collection[str]) -> dict[str, Device]:
    """Those that there are."""
    found = session.execute(_DEVICES.where(MpushDevice.name.in_(names)))
    return {row.name: _device(*row) for row in found}


def devices_page(session: Session, after: str, limit: int) -> list[Device]:
    """By their names, from behind `after`."""
    asked = _DEVICES.where(MpushDevice.name > after).order_by(MpushDevice.name).limit(limit)
    return [_device(*row) for row in session.execute(asked)]


def members(session: Session, group: str, after: str, limit: int) -> list[str]:
    """See Devices.members."""
    asked = sa.select(MpushDevice.name).where(
        MpushDevice.group_name == group, MpushDevice.name > after
    )
    return list(session.scalars(asked.order_by(MpushDevice.name).limit(limit)))


def members_of(session: Session, groups: Collection[str]) -> dict[str, list[str]]:
    """All members of these groups, sorted; without groups that have none."""
    found: dict[str, list[str]] = defaultdict(list)
    asked = sa.select(MpushDevice.group_name, MpushDevice.name)
    asked = asked.where(MpushDevice.group_name.in_(groups), MpushDevice.group_name != "")
    for group, name in session.execute(asked.order_by(MpushDevice.group_name, MpushDevice.name)):
        found[group].append(name)
    return dict(found)


def forget_device(session: Session, name: str) -> bool:
    """See Devices.forget."""
    groups = _groups_of(session, [name])
    if not groups:
        return False
    for model in (MpushDone, MpushReceiver, MpushDevice):
        session.execute(sa.delete(model).where(model.name == name))
    waiting = sa.delete(MpushDelayed).where(MpushDelayed.target == name, MpushDelayed.is_group == 0)
    session.execute(waiting)
    group = [note_of_group(groups[name])] if groups[name] else []
    note_change(session, note_of(name), note_of_receivers(name), *group)
    return True


def acknowledge(session: Session, news: Sequence[AckNews]) -> None:
    """See AckBook.acknowledge."""
    floors: dict[str, int] = defaultdict(int)
    done: dict[str, set[int]] = defaultdict(set)
    for one in news:
        floors[one.name] = max(floors[one.name], one.floor)
        done[one.name].update(one.done)
    _raise_floors(session, {name: floor for name, floor in sorted(floors.items()) if floor})
    _add_done(session, {name: ids for name, ids in done.items() if ids})


def ack_states(session: Session, names: Collection[str]) -> dict[str, AckState]:
    """See AckBook.states."""
    asked = sa.select(MpushDevice.name, MpushDevice.floor).where(MpushDevice.name.in_(names))
    floors: dict[str, int] = dict(session.execute(asked).all())
    done: dict[str, set[int]] = defaultdict(set)
    above = sa.select(MpushDone.name, MpushDone.id).where(MpushDone.name.in_(names))
    for name, message_id in session.execute(above):
        if message_id > floors.get(name, 0):
            done[name].add(message_id)
    return {name: AckState(floors.get(name, 0), frozenset(done[name])) for name in names}


def _groups_of(session: Session, names: Collection[str]) -> dict[str, str]:
    """The group of each that there is."""
    asked = sa.select(MpushDevice.name, MpushDevice.group_name)
    groups: dict[str, str] = dict(session.execute(asked.where(MpushDevice.name.in_(names))).all())
    return groups


def _make_room(session: Session, new: Collection[str], most: int) -> None:
    """Whoever makes new ones does so alone, so that the count is right."""
    if not new:
        return
    lock(session, LOCK)
    others = sa.select(sa.func.count()).select_from(MpushDevice)
    count = session.scalar(others.where(MpushDevice.name.not_in(new))) or 0
    if count + len(new) > most:
        raise LimitReached(
            f"mpush.devices: {count} devices are registered and {len(new)} more would be, "
            f"expected at most {most}"
        )


def _write_logins(
    session: Session, logins: Iterable[tuple[str, str | None, int]], before: Mapping[str, str]
) -> set[str]:
    """Put them in; the notes of what has changed by that."""
    notes: set[str] = set()
    rows: dict[bool, dict[str, dict[str, Any]]] = {True: {}, False: {}}
    last = {name: (group, now) for name, group, now in logins}
    for name, (group, now) in sorted(last.items()):
        row = {"name": name, "created_at": now, "logged_in_at": now}
        rows[group is not None][name] = row if group is None else row | {"group_name": group}
        old, new = before.get(name), before.get(name, "") if group is None else group
        if old != new:
            notes |= {note_of(name)} | {note_of_group(one) for one in (old, new) if one}
    upsert(
        session,
        MpushDevice,
        list(rows[True].values()),
        update=["group_name"],
        raise_to=["logged_in_at"],
    )
    upsert(session, MpushDevice, list(rows[False].values()), update=[], raise_to=["logged_in_at"])
    return notes


def _raise_floors(session: Session, floors: Mapping[str, int]) -> None:
    if not floors:
        return
    rows = [{"the_name": name, "the_floor": floor} for name, floor in floors.items()]
    session.connection().execute(_RAISE, rows)
    with_ids = sa.select(MpushDone.name).where(MpushDone.name.in_(floors)).distinct()
    stale = [
        {"the_name": name, "the_floor": floors[name]} for name in sorted(session.scalars(with_ids))
    ]
    if stale:
        session.connection().execute(_FORGET, stale)


def _add_done(session: Session, done: Mapping[str, Collection[int]]) -> None:
    """Only of devices that there are, and only what their floor does not say."""
    if not done:
        return
    mine = sa.select(MpushDevice.name, MpushDevice.floor).where(MpushDevice.name.in_(done))
    floors = session.execute(mine.order_by(MpushDevice.name).with_for_update()).all()
    rows = [
        {"name": name, "id": one}
        for name, floor in floors
        for one in sorted(done[name])
        if one > floor
    ]
    upsert(session, MpushDone, rows, update=["id"])
    count = sa.func.count()
    full = sa.select(MpushDone.name).where(MpushDone.name.in_(done)).group_by(MpushDone.name)
    for name in session.scalars(full.having(count > MAX_DONE)).all():
        ids = sa.select(MpushDone.id).where(MpushDone.name == name)
        highest = session.scalars(ids.order_by(MpushDone.id).offset(MAX_DONE))
        delete_rows(session, MpushDone, [{"name": name, "id": one} for one in highest.all()])


def _device(name: str, group: str, created_at: int, logged_in_at: int) -> Device:
    return Device(name, group, created_at, logged_in_at or None)


_DEVICES = sa.select(
    MpushDevice.name, MpushDevice.group_name, MpushDevice.created_at, MpushDevice.logged_in_at
)
_RAISE = (
    sa.update(MpushDevice.__table__)  # type: ignore[arg-type]  # a Table, which the stubs call a FromClause
    .where(
        MpushDevice.__table__.c.name == sa.bindparam("the_name"),
        MpushDevice.__table__.c.floor < sa.bindparam("the_floor"),
    )
    .values(floor=sa.bindparam("the_floor"))
)
_FORGET = sa.delete(MpushDone.__table__).where(  # type: ignore[arg-type]  # as above
    MpushDone.__table__.c.name == sa.bindparam("the_name"),
    MpushDone.__table__.c.id <= sa.bindparam("the_floor"),
)
