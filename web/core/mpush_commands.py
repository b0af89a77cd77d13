r"""JSON commands of version 2.2 over HTTP, as they are read and answered.

    POST /anything
    {"cmd":"AUTH","data":{"token":"mpush","name":"test","group":"g"}}        {"cmd":"AUTH","data":{"code":200,"auth":JWT,...}}
    {"cmd":"MESSAGE","data":{"sendType":"personal","target":"test",
       "message":{"text":"t","desp":"d","extra":{}}},"auth":JWT?}            {"cmd":"MESSAGE_REPLY","data":{...}}
    {"cmd":"MESSAGE_CALLBACK","data":{"mid":"155..."},"auth":JWT}            {"cmd":"INFO","data":"ok"}
    {"cmd":"MESSAGE_WEBPUSH_CALLBACK","data":{"mid":"155..."},"auth":JWT}    the same
    {"cmd":"REGISTER_FCM","data":{"token":"..."},"auth":JWT}                 the same
    {"cmd":"TEST_HTTP"}                                                      nothing

Source: spec/mpush.md 11.2, 11.3, 11.5, the texts of errors included. Differences: `auth` is the text that AUTH gave, or
nothing: an object in its place was believed by the original (12, 13).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from appmodel.core.mpush import Body
from appmodel.errors import PushError
from web.core.mpush_drafts import read_draft
from web.core.mpush_paths import Target

SAID = ("text", "desp", "extra", "priority", "tags", "click")  # the last three are ours
MAX_SHOWN = 40  # characters of a command that nobody knows


class Told(PushError):
    """A refusal in the words of version 2.2."""

    status = 400
    code = "mpush_command"
    title = "Bad command"


class Login(NamedTuple):
    """AUTH."""

    token: str
    name: str
    group: str


class Message(NamedTuple):
    """MESSAGE."""

    target: Target
    body: Body


def read_login(data: Mapping[str, Any]) -> Login:
    """Raises Told: there is no name."""
    name = _stringified(data.get("name"))
    if not name:
        raise Told("name property is required")
    return Login(_stringified(data.get("token")), name, _stringified(data.get("group")))


def read_message(data: Mapping[str, Any]) -> Message:
    """Raises Told, BadInput: something is missing, or no text."""
    send_type, message = data.get("sendType"), data.get("message")
    if send_type not in ("personal", "group"):
        raise Told("sendType property must 'personal' or 'group'")
    target = _stringified(data.get("target"))
    if not target:
        raise Told("target property is required")
    if not isinstance(message, dict):
        raise Told("message property is required")
    said = {name: message[name] for name in SAID if message.get(name) is not None}
    if not isinstance(said.get("extra", {}), dict):
        del said["extra"]
    body = read_draft(said, unknown="ignore", now=0.0).body
    return Message(Target(target, send_type == "group"), body)


def read_mid(data: Mapping[str, Any]) -> str:
    """Raises Told: there is none."""
    mid = _stringified(data.get("mid"))
    if not mid:
        raise Told("mid property is required")
    return mid


def unknown(command: Any) -> Told:
    """What is told of a command that nobody knows."""
    shown = command if isinstance(command, str) else msgspec.json.encode(command).decode()
    return Told(f"Unknow cmd: {shown[:MAX_SHOWN]}")


def login_answer(auth: str, keys: Mapping[str, str]) -> bytes:
    """AUTH 200. `keys`: of push services."""
    data = {"code": 200, "auth": auth, "msg": "Successful authentication", **keys}
    return msgspec.json.encode({"cmd": "AUTH", "data": data})


def login_refused() -> bytes:
    """AUTH 403."""
    return msgspec.json.encode({"cmd": "AUTH", "data": {"code": 403, "msg": "Token invalid"}})


def _stringified(value: Any) -> str:
    """As `String(value)` of JavaScript, for what has one line of text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
