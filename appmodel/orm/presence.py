"""Sessions: which devices of a user hold a connection, and where.

    session          one row per session id, however many connections it has; `state` outlives reconnects
                     that overlap
    session_holder   which processes hold it; a session without a holder is gone       (ours)

Comets write both, in batches, behind the connection; nobody waits for them.
"""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.orm.base import Base, Created, Ref, Updated, exact, options


class Session(Base):
    """`id` is the session key without "@user": `u1_Android-d1`."""

    __tablename__ = "session"
    __table_args__ = options(sa.Index(None, "user_id", "state"))

    id: Mapped[str] = mapped_column(exact(255), primary_key=True)
    type: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    user_id: Mapped[Ref]
    state: Mapped[str] = mapped_column(exact(45), default="init", server_default="init")
    created: Mapped[Created]
    updated: Mapped[Updated]


class SessionHolder(Base):
    """A process that holds a session: swept as a whole when its node is gone."""

    __tablename__ = "session_holder"
    __table_args__ = options(sa.Index(None, "node", "incarnation", "session_id"))

    session_id: Mapped[str] = mapped_column(exact(255), primary_key=True)
    node: Mapped[str] = mapped_column(exact(64), primary_key=True)
    incarnation: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
