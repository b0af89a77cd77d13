"""User tokens: who has logged in. Garbage is told from them without asking anybody.

    u1_01000625f0c3a1b2c3<random><mac>      the uid, the first "_", 82 lower-case hexadecimal digits

    01          1 byte: the kind. 01 a user's token, 02 one for an application
    issued      8 bytes: µs since 1970
    random      16 bytes
    mac         16 bytes of HMAC-SHA256 over all of it, the uid, and the id of the application

A user's token is good as long as the store of logins knows its digest (appmodel/io/user_tokens.py); while
that is away, the signature and the age have to do. A token for an application is what a user's message to
`a1@app` carries: for five minutes it proves to application a1, and to nobody else, who wrote. It opens
nothing by itself, and nothing is stored of it.

Source: appmsgsrv app/token.go, `<uid>_<uuid>`; spec/appmsgsrv.md 3.1. Differences: whatever Redis holds under
`<uid>_...` is a token there (W4), and messages to applications carry the user's own token (W16).
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

from appmodel.core.credentials import MAX_SKEW
from appmodel.errors import Unauthorized

USER, APPLICATION = b"\x01", b"\x02"
FORM = re.compile(r"([^_@]{1,64})_([0-9a-f]{82})")
RANDOM = 16  # bytes
MAC = 16  # bytes: half of the hash, RFC 2104 section 5
AUDIENCE_TTL = 300.0  # seconds that a token for an application is good


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a token proves."""

    uid: str
    digest: str  # SHA-256 of the token, hexadecimal: by this it is known and revoked
    issued: float  # Unix seconds
    expires: float  # Unix seconds


def looks_like_token(text: str) -> bool:
    """Whether it has the form of a user token or one for an application, and of nothing else of ours."""
    return FORM.fullmatch(text) is not None


def can_log_in(uid: str) -> bool:
    """Whether tokens can name this user: adopted databases may hold ids with "_" or "@"."""
    return 0 < len(uid) <= 64 and uid.isprintable() and "_" not in uid and "@" not in uid


class TokenSigner:
    """Makes and checks the texts. `now` is Unix time in seconds."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: the cluster's, auth.secret; what signs here is derived from it."""
        self._key = hmac.digest(secret, b"appmsg/user-token", "sha256")

    def issue(self, uid: str, *, now: float) -> str:
        """A new token of a user."""
        return self._sign(USER, uid, "", now)

    def issue_for(self, uid: str, app_id: str, *, now: float) -> str:
        """A token that proves `uid` to the application `app_id` for `AUDIENCE_TTL` seconds."""
        return self._sign(APPLICATION, uid, app_id, now)

    def verify(self, text: str, *, now: float, max_age: float) -> Owner:
        """Whose token it is, as far as the text tells; `expires` is `max_age` seconds after its issue.

        Raises:
            Unauthorized: none of ours, or older.
        """
        return self._check(USER, text, "", now, max_age)

    def verify_for(self, text: str, app_id: str, *, now: float) -> Owner:
        """Who wrote to `app_id`.

        Raises:
            Unauthorized: not a token for this application, or older than `AUDIENCE_TTL`.
        """
        return self._check(APPLICATION, text, app_id, now, AUDIENCE_TTL)

    def _sign(self, kind: bytes, uid: str, app_id: str, now: float) -> str:
        assert can_log_in(uid), f"no token can name {uid!r}"
        head = kind + round(now * 1e6).to_bytes(8, "big") + secrets.token_bytes(RANDOM)
        return f"{uid}_{(head + self._mac(head, uid, app_id)).hex()}"

    def _check(self, kind: bytes, text: str, app_id: str, now: float, max_age: float) -> Owner:
        form = FORM.fullmatch(text)
        if form is None or not can_log_in(form[1]):
            raise Unauthorized("token: not one of ours")
        uid, raw = form[1], bytes.fromhex(form[2])
        head, mac = raw[:-MAC], raw[-MAC:]
        if head[:1] != kind or not hmac.compare_digest(mac, self._mac(head, uid, app_id)):
            raise Unauthorized("token: not one of ours")
        issued = int.from_bytes(head[1:9], "big") / 1e6
        if issued > now + MAX_SKEW or now >= issued + max_age:
            raise Unauthorized("token: expired")
        return Owner(uid, sha256(text.encode()).hexdigest(), issued, issued + max_age)

    def _mac(self, head: bytes, uid: str, app_id: str) -> bytes:
        name = uid.encode()
        signed = head + len(name).to_bytes(2, "big") + name + app_id.encode()
        return hmac.digest(self._key, signed, "sha256")[:MAC]
