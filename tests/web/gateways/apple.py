"""Apple's push service on loopback: its path, its status codes, its error bodies.

POST /3/device/<64 digits>      what `say` was told, else 200
without a certificate           the token is verified: 403 InvalidProviderToken, ExpiredProviderToken
"""

import json
import re
import time
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.web.gateways.authority import pem
from tests.web.gateways.h2_server import Action, Asked, H2Server, Reply

KEY_ID, TEAM_ID, TOPIC = "ABC123DEFG", "DEF123GHIJ", "com.shop.app"
TOKEN_LIFE = 3600  # seconds


def apple_error(status: int, reason: str, **more: object) -> Reply:
    """As Apple writes it."""
    headers = [("apns-id", "x"), ("content-type", "application/json")]
    return Reply(status, headers, [json.dumps({"reason": reason, **more}).encode()])


def device_token(number: int = 1) -> str:
    """A token as Apple gives them."""
    return f"{number:064x}"


@dataclass
class Apple:
    """Verifies what it is asked, then says what it was told to say."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    said: dict[str, Reply | Action] = field(default_factory=dict)  # by device token
    always: Reply | Action | None = None  # said to all others
    tokens: list[str] = field(default_factory=list)  # that were shown to it, each once

    def __post_init__(self) -> None:
        self.server = H2Server(self.answer)

    @property
    def credential(self) -> str:
        """The p8 credential that it knows, as it is stored."""
        return json.dumps({"key_id": KEY_ID, "team_id": TEAM_ID, "key": pem(self.key)})

    def answer(self, asked: Asked) -> Reply | Action:
        """What Apple would."""
        device = re.fullmatch(r"/3/device/([0-9a-f]{64})", asked.path)
        if asked.method != "POST" or device is None:
            return apple_error(400, "BadDeviceToken" if device is None else "MethodNotAllowed")
        if not asked.certified:
            refusal = self._check_token(asked.headers.get("authorization", ""))
            if refusal is not None:
                return refusal
        if asked.headers.get("apns-topic") != TOPIC:
            return apple_error(400, "DeviceTokenNotForTopic")
        if len(asked.body) > 4096:
            return apple_error(413, "PayloadTooLarge")
        if device[1] in self.said:
            return self.said[device[1]]
        return self.always or Reply(200, [("apns-id", asked.headers["apns-id"])])

    def _check_token(self, header: str) -> Reply | None:
        scheme, _, token = header.partition(" ")
        if scheme != "bearer":
            return apple_error(403, "MissingProviderToken")
        if token not in self.tokens:
            self.tokens.append(token)
        try:
            claims = jwt.decode(
                token, self.key.public_key(), ["ES256"], options={"verify_iat": False}
            )
        except jwt.InvalidTokenError:
            return apple_error(403, "InvalidProviderToken")
        if claims["iss"] != TEAM_ID or jwt.get_unverified_header(token)["kid"] != KEY_ID:
            return apple_error(403, "InvalidProviderToken")
        if claims["iat"] < time.time() - TOKEN_LIFE:
            return apple_error(403, "ExpiredProviderToken")
        return None
