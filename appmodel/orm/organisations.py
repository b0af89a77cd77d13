"""Who belongs where.

customer 1-n tenant 1-n org (a tree) n-m user, through org_user
"""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.orm.base import Base, Created, Id, Number, Ref, Updated, exact, options


class Customer(Base):
    """Who pays. Quotas are a customer's."""

    __tablename__ = "customer"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    status: Mapped[Number]
    created: Mapped[Created]
    updated: Mapped[Updated]


class Tenant(Base):
    """A company, and the border that nothing crosses."""

    __tablename__ = "tenant"
    __table_args__ = options(sa.Index(None, "code"), sa.Index(None, "customer_id"))

    id: Mapped[Id]
    code: Mapped[str] = mapped_column(exact(64), default="", server_default="")
    name: Mapped[str] = mapped_column(sa.String(128), default="", server_default="")
    status: Mapped[Number]
    customer_id: Mapped[Ref]
    created: Mapped[Created]
    updated: Mapped[Updated]


class Org(Base):
    """A department. `location` is the path from its root: two characters a level."""

    __tablename__ = "org"
    __table_args__ = options(
        sa.Index(None, "tenant_id", "location"), sa.Index(None, "parent_id", "location")
    )

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(sa.String(120), default="", server_default="")
    short_name: Mapped[str] = mapped_column(sa.String(60), default="", server_default="")
    parent_id: Mapped[Ref]  # empty: a root
    location: Mapped[str] = mapped_column(exact(256), default="", server_default="")
    tenant_id: Mapped[Ref]
    sort: Mapped[Number]


class OrgUser(Base):
    """A user in a department."""

    __tablename__ = "org_user"
    __table_args__ = options(sa.UniqueConstraint("org_id", "user_id"), sa.Index(None, "user_id"))

    id: Mapped[Id]
    org_id: Mapped[Ref]
    user_id: Mapped[Ref]
    sort: Mapped[Number]
