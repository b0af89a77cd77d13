"""Many rows in one statement, whether they are there already or not.

SQLite, PostgreSQL    INSERT ... ON CONFLICT (keys) DO UPDATE SET column = excluded.column
MariaDB               INSERT ... ON DUPLICATE KEY UPDATE column = VALUES(column)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from appmodel.orm.base import Base


def upsert(
    session: Session,
    model: type[Base],
    rows: Sequence[Mapping[str, Any]],
    *,
    keys: Sequence[str],
    update: Sequence[str],
) -> None:
    """Insert `rows`, or update those whose `keys` are taken. No row at all is no statement.

    Args:
        rows: by column names; all have the same columns. Defaults of the model hold for the others.
        keys: columns of the primary key or of one unique key.
        update: columns that a row which is there gets; at least one.
    """
    if not rows:
        return
    table = model.__table__
    assert isinstance(table, sa.Table)
    if session.get_bind().dialect.name in {"mysql", "mariadb"}:
        adding = mysql.insert(table)
        changed = {name: adding.inserted[name] for name in update}
        session.execute(adding.on_duplicate_key_update(changed), rows)
        return
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    putting = insert(table)
    new = {name: putting.excluded[name] for name in update}
    session.execute(putting.on_conflict_do_update(index_elements=keys, set_=new), rows)
