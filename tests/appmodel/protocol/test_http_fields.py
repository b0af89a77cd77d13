"""Query strings and forms."""

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import BadInput
from appmodel.protocol.http import MAX_FIELDS, first_values


@given(st.text(alphabet="ab=&%+;2fF0é\x00", max_size=40))
def test_fields_are_what_urllib_reads(text: str) -> None:
    """The same fields as the standard library's parser, the first value of each."""
    try:
        expected = parse_qs(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(BadInput):
            first_values(text, "query")
        return

    assert first_values(text, "query") == {key: values[0] for key, values in expected.items()}


def test_the_number_of_fields_is_bounded() -> None:
    """A body of a few bytes must not become a large dict."""
    fields = "&".join(f"k{i}=1" for i in range(MAX_FIELDS))

    assert len(first_values(fields, "query")) == MAX_FIELDS
    with pytest.raises(BadInput, match="at most 64"):
        first_values(fields + "&", "query")
