"""Devices that can be notified, as users register them.

    {"provider":"apns","token":"0f3a...","device_id":"d1"}
    {"provider":"fcm","token":"eBx1:APA91...","device_id":"d1"}
    {"provider":"webpush","subscription":{"endpoint":"https://...","keys":{"p256dh":"...","auth":"..."}}}

`device_id` is what the device calls itself in its session key, `u1_iOS-d1@user`: while that is connected, the
device is not notified. Tokens and subscriptions are secrets: nobody is shown them again.
"""

import re
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appmodel.core.subscriptions import parse_subscription
from appmodel.errors import BadInput
from web.core.fields import text_of

MAX_DEVICE = 255  # characters: the column
_APNS = re.compile(r"[A-Za-z0-9._:-]{1,255}")
_FCM = re.compile(r"[\x21-\x7e]{1,4096}")

Provider: TypeAlias = Literal["apns", "fcm", "webpush"]
DeviceId = Annotated[str, Meta(description="What the device calls itself in its session key")]


class Device(msgspec.Struct, frozen=True):
    """A device of the caller's."""

    id: str
    provider: Provider
    device_id: DeviceId


class DevicesAnswer(msgspec.Struct, frozen=True):
    """All of them: at most 40."""

    items: list[Device]


class Keys(msgspec.Struct, frozen=True):
    """Of a PushSubscription."""

    p256dh: str
    auth: str


class Subscription(msgspec.Struct, frozen=True):
    """A browser's PushSubscription, as its toJSON() gives it."""

    endpoint: str
    keys: Keys


class NewDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device to register. If it was another user's, it is the caller's now."""

    provider: Provider
    device_id: DeviceId = ""
    token: Annotated[str, Meta(description="Of apns and fcm")] | UnsetType = UNSET
    subscription: Subscription | UnsetType = UNSET

    def address(self) -> str:
        """What is stored.

        Raises:
            BadInput: a field is wrong, missing, or one too many.
        """
        text_of("device_id", self.device_id, MAX_DEVICE)
        if self.provider == "webpush":
            if self.subscription is UNSET or self.token is not UNSET:
                raise BadInput("subscription", None, "a PushSubscription, and no token")
            text = msgspec.json.encode(self.subscription).decode()
            parse_subscription(text)
            return text
        if self.token is UNSET or self.subscription is not UNSET:
            raise BadInput("token", None, "the device's token, and no subscription")
        if self.provider == "apns":
            return apns_token("token", self.token)
        if not _FCM.fullmatch(self.token):
            raise BadInput("token", "********", "1 to 4096 printable characters of ASCII")
        return self.token


def apns_token(field: str, value: str) -> str:
    """A token of Apple's. Raises BadInput, without showing it."""
    if not _APNS.fullmatch(value):
        raise BadInput(field, "********" if value else "", "1 to 255 letters and digits")
    return value
