"""Keys of Mpush: what devices are told to subscribe at notification services, and our own pair for Web Push.

    webpushPublicKey                              a point of P-256 in base64url: browsers subscribe for it (RFC 8292)
    fcmProjectId, fcmApplicationId, fcmApiKey     of the Firebase project whose service account sends

The private part of the pair is the 32 bytes of its number in base64url. Source: spec/mpush.md 11.3 and 11.9.
"""

from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appmodel.core.base64url import decode_base64url, encode_base64url
from appmodel.core.mpush_stores import ReceiverKind

SIZE = 32  # bytes of the private number


class PublicKeys(msgspec.Struct, frozen=True):
    """What a client needs to subscribe at the notification services; empty: they are not configured."""

    webpush: str = ""
    fcm_project: str = ""
    fcm_application: str = ""
    fcm_api_key: str = ""

    def serve(self, kind: ReceiverKind) -> bool:
        """Whether devices may register for copies of this kind."""
        needed = {ReceiverKind.WEBPUSH: self.webpush, ReceiverKind.FCM: self.fcm_project}
        return bool(needed.get(kind))

    def told(self) -> dict[str, str]:
        """As the `data` of AUTH 200 has them."""
        webpush = {"webpushPublicKey": self.webpush} if self.webpush else {}
        return {
            **webpush,
            "fcmProjectId": self.fcm_project,
            "fcmApplicationId": self.fcm_application,
            "fcmApiKey": self.fcm_api_key,
        }


class MpushKeys(Protocol):
    """The keys of this installation: the same on all its nodes."""

    async def public(self) -> PublicKeys:
        """What devices are told. Cancelling is safe. Raises Unavailable, OutcomeUnknown: ask again."""

    async def vapid(self) -> ec.EllipticCurvePrivateKey:
        """Our pair for Web Push, made when it is first asked for. Raises as `public`."""


def make_vapid() -> str:
    """The private part of a new pair."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return encode_base64url(number.to_bytes(SIZE))


def open_vapid(secret: str) -> ec.EllipticCurvePrivateKey:
    """The pair of a private part that `make_vapid` made."""
    number = int.from_bytes(decode_base64url(secret, "mpush_key.secret", size=SIZE))
    return ec.derive_private_key(number, ec.SECP256R1())


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """Its public part, as browsers subscribe for it: 87 characters."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return encode_base64url(point)
