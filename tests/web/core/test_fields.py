"""What a caller may write into a row, and what it may look for."""

from collections.abc import Callable

import pytest

from appmodel.errors import BadInput
from web.core.fields import id_of, known_id, number_of, text_of, uid_of


@pytest.mark.parametrize("check", [id_of, uid_of])
@pytest.mark.parametrize("value", ["", "a" * 65, "a b", "a@user", "ü", "a\n", "a\0", "a/b", "'"])
def test_an_id_has_plain_characters(check: Callable[[str, str], str], value: str) -> None:
    """Names, keys and paths are made of it."""
    with pytest.raises(BadInput, match=r"^org\.id: "):
        check("org.id", value)


def test_the_id_of_a_user_ends_where_a_token_says() -> None:
    """`<uid>_<random>`: so it has no "_" itself. Departments may."""
    with pytest.raises(BadInput, match="uid"):
        uid_of("uid", "a_b")

    assert uid_of("uid", "A.b-9") == "A.b-9"
    assert id_of("id", "A.b-9_" + "x" * 58) == "A.b-9_" + "x" * 58


@pytest.mark.parametrize("value", ["", "a" * 65, "a\0", "\ud800", "a\x85"])
def test_what_no_row_can_have_is_not_looked_for(value: str) -> None:
    """A database would call it an error."""
    with pytest.raises(BadInput, match="tenant"):
        known_id("tenant", value)


def test_an_adopted_id_is_found() -> None:
    """The original checks nothing."""
    assert known_id("orgid", "研发部 1/2") == "研发部 1/2"


@pytest.mark.parametrize("value", ["", "abcd", "a\tb"])
def test_texts_fit_their_column(value: str) -> None:
    """By their length in characters, and on one line."""
    with pytest.raises(BadInput, match="name"):
        text_of("name", value, 3, least=1)

    assert text_of("name", "研发部", 3) == "研发部"


@pytest.mark.parametrize("value", [2**31, -(2**31), 0.5, float("nan"), float("inf"), 10**400])
def test_numbers_fit_their_column(value: float) -> None:
    """32 bits, and whole."""
    with pytest.raises(BadInput, match="sort"):
        number_of("sort", value)

    assert number_of("sort", -3.0) == -3
