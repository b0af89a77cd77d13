"""Taking from limits, exactly, however many nodes do it: what waits together is one transaction.

    take ──> waiting ──(one round at a time)──> all fit: one UPDATE for each limit
                                                else: lock the limits, share what is left, first come first served

While a round is under way the next one gathers. A taker that is cancelled while it waits leaves; one whose
round has begun has taken. Nothing is given back: a push that fails afterwards was one of those allowed.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from functools import partial

import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from appmodel.errors import PushError, Unavailable
from appmodel.io.database import Database
from appmodel.orm.quota_queries import Wish, lock_left, take_granted, take_whole
from web.core.quota import Limit, share

PER_ROUND = 1000  # takers in one transaction

log = structlog.get_logger(__name__)


class Taker:
    """Somebody who wants so many, of each of some limits."""

    __slots__ = ("count", "done", "error", "limits", "short")

    def __init__(self, limits: Sequence[Limit], count: int) -> None:
        self.limits, self.count = limits, count
        self.done = trio.Event()
        self.short: Limit | None = None  # which has too little left; None: granted
        self.error: Unavailable | None = None  # nobody knows


class Taking:
    """The rounds of this node. `run` must be running."""

    def __init__(
        self,
        database: Database,
        *,
        zone: tzinfo,
        waiting: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`zone`: where days begin. `waiting`: takers that may wait; more are refused."""
        self._database, self._zone, self._most, self._now = database, zone, waiting, now
        self._waiting: dict[Taker, None] = {}  # in the order they came
        self._wanted = trio.Event()

    async def take(self, limits: Sequence[Limit], count: int) -> Limit | None:
        """Take `count` of each; or the limit that has too little left, and nothing was taken.

        Raises:
            Unavailable: the database is away, or too many wait. Perhaps it was taken in vain.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if len(self._waiting) >= self._most:
            raise Unavailable(f"quota: {self._most} calls wait for the database already")
        taker = Taker(limits, count)
        self._waiting[taker] = None
        self._wanted.set()
        try:
            await taker.done.wait()
        finally:
            self._waiting.pop(taker, None)
        if taker.error is not None:
            raise taker.error
        return taker.short

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Rounds, until cancelled."""
        task_status.started()
        while True:
            await self._wanted.wait()
            takers = list(self._waiting)[:PER_ROUND]
            for taker in takers:
                del self._waiting[taker]
            if not self._waiting:
                self._wanted = trio.Event()
            if takers:
                await self._round(takers)

    async def _round(self, takers: Sequence[Taker]) -> None:
        now = datetime.fromtimestamp(self._now(), self._zone)
        try:
            shorts = await self._database.write(partial(_take, takers, now))
            for taker, short in zip(takers, shorts, strict=True):
                taker.short = short
        except (PushError, SQLAlchemyError) as error:
            why = str(error).partition("\n")[0]  # behind it SQLAlchemy shows the statement
            log.warning("quotas not taken", takers=len(takers), error=why)
            for taker in takers:
                taker.error = Unavailable("quota: the database does not serve")
        except BaseException:
            for taker in takers:
                taker.error = Unavailable("quota: this node stops")
            raise
        finally:
            for taker in takers:
                taker.done.set()


def _take(takers: Sequence[Taker], now: datetime, session: Session) -> list[Limit | None]:
    """One transaction. It may be repeated: the takers are not touched."""
    wishes = _wishes(takers, now)
    if take_whole(session, wishes):
        return [None] * len(takers)
    session.rollback()
    left = lock_left(session, wishes)
    wanted = [([limit.row.id for limit in taker.limits], taker.count) for taker in takers]
    shorts = share(left, wanted)
    granted: Counter[str] = Counter()
    for (limits, count), short in zip(wanted, shorts, strict=True):
        if short is None:
            granted.update({limit: count for limit in limits if limit in left})
    take_granted(session, granted)
    by_id = {limit.row.id: limit for taker in takers for limit in taker.limits}
    return [None if short is None else by_id[short] for short in shorts]


def _wishes(takers: Sequence[Taker], now: datetime) -> list[Wish]:
    counts: Counter[str] = Counter()
    limits: dict[str, Limit] = {}
    for taker in takers:
        for limit in taker.limits:
            counts[limit.row.id] += taker.count
            limits[limit.row.id] = limit  # the one that was read last
    return [
        Wish(quota_id, limit.period.window(now), limit.most, counts[quota_id])
        for quota_id, limit in sorted(limits.items())
    ]
