"""Bytes as base64url without padding (RFC 7515 section 2), as browsers and JWTs write them."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from appmodel.errors import BadInput

_TEXT = re.compile(r"[A-Za-z0-9_-]*={0,2}")


def encode_base64url(data: bytes) -> str:
    """`data` as text, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str, field: str, *, size: int | None = None) -> bytes:
    """The bytes of `text`, padded or not.

    Args:
        size: how many there have to be.

    Raises:
        BadInput: naming `field`. It does not show the text, which is a key nearly always.
    """
    expected = "base64url" if size is None else f"{size} bytes in base64url"
    bare = text.rstrip("=")
    if not _TEXT.fullmatch(text) or len(bare) % 4 == 1:
        raise BadInput(field, "********", expected)
    data = urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    if size is not None and len(data) != size:
        raise BadInput(field, "********", expected)
    return data
