"""The commands of Mpush 2.2, as they come over a WebSocket and over HTTP.

    AUTH {token, name, group?}                  log in
    MESSAGE {sendType, target, message}         push to a device or a group
    MESSAGE_CALLBACK {mid}                      acknowledge
    MESSAGE_WEBPUSH_CALLBACK {mid}              its copy came by Web Push
    REGISTER_WEBPUSH {endpoint, keys}           copies by Web Push, too
    REGISTER_FCM {token}                        copies by FCM, too
    PING, UNREGISTER

`parse` turns a text into a command, or raises a `Complaint`, whose text is for the client. Texts are JavaScript's
String() of what was sent, as in the original.

Source: spec/mpush.md 11.2 and 11.3. Ours: `priority`, `tags` and `click` beside text, desp and extra.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from appmodel.core.mpush import Body, Sender, check_click, check_tags, id_of
from appmodel.core.mpush_stores import MAX_ADDRESS
from appmodel.core.subscriptions import read_subscription
from appmodel.errors import BadInput, RemoteProtocolError

WEBPUSH_CALLBACK = "MESSAGE_WEBPUSH_CALLBACK"
MAX_KEY = 1000  # characters of a browser's key: 87 and 22
MAX_SHOWN = 100  # characters of a client's own words in an INFO

_json = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder().decode


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

    def body(self, sender: Sender) -> Body:
        """As it is stored."""
        return Body(
            self.desp,
            title=self.text,
            priority=self.priority,
            tags=self.tags,
            click=self.click,
            extra=self.extra,
            sender=sender,
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


def parse(text: str | bytes) -> Command:
    """What a client wants that sent this text.

    Raises:
        Complaint: nothing that we know. And nothing else, whatever the text.
    """
    try:
        packet = _read(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        shown = text if isinstance(text, str) else text.decode(errors="replace")
        is_secret = "token" in shown.lower()  # a broken AUTH
        raise Complaint(f"not JSON: {'********' if is_secret else shown[:MAX_SHOWN]}") from None
    return read(packet)


def read(packet: object) -> Command:
    """The same of what the text says. Raises Complaint."""
    try:
        return _read_packet(packet)
    except RecursionError:
        raise Complaint("nested too deeply") from None


def _read_packet(packet: object) -> Command:
    fields = packet if isinstance(packet, dict) else {}
    cmd, data = fields.get("cmd"), fields.get("data")
    reader = _READERS.get(cmd) if isinstance(cmd, str) else None
    if reader is None:
        shown = _string(cmd)[:MAX_SHOWN] if "cmd" in fields else "undefined"
        raise Complaint(f"Unknow cmd: {shown}")
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
        tags=_tags(tags) if isinstance(tags, list) else (),
        click=_click(click) if isinstance(click, str) and click else None,
    )


def _tags(tags: Sequence[object]) -> tuple[str, ...]:
    try:
        return check_tags([tag for tag in tags if isinstance(tag, str)])
    except BadInput as error:
        raise Complaint(str(error)) from None


def _click(click: str) -> str:
    try:
        return check_click(click)
    except BadInput as error:
        raise Complaint(str(error)) from None


def _read_ack(data: dict[str, Any]) -> Acknowledge:
    return Acknowledge(id_of(_required(data, "mid")))


def _read_webpush_ack(data: dict[str, Any]) -> Acknowledge:
    return Acknowledge(id_of(_required(data, "mid")), by_webpush=True)


def _read_webpush(data: dict[str, Any]) -> RegisterWebPush:
    keys = data.get("keys")
    if not isinstance(keys, dict):
        raise Complaint("keys property is required")
    secrets = {name: _bounded(keys, name, MAX_KEY) for name in ("p256dh", "auth")}
    endpoint = _required(data, "endpoint")
    if not endpoint.startswith("https://") or len(endpoint) > MAX_ADDRESS:
        raise Complaint(
            f"endpoint property must be an https URL of at most {MAX_ADDRESS} characters"
        )
    try:
        read_subscription(endpoint, secrets["p256dh"], secrets["auth"])
    except BadInput as error:
        raise Complaint(str(error)) from None
    return RegisterWebPush(endpoint, secrets)


def _read_fcm(data: dict[str, Any]) -> RegisterFcm:
    return RegisterFcm(_bounded(data, "token", MAX_ADDRESS))


_READERS: dict[str, Callable[[dict[str, Any]], Command]] = {
    "AUTH": _read_auth,
    "MESSAGE": _read_send,
    "MESSAGE_CALLBACK": _read_ack,
    WEBPUSH_CALLBACK: _read_webpush_ack,
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


def _bounded(data: Mapping[str, Any], field: str, limit: int) -> str:
    text = _required(data, field)
    if len(text) > limit:
        raise Complaint(f"{field} property must have at most {limit} characters")
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
