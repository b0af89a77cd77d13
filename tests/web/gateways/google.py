"""Firebase Cloud Messaging on loopback: its paths, its status codes, its error bodies; and the token endpoint.

POST /token                              the assertion is verified: 200 with an access token, or invalid_grant
POST /v1/projects/shop/messages:send     the access token is verified: 401; then what `said` holds, else 200
"""

import itertools
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import jwt

from tests.web.gateways.authority import pem, rsa_key
from tests.web.gateways.h2_server import Action, Asked, H2Server, Reply

PROJECT, EMAIL = "shop", "push@shop.iam.gserviceaccount.com"
ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def google_error(
    status: int, general: str, code: str = "", *, field: str = "", retry_after: str = ""
) -> Reply:
    """As Google writes it."""
    details: list[dict[str, object]] = []
    if code:
        details.append({"@type": ERROR_TYPE, "errorCode": code})
    if field:
        violation = {"field": field, "description": "Invalid registration token"}
        details.append({"@type": BAD_REQUEST, "fieldViolations": [violation]})
    error = {"code": status, "message": "words", "status": general, "details": details}
    headers = [("content-type", "application/json; charset=UTF-8")]
    if retry_after:
        headers.append(("retry-after", retry_after))
    return Reply(status, headers, [json.dumps({"error": error}).encode()])


@dataclass
class Google:
    """Verifies what it is asked, then says what it was told to say."""

    always: Reply | Action | None = None  # about every message
    tokens: Reply | Action | None = None  # about every exchange
    life: int = 3599  # seconds of an access token
    valid: set[str] = field(default_factory=set)  # access tokens
    exchanges: int = 0

    def __post_init__(self) -> None:
        self.server = H2Server(self.answer)
        self._numbers = itertools.count(1)

    @property
    def credential(self) -> str:
        """The service account, as Google gives it. Known once the server has its port."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "client_email": EMAIL,
                "private_key": pem(rsa_key()),
                "token_uri": f"{self.url}/token",
            }
        )

    @property
    def url(self) -> str:
        """Of both services."""
        return f"https://localhost:{self.server.port}"

    @property
    def messages(self) -> list[Asked]:
        """What it was asked to send."""
        return [asked for asked in self.server.asked if asked.path != "/token"]

    def answer(self, asked: Asked) -> Reply | Action:
        """What Google would."""
        if asked.path == "/token":
            self.exchanges += 1
            return self.tokens or self._grant(asked)
        if asked.path != f"/v1/projects/{PROJECT}/messages:send":
            return google_error(404, "NOT_FOUND")
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.valid:
            return google_error(401, "UNAUTHENTICATED")
        name = {"name": f"projects/{PROJECT}/messages/{next(self._numbers)}"}
        return self.always or Reply(200, [], [json.dumps(name).encode()])

    def _grant(self, asked: Asked) -> Reply:
        form = parse_qs(asked.body.decode())
        try:
            jwt.decode(
                form["assertion"][0],
                rsa_key().public_key(),
                ["RS256"],
                audience=f"{self.url}/token",
                issuer=EMAIL,
                options={"require": ["exp", "iat", "scope"]},
            )
        except (jwt.InvalidTokenError, KeyError):
            return invalid_grant()
        token = f"ya29.{next(self._numbers)}"
        self.valid.add(token)
        granted = {"access_token": token, "expires_in": self.life, "token_type": "Bearer"}
        return Reply(200, [("content-type", "application/json")], [json.dumps(granted).encode()])


def invalid_grant() -> Reply:
    """The account's key was deleted, say."""
    said = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    return Reply(400, [("content-type", "application/json")], [json.dumps(said).encode()])
