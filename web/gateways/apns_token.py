"""The signed token by which Apple knows a team: one per credential, whatever the number of connections.

    authorization: bearer <JWT>      {"alg":"ES256","kid":key id} {"iss":team id,"iat":now}

aioapns signs one per connection; Apple answers TooManyProviderTokenUpdates to who has a new one too often.

Source: Apple, "Establishing a token-based connection to APNs"; aioapns/connection.py.
"""

import time
from collections.abc import Callable

import jwt
from aioapns.connection import AuthorizationHeaderProvider

TOKEN_LIFE = 30 * 60  # seconds until it is signed anew; Apple takes it for an hour
TOKEN_AGE = 20 * 60  # seconds: Apple refuses who renews a token more often


class SharedToken(AuthorizationHeaderProvider):
    """The signed token of a credential, the same on all its connections. Its key is in no error."""

    def __init__(
        self, key: str, key_id: str, team_id: str, now: Callable[[], float] = time.time
    ) -> None:
        self._key, self._key_id, self._team_id = key, key_id, team_id
        self._now = now
        self._signed_at = 0.0
        self._header = ""

    def get_header(self) -> str:
        """The value of `authorization`. Signed anew after half an hour; Apple takes an hour."""
        if self._now() - self._signed_at >= TOKEN_LIFE:
            self._sign()
        return self._header

    @property
    def signed_at(self) -> float:
        """Unix seconds; 0 = never."""
        return self._signed_at

    def renew(self, used: float) -> bool:
        """Apple took one for expired: have another. False: it is too young, so a clock is wrong.

        Args:
            used: `signed_at` of the one that was sent; others may have renewed it since.
        """
        if self._signed_at > used:
            return True
        if self._now() - self._signed_at < TOKEN_AGE:
            return False
        self._sign()
        return True

    def _sign(self) -> None:
        self._signed_at = self._now()
        claims = {"iss": self._team_id, "iat": int(self._signed_at)}
        token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
        self._header = f"bearer {token}"
