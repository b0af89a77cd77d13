"""What may be pushed, for REST and for clients alike, and the event that it becomes.

    in   {"room":"r1","pushData":{"a":1,"apsData":{...}},"leaveMessage":true,"expire":0.5}
    out  ["push",{"id":17,"namespace":"/demo","room":"r1","pushData":{"a":1},"sendDate":1793233999000}]

    room           required; a text that names a room
    pushData       required; an object or an array, of at most 64 levels. Its apsData goes to Apple only
    except         a client id
    expire         hours, also fractions; absent, null, "" and 0 are the default
    leaveMessage   anything that is true in JavaScript
    apnsName, extra, from    texts; numbers and truth values become texts

Checked in that order, and then the namespace. Stricter than the original, which takes a `room` that is a number
or a list of one (nobody ever got those), a negative `expire` (dead at once) and one that is no number
(immortal, W20), and keeps whatever `apnsName`, `extra` and `from` are.

Source: spec/liutian-push.md sections 5.3 and 6.1.
"""

from collections.abc import Iterable, Mapping

import msgspec

from appmodel.core.lightpush import MAX_CLIENT_ID, Refusal, is_room
from appmodel.core.lightpush_records import Draft, Namespace

HOUR = 3600.0  # seconds
MAX_TEXT = 255  # characters of `apnsName`, `extra` and `from`; ours
MAX_DEPTH = (
    64  # lists and objects inside one another: whoever wraps it must be able to write it, too
)
APS_DATA = "apsData"


class PushLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long pushes live, in seconds, and how much Apple takes, in bytes."""

    expire: float = HOUR
    max_expire: float = 10 * HOUR
    aps_data: int = 4000


def check_push(
    fields: Mapping[str, object], namespace: Namespace | None, limits: PushLimits, *, now: int
) -> Draft:
    """The push that these fields describe, into `namespace`; `now`: ms.

    Fields that mean nothing are passed over, `namespace` too: that comes from the credential or the
    connection. Who sends it for somebody (`from`, `except` of a client) is the caller's to overwrite.

    Raises:
        Refusal: with the exact text of the original, where it has one.
    """
    room = _room(fields.get("room"))
    push_data = _push_data(fields.get("pushData"))
    without = _without(fields.get("except"))
    lives = _lives(fields.get("expire"), limits)
    apns_name, extra, sender = (_text(fields, name) for name in ("apnsName", "extra", "from"))
    leave_message = is_true(fields.get("leaveMessage"))
    if namespace is None:
        raise Refusal("this namespace lose")
    if namespace.is_offline:
        raise Refusal("this namespace offline")
    if leave_message:
        _check_aps_data(fields["pushData"], limits.aps_data)
    return Draft(
        namespace.key,
        room,
        push_data,
        expire=lives / HOUR,
        send_date=now,
        expires_at=now + round(lives * 1000),
        without=without,
        apns_name=apns_name,
        leave_message=leave_message,
        extra=extra,
        sender=sender,
    )


def push_event(push_id: int, draft: Draft) -> bytes:
    """What clients in the room get: the body of a `Push`, an event with five fields."""
    event = {
        "id": push_id,
        "namespace": draft.namespace,
        "room": draft.room,
        "pushData": msgspec.Raw(_without_aps_data(draft.push_data)),
        "sendDate": draft.send_date,
    }
    return msgspec.json.encode(("push", event))


def is_true(value: object) -> bool:
    """Whether JavaScript takes it for true: "false" and an empty list are."""
    return not (value is None or value == "" or value == 0)


def _room(value: object) -> str:
    if not is_true(value):
        raise Refusal("room can not be empty")
    if not isinstance(value, str) or not is_room(value):
        raise Refusal("room invalid")
    return value


def _push_data(value: object) -> str:
    if _is_nest(value):
        try:
            text = msgspec.json.encode(value).decode()
        except (TypeError, ValueError, RecursionError):
            pass  # half a character, or lists in lists without an end
        else:
            _check_depth(value, text)
            return text
    raise Refusal("pushData can not be empty and must be an Object")


def _check_depth(value: object, text: str) -> None:
    """Level by level: what is too deep must not be recursed into."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:  # nearly always
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for one in level for child in _children(one) if _is_nest(child)]
    if level:
        raise Refusal(f"pushData must have at most {MAX_DEPTH} levels")


def _is_nest(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _without(value: object) -> str | None:
    if not is_true(value):
        return None
    if not isinstance(value, str) or not _is_storable(value, MAX_CLIENT_ID):
        raise Refusal("except must be string")
    return value


def _lives(value: object, limits: PushLimits) -> float:
    """For how many seconds."""
    if not is_true(value):
        return limits.expire
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal("expire invalid")
    most = limits.max_expire / HOUR
    if not 1 / HOUR <= value <= most:  # nor is "not a number"; an int may be too large for a float
        raise Refusal("expire invalid")
    return value * HOUR


def _text(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, float) or _is_short(value) else value
    if not isinstance(text, str) or not _is_storable(text, MAX_TEXT):
        raise Refusal(f"{name} must be string")
    return text


def _is_short(value: object) -> bool:
    """Whether it is an int with so few digits that Python writes them."""
    return isinstance(value, int) and value.bit_length() <= 4 * MAX_TEXT


def _is_storable(text: str, most: int) -> bool:
    """Whether each of our stores can hold it."""
    return (
        len(text) <= most and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
    )


def _check_aps_data(push_data: object, most: int) -> None:
    aps_data = push_data.get(APS_DATA) if isinstance(push_data, Mapping) else None
    if is_true(aps_data) and len(msgspec.json.encode(aps_data)) > most:
        raise Refusal(f"pushData.apsData size must be less then {most} bytes")


def _without_aps_data(push_data: str) -> bytes:
    if APS_DATA not in push_data:  # nearly always
        return push_data.encode()
    value = msgspec.json.decode(push_data)
    if isinstance(value, dict):
        value.pop(APS_DATA, None)
    return msgspec.json.encode(value)
