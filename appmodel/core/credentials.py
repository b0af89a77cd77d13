"""Tickets and access tokens: signed texts that every node can check by itself.

    ticket        lets a client subscribe to one key and read its messages
                  {"aud":"appmsg/ticket","sub":<stored key>,"jti":ID,"iat":T,"exp":T}
    access token  proves a caller of the REST API, its realm and what it may do
                  {"aud":"appmsg/access","sub":WHO,"realm":R,"scope":"push read","jti":ID,"iat":T,"exp":T}

    scope   push     push to names, ask who is online
            read     read messages, ask who is online
            ticket   issue and revoke tickets
            admin    everything of the realm, and deleting messages

Both are JWTs (RFC 7519) signed with HS256, so that a business system can make them with any library.
The audience tells them apart: a ticket is never taken for an access token. Times are Unix seconds with
a fraction, so a revocation and a credential issued just after it do not fall into the same second.

Source: ours. gopush-cluster's tokens live in the memory of one comet and nothing issues them (S4).
"""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import jwt
import msgspec

from appmodel.core.names import REALM_MARK, Key, parse_key
from appmodel.errors import BadInput, ConfigError, Unauthorized

SCOPES = frozenset({"push", "read", "ticket", "admin"})
MIN_SECRET = 32  # bytes; RFC 7518 section 3.2: at least the size of the hash
MAX_LENGTH = 4096  # characters of a credential; ours are under 400
MAX_TTL = 400 * 86400.0  # seconds; what never expires is never cleaned up after a leak
MAX_SKEW = 300.0  # seconds: how far ahead of ours the clock of an issuer may be
MAX_CACHED = 1024  # verified access tokens remembered: far more than there are business systems
ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to subscribe to a key and to read its messages."""

    key: Key
    issued_at: float  # Unix seconds
    expires_at: float  # Unix seconds
    id: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, from which realm, and what they may do."""

    subject: str
    realm: str
    scopes: frozenset[str]
    id: str
    issued_at: float  # Unix seconds
    expires_at: float  # Unix seconds

    def may(self, scope: str) -> bool:
        """Whether the token grants `scope`; admin grants all."""
        return scope in self.scopes or "admin" in self.scopes


class _Claims(msgspec.Struct, tag_field="aud"):
    jti: str
    iat: float
    exp: float


class _TicketClaims(_Claims, tag="appmsg/ticket"):
    sub: str


class _AccessClaims(_Claims, tag="appmsg/access"):
    scope: str
    sub: str = ""
    realm: str = ""


_CLAIMS = msgspec.json.Decoder(_TicketClaims | _AccessClaims)


