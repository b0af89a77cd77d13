"""What a phone shows of a message, in the form that each provider wants.

    APNs      {"aps":{"alert":"Ann:hi","badge":3,"sound":"bingbong.aiff","category":"Test!",
              "content-available":1},"mid":1700000000000000,...customFilelds}
    FCM       {"token":T,"notification":{"title":"Ann","body":"hi"},"data":{"mid":"17...",...},
              "android":{"priority":"HIGH","ttl":"3600s","notification":{"tag":"17...","notification_count":3}}}
    Web Push  {"title":"Ann","text":"hi","mid":1700000000000000,"badge":3,...customFilelds}

`mid` is the id of the message in the recipient's inbox. A text that is too long is cut; custom fields that
leave less than MIN_TEXT bytes for it are left out: who opens the app finds them in the message.

A notification that arrives twice shows once: its collapse id, or else its mid, names it.

Source: appmsgsrv app/push.go (alert, sound, category, content-available), whose badge was always 1 and which cut the
alert after 250 bytes, perhaps within a character. Sizes: Apple, "Generating a remote notification"; Firebase,
"About FCM messages"; RFC 8291 section 4 and RFC 8030 section 7.2.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from web.core.cutting import cut, json_size

MAX_APNS = 4096  # bytes of the JSON
MAX_FCM = 4096  # bytes of notification and data
MAX_WEBPUSH = 3993  # bytes before encryption: 4,096 less header, tag and padding of RFC 8188
MIN_TEXT = 256  # bytes that custom fields leave for the text: all that the original ever showed
MAX_BADGE = 99  # what an app shows as "99+"
MAX_TTL = 28 * 86400  # seconds: the most that FCM takes; Web Push services keep less
MAX_COLLAPSE = 64  # bytes of apns-collapse-id

_FCM_RESERVED = ("google", "gcm")  # starts of names of data that FCM refuses
_FCM_TAKEN = frozenset({"from", "message_type", "notification", "collapse_key"})

Provider = Literal["apns", "fcm", "webpush"]

_encode = msgspec.json.Encoder().encode


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One message for one user's devices."""

    message_id: int  # of the recipient's inbox
    user_id: str
    title: str  # fromDisplayName
    text: str
    custom: dict[str, Any] = {}  # msg.customFilelds
    expires_at: float = 0.0  # Unix seconds; 0 = now or never
    collapse_id: str | None = None  # a later one with the same replaces this one
    priority: Literal[5, 10] = 10  # 5: when it costs no battery

    @property
    def name(self) -> str:
        """What one that arrives twice has in common."""
        return self.collapse_id or str(self.message_id)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One push, for the devices of all whom it reached. The sender is not among them."""

    tenant_id: str  # whose credentials are used: the sender's
    recipients: Mapping[str, int]  # user id: the message's id in that user's inbox
    title: str
    text: str
    custom: dict[str, Any] = {}
    expires_at: float = 0.0
    collapse_id: str | None = None
    priority: Literal[5, 10] = 10

    def notification(self, user_id: str) -> Notification:
        """What the devices of a recipient get."""
        return Notification(
            message_id=self.recipients[user_id],
            user_id=user_id,
            title=self.title,
            text=self.text,
            custom=self.custom,
            expires_at=self.expires_at,
            collapse_id=self.collapse_id,
            priority=self.priority,
        )


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """Where a provider finds a user. `token` is a secret: it is in no log and no error."""

    provider: Provider
    token: str  # of APNs or FCM; of Web Push the subscription as JSON
    user_id: str
    device_id: str  # as the client told it; compared with session ids
    registered_at: float  # Unix seconds

    @property
    def digest(self) -> str:
        """What a log may show of the token."""
        return hashlib.sha256(self.token.encode()).hexdigest()[:8]


class ApnsStyle(msgspec.Struct, frozen=True):
    """What apps of appmsgsrv expect beside the text; empty = left out."""

    sound: str = "bingbong.aiff"
    category: str = "Test!"


def apns_payload(notification: Notification, badge: int | None, style: ApnsStyle) -> bytes:
    """The body of `POST /3/device/<token>`, at most MAX_APNS bytes.

    Args:
        badge: unread messages; None = unknown, and the app keeps the one it has.
    """
    aps: dict[str, Any] = {"alert": "", "content-available": 1}
    if badge is not None:
        aps["badge"] = badge
    if style.sound:
        aps["sound"] = style.sound
    if style.category:
        aps["category"] = style.category
    fixed = {"aps": aps, "mid": notification.message_id}
    alert = f"{notification.title}:{notification.text}"
    payload = _with_custom(notification.custom, fixed, json_size(alert), MAX_APNS)
    aps["alert"] = cut(alert, MAX_APNS - len(_encode(payload)))
    return _encode(payload)


def webpush_payload(notification: Notification, badge: int | None) -> bytes:
    """What is encrypted for a browser, at most MAX_WEBPUSH bytes."""
    fixed: dict[str, Any] = {"title": "", "text": "", "mid": notification.message_id}
    if badge is not None:
        fixed["badge"] = badge
    wanted = json_size(notification.title) + json_size(notification.text)
    payload = _with_custom(notification.custom, fixed, wanted, MAX_WEBPUSH)
    room = MAX_WEBPUSH - len(_encode(payload))
    payload["title"], payload["text"] = _title_and_text(notification, room)
    return _encode(payload)


def fcm_message(
    notification: Notification, badge: int | None, token: str, *, now: float
) -> dict[str, Any]:
    """The `message` of `messages:send`; notification and data have at most MAX_FCM bytes."""
    mid = str(notification.message_id)
    custom = {
        name: value if isinstance(value, str) else _encode(value).decode()
        for name, value in notification.custom.items()
        if name not in _FCM_TAKEN and not name.startswith(_FCM_RESERVED)
    }
    shown = {"title": "", "body": ""}
    wanted = json_size(notification.title) + json_size(notification.text)
    data = _with_custom(custom, {"mid": mid}, wanted, MAX_FCM - len(_encode(shown)))
    room = MAX_FCM - len(_encode(shown)) - len(_encode(data))
    shown["title"], shown["body"] = _title_and_text(notification, room)
    android: dict[str, Any] = {
        "priority": "HIGH" if notification.priority == 10 else "NORMAL",
        "ttl": f"{seconds_left(notification.expires_at, now)}s",
        "notification": {"tag": notification.name},
    }
    if notification.collapse_id is not None:
        android["collapse_key"] = notification.collapse_id
    if badge is not None:
        android["notification"]["notification_count"] = badge
    return {"token": token, "notification": shown, "data": data, "android": android}


def seconds_left(expires_at: float, now: float) -> int:
    """How long a provider shall keep it for a device that is away; 0 = now or never."""
    return min(MAX_TTL, max(0, int(expires_at - now)))


def collapse_id(notification: Notification) -> str:
    """Of APNs: the name itself, or its digest if that is too long."""
    name = notification.name
    if len(name.encode()) <= MAX_COLLAPSE and name.isascii() and name.isprintable():
        return name
    return hashlib.sha256(name.encode()).hexdigest()


def topic(notification: Notification) -> str:
    """Of Web Push: 32 characters of base64url that stand for the name (RFC 8030 section 5.4)."""
    return urlsafe_b64encode(hashlib.sha256(notification.name.encode()).digest()[:24]).decode()


def _with_custom(
    custom: dict[str, Any], fixed: dict[str, Any], wanted: int, limit: int
) -> dict[str, Any]:
    """`fixed` with `custom` beside it, if that leaves the room that the text needs."""
    both = {**custom, **fixed}
    if custom and limit - len(_encode(both)) < min(MIN_TEXT, wanted):
        return dict(fixed)
    return both


def _title_and_text(notification: Notification, room: int) -> tuple[str, str]:
    """The title has at most half of the room, so that there is something to read."""
    title = cut(notification.title, room // 2)
    return title, cut(notification.text, room - json_size(title))
