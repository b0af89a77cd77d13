"""Which devices are notified: those of the addressed users that are not online now.

    apns_token, push_device     the devices of a user
    session                     who is online: u1_iOS-d1 is the device d1 of user u1

A device is online if the device id under which it was registered is that of one of its user's sessions. Two
statements for any number of users. Each device is found once, however many sessions its user has; of several
registrations of one device the newest counts.

Adopted rows of `apns_token` have the token itself as their device id: such a device is online only if its
session's device id is the token, which is what the original compared too.

Source: appmsgsrv app/push.go; spec/appmsgsrv.md 8.8. Difference: a user with a session that has no device
is notified like anybody else; the original's process ended.
"""

import hashlib
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.sessions import session_key, session_of
from appmodel.orm.devices import ApnsToken, PushDevice
from appmodel.orm.people import Client, UserToken
from appmodel.orm.presence import Session as SessionRow

LONG_AGO = datetime.fromtimestamp(0, UTC)  # of rows without a time


class NotifiedDevice(NamedTuple):
    """A device that is away. `token` is a secret."""

    provider: str  # apns, fcm, webpush
    user_id: str
    device_id: str
    token: str
    registered: datetime


def offline_devices(session: Session, user_ids: Collection[str]) -> list[NotifiedDevice]:
    """Devices of these users that are not online, each once."""
    devices = _newest(_registered(session, user_ids))
    if not devices:
        return []
    online = _online(session, {device.user_id for device in devices})
    return [each for each in devices if (each.user_id, each.device_id) not in online]


def last_seen(
    session: Session, user_ids: Collection[str], login_life: timedelta
) -> dict[str, datetime]:
    """When these users were here last, as far as their logins tell: then or later. One statement.

    Args:
        login_life: from the last use of a login that is written to its end.
    """
    used = (
        sa.select(UserToken.user_id, sa.func.max(UserToken.expires), sa.literal(1))
        .where(UserToken.user_id.in_(user_ids))
        .group_by(UserToken.user_id)
    )
    logged_in = (
        sa.select(Client.user_id, sa.func.max(Client.latest_login_time), sa.literal(0))
        .where(Client.user_id.in_(user_ids), Client.latest_login_time.is_not(None))
        .group_by(Client.user_id)
    )
    seen: dict[str, datetime] = {}
    rows: sa.Result[*tuple[Any, ...]] = session.execute(sa.union_all(used, logged_in))
    for user_id, moment, is_end in rows:
        at = moment - login_life if is_end else moment
        seen[user_id] = max(at, seen.get(user_id, at))
    return seen


def forget_device(session: Session, provider: str, token: str, known: datetime) -> bool:
    """Delete a token's row, unless it was registered again after `known`; whether it was deleted."""
    row: ApnsToken | PushDevice | None
    if provider == "apns":
        mine = sa.select(ApnsToken).where(ApnsToken.apns_token == token)
        row = session.scalar(mine.with_for_update())
    else:
        digest = hashlib.sha256(token.encode()).hexdigest()
        theirs = sa.select(PushDevice).where(PushDevice.address_digest == digest)
        row = session.scalar(theirs.with_for_update())
    if row is None or (row.updated or row.created or LONG_AGO) > known:
        return False
    session.delete(row)
    return True


def _registered(session: Session, user_ids: Collection[str]) -> list[NotifiedDevice]:
    apns = sa.select(
        sa.literal("apns", sa.String(16)),
        ApnsToken.user_id,
        ApnsToken.device_id,
        sa.cast(ApnsToken.apns_token, sa.Text),
        ApnsToken.updated,
        ApnsToken.created,
    ).where(ApnsToken.user_id.in_(user_ids))
    others = sa.select(
        PushDevice.provider,
        PushDevice.user_id,
        PushDevice.device_id,
        PushDevice.address,
        PushDevice.updated,
        PushDevice.created,
    ).where(PushDevice.user_id.in_(user_ids))
    rows = session.execute(sa.union_all(apns, others))
    return [
        NotifiedDevice(provider, user_id, device_id, token, updated or created or LONG_AGO)
        for provider, user_id, device_id, token, updated, created in rows
    ]


def _newest(devices: list[NotifiedDevice]) -> list[NotifiedDevice]:
    """One of each device; those without a device id are told apart by their tokens."""
    found: dict[tuple[str, str, str, str], NotifiedDevice] = {}
    for device in sorted(devices, key=lambda each: each.registered):
        distinct = "" if device.device_id else device.token
        found[device.provider, device.user_id, device.device_id, distinct] = device
    return list(found.values())


def _online(session: Session, user_ids: Collection[str]) -> set[tuple[str, str]]:
    there = sa.select(SessionRow.user_id, SessionRow.id).where(SessionRow.user_id.in_(user_ids))
    online = set()
    for user_id, session_id in session.execute(there):
        name = session_of(session_key(session_id))
        if name is not None and name.device:
            online.add((user_id, name.device))
    return online
