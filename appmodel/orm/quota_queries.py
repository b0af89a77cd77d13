"""Limits: what there is of them, and taking from them.

Taking is exact however many nodes do it: a limit and what was used of it are one row, and adding to it
is one statement that fails when it would not fit. Only then, and at the beginning of a period, the row is
locked and looked at. What was counted in a period before its limit existed is used up already.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.counting import ApiCall, PushCnt, Quota

EVERY_TENANT = "*"
CALLS = "api_cnt"


class QuotaFacts(NamedTuple):
    """A row, as rules want it."""

    id: str
    customer_id: str
    tenant_id: str
    api_name: str
    type: str
    period: str
    value: str


def quotas_of_customers(session: Session, ids: Iterable[str]) -> dict[str, list[QuotaFacts]]:
    """All rows of each customer: one query."""
    asked = sa.select(
        Quota.id,
        Quota.customer_id,
        Quota.tenant_id,
        Quota.api_name,
        Quota.type,
        Quota.value,
        Quota.period,
    )
    found: dict[str, list[QuotaFacts]] = {}
    for row in session.execute(asked.where(Quota.customer_id.in_(list(ids)))):
        facts = QuotaFacts(
            row.id, row.customer_id, row.tenant_id, row.api_name, row.type, row.period, row.value
        )
        found.setdefault(facts.customer_id, []).append(facts)
    return found


_ADD = (
    sa.update(Quota)
    .where(Quota.id == sa.bindparam("id_"))
    .values(used=Quota.used + sa.bindparam("n"), updated=Quota.updated)
)
_BEGIN = (
    sa.update(Quota)
    .where(Quota.id == sa.bindparam("id_"))
    .values(used=sa.bindparam("n"), used_in=sa.bindparam("window"), updated=Quota.updated)
)
_TAKE = _ADD.where(
    Quota.used_in == sa.bindparam("window"),
    Quota.used + sa.bindparam("n") <= sa.bindparam("most"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be taken from one limit."""

    quota_id: str
    window: str  # the period, as counters have it
    most: int
    count: int


def take_whole(session: Session, wishes: Sequence[Wish]) -> bool:
    """Take all of it. False: not all fits, or a period begins; then roll back."""
    connection = session.connection()
    for wish in sorted(wishes, key=lambda each: each.quota_id):  # one order: no deadlocks
        wanted = {"id_": wish.quota_id, "window": wish.window, "n": wish.count, "most": wish.most}
        if connection.execute(_TAKE, wanted).rowcount != 1:
            return False
    return True


def take_granted(session: Session, granted: Mapping[str, int]) -> None:
    """Add to what is used of limits that are locked."""
    connection = session.connection()
    for quota_id, count in granted.items():
        connection.execute(_ADD, {"id_": quota_id, "n": count})


def lock_left(session: Session, wishes: Sequence[Wish]) -> dict[str, int]:
    """What is left of each limit, kept from others until the end of the transaction.

    A limit that is gone is left out.
    """
    asked = sa.select(Quota).where(Quota.id.in_([wish.quota_id for wish in wishes]))
    rows = {row.id: row for row in session.scalars(asked.order_by(Quota.id).with_for_update())}
    left: dict[str, int] = {}
    for wish in wishes:
        row = rows.get(wish.quota_id)
        if row is not None:
            left[wish.quota_id] = wish.most - _used(session, row, wish.window)
    return left


def _used(session: Session, row: Quota, window: str) -> int:
    """Of a locked limit. A period that is over gives way to the next one, never the other way round: clocks of
    nodes differ around midnight."""
    if row.used_in >= window:
        return row.used
    used = counted(session, row, window)
    wanted = {"id_": row.id, "n": used, "window": window}
    session.connection().execute(_BEGIN, wanted)
    return used


def counted(session: Session, quota: Quota, window: str) -> int:
    """What counters have of a limit's tenants in a period."""
    table: type[ApiCall] | type[PushCnt] = ApiCall if quota.type == CALLS else PushCnt
    asked = sa.select(sa.func.sum(table.count)).where(table.period == window)
    if table is ApiCall:
        asked = asked.where(ApiCall.api_name == quota.api_name)
    asked = asked.where(table.customer_id == quota.customer_id)
    if quota.tenant_id == EVERY_TENANT:
        asked = asked.where(table.tenant_id.not_in(_tenants_with_their_own(quota)))
    else:
        asked = asked.where(table.tenant_id == quota.tenant_id)
    return int(session.scalar(asked) or 0)


def _tenants_with_their_own(quota: Quota) -> sa.Select[str]:
    return sa.select(Quota.tenant_id).where(
        Quota.customer_id == quota.customer_id,
        Quota.api_name == quota.api_name,
        Quota.type == quota.type,
        Quota.period == quota.period,
    )
