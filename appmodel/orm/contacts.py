"""Whom a user likes, and whom not to hear: starred contacts and mutes."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.orm.base import Base, Created, Id, Number, Ref, Updated, options


class UserUser(Base):
    """A starred contact."""

    __tablename__ = "user_user"
    __table_args__ = options(sa.UniqueConstraint("from_user_id", "to_user_id"))

    id: Mapped[Id]
    from_user_id: Mapped[Ref]
    to_user_id: Mapped[Ref]
    remark_name: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    sort: Mapped[Number]
    created: Mapped[Created]
    updated: Mapped[Updated]


class ShieldMsg(Base):
    """Messages from `target_id` that `source_id`, a user, does not want."""

    __tablename__ = "shield_msg"
    __table_args__ = options(
        sa.UniqueConstraint("source_id", "target_id", "type"), sa.Index(None, "target_id", "type")
    )

    id: Mapped[Id]
    source_id: Mapped[Ref]
    target_id: Mapped[Ref]
    type: Mapped[Number]
    memo: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    created: Mapped[Created]
    updated: Mapped[Updated]
