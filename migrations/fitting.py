"""Fits values to the columns that they are to be in, before the columns change.

    no value, and there must be one      the column's default
    "0000-00-00 00:00:00" (MariaDB)      no value, or 1970 where there must be one
    longer than the column will be       cut

What is lost for good, when a column or a table goes, is said too.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa

from migrations.shapes import Column, filling

Say = Callable[[str], None]
Found = Mapping[str, Any]  # a column as SQLAlchemy's inspector shows it
MARIADB = ("mysql", "mariadb")


def fit_values(connection: sa.Connection, table: sa.Table, say: Say) -> None:
    """Change what does not fit into `table` as it shall be. Nothing, if it is not there yet."""
    for name, found in columns_of(connection, table.name).items():
        if name in table.columns:
            _fit(connection, table.columns[name], found, say)


def say_losses(
    connection: sa.Connection, table: sa.Table, names: Collection[str], say: Say
) -> None:
    """Say how many values are lost when these columns of `table` go."""
    there = columns_of(connection, table.name)
    for name in sorted(set(names) & set(there)):
        column = table.columns[name]
        usual = filling(column)
        has_value = column.is_not(None) if usual is None else column != usual
        counted = sa.select(sa.func.count()).select_from(table).where(has_value)
        if lost := connection.scalar(counted):
            say(f"{table.name}.{name}: {lost} values are lost")


def columns_of(connection: sa.Connection, table: str) -> dict[str, Found]:
    """A table's columns by name, as they are now; none if there is no such table."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(table):
        return {}
    return {column["name"]: column for column in inspector.get_columns(table)}


def _fit(connection: sa.Connection, column: Column, found: Found, say: Say) -> None:
    place = f"{column.table.name}.{column.name}"
    now: sa.ColumnClause[Any] = sa.column(column.name, found["type"])
    change = sa.table(column.table.name, now).update()
    fill = filling(column)
    dialect = connection.dialect.name
    if isinstance(column.type, sa.DateTime) and dialect in MARIADB:
        never = now.expression == sa.literal_column("0")
        connection.execute(change.where(never).values({column.name: fill}))
    if fill is not None and found["nullable"]:
        filled = connection.execute(change.where(now.is_(None)).values({column.name: fill}))
        if filled.rowcount:
            say(f"{place}: {filled.rowcount} rows had no value and got {fill!r}")
    longest = getattr(column.type, "length", None)
    if isinstance(column.type, sa.String) and longest and _may_exceed(found, longest):
        length = sa.func.length(now) if dialect == "sqlite" else sa.func.char_length(now)
        short = {column.name: sa.func.substr(now, 1, longest)}
        cut = connection.execute(change.where(length > longest).values(short))
        if cut.rowcount:
            say(f"{place}: {cut.rowcount} values were cut to {longest} characters")


def _may_exceed(found: Found, longest: int) -> bool:
    length = getattr(found["type"], "length", None)
    return isinstance(found["type"], sa.String) and (length is None or length > longest)
