"""Rows deleted a few at a time: no statement runs for long, and nobody waits for its locks."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.base import Base


def delete_some(
    session: Session,
    model: type[Base],
    *where: sa.ColumnElement[bool],
    limit: int,
    first: sa.SQLColumnExpression[Any] | None = None,
) -> int:
    """Delete up to `limit` rows of which all of `where` is true; how many were found.

    Args:
        first: the column by which they are found, if that is no part of the key: in its order, so that its
            index is used.
    """
    table = sa.inspect(model).local_table
    assert isinstance(table, sa.Table)
    keys = list(table.primary_key.columns)
    order = keys if first is None else [first]
    found = session.execute(sa.select(*keys).where(*where).order_by(*order).limit(limit)).all()
    if found:
        delete_rows(
            session,
            model,
            [dict(zip(table.primary_key.columns.keys(), row, strict=True)) for row in found],
        )
    return len(found)


def delete_rows(session: Session, model: type[Base], rows: list[dict[str, Any]]) -> None:
    """Delete rows by the columns that these name, all of them the same."""
    if not rows:
        return
    table = sa.inspect(model).local_table
    assert isinstance(table, sa.Table)
    named = [table.c[name] == sa.bindparam(f"the_{name}") for name in rows[0]]
    given = [{f"the_{name}": value for name, value in row.items()} for row in rows]
    session.connection().execute(sa.delete(table).where(*named), given)
