"""Sessions: which device of which user a session key stands for, and what a session's state can be.

    key                         id                  user  type      device
    u1_Android-d1@user          u1_Android-d1       u1    Android   d1
    u1_Mozilla-5.0-8341@user    u1_Mozilla-5.0-8341 u1    Mozilla   5.0-8341
    u1_tv@user                  u1_tv               u1    tv
    u1@user, tom@app, any text  is no session

    init ──> active <──> inactive        by setSessionState; a session is gone with its last connection

A session is held by every process that has a connection of it; processes are told apart by their node's name and
incarnation.

Source: appmsgsrv session/session.go; spec/appmsgsrv.md 7. Difference: all that follows the type is the device (the
original cuts it at the next "-" or "_").
"""

import enum
from typing import NamedTuple

from appmodel.core.names import Key

MAX_USER = 64  # characters: no user has a longer id
MAX_TYPE = 45  # characters that are kept of a type


class SessionState(enum.StrEnum):
    """What a session's client said of itself."""

    INIT = "init"  # nothing yet
    ACTIVE = "active"
    INACTIVE = "inactive"


class SessionName(NamedTuple):
    """A session, by the pieces of its key."""

    id: str
    user: str
    type: str
    device: str


class Holder(NamedTuple):
    """A process that holds sessions: one start of a comet."""

    node: str
    incarnation: int


def session_of(key: Key) -> SessionName | None:
    """The session that `key` stands for; None if it is no session of a user of ours."""
    if key.realm or key.suffix != "user":
        return None
    user, mark, rest = key.id.partition("_")
    if not mark or not 0 < len(user) <= MAX_USER:
        return None
    kind, _, device = rest.partition("-")
    return SessionName(key.id, user, kind.partition("_")[0][:MAX_TYPE], device)


def session_key(session_id: str) -> Key:
    """The key to which the client of a session subscribes."""
    return Key("", session_id, "user")
