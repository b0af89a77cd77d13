"""The keys of Mpush. Downgrading drops them: browsers have to subscribe anew then."""

from alembic import op

from migrations.fitting import Say, drop
from migrations.mpush_keys import METADATA

revision = "0005_mpush_keys"
down_revision = "0004_mpush"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what is missing: MariaDB may have been interrupted."""
    METADATA.create_all(op.get_bind())


def downgrade() -> None:
    """All of them go."""
    say: Say = op.get_context().config.attributes["say"]  # type: ignore[union-attr]  # running.py gives one
    for table in reversed(METADATA.sorted_tables):
        drop(op.get_bind(), table, say)
