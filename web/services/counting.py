"""Counters of calls and pushes: gathered here, and added to the database in batches.

    note ──> gathered in memory ──(each `flush`, and at the stop)──> api_call, push_cnt   one transaction
                     ^                                                        │
                     └──────────── back again, if the database is away <──────┘

Nobody waits for a counter. A clean stop loses nothing; a crash loses what was noted since the last flush,
a second by default, and a connection that breaks within a commit leaves its batch in doubt: it is not
repeated. What a quota allows does not hang on these counters (appmodel/orm/quota_queries.py).

Source: appmsgsrv app/apiCall.go, pushCnt.go: users have one row each (shard 0 of calls, 1 of pushes),
applications are spread over ten.
"""

import math
import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import NamedTuple

import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from appmodel.errors import OutcomeUnknown, PushError
from appmodel.io.database import Database
from appmodel.orm.counter_queries import Count, Table, add_counts, forget_days
from appmodel.orm.counting import ApiCall, PushCnt
from web.core.quota import Consumer, Period

SHARDS = 10  # of an application's counters
PER_BATCH = 1000  # counted things in one transaction: three rows each
LAST_FLUSH = 5.0  # seconds at the stop
DAY = 86_400.0

log = structlog.get_logger(__name__)


class Counted(NamedTuple):
    """One thing that is counted, on one day."""

    table: Table
    consumer: Consumer
    name: str
    day: str
    month: str


class Counters:
    """Of this node. `run` must be running."""

    def __init__(
        self,
        database: Database,
        *,
        zone: tzinfo,
        flush: float,
        keep_days: int,
        limit: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            zone: where days begin.
            flush: seconds between two batches.
            keep_days: how long counters of single days are kept.
            limit: different things that may be gathered; more are not counted, but `lost`.
        """
        self._database, self._zone, self._now = database, zone, now
        self._flush_after, self._keep_days, self._limit = flush, keep_days, limit
        self._gathered: dict[Counted, int] = {}
        self._noted = trio.Event()
        self._pruned_at = -math.inf
        self._said = False  # that some are lost
        self.lost = 0  # counts, because too much was gathered or a commit is in doubt

    def note_call(self, consumer: Consumer, api_name: str) -> None:
        """Somebody called. Never waits."""
        self._note(ApiCall, consumer, api_name, 1)

    def note_push(self, consumer: Consumer, push_type: str, entries: int) -> None:
        """Somebody pushed. `push_type`: "@user", "@qun", ... Never waits."""
        self._note(PushCnt, consumer, push_type, entries)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Flush until cancelled, and once more then."""
        task_status.started()
        try:
            while True:
                await self._noted.wait()
                await trio.sleep(self._flush_after)
                with trio.CancelScope(shield=True):  # a batch that is given up is a batch in doubt
                    await self.flush()
                await self._prune()
        finally:
            with trio.move_on_after(LAST_FLUSH, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Bring what is gathered to the database; what it does not take stays here."""
        gathered, self._gathered = self._gathered, {}
        self._noted, self._said = trio.Event(), False
        things = list(gathered.items())
        for at in range(0, len(things), PER_BATCH):
            batch = dict(things[at : at + PER_BATCH])
            try:
                await self._add(batch)
            except OutcomeUnknown as error:
                self._lose(sum(batch.values()), str(error))
            except (PushError, SQLAlchemyError) as error:
                log.warning("counters wait", things=len(things) - at, error=_first_line(error))
                self._keep(dict(things[at:]))
                return

    async def _add(self, batch: Mapping[Counted, int]) -> None:
        rows = {table: _rows(table, batch) for table in (ApiCall, PushCnt)}

        def add(session: Session) -> None:
            for table, counts in rows.items():
                add_counts(session, table, counts)

        await self._database.write(add)

    def _note(self, table: Table, consumer: Consumer, name: str, count: int) -> None:
        if count > 0:
            today = datetime.fromtimestamp(self._now(), self._zone)
            day, month = Period.DAY.window(today), Period.MONTH.window(today)
            self._keep({Counted(table, consumer, name, day, month): count})

    def _keep(self, counts: Mapping[Counted, int]) -> None:
        lost = 0
        for counted, count in counts.items():
            if counted in self._gathered:
                self._gathered[counted] += count
            elif len(self._gathered) < self._limit:
                self._gathered[counted] = count
            else:
                lost += count
        self._noted.set()
        if lost:
            self._lose(lost, "too much waits for the database")

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        if not self._said:  # once between two flushes
            self._said = True
            log.warning("counts lost", count=count, why=why)

    async def _prune(self) -> None:
        """Once a day: counters of days that nobody asks for any more."""
        now = self._now()
        if now - self._pruned_at < DAY:
            return
        self._pruned_at = now
        oldest = datetime.fromtimestamp(now, self._zone) - timedelta(days=self._keep_days)
        before = Period.DAY.window(oldest)
        try:
            for table in (ApiCall, PushCnt):
                while await self._database.write(partial(_forget_some, table, before)):
                    pass
        except (PushError, SQLAlchemyError) as error:
            log.warning("old counters stay", before=before, error=_first_line(error))


def _forget_some(table: Table, before: str, session: Session) -> bool:
    return forget_days(session, table, before, PER_BATCH) == PER_BATCH


def _rows(table: Table, batch: Mapping[Counted, int]) -> list[Count]:
    """Three counters for each thing: of the day, of the month, and for ever."""
    counts: dict[Count, int] = {}
    for counted, amount in batch.items():
        if counted.table is table:
            who = counted.consumer
            shard = _shard(table, who)
            for period in (counted.day, counted.month, Period.TOTAL.value):
                key = Count(
                    who.tenant_id,
                    who.caller_id,
                    who.type,
                    counted.name,
                    period,
                    shard,
                    who.customer_id,
                    0,
                )
                counts[key] = counts.get(key, 0) + amount
    return [key._replace(amount=amount) for key, amount in counts.items()]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]  # behind it SQLAlchemy shows the statement


def _shard(table: Table, consumer: Consumer) -> int:
    if consumer.type == "app":
        return random.randrange(SHARDS)  # noqa: S311  spreading, no secret
    return 0 if table is ApiCall else 1
