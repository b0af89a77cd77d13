"""Columns as PostgreSQL takes them: what it reads back is what went in."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

from message.stores.sql_arrays import column_of

NUMBERS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
COLUMNS = st.one_of(
    st.lists(NUMBERS, min_size=1),
    st.lists(TEXTS, min_size=1),
    st.lists(st.binary(), min_size=1),
)


@given(COLUMNS)
def test_what_psycopg_reads_back_is_what_went_in(values: list[Any]) -> None:
    """By its own loader of binary arrays, of the type that we name."""
    dumper = Transformer().get_dumper(column_of(values), PyFormat.BINARY)
    data = dumper.dump(column_of(values))
    assert data is not None

    loader = Transformer().get_loader(dumper.oid, Format.BINARY)

    assert loader.load(data) == values
