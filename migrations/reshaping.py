"""Brings a table to a written-down shape, whatever it looks like.

    missing table, column, key, index     made
    another type, default, collation      changed; fitting.py has made the values fit
    keys that we name and do not want     dropped
    columns and indexes of others         left alone (SQLite: their indexes go)

To do it again changes nothing, so a migration that was interrupted is run again. PostgreSQL and SQLite do
all of a migration in one transaction. MariaDB commits with each ALTER TABLE: a table gets all its
changes in one, which takes one copy of it, and is done or not done.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from migrations.fitting import MARIADB, Found, columns_of
from migrations.shapes import Column, filling


def reshape(connection: sa.Connection, table: sa.Table, *, gone: Collection[str] = ()) -> None:
    """Make `table` what it says, and drop its columns `gone`."""
    found = columns_of(connection, table.name)
    if not found:
        table.create(connection)
    elif connection.dialect.name == "sqlite":
        _remake(connection, table, found, gone)
    elif connection.dialect.name == "postgresql":
        _alter_on_postgresql(connection, table, found, gone)
    else:
        _alter_on_mariadb(connection, table, found, gone)


# SQLite: a new table, filled from the old one


def _remake(
    connection: sa.Connection, table: sa.Table, found: Mapping[str, Found], gone: Collection[str]
) -> None:
    whole = table.to_metadata(sa.MetaData(naming_convention=table.metadata.naming_convention))
    for name in found.keys() - set(table.columns.keys()) - set(gone):
        whole.append_column(sa.Column(name, found[name]["type"]))
    indexes, old = list(whole.indexes), f"old_{table.name}"
    connection.exec_driver_sql(f'ALTER TABLE "{table.name}" RENAME TO "{old}"')
    connection.execute(CreateTable(whole))
    kept = [column.name for column in whole.columns if column.name in found]
    added = [
        column
        for column in whole.columns
        if column.name not in found and column.server_default is None and not column.nullable
    ]
    source = sa.table(old, *map(sa.column, kept))
    values = sa.select(*source.columns, *(sa.literal(filling(column)) for column in added))
    names = [*kept, *(column.name for column in added)]
    connection.execute(whole.insert().from_select(names, values))
    connection.exec_driver_sql(f'DROP TABLE "{old}"')
    for index in indexes:
        connection.execute(CreateIndex(index))


# PostgreSQL and MariaDB: ALTER TABLE


def _alter_on_postgresql(
    connection: sa.Connection, table: sa.Table, found: Mapping[str, Found], gone: Collection[str]
) -> None:
    changes = list(_keys(connection, table))  # first: with its column a key is gone already
    changes += [f"DROP COLUMN {_quoted(connection, name)}" for name in gone if name in found]
    later = []
    for column in table.columns:
        name = _quoted(connection, column.name)
        if column.name not in found:
            spec = _compiler(connection).get_column_specification(column)
            if column.server_default is None and not column.nullable:
                spec = f"{spec} DEFAULT {_literal(connection, filling(column))}"
                later.append(f"ALTER COLUMN {name} DROP DEFAULT")
            changes.append(f"ADD COLUMN {spec}")
        else:
            changes += _postgresql_column(connection, column, name)
    _alter(connection, table, changes)
    _alter(connection, table, later)
    for name in _unwanted_indexes(connection, table):
        connection.exec_driver_sql(f"DROP INDEX {_quoted(connection, name)}")
    for index in _missing_indexes(connection, table):
        connection.execute(CreateIndex(index))


def _postgresql_column(connection: sa.Connection, column: Column, name: str) -> Iterator[str]:
    kind = connection.dialect.type_compiler_instance.process(column.type)
    yield f"ALTER COLUMN {name} TYPE {kind}"
    yield f"ALTER COLUMN {name} {'DROP' if column.nullable else 'SET'} NOT NULL"
    if column is not column.table.autoincrement_column:  # that one has its sequence
        default = _compiler(connection).get_column_default_string(column)
        yield f"ALTER COLUMN {name} " + (f"SET DEFAULT {default}" if default else "DROP DEFAULT")


def _alter_on_mariadb(
    connection: sa.Connection, table: sa.Table, found: Mapping[str, Found], gone: Collection[str]
) -> None:
    changes = [f"DEFAULT CHARACTER SET {table.kwargs['mariadb_charset']}"]
    changes += [f"DROP COLUMN {_quoted(connection, name)}" for name in gone if name in found]
    for column in table.columns:
        spec = _compiler(connection).get_column_specification(column)
        changes.append(f"{'MODIFY' if column.name in found else 'ADD'} COLUMN {spec}")
    changes += _keys(connection, table)
    for name in _unwanted_indexes(connection, table):
        changes.append(f"DROP INDEX {_quoted(connection, name)}")
    for index in _missing_indexes(connection, table):
        columns = _columns(connection, index.columns.keys())
        changes.append(f"ADD INDEX {_quoted(connection, str(index.name))} {columns}")
    _alter(connection, table, changes)


def _alter(connection: sa.Connection, table: sa.Table, changes: Collection[str]) -> None:
    if changes:
        name = _quoted(connection, table.name)
        connection.exec_driver_sql(f"ALTER TABLE {name} {', '.join(changes)}")


def _keys(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    """Changes of the primary key and of what is unique."""
    is_mariadb = connection.dialect.name in MARIADB
    inspector = sa.inspect(connection)
    primary = inspector.get_pk_constraint(table.name)
    wanted_primary = table.primary_key.columns.keys()
    if primary["constrained_columns"] != wanted_primary:
        if primary["constrained_columns"]:
            name = _quoted(connection, str(primary["name"]))
            yield "DROP PRIMARY KEY" if is_mariadb else f"DROP CONSTRAINT {name}"
        if wanted_primary:
            name = _quoted(connection, str(table.primary_key.name))
            yield f"ADD CONSTRAINT {name} PRIMARY KEY {_columns(connection, wanted_primary)}"
    uniques = [each for each in table.constraints if isinstance(each, sa.UniqueConstraint)]
    wanted = {str(unique.name): unique.columns.keys() for unique in uniques}
    there = {
        str(u["name"]): u["column_names"] for u in inspector.get_unique_constraints(table.name)
    }
    covered = [wanted_primary, *wanted.values()]
    for name, columns in there.items():
        if name not in wanted and (_is_ours(table, name) or columns in covered):
            yield f"DROP {'INDEX' if is_mariadb else 'CONSTRAINT'} {_quoted(connection, name)}"
    for name in sorted(wanted.keys() - there.keys()):
        columns_sql = _columns(connection, wanted[name])
        yield f"ADD CONSTRAINT {_quoted(connection, name)} UNIQUE {columns_sql}"


def _is_ours(table: sa.Table, name: str) -> bool:
    """Whether a key is called as we call them: then we made it, and may drop it."""
    return name.startswith((f"uq_{table.name}_", f"ix_{table.name}_"))


def _there(connection: sa.Connection, table: sa.Table) -> dict[str, list[str | None]]:
    """The indexes of a table that forbid nothing."""
    indexes = sa.inspect(connection).get_indexes(table.name)
    return {str(i["name"]): i["column_names"] for i in indexes if not i["unique"]}


def _unwanted_indexes(connection: sa.Connection, table: sa.Table) -> list[str]:
    wanted = {str(index.name): index.columns.keys() for index in table.indexes}
    return [
        name
        for name, columns in _there(connection, table).items()
        if name not in wanted and (_is_ours(table, name) or columns in wanted.values())
    ]


def _missing_indexes(connection: sa.Connection, table: sa.Table) -> list[sa.Index]:
    there = _there(connection, table)
    return sorted((i for i in table.indexes if i.name not in there), key=lambda i: str(i.name))


def _compiler(connection: sa.Connection) -> Any:
    # a compiler of types and literals alone compiles no statement
    return connection.dialect.ddl_compiler(connection.dialect, None)  # type: ignore[arg-type]


def _literal(connection: sa.Connection, value: object) -> str:
    compiled = sa.literal(value).compile(
        dialect=connection.dialect, compile_kwargs={"literal_binds": True}
    )
    return str(compiled)


def _columns(connection: sa.Connection, names: Collection[str]) -> str:
    return f"({', '.join(_quoted(connection, name) for name in names)})"


def _quoted(connection: sa.Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
