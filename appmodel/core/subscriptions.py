"""A browser's subscription to Web Push, as `PushSubscription.toJSON()` gives it and `push_device.address` keeps it.

    {"endpoint":"https://push.example/abc","keys":{"p256dh":"BEl6...","auth":"k8Jv..."}}

The endpoint is a secret: who knows it can push. Where it may lead is judged by appmodel/io/outbound.py.

Source: W3C Push API section 8; RFC 8291 section 3.
"""

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from appmodel.core.base64url import decode_base64url
from appmodel.core.outward import parse_url
from appmodel.errors import BadInput

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
    """The parts of a subscription; whether its key is one, its user will see.

    Raises:
        BadInput: naming the part of `field` that is wrong, without showing its secrets.
    """
    if len(text) > MAX_SUBSCRIPTION:
        raise BadInput(field, "********", f"at most {MAX_SUBSCRIPTION} characters")
    try:
        found = msgspec.json.decode(text, type=_Json)
    except msgspec.DecodeError as error:
        raise BadInput(field, "********", f"a PushSubscription as JSON ({error})") from None
    return _subscription(found.endpoint, found.keys.p256dh, found.keys.auth, f"{field}.")


def read_subscription(endpoint: str, p256dh: str, auth: str) -> Subscription:
    """The same of its texts, and its key is one. Raises BadInput, as `parse_subscription`."""
    found = _subscription(endpoint, p256dh, auth, "")
    check_point(found.key, "keys.p256dh")
    return found


def check_point(key: bytes, field: str) -> None:
    """Whether a browser can have this key. Raises BadInput."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError:
        raise BadInput(field, "********", "a point of P-256") from None


def _subscription(endpoint: str, p256dh: str, auth: str, within: str) -> Subscription:
    parse_url(endpoint, f"{within}endpoint")
    key = decode_base64url(p256dh, f"{within}keys.p256dh", size=65)
    return Subscription(endpoint, key, decode_base64url(auth, f"{within}keys.auth", size=16))
