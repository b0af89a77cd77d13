"""Namespaces of light-push take turns in the queue for the absent: an index finds the first job of each."""

import sqlalchemy as sa
from alembic import op

from migrations.shapes import exact, new_metadata

revision = "0006_lightpush_turns"
down_revision = "0005_mpush_keys"
branch_labels = None
depends_on = None

JOB = sa.Table(
    "nsp_job",
    new_metadata(),
    sa.Column("namespace", exact(50)),
    sa.Column("due_at", sa.BigInteger),
)
TURNS = sa.Index(None, JOB.c.namespace, JOB.c.due_at)


def upgrade() -> None:
    """Make it, if it is missing: MariaDB may have been interrupted."""
    TURNS.create(op.get_bind(), checkfirst=True)


def downgrade() -> None:
    """It goes."""
    TURNS.drop(op.get_bind(), checkfirst=True)
