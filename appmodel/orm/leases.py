"""What only one may do at a time, of all nodes: who does it, and until when nobody else may (ours).

    name           holder    expires
    clean-files    n1-4f2a   12:10      n1 cleans; who dies leaves it to others at 12:10
    clean-files              13.  2:00  it was done; nobody begins before tomorrow
    files:t1                 ...        locked by the transaction that counts and adds a file of t1

Clocks of nodes may differ by seconds, so a lease lasts minutes.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appmodel.orm.base import Base, Ref, Utc, exact, now
from appmodel.orm.upserts import upsert


class Lease(Base):
    """One thing that is done by one at a time."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(exact(128), primary_key=True)
    holder: Mapped[Ref]  # "" = nobody
    expires: Mapped[datetime] = mapped_column(Utc)


def take_lease(session: Session, name: str, holder: str, *, at: datetime, until: datetime) -> bool:
    """Become the holder until `until`, or go on being it; False if somebody else is, or nobody may yet.

    Raises:
        IntegrityError: somebody else became it in this moment.
    """
    if _change(session, name, holder, until, Lease.expires <= at):
        return True
    if session.get(Lease, name) is not None:
        return False
    session.execute(sa.insert(Lease).values(name=name, holder=holder, expires=until))
    return True


def keep_lease(session: Session, name: str, holder: str, *, until: datetime, over: bool) -> bool:
    """Prolong what `holder` holds; with `over` nobody holds it then, nor may before. False: it was lost."""
    changed = sa.update(Lease).where(Lease.name == name, Lease.holder == holder)
    return _rows(session, changed.values(holder="" if over else holder, expires=until)) > 0


def lock(session: Session, name: str) -> None:
    """Wait until no other transaction has locked `name`; it is free again when `session` ends its own."""
    upsert(session, Lease, [{"name": name, "holder": "", "expires": now()}], update=["expires"])


def _change(
    session: Session, name: str, holder: str, until: datetime, free: sa.ColumnElement[bool]
) -> bool:
    mine = sa.or_(free, Lease.holder == holder)
    changed = sa.update(Lease).where(Lease.name == name, mine)
    return _rows(session, changed.values(holder=holder, expires=until)) > 0


def _rows(session: Session, statement: sa.Update) -> int:
    return session.connection().execute(statement).rowcount
