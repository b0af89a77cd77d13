"""Mpush, version 2.2: a JSON command in each text frame, both ways.

    AUTH {token, name, group?}               -> AUTH 200 with a signed `auth`, 403, or 401 before any of it
    MESSAGE {sendType, target, message}      -> MESSAGE_REPLY {mid, status}
    MESSAGE_CALLBACK {mid}                      the message at the head is acknowledged
    MESSAGE_WEBPUSH_CALLBACK {mid}              its copy came by Web Push
    REGISTER_WEBPUSH {endpoint, keys}           copies by Web Push, too
    REGISTER_FCM {token}                        copies by FCM, too
    PING                                     -> PONG
    UNREGISTER                                  forget the device, and all that waits for it

`parse` turns a text into a command, or raises a `Complaint`, whose text goes back as INFO; the connection stays
open. Texts are JavaScript's String() of what was sent, as in the original.

Source: spec/mpush.md sections 11.2 to 11.4. Ours: `priority`, `tags` and `click` beside text, desp and extra.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from appmodel.core.mpush import Body, Sender, id_of, mid_of, read_body
from appmodel.errors import RemoteProtocolError
from comet.protocol.mpush import Sent, decode
from comet.protocol.websocket import TEXT, frame

MAX_SHOWN = 100  # characters of a client's own words in an INFO
_SEED_ACK = "SENDMSG_CB"
_ANYBODY = Sender("http", "")

_json = msgspec.json.Encoder().encode
_numbers = itertools.count(-2, -1)  # `encoding`: below that of the seed version


class Complaint(RemoteProtocolError):
    """The client said something that is no command; its text is for the client."""


@dataclass(frozen=True, slots=True)
class Auth:
    """Log in."""

    token: str
    name: str
    group: str


@dataclass(frozen=True, slots=True)
class Send:
    """Push to a device or a group."""

    is_group: bool
    target: str
    text: str
    desp: str
    extra: Mapping[str, Any] | None
    priority: int | None
    tags: Sequence[str]
    click: str | None

    def body(self, sender: str) -> Body:
        """As it is stored. `sender`: the device that pushes."""
        return Body(
            self.desp,
            title=self.text,
            priority=self.priority,
            tags=self.tags,
            click=self.click,
            extra=self.extra,
            sender=Sender("websocket", sender),
            send_type="group" if self.is_group else "personal",
            target=self.target,
        )


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A message has come. `id`: None for a mid that is none."""

    id: int | None
    by_webpush: bool = False


@dataclass(frozen=True, slots=True)
class RegisterWebPush:
    """Send copies to this subscription of a browser."""

    endpoint: str
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RegisterFcm:
    """Send copies to this phone."""

    token: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with PONG."""


@dataclass(frozen=True, slots=True)
class Unregister:
    """Forget the device."""


Command = Auth | Send | Acknowledge | RegisterWebPush | RegisterFcm | Ping | Unregister


def is_command(text: str) -> bool:
    """Whether a first text is a command of version 2.2, and not a token of the seed version."""
    if text.lstrip()[:1] != "{":
        return False
    found = decode(text)
    return isinstance(found, dict) and "cmd" in found and found["cmd"] != _SEED_ACK


def parse(text: str) -> Command:
    """What the client wants.

    Raises:
        Complaint: nothing that we know. And nothing else, whatever the text.
    """
    found = decode(text)
    if found is None and text.strip() != "null":
        raise Complaint(f"not JSON: {text[:MAX_SHOWN]}")
    packet = found if isinstance(found, dict) else {}
    data = packet.get("data")
    cmd = packet.get("cmd")
    reader = _READERS.get(cmd) if isinstance(cmd, str) else None
    if reader is None:
        raise Complaint(
            f"Unknow cmd: {_string(cmd)[:MAX_SHOWN] if 'cmd' in packet else 'undefined'}"
        )
    return reader(data if isinstance(data, dict) else {})


def _read_auth(data: dict[str, Any]) -> Auth:
    return Auth(_optional(data, "token"), _required(data, "name"), _optional(data, "group"))


def _read_send(data: dict[str, Any]) -> Send:
    kind = data.get("sendType")
    if kind not in ("personal", "group"):
        raise Complaint("sendType property must 'personal' or 'group'")
    target = _required(data, "target")
    message = data.get("message")
    if not isinstance(message, dict):
        raise Complaint("message property is required")
    extra, tags = message.get("extra"), message.get("tags")
    priority = message.get("priority")
    click = message.get("click")
    return Send(
        is_group=kind == "group",
        target=target,
        text=_optional(message, "text"),
        desp=_optional(message, "desp"),
        extra=extra if isinstance(extra, dict) else None,
        priority=priority
        if isinstance(priority, int) and not isinstance(priority, bool) and abs(priority) < 2**53
        else None,
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        click=click if isinstance(click, str) else None,
    )


def _read_ack(data: dict[str, Any]) -> Acknowledge:
    return Acknowledge(id_of(_required(data, "mid")))


def _read_webpush_ack(data: dict[str, Any]) -> Acknowledge:
    return Acknowledge(id_of(_required(data, "mid")), by_webpush=True)


def _read_webpush(data: dict[str, Any]) -> RegisterWebPush:
    keys = data.get("keys")
    if not isinstance(keys, dict):
        raise Complaint("keys property is required")
    secrets = {name: _required(keys, name) for name in ("p256dh", "auth")}
    return RegisterWebPush(_required(data, "endpoint"), secrets)


def _read_fcm(data: dict[str, Any]) -> RegisterFcm:
    return RegisterFcm(_required(data, "token"))


_READERS: dict[str, Callable[[dict[str, Any]], Command]] = {
    "AUTH": _read_auth,
    "MESSAGE": _read_send,
    "MESSAGE_CALLBACK": _read_ack,
    "MESSAGE_WEBPUSH_CALLBACK": _read_webpush_ack,
    "REGISTER_WEBPUSH": _read_webpush,
    "REGISTER_FCM": _read_fcm,
    "PING": lambda data: Ping(),
    "UNREGISTER": lambda data: Unregister(),
}


def _required(data: Mapping[str, Any], field: str) -> str:
    text = _optional(data, field)
    if not text:
        raise Complaint(f"{field} property is required")
    return text


def _optional(data: Mapping[str, Any], field: str) -> str:
    value = data.get(field)
    return "" if value is None else _string(value)


def _string(value: object) -> str:
    """JavaScript's String(), as far as anybody names devices so."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, list):
        return ",".join(_string(one) for one in value)
    return _json(value).decode()


