"""Who may do what with which devices of Mpush: the token of all, and better ones.

    the token of all    mpush.token, a word           everything, as in the original
    a token             appmsg token issue --mpush    {"aud":"appmsg/mpush","may":"publish","names":["pi-*"],
                        (JWT, HS256, auth.secret)      "sub":WHO,"jti":ID,"iat":T,"exp":T}

    right      connect   be the device: log in, get what waits for it, acknowledge
               publish   push to it, and take back what is delayed for it
               read      read what came to it, ask what became of it

    names      phone             the device
               sensor-*          "*" is any run of characters, also none; everything else is meant as it is
               family.group      the group: push to it, or log in as one of its members; "*" covers groups, too

Tokens are revoked by their id like every credential (`DELETE /v2/tickets`), and an audience of their own keeps them
from being taken for any other. Times are Unix seconds.

Source: ours. The original has one token for all devices, and none for who pushes (spec/mpush.md 12: 1, 2, 13, 14).
"""

import enum
import hmac
import math
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import msgspec

from appmodel.core.credentials import MAX_LENGTH, MAX_SKEW, MAX_TTL, Credentials, Ticket
from appmodel.core.mpush import check_name
from appmodel.core.names import Key
from appmodel.core.revocations import Revocations, token_subject
from appmodel.errors import BadInput, Forbidden, Unauthorized

WELL_KNOWN = "mpush"  # the original's token, if nobody sets one: for loopback only
AUDIENCE = "appmsg/mpush"
ANY = "*"
MAX_NAMES = 100  # of one token


class Right(enum.StrEnum):
    """What a token allows."""

    CONNECT = "connect"
    PUBLISH = "publish"
    READ = "read"


OWN = frozenset({Right.CONNECT, Right.READ})
"""What a device does for itself: of a token that does not say."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows, and for whom."""

    rights: frozenset[Right]
    names: tuple[str, ...]  # of devices, `as_group` of groups; with "*"
    subject: str = ""  # for the log
    id: str = ""  # "" = the token of all: it cannot be revoked
    issued_at: float = 0.0
    expires_at: float = math.inf

    def covers(self, right: Right, name: str | None) -> bool:
        """Whether `right` may be used with `name`; None: with any one at all."""
        if right not in self.rights:
            return False
        return name is None or any(matches(pattern, name) for pattern in self.names)

    def ticket(self, key: Key) -> Ticket | None:
        """For a connection that logged in as `key`: it ends with the token. None: with the token of all, never."""
        return Ticket(key, self.issued_at, self.expires_at, self.id) if self.id else None


EVERYTHING = Grant(frozenset(Right), (ANY,))


class _Claims(msgspec.Struct):
    aud: str
    may: str
    names: tuple[str, ...]
    jti: str
    iat: float
    exp: float
    sub: str = ""


_read = msgspec.json.Decoder(_Claims).decode


class MpushGate:
    """Weighs tokens for one listener. Calls never wait."""

    def __init__(
        self,
        token: str,
        credentials: Credentials | None,
        revocations: Revocations,
        *,
        now: Callable[[], float],
        open: Collection[Right] = (),
    ) -> None:
        """
        Args:
            token: of all; "" = there is none.
            credentials: that sign the others; None = there are none (auth.mode = "off").
            now: Unix seconds.
            open: rights that everybody has here; their callers' tokens are not even looked at.
        """
        self._token = token.encode()
        self._credentials, self._revocations = credentials, revocations
        self._now, self._open = now, frozenset(open)

    def is_open(self, right: Right) -> bool:
        """Whether everybody has it here."""
        return right in self._open

    def grant(self, text: str) -> Grant:
        """What a token allows.

        Raises:
            Unauthorized: there is none, or it is not ours, not good any more, or revoked.
        """
        if not text:  # nor is an empty token of all equal to it
            raise Unauthorized("token: there is none: say ?token=, or a header Authorization")
        if hmac.compare_digest(text.encode(errors="replace"), self._token):
            return EVERYTHING
        if self._credentials is None:
            raise Unauthorized("token: wrong")
        grant = verify(self._credentials, text, now=self._now())
        if self.is_revoked(grant.id, grant.issued_at):
            raise Unauthorized("token: revoked")
        return grant

    def is_revoked(self, token_id: str, issued_at: float) -> bool:
        """Whether that token is; never the one of all, which has no id."""
        return self._revocations.is_revoked(token_subject(token_id), issued_at)

    def check(self, text: str, right: Right, names: Iterable[str]) -> Grant:
        """What the token allows, if that is `right` with all of `names` (of groups: `as_group`).

        Raises:
            Unauthorized: as `grant`.
            Forbidden: it does not cover one of them, which is named.
        """
        if self.is_open(right):
            return EVERYTHING
        grant = self.grant(text)
        for name in names:
            if not grant.covers(right, name):
                raise Forbidden(f"token: it does not allow to {right} {name[:80]!r}")
        return grant


def issue(
    credentials: Credentials,
    rights: Collection[Right],
    names: Collection[str],
    *,
    now: float,
    ttl: float,
    subject: str = "",
) -> tuple[str, Grant]:
    """A token that is good for `ttl` seconds, and what it says.

    Args:
        rights: none = OWN.
        names: of devices, or `as_group` of groups; with "*".

    Raises:
        BadInput: no name or one that no device has, too many, or a ttl that is not above 0 and at most MAX_TTL.
    """
    if not names or len(names) > MAX_NAMES:
        raise BadInput("device", len(names), f"1 to {MAX_NAMES} names or patterns")
    if not 0 < ttl <= MAX_TTL:
        raise BadInput("ttl", ttl, f"above 0 and at most {MAX_TTL:.0f} seconds")
    claims = _Claims(
        AUDIENCE,
        " ".join(sorted(rights or OWN)),
        tuple(check_name(name, field="device") for name in names),
        secrets.token_urlsafe(12),
        now,
        now + ttl,
        subject,
    )
    text = credentials.sign(claims)
    if len(text) > MAX_LENGTH:
        expected = f"names that make a token of at most {MAX_LENGTH} characters"
        raise BadInput("device", f"a token of {len(text)}", expected)
    return text, verify(credentials, text, now=now)


def verify(credentials: Credentials, text: str, *, now: float) -> Grant:
    """What a token says. Its revocation is the caller's question.

    Raises:
        Unauthorized: not a token of ours, or not good at `now`.
    """
    try:
        payload = credentials.payload(text)
    except Unauthorized:
        raise Unauthorized("token: wrong, or not signed by this cluster") from None
    try:
        claims = _read(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unauthorized("token: its claims are not those of Mpush") from None
    if claims.aud != AUDIENCE:
        raise Unauthorized("token: it is not one of Mpush")
    if now >= claims.exp:
        raise Unauthorized(f"token: expired {now - claims.exp:.0f} s ago")
    if claims.iat > now + MAX_SKEW or not claims.exp - claims.iat <= MAX_TTL:
        raise Unauthorized("token: its times are not ours, so nobody could revoke it")
    words = claims.may.split()
    rights = frozenset(right for right in Right if right in words)
    return Grant(rights, claims.names, claims.sub, claims.jti, claims.iat, claims.exp)


def as_group(name: str) -> str:
    """How a token names a group."""
    return f"{name}.group"


def matches(pattern: str, name: str) -> bool:
    """Whether `name` is meant. Linear, whatever the pattern: each piece is looked for once."""
    first, *rest = pattern.split(ANY)
    if not rest:
        return pattern == name
    *middle, last = rest
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in middle:
        at = name.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
