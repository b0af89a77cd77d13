"""What a database's tables look like: everything that a server tells."""

from typing import Any

import sqlalchemy as sa

from appmodel.io.engines import make_engine
from tests.databases import limits


def shape(url: str) -> dict[str, dict[str, Any]]:
    """By table: columns, keys and indexes, without the order of columns."""
    engine = make_engine(limits(url))
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        names = set(inspector.get_table_names()) - {"alembic_version"}
        found = {name: _table(inspector, name) for name in names}
    engine.dispose()
    return found


def _table(inspector: sa.Inspector, name: str) -> dict[str, Any]:
    columns = {column["name"]: column for column in inspector.get_columns(name)}
    uniques, indexes = inspector.get_unique_constraints(name), inspector.get_indexes(name)
    return {
        "columns": {
            key: (repr(column["type"]), column["nullable"], column["default"])
            for key, column in columns.items()
        },
        "primary": inspector.get_pk_constraint(name),
        "unique": {unique["name"]: unique["column_names"] for unique in uniques},
        "indexes": {index["name"]: index["column_names"] for index in indexes},
    }
