"""Fields of people, departments and so on, as callers may write them.

    id_of        an id that becomes a row's        1 to 64 of A-Z a-z 0-9 . _ -
    uid_of       a user's                          the same without "_": tokens and sessions end it there
    known_id     an id that should be there        whatever an adopted database may have
    text_of      a name, a label                   up to its column's width, no control characters
    number_of    a sort, a status                  what an INTEGER column holds

PostgreSQL refuses U+0000 in any text, so what goes into a query went through one of these.
"""

import re

from appmodel.errors import BadInput

MAX_ID = 64  # characters: columns of ids
MAX_NUMBER = 2**31 - 1

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def id_of(field: str, value: str) -> str:
    """An id for a new row. Raises BadInput."""
    if not _ID.fullmatch(value):
        raise BadInput(field, value, "1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return value


def uid_of(field: str, value: str) -> str:
    """An id for a new user. Raises BadInput."""
    if not _UID.fullmatch(value):
        raise BadInput(field, value, "1 to 64 of the characters A-Z a-z 0-9 . -")
    return value


def known_id(field: str, value: str) -> str:
    """An id to look for. Raises BadInput for what no row can have."""
    if not value or len(value) > MAX_ID or _CONTROL.search(value):
        raise BadInput(field, value, f"an id: 1 to {MAX_ID} characters")
    return value


def text_of(field: str, value: str, most: int, *, least: int = 0) -> str:
    """A line of text of `least` to `most` characters. Raises BadInput."""
    if not least <= len(value) <= most:
        raise BadInput(field, value, f"{least} to {most} characters")
    if _CONTROL.search(value):
        raise BadInput(field, value, "no control characters")
    return value


def number_of(field: str, value: float) -> int:
    """A whole number that a column of 32 bits holds; JSON's 3.0 is 3. Raises BadInput."""
    if not -MAX_NUMBER <= value <= MAX_NUMBER or value != int(value):
        raise BadInput(field, value, f"a whole number from {-MAX_NUMBER} to {MAX_NUMBER}")
    return int(value)