# What we say

UNAUTHENTICATED = frame(TEXT, b'{"cmd":"AUTH","data":{"code":401,"msg":"Need Auth"}}')
PONG = frame(TEXT, b'{"cmd":"PONG","data":""}')


class PublicKeys(msgspec.Struct, frozen=True):
    """What a client needs to subscribe at the notification services; empty: they are not configured."""

    webpush: str = ""
    fcm_project: str = ""
    fcm_application: str = ""
    fcm_api_key: str = ""


def auth_frame(auth: str, keys: PublicKeys) -> bytes:
    """Logged in. `auth`: the signed text by which HTTP calls of this device are known."""
    webpush = {"webpushPublicKey": keys.webpush} if keys.webpush else {}
    return _packet(
        "AUTH",
        {
            "code": 200,
            "auth": auth,
            "msg": "Successful authentication",
            **webpush,
            "fcmProjectId": keys.fcm_project,
            "fcmApplicationId": keys.fcm_application,
            "fcmApiKey": keys.fcm_api_key,
        },
    )


def info_frame(text: str) -> bytes:
    """An error, or a word that something was done."""
    return _packet("INFO", text)


State = Literal["ready", "wait", "ok", "no"]


def reply_frame(mid: str, status: Mapping[str, State]) -> bytes:
    """What became of a push, by device."""
    return _packet("MESSAGE_REPLY", {"mid": mid, "status": status})


class V2Dialect:
    """Messages for one device that speaks version 2.2."""

    __slots__ = ("_name", "encoding")

    def __init__(self, name: str) -> None:
        """`name`: the target of what does not name one."""
        self.encoding = next(_numbers)
        self._name = name

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        """One message."""
        read = read_body(body)
        return _packet(
            "MESSAGE",
            {
                "sendType": read.send_type or "personal",
                "target": self._name if read.target is None else read.target,
                "from": read.sender or _ANYBODY,
                "message": _shown(read),
                "mid": mid_of(message_id),
            },
        )

    def frame(self, messages: Sequence[Sent]) -> bytes:
        """Each in a frame of its own."""
        return b"".join([self.encode(one.id, one.body, stored=one.stored) for one in messages])


def _shown(body: Body) -> dict[str, object]:
    title = body.title
    shown: dict[str, object] = {
        "text": title if isinstance(title, str) else ",".join(title or ()),
        "desp": body.content,
        "extra": body.extra or {},
    }
    if body.priority is not None:
        shown["priority"] = body.priority
    if body.tags:
        shown["tags"] = body.tags
    if body.click is not None:
        shown["click"] = body.click
    return shown


def _packet(cmd: str, data: object) -> bytes:
    return frame(TEXT, _json({"cmd": cmd, "data": data}))
