"""What calls and pushes may still be made; and that they were.

    take_call, take_push    refuses, or takes from the limits of the caller's tenant
    note_push               counts, for the statistics

Who has no limit is only counted: without a query as long as its customer's rows are known, and they are
never older than database.staleness. Limits are taken from in rounds (taking.py), counters are written in
batches (counting.py).

Source: appmsgsrv app/apiCall.go, pushCnt.go; spec/appmsgsrv.md 9.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime

import structlog
import trio
from sqlalchemy.orm import Session

from appmodel.io.caching import Cache, Changes
from appmodel.io.database import Database
from appmodel.orm.quota_queries import quotas_of_customers
from web.config import QuotaConfig
from web.core.quota import Consumer, CustomerQuotas, Kind, QuotaRow, refusal
from web.services.counting import Counters
from web.services.taking import Taking

log = structlog.get_logger(__name__)


class Quotas:
    """The desk of this node. `run` must be running."""

    def __init__(
        self,
        database: Database,
        changes: Changes,
        config: QuotaConfig,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        zone = config.time_zone
        self._now, self._zone, self._default = now, zone, config.default
        self._taking = Taking(database, zone=zone, waiting=config.waiting, now=now)
        self.counters = Counters(
            database,
            zone=zone,
            flush=config.flush,
            keep_days=config.keep_days,
            limit=config.gathered,
            now=now,
        )
        self._quotas: Cache[str, CustomerQuotas] = Cache(
            database, changes, load=self._load, subject_of=quota_subject
        )

    async def take_call(self, consumer: Consumer, api_name: str) -> None:
        """One call of `api_name`, the path of a request: allowed, taken and counted.

        Raises:
            CallQuota: the tenant has none left.
            Unavailable: the database is away. Perhaps it was taken in vain.
        """
        await self._take(Kind.CALLS, consumer, api_name, 1)
        self.counters.note_call(consumer, api_name)

    async def take_push(self, consumer: Consumer, count: int) -> None:
        """`count` entries of a push, all or none: allowed and taken, not counted; see `note_push`.

        Raises:
            PushQuota: the tenant has fewer left.
            Unavailable: the database is away. Perhaps they were taken in vain.
        """
        await self._take(Kind.PUSHES, consumer, "", count)

    def note_push(self, consumer: Consumer, push_type: str, entries: int) -> None:
        """Count entries that were pushed. `push_type`: "@user", "@qun", ... Never waits, never raises."""
        self.counters.note_push(consumer, push_type, entries)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Its loops, until cancelled; then what is counted is written."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._taking.run)
            await nursery.start(self.counters.run)
            task_status.started()

    async def _take(self, kind: Kind, consumer: Consumer, api_name: str, count: int) -> None:
        quotas = None
        if consumer.tenant_id:
            quotas = await self._quotas.get(consumer.customer_id)
        now = datetime.fromtimestamp(self._now(), self._zone)
        known = quotas or CustomerQuotas((), self._zone)
        limits = known.limits(consumer.tenant_id, kind, api_name, now, self._default)
        if not limits or count <= 0:
            return
        short = await self._taking.take(limits, count)
        if short is not None:
            window = short.period.window(now)
            raise refusal(kind, f"{count} more are over the {short.most} of {window}")

    def _load(self, session: Session, customers: Iterable[str]) -> dict[str, CustomerQuotas]:
        found: dict[str, CustomerQuotas] = {}
        for customer, rows in quotas_of_customers(session, customers).items():
            found[customer] = quotas = CustomerQuotas(
                (QuotaRow(**row._asdict()) for row in rows), self._zone
            )
            for row in quotas.unreadable:
                log.warning("quota refuses", id=row.id, tenant=row.tenant_id, value=row.value)
        return found


def quota_subject(customer_id: str) -> str:
    """What a change of a customer's quotas is noted as."""
    return f"quota:{customer_id}"
