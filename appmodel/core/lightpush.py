"""Names of light-push: namespaces, rooms, users, devices, and the ids that are made of them.

    name        letters, digits and _ . - $ # / \\ (ASCII), all of the text
    namespace   /demo            at most 50 characters with its slash
    room        r1, user_u001    at most 100; user_<userid> is the room of a user's clients
    userid      u001             at most 100; the uuid if none was given
    uuid        edgw453          at most 100; chosen by the device
    platform    web, android, ios
    client id   /demo#u001#ios-edgw453

A client id is made and never parsed back: "#" and "-" may be parts of a name, so two devices of a namespace
could choose names with the same id, and are one client then. Tables and Redis keys hold the parts; whatever
belongs to a namespace is named by it, so equal names in two of them never meet (W27). No name contains ":",
" ", "@" or ",", which separate names where they are joined. Addresses of rooms and clients: core/realms.py.

Source: spec/liutian-push.md sections 1, 3.2 and 14.
"""

import enum
import re

from appmodel.core.realms import MAX_ROOM as MAX_ROOM
from appmodel.core.realms import USER_ROOM
from appmodel.errors import PushError

MAX_NAMESPACE = 50  # characters
MAX_USERID = 100
MAX_UUID = 100
MAX_PLATFORM = 7
MAX_CLIENT_ID = MAX_NAMESPACE + 1 + MAX_USERID + 1 + MAX_PLATFORM + 1 + MAX_UUID
DEFAULTS = "/"  # the namespace without clients: its APNs configuration `default` serves all others
NOTED = (
    "nsp:"  # what a change of a namespace is noted under, before its key; appmodel/orm/changes.py
)

_NAME = re.compile(r"[A-Za-z0-9_.\-$#/\\]+", re.ASCII)


class Platform(enum.StrEnum):
    """What a client runs on."""

    WEB = "web"
    ANDROID = "android"
    IOS = "ios"


class Refusal(PushError):
    """Something that a caller of light-push must not do or name; its message is the exact text of the answer."""

    status = 400
    code = "lightpush"
    title = "Refused"


def is_name(text: object, most: int) -> bool:
    """Whether this is a text that may name something, of at most `most` characters."""
    return isinstance(text, str) and len(text) <= most and _NAME.fullmatch(text) is not None


def is_room(text: object) -> bool:
    """Whether a room can have this name."""
    return is_name(text, MAX_ROOM)


def is_namespace(text: object) -> bool:
    """Whether a namespace can have this key. Without a slash in front no client can ever connect to it."""
    return is_name(text, MAX_NAMESPACE)


def is_user_room(room: str) -> bool:
    """Whether it counts as a user's room, and not as an ordinary one: "USER_x" does, as in the original."""
    return room[: len(USER_ROOM)].lower() == USER_ROOM


def user_room(userid: str) -> str:
    """The room that every client of a user joins. May be longer than MAX_ROOM; it is a room all the same."""
    return f"{USER_ROOM}{userid}"


def client_id(namespace: str, userid: str, platform: Platform, uuid: str) -> str:
    """A client's id: its session, what `except` names, who acknowledges."""
    return f"{namespace}#{userid}#{platform}-{uuid}"


def note_of(namespace: str) -> str:
    """What a change of this namespace is noted under."""
    return f"{NOTED}{namespace}"
