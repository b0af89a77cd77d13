"""From a push to the phones: what was pushed is handed over in no time, all else happens behind it.

    notify(jobs) ─> slices of users, tenant by tenant ─> their devices that are away, and their badges
                    ─> an errand for each device ─> delivery.py

A push never waits for this and never fails because of it. Users that wait to be looked up are bounded: when
there are too many, the tenant with the most loses its oldest. While the database is away they wait, until their
notification lapses.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
import structlog
import trio

from appmodel.errors import PushError
from appmodel.io.contain import contain_bugs
from web.core.backlog import Backlog
from web.core.notifications import Device, Job
from web.gateways.delivery import DROPPED, LAPSED, Delivery, Errand

SLICE = 500  # users looked up together
BEHIND = 0.3  # seconds after a push: who is online hears of it first, on the same core
NOW = 10.0  # seconds that a notification without a ttl has: now or never

log = structlog.get_logger(__name__)


class QueueLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    backlog: int  # users that wait to be looked up
    retry_for: float  # that a notification is tried for, if its message does not expire before
    pause: float  # before the database is asked again


class Addressed(Protocol):
    """Who knows the devices: Addressing."""

    async def offline_devices(self, user_ids: Collection[str]) -> list[Device]:
        """Those that are away, each once. Raises PushError if that cannot be known now."""


class Badges(Protocol):
    """Who knows what is unread: Unread."""

    async def count(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """Of these users, as far as it is known. Raises nothing but bugs."""


class Slice(NamedTuple):
    """Some recipients of a job."""

    job: Job
    user_ids: Sequence[str]
    give_up_at: float  # Unix seconds


class Notifier:
    """`run` must be running for anything to happen."""

    def __init__(
        self,
        addressed: Addressed,
        badges: Badges,
        delivery: Delivery,
        limits: QueueLimits,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now`: Unix seconds."""
        self._addressed = addressed
        self._badges = badges
        self._limits = limits
        self._now = now
        self._backlog = Backlog[str, Slice](limits.backlog)
        self._news = trio.Event()
        self._caught_up = trio.Event()
        self._at_work = False
        self.delivery = delivery
        self.users: Counter[str] = Counter()  # addressed, dropped, lapsed, lost by a bug
        self.trouble: str | None = None  # why devices cannot be looked up

    @property
    def waiting(self) -> int:
        """Users that wait to be looked up."""
        return self._backlog.size

    def notify(self, jobs: Sequence[Job]) -> None:
        """Have the devices of these recipients notified, those that are away.

        Never waits and never raises: what does not fit is dropped and counted.
        """
        for job in jobs:
            latest = self._now() + self._limits.retry_for
            give_up_at = min(job.expires_at, latest) if job.expires_at else self._now() + NOW
            user_ids = list(job.recipients)
            for start in range(0, len(user_ids), SLICE):
                some = user_ids[start : start + SLICE]
                piece = Slice(job, some, give_up_at)
                for dropped in self._backlog.put(job.tenant_id, piece, len(some)):
                    self.users[DROPPED] += len(dropped.user_ids)
        self._news.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look up and deliver until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.delivery.run)
            task_status.started()
            while True:
                self._news = trio.Event()
                while (taken := self._backlog.take()) is not None:
                    self._at_work = True
                    await self._look_up(taken[1])
                    self._at_work = False
                self._caught_up.set()
                await self._news.wait()
                await trio.sleep(BEHIND)

    async def drained(self) -> None:
        """Wait until all that was pushed has been tried once. What a provider postponed does not count."""
        while self._backlog or self._at_work:
            self._caught_up = trio.Event()
            await self._caught_up.wait()
        await self.delivery.settled()

    async def _look_up(self, piece: Slice) -> None:
        with contain_bugs("notifications", lambda _bug: self._lose(piece, "bug")):
            while self._now() <= piece.give_up_at:
                try:
                    await self._address(piece)
                except PushError as error:
                    self._say(str(error))
                    await trio.sleep(self._limits.pause)
                else:
                    self._say(None)
                    return
            self._lose(piece, LAPSED)

    async def _address(self, piece: Slice) -> None:
        devices = await self._addressed.offline_devices(piece.user_ids)
        self.users["addressed"] += len(piece.user_ids)
        if not devices:
            return
        user_ids = {device.user_id for device in devices}
        badges = await self._badges.count(user_ids)
        job = piece.job
        notifications = {user_id: job.notification(user_id) for user_id in user_ids}
        for device in devices:
            user_id = device.user_id
            badge = badges.get(user_id)
            errand = Errand(device, notifications[user_id], badge, piece.give_up_at)
            self.delivery.put(job.tenant_id, errand)

    def _lose(self, piece: Slice, how: str) -> None:
        self.users[how] += len(piece.user_ids)

    def _say(self, trouble: str | None) -> None:
        if (trouble is None) != (self.trouble is None):
            log.warning("notifications", trouble=trouble or "over")
        self.trouble = trouble
