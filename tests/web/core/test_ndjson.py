"""Lines out of pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from web.core.ndjson import Line, Lines

TEXT = st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))


@given(
    texts=st.lists(TEXT, max_size=8),
    ended=st.booleans(),
    cuts=st.lists(st.integers(0, 300), max_size=6),
)
def test_any_cut_gives_the_same_lines(texts: list[bytes], ended: bool, cuts: list[int]) -> None:
    """A stream keeps no boundaries: lines, their numbers and what is too long do not depend on pieces."""
    whole = b"\n".join(texts) + (b"\n" if ended else b"")
    marks = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    cutter, reference = Lines(10), Lines(10)

    lines = [line for a, b in pairwise(marks) for line in cutter.receive(whole[a:b])]
    lines += cutter.end()

    assert lines == reference.receive(whole) + reference.end()
    assert [line.number for line in lines] == [
        number
        for number, text in enumerate(texts, 1)
        if text.strip() or len(text) > 10
        if number < len(texts) or ended or text
    ]


def test_a_long_line_is_skipped_to_its_end() -> None:
    """It is reported once, nothing of it is kept, and the next line is whole."""
    lines = Lines(4)

    got = lines.receive(b"12") + lines.receive(b"345") + lines.receive(b"x" * 10**6)
    held = len(lines._rest)
    got += lines.receive(b"6\nok\n")

    assert got == [Line(1, None), Line(2, b"ok")]
    assert held == 0


def test_the_limit_is_exact() -> None:
    """As many bytes as allowed, however they come."""
    lines = Lines(4)

    assert lines.receive(b"12") + lines.receive(b"34\n") == [Line(1, b"1234")]
    assert lines.receive(b"12345\n") == [Line(2, None)]
