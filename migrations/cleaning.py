"""Puts rows in order, so that keys can be made: of those that say the same, one stays.

Which one does not depend on the order of rows: the newest or the oldest by its times, else that with the
smallest id. They are compared byte by byte: MariaDB's old collation takes "A" for "a".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa

from migrations.fitting import MARIADB, Say

NAMESPACE = UUID(
    "6f1f0a0e-5b0c-4f0e-9a53-0d6a3a1f3c11"
)  # of ids that we give to rows with the same
MOST = 2**31 - 1  # what a column of the original can count to


@dataclass(frozen=True, slots=True)
class Unique:
    """Columns that shall be unique together, and which row stays: the first in `order`."""

    table: str
    columns: Sequence[str]
    order: Sequence[str]  # "-updated": the newest first; who has none comes last
    same: str  # for people: what the rows say twice


def merge(connection: sa.Connection, unique: Unique, say: Say) -> None:
    """Delete all rows but one of each that are the same."""
    table = as_it_is(connection, unique.table)
    key = [exactly(connection, table.c[name]) for name in unique.columns if name in table.c]
    order = [step for name in unique.order for step in _order(table, name)]
    place = sa.func.row_number().over(partition_by=key, order_by=[*order, table.c.id])
    ranked = sa.select(table.c.id, place.label("place")).subquery()
    rest = sa.select(ranked.c.id).where(ranked.c.place > 1)
    gone = connection.execute(table.delete().where(table.c.id.in_(rest))).rowcount
    if gone:
        say(f"{table.name}: {gone} rows removed, there is another one for the same {unique.same}")


def add_up(connection: sa.Connection, name: str, columns: Sequence[str], say: Say) -> None:
    """Make one counter of all that count the same."""
    table = as_it_is(connection, name)
    key = [exactly(connection, table.c[name]) for name in columns]
    sums = sa.select(sa.func.min(table.c.id), sa.func.sum(table.c.count))
    doubled = connection.execute(sums.group_by(*key).having(sa.func.count() > 1))
    totals = [{"first": id, "total": min(int(total), MOST)} for id, total in doubled]
    if totals:
        _index_ids(connection, table)
        change = table.update().where(table.c.id == sa.bindparam("first"))
        connection.execute(change.values(count=sa.bindparam("total")), totals)
    merge(connection, Unique(name, columns, (), "counter; they were added up"), say)


def give_ids(connection: sa.Connection, name: str, say: Say) -> None:
    """Give rows that have the same id new ones: the original has no key there."""
    table = as_it_is(connection, name)
    doubled = sa.select(table.c.id).group_by(table.c.id).having(sa.func.count() > 1)
    ids = [id for (id,) in connection.execute(doubled)]
    rows: list[dict[str, Any]] = []
    for id in ids:
        found = connection.execute(sa.select(table).where(table.c.id == id)).mappings()
        same = sorted((dict(row) for row in found), key=str)
        rows += [row | {"id": str(uuid5(NAMESPACE, f"{id}/{n}"))} for n, row in enumerate(same)]
    if rows:
        connection.execute(table.delete().where(table.c.id.in_(ids)))
        connection.execute(table.insert(), rows)
        say(f"{table.name}: {len(rows)} rows had an id that others had too, and got new ones")


def _index_ids(connection: sa.Connection, table: sa.Table) -> None:
    """For a table without a key. It goes when the table gets one: its name is one of ours."""
    name = f"ix_{table.name}_id"
    if not table.primary_key.columns and name not in {index.name for index in table.indexes}:
        sa.Index(name, table.c.id).create(connection)


def as_it_is(connection: sa.Connection, name: str) -> sa.Table:
    """A table with the columns that it has now."""
    return sa.Table(name, sa.MetaData(), autoload_with=connection)


def exactly(connection: sa.Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column to be compared byte by byte."""
    if connection.dialect.name in MARIADB and isinstance(column.type, sa.String):
        return sa.cast(column, sa.LargeBinary)
    return column


def _order(table: sa.Table, name: str) -> Sequence[sa.ColumnElement[Any]]:
    column = table.c.get(name.removeprefix("-"))
    if column is None:
        return []
    last = sa.case((column.is_(None), 1), else_=0)
    return [last, column.desc() if name.startswith("-") else column.asc()]
