"""Takes jobs of light-push from the durable queue: a few at a time, on each web node.

    PushBook ──claim──> at most `jobs` tasks ─> done, postponed or given back
       ^                      │ the node is killed, a store is away
       └── the lease runs out ┘

Any number of nodes share the queue; each job is given to one of them. A node that stops gives back what it has.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog
import trio

from appmodel.core.lightpush_records import Job
from appmodel.core.lightpush_stores import PushBook
from appmodel.errors import PushError
from appmodel.io.contain import contain_bugs
from web.services.lightpush_offline import Offline

FAILED, BUG = "failed", "bug"  # what becomes of a job beside Outcome

log = structlog.get_logger(__name__)


class QueueLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    jobs: int  # in hand
    poll: float  # between two looks at the queue
    lease: float
    pause: float  # after which a job is due again if a store was away


class OfflineQueue:
    """Works on jobs. `run` must be running."""

    def __init__(
        self, pushes: PushBook, offline: Offline, limits: QueueLimits, *, now: Callable[[], int]
    ) -> None:
        """`now`: Unix ms."""
        self._pushes, self._offline, self._limits, self._now = pushes, offline, limits, now
        self._busy, self._is_full = 0, False
        self._news = trio.Event()
        self._is_stopping = False
        self._has_trouble = False
        self.outcomes: Counter[str] = Counter()  # of jobs

    @property
    def busy(self) -> int:
        """Jobs in hand."""
        return self._busy

    def stop(self) -> None:
        """Begin nothing more: `run` ends when what was begun is finished, and the rest given back."""
        self._is_stopping = True
        self._news.set()

    async def run(self) -> None:
        """Work until `stop`. Cancelled, what is in hand is somebody else's when its lease is over."""
        async with trio.open_nursery() as nursery:
            while not self._is_stopping:
                self._news = trio.Event()
                for job in await self._claim():
                    self._busy += 1
                    nursery.start_soon(self._work, job)
                self._is_full = self._busy >= self._limits.jobs
                with trio.move_on_after(float("inf") if self._is_full else self._limits.poll):
                    await self._news.wait()

    async def _claim(self) -> list[Job]:
        free, lease = self._limits.jobs - self._busy, round(1000 * self._limits.lease)
        try:
            jobs = await self._pushes.claim_jobs(now=self._now(), lease=lease, limit=free)
        except PushError as error:
            self._say(str(error))
            return []
        self._say(None)
        return list(jobs)

    async def _work(self, job: Job) -> None:
        outcome = BUG
        with contain_bugs("light-push for the absent", lambda _bug: None):
            outcome = await self._try(job)
        self.outcomes[outcome] += 1
        self._busy -= 1
        if self._is_full and self._busy <= self._limits.jobs // 2:  # to claim several at once
            self._news.set()

    async def _try(self, job: Job) -> str:
        try:
            return await self._offline.work(job, may_go_on=lambda: not self._is_stopping)
        except PushError as error:
            self._say(str(error))
        until = self._now() + round(1000 * self._limits.pause)
        with suppress(PushError):  # then it is due again when its lease is over
            await self._pushes.postpone(job, until=until)
        return FAILED

    def _say(self, trouble: str | None) -> None:
        if (trouble is not None) != self._has_trouble:
            log.warning("absent clients are not looked after", trouble=trouble or "over")
        self._has_trouble = trouble is not None
