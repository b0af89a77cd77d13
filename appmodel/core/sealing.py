"""Secrets of others at rest: sealed so that a copy of the database tells nothing.

    1.<base64url of nonce and AES-256-GCM>    sealed; the place (table, row, field) is authenticated, so a
                                              sealed text that somebody moves to another row cannot be opened
    0.<the text>                              as it is: there was no secret
    1.<HMAC-SHA256>, 0.<SHA-256>              digest of a password, for checks without opening anything

Keys are derived from the node's auth.secret (HKDF-SHA256), which all nodes share. Without a secret, which is
allowed on loopback only, nothing can be sealed and texts lie there as they are; once there is a secret they
can still be read, and whatever is saved is sealed. With another secret nothing can be opened and no password is
right: save them again.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEALED, PLAIN = "1.", "0."
NONCE = 12  # bytes: NIST SP 800-38D


class Sealing:
    """Seals, opens and digests. Holds no text."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: b"" = there is none."""
        self._cipher = AESGCM(_derive(secret, b"seal")) if secret else None
        self._digest_key = _derive(secret, b"digest") if secret else b""

    def seal(self, text: str, place: str) -> str:
        """For the database. `place`: names row and field, such as "nsp:/demo:auth_passwd"."""
        if self._cipher is None:
            return f"{PLAIN}{text}"
        nonce = secrets.token_bytes(NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), place.encode())
        return SEALED + urlsafe_b64encode(sealed).decode()

    def open(self, sealed: str, place: str) -> str | None:
        """What was sealed at `place`. None: with another secret, at another place, or garbled."""
        if sealed.startswith(PLAIN):
            return sealed.removeprefix(PLAIN)
        if self._cipher is None or not sealed.startswith(SEALED):
            return None
        try:
            raw = urlsafe_b64decode(sealed.removeprefix(SEALED))
            return self._cipher.decrypt(raw[:NONCE], raw[NONCE:], place.encode()).decode()
        except (InvalidTag, ValueError):
            return None

    def digest(self, password: str, place: str) -> str:
        """What `matches` compares with. Equal passwords at two places have different digests."""
        return self._digest(password, place, SEALED if self._digest_key else PLAIN)

    def matches(self, password: str, digest: str | None, place: str) -> bool:
        """Whether this is the password, in constant time. None: no password is."""
        scheme = PLAIN if (digest or "").startswith(PLAIN) else SEALED
        made = self._digest(password, place, scheme)
        return hmac.compare_digest(made.encode(), (digest or "").encode()) and digest is not None

    def _digest(self, password: str, place: str, scheme: str) -> str:
        text = f"{place}\0{password}".encode("utf-8", "surrogatepass")
        key = self._digest_key if scheme == SEALED else b""
        return scheme + hmac.digest(key, text, sha256).hex()


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"appmsg sealing " + purpose).derive(secret)
