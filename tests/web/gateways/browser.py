"""A browser and its push service on loopback: who sends is verified, and what is sent can be read.

POST /push/<id>     RFC 8030 with RFC 8291 and RFC 8292; what `always` says, else 201
"""

import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appmodel.core.base64url import decode_base64url, encode_base64url
from tests.web.gateways.authority import pem
from tests.web.gateways.h2_server import Action, Asked, H2Server, Reply

SUBJECT = "mailto:ops@shop.example"
_VAPID = re.compile(r"vapid t=([^,]+),\s*k=(\S+)")


@dataclass
class Browser:
    """Verifies what it is asked, then says what it was told to say."""

    vapid: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    always: Reply | Action | None = None

    def __post_init__(self) -> None:
        self.server = H2Server(self.answer)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)
        self._sender: ec.EllipticCurvePublicKey | None = None  # whom it subscribed for

    def subscribe(self, application_server_key: str) -> dict[str, Any]:
        """As its page does it: from now on nobody else's pushes are taken."""
        found = decode_base64url(application_server_key, "applicationServerKey")
        self._sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), found)
        subscription: dict[str, Any] = json.loads(self.subscription())
        return subscription

    @property
    def credential(self) -> str:
        """The key that the browser subscribed for, as it is stored."""
        return json.dumps({"subject": SUBJECT, "private_key": pem(self.vapid)})

    @property
    def url(self) -> str:
        """Of the push service."""
        return f"https://localhost:{self.server.port}"

    def subscription(self, number: int = 1) -> str:
        """What the browser gives to its page."""
        return json.dumps(
            {
                "endpoint": f"{self.url}/push/{number}",
                "expirationTime": None,
                "keys": {
                    "p256dh": encode_base64url(point(self._key)),
                    "auth": encode_base64url(self._auth),
                },
            }
        )

    def read(self, asked: Asked) -> bytes:
        """What the browser shows its page."""
        plain: bytes = http_ece.decrypt(
            asked.body, private_key=self._key, auth_secret=self._auth, version="aes128gcm"
        )
        return plain

    def answer(self, asked: Asked) -> Reply | Action:
        """What a push service would."""
        if asked.method != "POST" or not asked.path.startswith("/push/"):
            return Reply(404)
        if not asked.headers.get("ttl", "").isdecimal():
            return Reply(400)
        if asked.headers.get("content-encoding") != "aes128gcm" or len(asked.body) > 4096:
            return Reply(413)
        return self._check(asked.headers.get("authorization", "")) or self.always or Reply(201)

    def _check(self, header: str) -> Reply | None:
        match = _VAPID.fullmatch(header)
        sender = self._sender or self.vapid.public_key()
        if match is None:
            return Reply(401)
        if decode_base64url(match[2], "k") != _bytes(sender):
            return Reply(403)
        try:
            jwt.decode(
                match[1],
                sender,
                ["ES256"],
                audience=self.url,
                options={"require": ["exp", "sub", "aud"]},
            )
        except jwt.InvalidTokenError:
            return Reply(403)
        return None


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Its public key, 65 bytes."""
    return _bytes(key.public_key())


def _bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
