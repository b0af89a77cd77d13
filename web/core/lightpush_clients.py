"""Rooms and clients in calls of the light-push REST.

    transfer              {"targetRoom":"r1","sourceRooms":["r2","user_u1"],"type":"join"}
    room-apns             {"room":"r1","add":["r1"],"remove":[]}
    room-leave-message    {"room":"r1","leaveMessage":false}

Source: spec/liutian-push.md 5.4. Differences: a list holds names of rooms and nothing else, and has a limit;
`leaveMessage` is a truth value or its text, where the original writes down anything.
"""

from collections.abc import Mapping
from typing import Any

from appmodel.core.lightpush import MAX_CLIENT_ID, MAX_ROOM, Refusal, is_name, is_room
from appmodel.core.lightpush_records import MuteEdit
from appmodel.core.realms import MAX_SOURCES, USER_ROOM, Direction, Transfer
from appmodel.errors import BadInput

LONGEST_ROOM = len(USER_ROOM) + MAX_ROOM  # characters: the room of a user
MAX_EDIT = 1000  # rooms that one call mutes or unmutes

_SWITCH = {True: True, False: False, "true": True, "false": False}


def is_any_room(value: object) -> bool:
    """Whether a room can have this name, a user's room included."""
    return is_name(value, LONGEST_ROOM)


def client_of(value: object) -> str:
    """The client id in a call. Raises Refusal."""
    if not value:
        raise Refusal("param id can not find ")  # the original's blank
    if not isinstance(value, str) or len(value) > MAX_CLIENT_ID or not value.isprintable():
        raise BadInput("id", value, f"a client id of at most {MAX_CLIENT_ID} characters")
    return value


def room_of(fields: Mapping[str, Any]) -> str:
    """The room in a call. Raises Refusal."""
    room = fields.get("room")
    if not room:
        raise Refusal("can not find room")
    if not isinstance(room, str) or not is_any_room(room):
        raise Refusal("room invalid")
    return room


def transfer_of(namespace: str, fields: Mapping[str, Any]) -> Transfer:
    """Who joins or leaves which room. Any `type` but "join" leaves, as in the original. Raises Refusal."""
    target, sources, kind = (fields.get(name) for name in ("targetRoom", "sourceRooms", "type"))
    if not (target and kind and isinstance(sources, list) and sources):
        raise Refusal("targetRoom and sourceRooms and type and namespace can not be empty")
    if not is_room(target):
        raise Refusal("targetRoom invalid")
    if not all(is_room(source) for source in sources):
        raise Refusal("sourceRoom invalid")
    unique = tuple(dict.fromkeys(sources))
    if len(unique) > MAX_SOURCES:
        raise BadInput("sourceRooms", len(unique), f"at most {MAX_SOURCES} rooms")
    direction = Direction.JOIN if kind == "join" else Direction.LEAVE
    return Transfer(namespace, str(target), unique, direction)


def mute_edit(fields: Mapping[str, Any]) -> MuteEdit:
    """Rooms to be muted, and not to be any more. Raises BadInput."""
    return MuteEdit(add=_rooms(fields, "add"), remove=_rooms(fields, "remove"))


def leave_message(fields: Mapping[str, Any]) -> bool:
    """Whether anything is to be kept for clients. Raises BadInput."""
    value = fields.get("leaveMessage")
    if not isinstance(value, bool | str) or value not in _SWITCH:
        raise BadInput("leaveMessage", value, "true or false")
    return _SWITCH[value]


def _rooms(fields: Mapping[str, Any], field: str) -> list[str]:
    value = fields.get(field)
    if value is None or value == "":
        return []
    if not isinstance(value, list) or len(value) > MAX_EDIT:
        raise BadInput(field, value, f"a list of at most {MAX_EDIT} names of rooms")
    for at, room in enumerate(value):
        if not is_any_room(room):
            raise BadInput(f"{field}[{at}]", room, "the name of a room")
    return value
