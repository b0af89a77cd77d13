"""What has changed, for the caches of all nodes (ours).

Who changes a group, a department, an account or a quota adds a row in the same transaction. Every web node
reads the rows after its last position a few times a second, and forgets what they name; while it cannot
read, its caches count for nothing. So nothing cached is ever older than the bound (database.staleness).
"""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appmodel.orm.base import Base, Created, exact, options


class Change(Base):
    """Something about `subject` is new: a name such as "g7@qun", or "token:<digest>"."""

    __tablename__ = "change"
    __table_args__ = options(sa.Index(None, "created"))

    position: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    subject: Mapped[str] = mapped_column(exact(128))
    created: Mapped[Created]


CHANGED = "changed"  # where a session notes its changes, for the caches of this process


def note_change(session: Session, *subjects: str) -> None:
    """Tell all nodes that what they know of `subjects` is old, when `session` commits."""
    if not subjects:
        return
    rows = [{"subject": subject} for subject in subjects]
    session.connection().execute(sa.insert(Change), rows)  # at once: add_all sends them one by one
    session.info.setdefault(CHANGED, set()).update(subjects)


def note_here(session: Session, *subjects: str) -> None:
    """Tell the caches of this process only, when `session` commits: others hear within their bound."""
    session.info.setdefault(CHANGED, set()).update(subjects)
