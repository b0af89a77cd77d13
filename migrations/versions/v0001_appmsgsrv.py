"""The tables of appmsgsrv, as its install.sql makes them.

An existing database of the original is stamped with this revision (`appmsg migrate adopt`); in an empty one the
tables are made. `downgrade` drops them only while they hold nothing: they may be somebody's.
"""

import sqlalchemy as sa
from alembic import op

from appmodel.errors import PushError
from migrations.original import METADATA

revision = "0001_appmsgsrv"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what is missing: MariaDB may have been interrupted."""
    METADATA.create_all(op.get_bind())


def downgrade() -> None:
    """Raises PushError: there are rows."""
    connection = op.get_bind()
    for table in METADATA.sorted_tables:
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            raise PushError(
                f"table {table.name} has rows: drop the database yourself if you mean it"
            )
    METADATA.drop_all(connection)
