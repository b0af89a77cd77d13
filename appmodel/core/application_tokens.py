"""What proves an application: a random text, shown once, of which only the digest is kept.

    token     5f0c...e1   64 hexadecimal digits: 256 random bits, nothing to guess
    digest    SHA-256 of it, hexadecimal: column application.token_digest

The digest needs no salt, for the text has no pattern; and it is found by an index, so how long a comparison
takes says nothing about a token that is near. Tokens of an adopted database are texts of any form.

Source: ours. appmsgsrv compared the clear text in SQL (spec/appmsgsrv.md 3.2).
"""

import hashlib
import secrets

BYTES = 32
MAX_LENGTH = 255  # characters; the original's column holds 45


def new_token() -> str:
    """A token that nobody has. It has no "_" and no ".", as users' and access tokens do."""
    return secrets.token_hex(BYTES)


def digest_of(token: str) -> str:
    """What is kept of a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
