"""Texts cut to fit."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from web.core.cutting import ELLIPSIS, cut, json_size

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXTS, st.integers(0, 400))
@example('"' * 100, 50)  # each takes two bytes
@example("\x01" * 100, 50)  # six
@example("字" * 100, 50)  # three
@example("🙂" * 100, 50)  # four
def test_what_is_cut_fits_and_is_the_start(text: str, room: int) -> None:
    """However many bytes a character takes: nothing is lost that would have fitted whole."""
    found = cut(text, room)

    assert json_size(found) <= room
    if json_size(text) <= room:
        assert found == text
    elif found:
        assert found.endswith(ELLIPSIS)
        assert text.startswith(found.removesuffix(ELLIPSIS))


@given(st.text("ab 字é", min_size=1, max_size=200), st.integers(8, 200))
def test_no_room_is_wasted(text: str, room: int) -> None:
    """One more character would not have fitted."""
    found = cut(text, room)

    if found != text:
        kept = len(found) - len(ELLIPSIS)
        while text[kept : kept + 1] == " ":  # those before the dots are dropped
            kept += 1
        assert json_size(text[: kept + 1] + ELLIPSIS) > room


@pytest.mark.parametrize(
    "character",
    [
        "e\u0301",  # e with an accent of its own
        "👨\u200d👩\u200d👧",  # a family
        "👍🏽",  # a thumb with a skin
        "🇩🇪",  # a flag of two letters
        "❤\ufe0f",  # a heart that is to be red
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # Scotland
        "நி",  # a letter with its vowel sign
    ],
)
def test_what_a_reader_takes_for_one_character_is_not_parted(character: str) -> None:
    """At no room: what is left is a number of whole ones."""
    text = character * 20

    for room in range(json_size(text)):
        kept = cut(text, room).removesuffix(ELLIPSIS)
        assert kept == character * (len(kept) // len(character))


def test_a_text_of_accents_alone_is_dropped_rather_than_looped_over() -> None:
    """A thousand accents on nothing: there is no place to cut."""
    text = "\u0301" * 1000

    assert unicodedata.category(text[0]) == "Mn"
    assert json_size(cut(text, 100)) <= 100
