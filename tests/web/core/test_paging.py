"""Cursors: opaque to callers, exact for us, and nothing that a caller writes breaks them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import BadInput
from web.core.paging import (
    MAX_CURSOR,
    MAX_INT,
    Paging,
    cut,
    decode_cursor,
    encode_cursor,
    paging_of,
)

VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
NUMBERS = st.integers(-MAX_INT, MAX_INT)


@given(st.lists(VALUES | NUMBERS, max_size=3))
def test_a_cursor_is_the_position_that_it_was_made_of(values: list[str | int]) -> None:
    """Any text and any number; and it needs no escaping in a query."""
    cursor = encode_cursor(tuple(values))

    assert decode_cursor(cursor, [type(value) for value in values]) == tuple(values)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=30) | st.just("x" * (MAX_CURSOR + 1)))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """By name, whatever it is."""
    with pytest.raises(BadInput, match=r"^after: "):
        decode_cursor(text, [str])


@pytest.mark.parametrize(
    "text", ["", "W10", "WyJhIl0=", " WyJhIl0", "WyJhIl0\n", "WyAiYSJd", "WyJhIl1="]
)
def test_a_cursor_is_written_in_one_way(text: str) -> None:
    """Ours; W10 is an empty one, of no list."""
    assert decode_cursor("WyJhIl0", [str]) == ("a",)

    with pytest.raises(BadInput, match="after"):
        decode_cursor(text, [str])


@pytest.mark.parametrize("position", [(), ("d1", "d2"), (1,), (True,), ("a\0",), (2**63,)])
def test_a_cursor_of_another_list_is_refused(position: Any) -> None:
    """A list knows what it is sorted by."""
    shape = [int] if position == (2**63,) else [str]

    with pytest.raises(BadInput, match="after"):
        decode_cursor(encode_cursor(position), shape)


@given(st.sets(st.integers(0, 99), max_size=12), st.integers(1, 5))
def test_pages_are_the_list(numbers: set[int], limit: int) -> None:
    """One after the other they have each row once, in order, and the last one says so."""
    every = sorted(numbers)
    paging = Paging(limit)
    pages = []
    while True:
        rows = [n for n in every if paging.after is None or (n,) > paging.after][: limit + 1]
        items, after = cut(rows, paging, lambda n: (n,))
        pages.append(items)
        if after is None:
            break
        paging = paging_of({"limit": str(limit), "after": after}, int)

    assert [n for page in pages for n in page] == every
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages[-1]) > 0 or not every


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", ""])
def test_a_page_has_a_size(limit: str) -> None:
    """1 to 1,000; 100 if nothing is said."""
    with pytest.raises(BadInput, match="limit"):
        paging_of({"limit": limit}, str)

    assert paging_of({}, str) == Paging(100, None)
