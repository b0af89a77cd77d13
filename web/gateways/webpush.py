"""Web Push: to the push service that a browser has named, encrypted for the browser alone.

    POST <endpoint>    TTL, Urgency, Topic, Content-Encoding: aes128gcm
                       Authorization: vapid t=<JWT, ES256>,k=<public key>
    200, 201, 202      DELIVERED
    404, 410           GONE
    413                REFUSED
    401, 403           MISCONFIGURED: not the key that the browser subscribed for
    429, 5xx           RETRY, after what Retry-After says
    any other          REFUSED

The endpoint comes from a client, so each call is judged (appmodel/io/outbound.py): one that leads inside
is REFUSED. A subscription that cannot be read is GONE: it will never work.

Source: RFC 8030 (the request), RFC 8291 (encryption), RFC 8292 (VAPID).
"""

import os
import time
from collections.abc import Callable
from typing import Any

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appmodel.core.base64url import encode_base64url
from appmodel.core.outward import parse_url
from appmodel.core.subscriptions import Subscription, check_point, parse_subscription
from appmodel.errors import BadInput, PushError
from appmodel.io.outbound import Answer, Outbound
from web.core.notifications import (
    Device,
    Notification,
    Provider,
    seconds_left,
    topic,
    webpush_payload,
)
from web.gateways.credentials import VapidKey
from web.gateways.interface import DELIVERED, Kind, Receipt, retry_after

VAPID_LIFE = 12 * 3600  # seconds; RFC 8292 section 2 allows a day
VAPID_KEPT = 3600  # seconds that a signed header serves its push service
MAX_SERVICES = 1000  # push services whose header is kept; there are about five


class WebPushGateway:
    """One tenant's key, to any push service."""

    provider: Provider = "webpush"

    def __init__(
        self, key: VapidKey, outbound: Outbound, now: Callable[[], float] = time.time
    ) -> None:
        """`outbound`: for this tenant alone; closed with the gateway."""
        self._outbound = outbound
        self._now = now
        self._vapid = Vapid(key, now)

    async def send(self, device: Device, notification: Notification, badge: int | None) -> Receipt:
        """See Gateway."""
        try:
            subscription = parse_subscription(device.token)
        except BadInput as error:
            return Receipt(Kind.GONE, f"no subscription: {error.field}")
        return await self.post(
            subscription,
            webpush_payload(notification, badge),
            topic=topic(notification),
            expires_at=notification.expires_at,
            is_urgent=notification.priority == 10,
        )

    async def post(
        self,
        subscription: Subscription,
        plain: bytes,
        *,
        topic: str,
        expires_at: float,
        is_urgent: bool,
    ) -> Receipt:
        """Hand `plain` over for a browser: at most MAX_WEBPUSH bytes, which it alone can read.

        Args:
            topic: a later one with the same replaces this one while the browser is away; 1 to 32 letters of base64url.
            expires_at: Unix seconds.
            is_urgent: worth the battery.
        """
        try:
            content = encrypt(plain, subscription)
        except BadInput as error:
            return Receipt(Kind.GONE, f"no subscription: {error.field}")
        headers = [
            ("TTL", str(seconds_left(expires_at, self._now()))),
            ("Urgency", "high" if is_urgent else "normal"),
            ("Topic", topic),
            ("Content-Encoding", "aes128gcm"),
            ("Content-Type", "application/octet-stream"),
            ("Authorization", self._vapid.header(subscription.endpoint)),
        ]
        try:
            answer = await self._outbound.call(
                "POST", subscription.endpoint, headers=headers, content=content
            )
        except BadInput as error:
            return Receipt(Kind.REFUSED, str(error))
        except PushError as error:
            return Receipt(Kind.RETRY, str(error))
        return _judge(answer)

    async def aclose(self) -> None:
        """See Gateway."""
        await self._outbound.aclose()


class Vapid:
    """Says to a push service who sends."""

    def __init__(self, key: VapidKey, now: Callable[[], float]) -> None:
        self._key = key
        self._now = now
        point = key.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._public = encode_base64url(point)
        self._headers: dict[str, tuple[float, str]] = {}  # by audience: until when, and what

    def header(self, endpoint: str) -> str:
        """The value of Authorization for the push service of `endpoint`."""
        audience = _audience(endpoint)
        until, value = self._headers.get(audience, (0.0, ""))
        if self._now() >= until:
            value = self._sign(audience)
            if len(self._headers) >= MAX_SERVICES:
                self._headers.clear()
            self._headers[audience] = (self._now() + VAPID_KEPT, value)
        return value

    def _sign(self, audience: str) -> str:
        claims = {
            "aud": audience,
            "exp": int(self._now()) + VAPID_LIFE,
            "sub": self._key.subject,
        }
        token = jwt.encode(claims, self._key.key, algorithm="ES256")
        return f"vapid t={token},k={self._public}"


def encrypt(plain: bytes, subscription: Subscription) -> bytes:
    """`plain` for the browser of `subscription`: one record of RFC 8188, with a key of its own.

    Raises:
        BadInput: the browser's key is no point of the curve.
    """
    check_point(subscription.key, "keys.p256dh")
    content: Any = http_ece.encrypt(
        plain,
        salt=os.urandom(16),
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=subscription.key,
        auth_secret=subscription.auth,
        version="aes128gcm",
    )
    return bytes(content)


def _audience(endpoint: str) -> str:
    """The origin as RFC 6454 writes it: without a port that needs no saying."""
    found = parse_url(endpoint)
    return found.origin.removesuffix(":443") if found.scheme == "https" else found.origin


def _judge(answer: Answer) -> Receipt:
    reason = f"status {answer.status}"
    match answer.status:
        case 200 | 201 | 202:
            return DELIVERED
        case 404 | 410:
            return Receipt(Kind.GONE, reason)
        case 401 | 403:
            return Receipt(Kind.MISCONFIGURED, reason)
        case status if status == 429 or status >= 500:
            return Receipt(Kind.RETRY, reason, after=retry_after(answer.header("retry-after")))
    return Receipt(Kind.REFUSED, reason)
