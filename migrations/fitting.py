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
    filled = 0
    for name, found in columns_of(connection, table.name).items():
        if name in table.columns:
            filled += _fill(connection, table.columns[name], found)
            cut = _cut(connection, table.columns[name], found)
            if cut:
                longest = getattr(table.columns[name].type, "length", None)
                say(f"{table.name}.{name}: {cut} values were cut to {longest} characters")
    if filled:
        say(f"{table.name}: {filled} missing values got their defaults")


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


def drop(connection: sa.Connection, table: sa.Table, say: Say) -> None:
    """Drop a table and say how many rows go with it. Nothing, if it is not there."""
    if columns_of(connection, table.name):
        lost = connection.scalar(sa.select(sa.func.count()).select_from(table))
        if lost:
            say(f"{table.name}: the table goes, with {lost} rows")
    table.drop(connection, checkfirst=True)


def columns_of(connection: sa.Connection, table: str) -> dict[str, Found]:
    """A table's columns by name, as they are now; none if there is no such table."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(table):
        return {}
    return {column["name"]: column for column in inspector.get_columns(table)}


def _fill(connection: sa.Connection, column: Column, found: Found) -> int:
    fill = filling(column)
    now, change = _as_it_is(column, found)
    if isinstance(column.type, sa.DateTime) and connection.dialect.name in MARIADB:
        never = now == sa.literal_column("0")
        connection.execute(change.where(never).values({column.name: fill}))
    if fill is None or not found["nullable"]:
        return 0
    return connection.execute(change.where(now.is_(None)).values({column.name: fill})).rowcount


def _cut(connection: sa.Connection, column: Column, found: Found) -> int:
    longest = getattr(column.type, "length", None)
    if not isinstance(column.type, sa.String) or not longest or not _may_exceed(found, longest):
        return 0
    now, change = _as_it_is(column, found)
    is_sqlite = connection.dialect.name == "sqlite"
    length = sa.func.length(now) if is_sqlite else sa.func.char_length(now)
    short = {column.name: sa.func.substr(now, 1, longest)}
    return connection.execute(change.where(length > longest).values(short)).rowcount


def _as_it_is(column: Column, found: Found) -> tuple[sa.ColumnClause[Any], sa.Update]:
    now: sa.ColumnClause[Any] = sa.column(column.name, found["type"])
    return now, sa.table(column.table.name, now).update()


def _may_exceed(found: Found, longest: int) -> bool:
    length = getattr(found["type"], "length", None)
    return isinstance(found["type"], sa.String) and (length is None or length > longest)
