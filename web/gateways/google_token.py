"""The access token of a service account: signed by us, exchanged at Google, kept until it is nearly over.

    POST <token_uri>    grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=<JWT, RS256>
    200                 {"access_token":"ya29...","expires_in":3599,"token_type":"Bearer"}
    400, 401            {"error":"invalid_grant","error_description":"..."}

Source: Google, "Using OAuth 2.0 for server to server applications"; RFC 7523.
"""

import time
from collections.abc import Callable
from urllib.parse import urlencode

import jwt
import msgspec
import trio

from appmodel.errors import Unauthorized, Unavailable
from appmodel.io.outbound import Answer, Outbound
from web.gateways.credentials import ServiceAccount

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE = 3600  # seconds: the most that Google takes
EARLY = 120  # seconds before its end that a token is replaced


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = 3600


class _Refused(msgspec.Struct):
    error: str = ""


class GoogleToken:
    """One account's. Those who want it at the same time wait for one exchange."""

    def __init__(
        self, account: ServiceAccount, outbound: Outbound, now: Callable[[], float] = time.time
    ) -> None:
        self._account = account
        self._outbound = outbound
        self._now = now
        self._lock = trio.Lock()
        self._token = ""
        self._ends_at = 0.0

    async def get(self) -> str:
        """A token that is good for a while.

        Raises:
            Unauthorized: Google does not take the account's key.
            BadInput, Unavailable, OutcomeUnknown, TooLarge: there is no answer to go by.
        """
        async with self._lock:
            if self._now() >= self._ends_at:
                await self._exchange()
            return self._token

    def drop(self, token: str) -> None:
        """FCM did not take `token`: the next one is new. Nothing happens if it is new already."""
        if token == self._token:
            self._ends_at = 0.0

    async def _exchange(self) -> None:
        asked_at = self._now()
        body = urlencode({"grant_type": GRANT, "assertion": self._assertion(asked_at)})
        answer = await self._outbound.call(
            "POST",
            self._account.token_url,
            headers=[("Content-Type", "application/x-www-form-urlencoded")],
            content=body.encode(),
        )
        granted = _granted(answer)
        self._token = granted.access_token
        self._ends_at = asked_at + granted.expires_in - EARLY

    def _assertion(self, now: float) -> str:
        claims = {
            "iss": self._account.email,
            "scope": SCOPE,
            "aud": self._account.token_url,
            "iat": int(now),
            "exp": int(now) + ASSERTION_LIFE,
        }
        return jwt.encode(claims, self._account.key, algorithm="RS256")


def _granted(answer: Answer) -> _Granted:
    if answer.status in (400, 401, 403):
        raise Unauthorized(f"the token endpoint says {_error(answer.body)}")
    try:
        if answer.status == 200:
            granted = msgspec.json.decode(answer.body, type=_Granted)
            if granted.access_token.isascii() and granted.access_token.isprintable():
                return granted
    except msgspec.DecodeError:
        pass
    raise Unavailable(f"the token endpoint answered {answer.status} without a token")


def _error(body: bytes) -> str:
    try:
        said = msgspec.json.decode(body, type=_Refused).error
    except msgspec.DecodeError:
        said = ""
    return said if said.isascii() and said.isprintable() and 0 < len(said) <= 60 else "no"
