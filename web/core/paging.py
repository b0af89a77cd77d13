"""Lists come in pages, and a page ends with where the next one begins.

    GET /v2/departments?limit=2                       {"items":[{"id":"d1",...},{"id":"d2",...}],"next":"WyJkMiJd"}
    GET /v2/departments?limit=2&after=WyJkMiJd        {"items":[{"id":"d3",...}],"next":null}

A cursor is the position of the last row, JSON in base64url: what the list is sorted by, with the id last. So
a page costs the same wherever it is, and rows that come or go meanwhile shift nothing. It grants nothing:
the query that it continues filters by tenant as ever, so it need not be signed.

    paging = paging_of(asked, str)                                  of the query's parameters
    rows = ...                                                      limit + 1 of them, sorted; see orm/pages.py
    items, next_ = cut(rows, paging, lambda row: (row.id,))
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from appmodel.errors import BadInput
from web.core.numbers import unsigned

DEFAULT_LIMIT = 100  # rows of a page
MAX_LIMIT = 1000
MAX_CURSOR = 1000  # characters: names are up to 255, and base64 of UTF-8 makes at most six of one
MAX_INT = 2**63 - 1

PARAMETERS = ("limit", "after")  # for `query(*PARAMETERS, ...)`
EXPECTED = "the `next` of the page before"

Position: TypeAlias = tuple[str | int, ...]  # of a row in its list
Next = Annotated[
    str | None, msgspec.Meta(description="The `after` of the next page; null at the end")
]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paging:
    """What a caller wants of a list."""

    limit: int = DEFAULT_LIMIT  # 1 to MAX_LIMIT
    after: Position | None = None  # None = from the start


def paging_of(asked: Mapping[str, str], *shape: type[str] | type[int]) -> Paging:
    """The page that the query's `limit` and `after` ask for.

    Args:
        shape: types of what the list is sorted by; a cursor of another list is refused.

    Raises:
        BadInput: limit or after.
    """
    limit = unsigned("limit", asked.get("limit", str(DEFAULT_LIMIT)), most=MAX_LIMIT)
    if not limit:
        raise BadInput("limit", limit, f"1 to {MAX_LIMIT}")
    after = asked.get("after")
    return Paging(limit, None if after is None else decode_cursor(after, shape))


def cut(
    rows: Sequence[T], paging: Paging, position: Callable[[T], Position]
) -> tuple[list[T], str | None]:
    """The rows of a page, and its `next`. Give one row more than the limit, if there is one."""
    items = list(rows[: paging.limit])
    if len(rows) <= paging.limit:
        return items, None
    return items, encode_cursor(position(items[-1]))


def encode_cursor(position: Position) -> str:
    """Printable, without characters that a query has to escape."""
    return urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(text: str, shape: Sequence[type]) -> Position:
    """The position in a cursor.

    Raises:
        BadInput: it is none, or one of another list.
    """
    position = _read(text) if len(text) <= MAX_CURSOR else None
    if position is None or [type(value) for value in position] != list(shape):
        raise BadInput("after", text, EXPECTED)
    if any(_is_out_of_range(value) for value in position):
        raise BadInput("after", text, EXPECTED)
    return position


def _read(text: str) -> Position | None:
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        position = tuple(msgspec.json.decode(raw, type=list[str | int]))
    except (ValueError, msgspec.DecodeError):  # a UnicodeError is a ValueError
        return None
    return position if encode_cursor(position) == text else None


def _is_out_of_range(value: str | int) -> bool:
    if isinstance(value, int):
        return abs(value) > MAX_INT
    return "\0" in value  # PostgreSQL refuses it, and no id holds one
