"""The `auth` that a device of version 2.2 is given when it logs in, and by which its HTTP calls are known.

    {"aud":"appmsg/mpush-auth","name":"phone","group":"family","iat":T,"exp":T}      a JWT, signed with HS256
    "jti":ID,"since":T                            of the token that it was given for: revoked with it, and over with it

Signed with a key of its own, which nobody who knows a token can make (the original signs with the shared token), and
with an end (the original's has none). Another token of all makes another key. Texts only: the original also takes a plain object and believes it.

Source: spec/mpush.md 11.3 and 11.5; section 12: 13, 14.
"""

import math
from dataclasses import dataclass

import jwt
import msgspec

from appmodel.core.credentials import ALGORITHM, MAX_LENGTH, Credentials
from appmodel.core.mpush_tokens import EVERYTHING, Grant
from appmodel.errors import Unauthorized

PURPOSE = b"mpush auth"  # see `Credentials.derive`
AUDIENCE = "appmsg/mpush-auth"
AUTH_TTL = 30 * 86400.0  # seconds that one is good for; each login gives a new one


@dataclass(frozen=True, slots=True)
class Bearer:
    """A device that has logged in."""

    name: str
    group: str
    token_id: str = ""  # of the token that let it in; "" = the token of all
    token_issued_at: float = 0.0


class _Claims(msgspec.Struct):
    aud: str
    name: str
    group: str
    iat: float
    exp: float
    jti: str = ""
    since: float = 0.0


_read = msgspec.json.Decoder(_Claims).decode


def auth_key(credentials: Credentials, token: str) -> bytes:
    """With which all nodes sign. `token`: that of all devices."""
    return credentials.derive(PURPOSE + b" " + token.encode("utf-8", "surrogatepass"))


class MpushAuth:
    """Signs and weighs them."""

    def __init__(self, key: bytes, *, ttl: float) -> None:
        """`key`: 32 bytes, the same on all nodes. `ttl`: seconds."""
        self._key, self._ttl = key, ttl
        self._jws = jwt.PyJWS(algorithms=[ALGORITHM])

    def issue(self, name: str, group: str, *, now: float, grant: Grant = EVERYTHING) -> str:
        """For a device that has just logged in by `grant`. `now`: Unix seconds."""
        until = math.ceil(min(now + self._ttl, grant.expires_at))
        since = grant.issued_at
        claims = _Claims(AUDIENCE, name, group, math.floor(now), until, grant.id, since)
        return self._jws.encode(msgspec.json.encode(claims), self._key, ALGORITHM)

    def check(self, text: str, *, now: float) -> Bearer:
        """Whose it is. Whether its token is revoked is the caller's question.

        Raises:
            Unauthorized: not one of ours, or its time is over.
        """
        if len(text) > MAX_LENGTH:
            raise Unauthorized(f"auth: longer than {MAX_LENGTH} characters")
        try:
            claims = _read(self._jws.decode(text, self._key, algorithms=[ALGORITHM]))
        except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            raise Unauthorized("auth: not signed by this cluster") from None
        if claims.aud != AUDIENCE:
            raise Unauthorized("auth: made for something else")
        if now >= claims.exp:
            raise Unauthorized(f"auth: expired {now - claims.exp:.0f} s ago")
        return Bearer(claims.name, claims.group, claims.jti, claims.since)