class Credentials:
    """Issues and verifies with the cluster's secret."""

    def __init__(self, secret: bytes) -> None:
        """Raises ConfigError if `secret` is too short to sign with, or is a public key by mistake."""
        if len(secret) < MIN_SECRET:
            raise ConfigError("auth.secret", f"{len(secret)} bytes", f"at least {MIN_SECRET} bytes")
        self._secret = secret
        self._jws = jwt.PyJWS(algorithms=[ALGORITHM])
        self._verified: dict[bytes, Caller] = {}  # by digest: no credential stays in memory
        try:
            self._jws.encode(b"{}", secret, ALGORITHM)
        except jwt.PyJWTError:
            raise ConfigError("auth.secret", "a PEM or SSH key", "random bytes") from None

    def issue_ticket(self, key: Key, *, now: float, ttl: float, id: str = "") -> str:
        """A ticket for `key` that is good for `ttl` seconds; `id`: by which it is revoked, default a new one.

        Raises:
            BadInput: the ttl is not above 0 and at most MAX_TTL.
        """
        expires_at = now + _checked_ttl(ttl)
        name = id or _new_id()
        return self.sign(_TicketClaims(jti=name, iat=now, exp=expires_at, sub=key.stored))

    def issue_token(
        self, scopes: Iterable[str], *, realm: str = "", now: float, ttl: float, subject: str = ""
    ) -> str:
        """An access token with `scopes` for callers of `realm`.

        Raises:
            BadInput: the ttl is not above 0 and at most MAX_TTL, or a scope does not exist.
        """
        wanted = sorted(set(scopes))
        if not wanted or not SCOPES.issuperset(wanted):
            raise BadInput("scope", " ".join(wanted), f"one or more of {', '.join(sorted(SCOPES))}")
        if realm and not realm.isprintable():
            raise BadInput("realm", realm, "printable characters only")
        claims = _AccessClaims(
            jti=_new_id(),
            iat=now,
            exp=now + _checked_ttl(ttl),
            scope=" ".join(wanted),
            sub=subject,
            realm=realm,
        )
        return self.sign(claims)

    def verify_ticket(self, text: str, *, now: float) -> Ticket:
        """What the ticket grants. Its revocation is the caller's question.

        Raises:
            Unauthorized: not a ticket of ours, or not good at `now`.
        """
        credential = self.verify(text, now=now)
        if not isinstance(credential, Ticket):
            raise Unauthorized("ticket: this is an access token")
        return credential

    def verify_token(self, text: str, *, now: float) -> Caller:
        """Who the access token proves. Its revocation is the caller's question.

        Raises:
            Unauthorized: not an access token of ours, or not good at `now`.
        """
        credential = self.verify(text, now=now)
        if not isinstance(credential, Caller):
            raise Unauthorized("token: this is a ticket")
        return credential

    def verify(self, text: str, *, now: float) -> Ticket | Caller:
        """Whichever of the two it is. Callers are remembered: a signature costs 25 µs, a push should not.

        Raises:
            Unauthorized: neither of ours, or not good at `now`.
        """
        if not text:
            raise Unauthorized("credential: there is none")
        if len(text) > MAX_LENGTH:
            raise Unauthorized(f"credential: longer than {MAX_LENGTH} characters")
        digest = sha256(text.encode(errors="replace")).digest()
        caller = self._verified.get(digest)
        if caller is not None and now < caller.expires_at:
            return caller
        credential = _grant(self._claims(text), now)
        if isinstance(credential, Caller):
            if len(self._verified) >= MAX_CACHED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = credential
        return credential

    def derive(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for another purpose than credentials; the same on all nodes."""
        return hmac.digest(self._secret, purpose, "sha256")

    def sign(self, claims: msgspec.Struct) -> str:
        """Claims as a text. Those of another kind have an `aud` of their own, and `iat`, `exp` and `jti`."""
        return self._jws.encode(msgspec.json.encode(claims), self._secret, ALGORITHM)

    def payload(self, text: str) -> bytes:
        """What was signed: the JSON of claims. Everything else is the caller's question, their audience first.

        Raises:
            Unauthorized: not signed by this cluster, or longer than MAX_LENGTH.
        """
        if len(text) > MAX_LENGTH:
            raise Unauthorized(f"credential: longer than {MAX_LENGTH} characters")
        try:
            payload: bytes = self._jws.decode(text, self._secret, algorithms=[ALGORITHM])
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthorized("credential: not signed by this cluster") from None
        return payload

    def _claims(self, text: str) -> _TicketClaims | _AccessClaims:
        payload = self.payload(text)
        try:
            claims: _TicketClaims | _AccessClaims = _CLAIMS.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Unauthorized("credential: its claims are not ours") from None
        return claims


def _grant(claims: _TicketClaims | _AccessClaims, now: float) -> Ticket | Caller:
    if now >= claims.exp:
        raise Unauthorized(f"credential: expired {now - claims.exp:.0f} s ago")
    if claims.iat > now + MAX_SKEW or not claims.exp - claims.iat <= MAX_TTL:
        raise Unauthorized("credential: its times are not ours, so nobody could revoke it")
    if isinstance(claims, _AccessClaims):
        scopes = frozenset(claims.scope.split())
        return Caller(claims.sub, claims.realm, scopes, claims.jti, claims.iat, claims.exp)
    realm, mark, name = claims.sub.rpartition(REALM_MARK)
    try:
        key = parse_key(name, realm if mark else "")
    except BadInput:
        raise Unauthorized("credential: it names no key") from None
    return Ticket(key, claims.iat, claims.exp, claims.jti)


def _checked_ttl(ttl: float) -> float:
    if not 0 < ttl <= MAX_TTL:
        raise BadInput("ttl", ttl, f"above 0 and at most {MAX_TTL:.0f} seconds")
    return ttl


def _new_id() -> str:
    return secrets.token_urlsafe(12)
