"""Quotas, and what was used of them.

    quota      what a customer's tenant may do; type expire, api_cnt or push_cnt; "*" = all of its tenants
               together that have no row of their own
    api_call   calls: counters per caller
    push_cnt   pushed messages: counters per caller

`period` (ours) of a quota: total, day or month; of a counter: "total", the day "2026-11-21" or the month "2026-11".
Counters are added to, never set, so they are exact however many nodes count; `sharding` spreads busy ones over
several rows. What a limit has left is not their sum but `used` of its own row (ours): one row can be asked
and added to in one step.
"""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.orm.base import Base, Created, Id, Number, Ref, Updated, exact, options


class Quota(Base):
    """One limit."""

    __tablename__ = "quota"
    __table_args__ = options(
        sa.UniqueConstraint("customer_id", "tenant_id", "api_name", "type", "period")
    )

    id: Mapped[Id]
    customer_id: Mapped[Ref]
    tenant_id: Mapped[Ref]  # "*" = all of the customer without a row of their own
    api_name: Mapped[str] = mapped_column(exact(255), default="", server_default="")
    type: Mapped[str] = mapped_column(exact(45), default="", server_default="")
    value: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    period: Mapped[str] = mapped_column(exact(8), default="total", server_default="total")
    used: Mapped[int] = mapped_column(sa.BigInteger, default=0, server_default="0")  # ours
    used_in: Mapped[str] = mapped_column(exact(10), default="", server_default="")  # which period
    created: Mapped[Created]
    updated: Mapped[Updated]


class ApiCall(Base):
    """A counter of calls."""

    __tablename__ = "api_call"
    __table_args__ = options(
        sa.UniqueConstraint("tenant_id", "caller_id", "type", "api_name", "period", "sharding"),
        sa.Index(None, "period", "customer_id"),
    )

    id: Mapped[Id]
    customer_id: Mapped[Ref]
    tenant_id: Mapped[Ref]
    caller_id: Mapped[Ref]  # user or application
    type: Mapped[str] = mapped_column(exact(64), default="", server_default="")
    api_name: Mapped[str] = mapped_column(exact(255), default="", server_default="")
    count: Mapped[int] = mapped_column(sa.BigInteger, default=0, server_default="0")
    sharding: Mapped[Number]
    period: Mapped[str] = mapped_column(exact(10), default="total", server_default="total")
    created: Mapped[Created]
    updated: Mapped[Updated]


class PushCnt(Base):
    """A counter of pushed messages."""

    __tablename__ = "push_cnt"
    __table_args__ = options(
        sa.UniqueConstraint("tenant_id", "caller_id", "type", "push_type", "period", "sharding"),
        sa.Index(None, "period", "customer_id"),
    )

    id: Mapped[Id]
    customer_id: Mapped[Ref]
    tenant_id: Mapped[Ref]
    caller_id: Mapped[Ref]
    type: Mapped[str] = mapped_column(exact(64), default="", server_default="")  # ios android app
    push_type: Mapped[str] = mapped_column(exact(64), default="", server_default="")  # @user @qun
    count: Mapped[int] = mapped_column(sa.BigInteger, default=0, server_default="0")
    sharding: Mapped[Number]
    period: Mapped[str] = mapped_column(exact(10), default="total", server_default="total")
    created: Mapped[Created]
    updated: Mapped[Updated]
