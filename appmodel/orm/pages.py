"""A page of a list: the rows behind a position, sorted, one more than wanted.

    statement = page(sa.select(Org).where(Org.tenant_id == tenant_id), [Org.id], after=("d2",), limit=100)

The last column must be unique among the rows. One more than `limit` tells whether there is another page;
web/core/paging.py makes the answer of it.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa

Columns: TypeAlias = Sequence[sa.SQLColumnExpression[Any]]
SelectT = TypeVar("SelectT", bound=sa.Select[*tuple[Any, ...]])


def page(
    statement: SelectT, columns: Columns, after: Sequence[str | int] | None, limit: int
) -> SelectT:
    """`statement`, sorted by `columns`, from behind `after` on, at most `limit` + 1 rows."""
    if after is not None:
        statement = statement.where(behind(columns, after))
    return statement.order_by(*columns).limit(limit + 1)


def behind(columns: Columns, position: Sequence[str | int]) -> sa.ColumnElement[bool]:
    """Rows whose `columns` come after `position`.

    Spelt out, not as a comparison of rows: MariaDB uses no index for that.
    """
    first, value = columns[0], position[0]
    if len(columns) == 1:
        return first > value
    return sa.or_(first > value, sa.and_(first == value, behind(columns[1:], position[1:])))
