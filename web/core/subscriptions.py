"""A browser's subscription to Web Push, as `PushSubscription.toJSON()` gives it and `push_device.address` keeps it.

    {"endpoint":"https://push.example/abc","keys":{"p256dh":"BEl6...","auth":"k8Jv..."}}

The endpoint is a secret: who knows it can push. Where it may lead is judged by appmodel/io/outbound.py.

Source: W3C Push API section 8; RFC 8291 section 3.
"""

import msgspec

from appmodel.core.outward import parse_url
from appmodel.errors import BadInput
from web.core.base64url import decode_base64url

MAX_SUBSCRIPTION = 8192  # characters of the JSON


class Subscription(msgspec.Struct, frozen=True):
    """What is needed to push to a browser."""

    endpoint: str
    key: bytes  # 65 bytes: a point of P-256, uncompressed
    auth: bytes  # 16 bytes


class _Keys(msgspec.Struct):
    p256dh: str
    auth: str


class _Json(msgspec.Struct):
    endpoint: str
    keys: _Keys


def parse_subscription(text: str, field: str = "subscription") -> Subscription:
    """The parts of a subscription.

    Raises:
        BadInput: naming the part of `field` that is wrong, without showing its secrets.
    """
    if len(text) > MAX_SUBSCRIPTION:
        raise BadInput(field, "********", f"at most {MAX_SUBSCRIPTION} characters")
    try:
        found = msgspec.json.decode(text, type=_Json)
    except msgspec.DecodeError as error:
        raise BadInput(field, "********", f"a PushSubscription as JSON ({error})") from None
    parse_url(found.endpoint, f"{field}.endpoint")
    key = decode_base64url(found.keys.p256dh, f"{field}.keys.p256dh", size=65)
    auth = decode_base64url(found.keys.auth, f"{field}.keys.auth", size=16)
    return Subscription(found.endpoint, key, auth)
