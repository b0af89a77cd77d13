"""Pushes of Mpush whose time has come: claimed with a lease, pushed under their own id, and forgotten.

    Delays ──claim──> push ──> done
       ^                └ could not be: postponed, PAUSE longer each time
       └── the lease runs out: this node died

Any number of web nodes share them. A push that is repeated, because nobody knows what became of it, has the
same push id: the store knows it again, so its device sees it once.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
import trio

from appmodel.core.mpush_stores import Delayed, Delays
from appmodel.errors import PushError
from appmodel.io.contain import contain_bugs

POLL = 1.0  # seconds between two looks: how late a push may be
BATCH = 100  # pushes of one claim
LEASE = 60_000  # ms: far above what a batch takes
PAUSE = 5_000  # ms: after the first failure; as long again as it is late already, at most LONGEST
LONGEST = 300_000  # ms

log = structlog.get_logger(__name__)


class Pushed(Protocol):
    """Who pushes what was delayed: `MpushPushing`."""

    def push_delayed(self, delayed: Delayed) -> Awaitable[None]:
        """To its device, or the members that its group has now. Raises PushError: it may be repeated."""


class DelayedPushes:
    """`run` must be running."""

    def __init__(self, delays: Delays, pushing: Pushed, *, now: Callable[[], float]) -> None:
        """`now`: Unix seconds."""
        self._delays, self._pushing, self._now = delays, pushing, now
        self._is_away = False
        self.outcomes: Counter[str] = Counter()  # pushed, postponed

    async def run(self) -> None:
        """Push what is due, until cancelled: what is in hand then is another node's a minute later."""
        while True:
            due = await self._claim()
            for delayed in due:
                with contain_bugs("a delayed push of Mpush", lambda _bug: None):
                    await self._push(delayed)
            if len(due) < BATCH:
                await trio.sleep(POLL)

    async def _claim(self) -> list[Delayed]:
        try:
            due = list(await self._delays.claim(now=self._ms(), lease=LEASE, limit=BATCH))
        except PushError as error:
            if not self._is_away:
                log.warning("delayed pushes are not looked for", error=str(error))
            self._is_away = True
            return []
        self._is_away = False
        return due

    async def _push(self, delayed: Delayed) -> None:
        try:
            await self._pushing.push_delayed(delayed)
            await self._delays.done(delayed)
        except PushError as error:
            await self._postpone(delayed, error)
        else:
            self.outcomes["pushed"] += 1

    async def _postpone(self, delayed: Delayed, why: PushError) -> None:
        now = self._ms()
        until = now + min(max(PAUSE, now - delayed.due_at), LONGEST)
        log.warning("delayed push postponed", id=delayed.id, until=until, error=str(why))
        self.outcomes["postponed"] += 1
        try:
            await self._delays.postpone(delayed, until=until)
        except PushError as error:  # then its lease runs out
            log.warning("delayed push not postponed", id=delayed.id, error=str(error))

    def _ms(self) -> int:
        return round(self._now() * 1000)
