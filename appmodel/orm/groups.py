"""Groups of users ("qun"), made and kept by users."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.core.groups import Role
from appmodel.orm.base import Base, Created, Id, Number, Ref, Updated, options


class Qun(Base):
    """A group."""

    __tablename__ = "qun"
    __table_args__ = options(sa.Index(None, "tenant_id", "name"))

    id: Mapped[Id]
    creator_id: Mapped[Ref]
    name: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    description: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    max_member: Mapped[int] = mapped_column(sa.Integer, default=100, server_default="100")
    avatar: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    tenant_id: Mapped[Ref]
    created: Mapped[Created]
    updated: Mapped[Updated]


class QunUser(Base):
    """A user in a group."""

    __tablename__ = "qun_user"
    __table_args__ = options(sa.UniqueConstraint("qun_id", "user_id"), sa.Index(None, "user_id"))

    id: Mapped[Id]
    qun_id: Mapped[Ref]
    user_id: Mapped[Ref]
    sort: Mapped[Number]
    role: Mapped[int] = mapped_column(sa.Integer, default=Role.MEMBER, server_default="2")
    created: Mapped[Created]
    updated: Mapped[Updated]
