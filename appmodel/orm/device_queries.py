"""Devices that can be notified, kept and found. An address belongs to one user at a time: the last who said so."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.base import now
from appmodel.orm.devices import ApnsToken, PushDevice
from appmodel.orm.upserts import upsert

DEVICES = 20  # of one user at each provider; the oldest go


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device of a user. Its address is a secret of the user's."""

    id: str
    provider: str  # apns, fcm, webpush
    device_id: str
    address: str


def keep_apns_token(session: Session, uid: str, device_id: str, token: str) -> None:
    """This token is this user's now."""
    row = {"user_id": uid, "device_id": device_id, "apns_token": token, "updated": now()}
    mine = ["user_id", "device_id", "updated"]
    upsert(session, ApnsToken, [row], keys=["apns_token"], update=mine)
    _trim(session, ApnsToken, uid)


def drop_apns_token(session: Session, uid: str, token: str) -> None:
    """This token of this user is no more; nothing happens if it is none of his."""
    mine = sa.and_(ApnsToken.user_id == uid, ApnsToken.apns_token == token)
    session.execute(sa.delete(ApnsToken).where(mine))


def keep_push_device(
    session: Session, uid: str, provider: str, device_id: str, address: str
) -> None:
    """This address of a provider other than Apple is this user's now."""
    row = {
        "user_id": uid,
        "provider": provider,
        "device_id": device_id,
        "address": address,
        "address_digest": hashlib.sha256(address.encode()).hexdigest(),
        "updated": now(),
    }
    mine = ["user_id", "provider", "device_id", "address", "updated"]
    upsert(session, PushDevice, [row], keys=["address_digest"], update=mine)
    _trim(session, PushDevice, uid)


def devices_of(session: Session, uid: str) -> list[DeviceRow]:
    """All of a user's, the newest first: at most `DEVICES` of each of the two tables."""
    apns = sa.select(
        ApnsToken.id,
        sa.literal("apns"),
        ApnsToken.device_id,
        sa.cast(ApnsToken.apns_token, sa.Text),
        ApnsToken.updated,
    ).where(ApnsToken.user_id == uid)
    others = sa.select(
        PushDevice.id,
        PushDevice.provider,
        PushDevice.device_id,
        PushDevice.address,
        PushDevice.updated,
    ).where(PushDevice.user_id == uid)
    rows = session.execute(sa.union_all(apns, others)).all()
    return [DeviceRow(*row[:4]) for row in rows]


def drop_device(session: Session, uid: str, row_id: str) -> bool:
    """Whether the user had such a device."""
    found = False
    for model in (ApnsToken, PushDevice):
        gone = sa.delete(model).where(model.id == row_id, model.user_id == uid)
        found |= session.connection().execute(gone).rowcount > 0
    return found


def forget_devices_of(session: Session, uids: Sequence[str]) -> None:
    """These users have none any more."""
    for model in (ApnsToken, PushDevice):
        session.execute(sa.delete(model).where(model.user_id.in_(uids)))


def _trim(session: Session, model: type[ApnsToken] | type[PushDevice], uid: str) -> None:
    mine = sa.select(model.id).where(model.user_id == uid)
    surplus = mine.order_by(model.updated.desc(), model.id).offset(DEVICES)
    if ids := session.scalars(surplus).all():
        session.execute(sa.delete(model).where(model.id.in_(ids)))
