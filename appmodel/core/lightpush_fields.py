"""A client's record as callers see and change it: texts under the original's names.

    device_token   of an iPhone; "" stops Apple's notifications
    mobile         a phone number
    system         what the device says of itself
    leaveMessage   true, false, "true", "false": whether anything is kept for it
    longitude, latitude    degrees, together: where it can be discovered

Differences: a field is one of these names and nothing that resembles one (W24); values have limits; 0 is a
place; what the server knows better (`userId`, `nspName`) is passed over.

Source: spec/liutian-push.md sections 4.3, 5.4 and 7.2.
"""

import math
from collections.abc import Mapping
from typing import Any

from appmodel.core.lightpush import Refusal
from appmodel.core.lightpush_records import ClientChange, ClientRecord

TEXTS = ("device_token", "mobile", "system")
LEAVE_MESSAGE = "leaveMessage"
PLACE = {"longitude": 180.0, "latitude": 90.0}  # degrees at most
MAX_VALUE = 255  # characters

_SWITCH = {True: True, False: False, "true": True, "false": False}


def client_change(fields: Mapping[str, Any]) -> ClientChange | None:
    """What these fields change; None if none of them is one that callers write.

    Raises:
        Refusal: a value is none for its field.
    """
    values: dict[str, Any] = {}
    for name in TEXTS:
        if name in fields:
            values[name] = _text(name, fields[name])
    if LEAVE_MESSAGE in fields:
        values["leave_message"] = _switch(fields[LEAVE_MESSAGE])
    place = [name for name in PLACE if name in fields]
    if len(place) == 1:
        raise Refusal("longitude and latitude must be given together")
    for name in place:
        values[name] = _degrees(name, fields[name])
    return ClientChange(**values) if values else None


def client_texts(record: ClientRecord) -> dict[str, str]:
    """Every field that is set, as the original stored it: times in ms, rooms joined by commas."""
    values = {
        "userid": record.userid,
        "first_connect_time": record.first_connect_time,
        "last_connect_time": record.last_connect_time,
        "last_disconnect_time": record.last_disconnect_time,
        "disconnect_reason": record.disconnect_reason,
        "update_date": record.update_date,
        "device_token": record.device_token,
        "mobile": record.mobile,
        "system": record.system,
        LEAVE_MESSAGE: record.leave_message,
        "no_send_apns": ",".join(record.muted) or None,
        "userId": record.userid,
        "nspName": record.namespace,
        "longitude": record.longitude,
        "latitude": record.latitude,
    }
    return {name: _shown(value) for name, value in values.items() if value is not None}


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value) if abs(value) < 1e18 else None  # a phone number, mostly
    if isinstance(value, str) and len(value) <= MAX_VALUE and _is_storable(value):
        return value
    raise Refusal(f"{name} must be a string of at most {MAX_VALUE} characters")


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _switch(value: object) -> bool:
    if isinstance(value, bool | str) and value in _SWITCH:
        return _SWITCH[value]
    raise Refusal(f"{LEAVE_MESSAGE} must be true or false")


def _degrees(name: str, value: object) -> float:
    most = PLACE[name]
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            degrees = float(value)
        except (ValueError, OverflowError):
            degrees = math.nan
        if -most <= degrees <= most:
            return degrees
    raise Refusal(f"{name} must be a number from -{most:g} to {most:g}")
