"""What was counted: how many calls and pushes, in which days or months, of whom.

Source: ours; the operators of appmsgsrv wrote their reports in SQL (spec/appmsgsrv.md 16.4, O3).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy.orm import Session

from appmodel.errors import BadInput, Forbidden
from appmodel.io.database import Database
from appmodel.orm.counter_queries import Sum, sums
from appmodel.orm.counting import ApiCall, PushCnt
from web.core.paging import Paging, cut
from web.core.principals import Operator, Principal, UserCaller, tenant_for
from web.core.quota import Period
from web.core.quota_keeping import Statistic

TABLES: Mapping[str, type[ApiCall] | type[PushCnt]] = {"call": ApiCall, "push": PushCnt}
SHAPES = {  # of a period: how it is written, the first and the last one there can be
    Period.DAY: (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "0000-00-00", "9999-99-99"),
    Period.MONTH: (re.compile(r"[0-9]{4}-[0-9]{2}"), "0000-00", "9999-99"),
    Period.TOTAL: (re.compile("total"), "total", "total"),
}
EXAMPLES = {Period.DAY: "2026-11-21", Period.MONTH: "2026-11", Period.TOTAL: "total"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to know."""

    kind: str  # push or call
    period: str  # day, month or total
    first: str | None  # of the periods, as they are written; None = the oldest
    last: str | None  # None = the newest
    tenant: str | None  # None = the caller's; of an operator: each


class Statistics:
    """The use case."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, caller: Principal, paging: Paging, asked: Asked
    ) -> tuple[list[Statistic], str | None]:
        """What was counted, summed up over callers; as old as the last flush of each node.

        Raises:
            BadInput: an argument.
            Forbidden: another tenant than the caller's; or the caller is a user.
        """
        if asked.kind not in TABLES:
            raise BadInput("kind", asked.kind, f"one of {', '.join(TABLES)}")
        first, last = _range(asked)
        tenant_id = _tenant_to_read(caller, asked.tenant)

        def find(session: Session) -> list[Sum]:
            return sums(
                session,
                TABLES[asked.kind],
                tenant_id=tenant_id,
                first=first,
                last=last,
                after=paging.after,
                limit=paging.limit,
            )

        found, more = cut(await self._database.read(find), paging, lambda each: each[:4])
        items = [
            Statistic(
                period=each.period,
                tenant_id=each.tenant_id,
                name=each.name,
                type=each.type,
                count=each.amount,
            )
            for each in found
        ]
        return items, more


def _tenant_to_read(caller: Principal, asked: str | None) -> str | None:
    """Whose statistics a call is about; None = everybody's."""
    if isinstance(caller, UserCaller):
        raise Forbidden("credential: users may not do this")
    tenant_id = tenant_for(caller, asked)
    return asked if isinstance(caller, Operator) else tenant_id


def _range(asked: Asked) -> tuple[str, str]:
    if asked.period not in set(Period):
        raise BadInput("period", asked.period, f"one of {', '.join(Period)}")
    period = Period(asked.period)
    shape, lowest, highest = SHAPES[period]
    for field, value in (("from", asked.first), ("to", asked.last)):
        if value is not None and not (shape.fullmatch(value) and _is_date(value)):
            raise BadInput(field, value, f"a {period}, such as {EXAMPLES[period]}")
    return asked.first or lowest, asked.last or highest


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(f"{text}-01"[:10])
    except ValueError:
        return text == Period.TOTAL
    return True
