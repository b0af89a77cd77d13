"""Counters are added to, by any number of nodes at once, and summed up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.base import new_id, now
from appmodel.orm.counting import ApiCall, PushCnt
from appmodel.orm.pages import page
from appmodel.orm.upserts import upsert

Table: TypeAlias = type[ApiCall] | type[PushCnt]


class Count(NamedTuple):
    """To be added to one counter. `name`: api_name, or push_type."""

    tenant_id: str
    caller_id: str
    type: str
    name: str
    period: str
    sharding: int
    customer_id: str
    amount: int


def add_counts(session: Session, table: Table, counts: Sequence[Count]) -> None:
    """Add to counters; those that do not exist begin. Each counter at most once in `counts`."""
    moment = now()
    rows = [_row(table, each, moment) for each in sorted(counts)]  # one order: no deadlocks
    keys = ["tenant_id", "caller_id", "type", name_of(table).key, "period", "sharding"]
    upsert(session, table, rows, keys=keys, update=["updated"], add=["count"])


def _row(table: Table, count: Count, moment: datetime) -> dict[str, Any]:
    row = count._asdict() | {"id": new_id(), "created": moment, "updated": moment}
    row[name_of(table).key] = row.pop("name")
    row["count"] = row.pop("amount")
    return row


def name_of(table: Table) -> Any:
    """The column that says what is counted."""
    return ApiCall.api_name if table is ApiCall else PushCnt.push_type


class Sum(NamedTuple):
    """What was counted in a period."""

    period: str
    tenant_id: str
    name: str
    type: str
    amount: int


def sums(
    session: Session,
    table: Table,
    *,
    tenant_id: str | None,
    first: str,
    last: str,
    after: Sequence[str | int] | None,
    limit: int,
) -> list[Sum]:
    """Sums of periods of one length, `first` to `last`, of a tenant or (None) of each; one more than `limit`."""
    keys = [table.period, table.tenant_id, name_of(table), table.type]
    asked = sa.select(*keys, sa.func.sum(table.count)).group_by(*keys)
    asked = asked.where(
        table.period >= first, table.period <= last, sa.func.length(table.period) == len(first)
    )
    if tenant_id is not None:
        asked = asked.where(table.tenant_id == tenant_id)
    found: Any = session.execute(page(asked, keys, after, limit))
    return [
        Sum(period, tenant, name, kind, int(amount)) for period, tenant, name, kind, amount in found
    ]


def forget_days(session: Session, table: Table, before: str, most: int) -> int:
    """Delete up to `most` counters of days before one; how many. Months and totals stay."""
    is_day = sa.func.length(table.period) == len(before)
    old = sa.select(table.id).where(table.period < before, is_day).limit(most)
    ids = list(session.scalars(old))
    if ids:
        session.execute(sa.delete(table).where(table.id.in_(ids)))
    return len(ids)
