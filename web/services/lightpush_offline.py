"""What is done for clients that did not acknowledge a push of light-push with `leaveMessage`.

    Job ─> who has missed it      lightpush_recipients.py
           Android ─> inboxes     delivered when they connect (comets)
           iOS     ─> Apple       lightpush_apple.py

A job is done in steps, and after each the book is told how far it has come. So what is done twice after a crash is
one step at most: an inbox has a push only once, and Apple replaces a notification by its repetition.

Source: spec/liutian-push.md 6.1 step 7 and section 8; W9, W10, W15, W23, W35.
"""

import enum
from collections.abc import Callable

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Job, StoredPush
from appmodel.core.lightpush_stores import PushBook
from web.core.lightpush_offline import Stage, Standing, Step, standing_of
from web.services.lightpush_apple import Apple, Turn
from web.services.lightpush_recipients import Recipients


class Outcome(enum.StrEnum):
    """What became of a job in one's hands."""

    DONE = "done"
    POSTPONED = "postponed"  # Apple is to be asked again later
    RETURNED = "returned"  # this node stops
    LAPSED = "lapsed"  # the push has expired
    LOST = "lost"  # somebody else has it by now, or its namespace was cleared


class Offline:
    """Looks after clients that have missed a push."""

    def __init__(
        self,
        pushes: PushBook,
        recipients: Recipients,
        apple: Apple,
        *,
        lease: float,
        now: Callable[[], int],
    ) -> None:
        """
        Args:
            lease: seconds for a step; then somebody else may begin it anew.
            now: Unix ms.
        """
        self._pushes, self._recipients, self._apple = pushes, recipients, apple
        self._lease, self._now = lease, now
        self.kept = 0  # pushes that were put into an inbox

    async def work(self, job: Job, *, may_go_on: Callable[[], bool]) -> Outcome:
        """Do what can be done of a job now. Cancelled, it is somebody else's when its lease is over.

        Args:
            may_go_on: when it says no, nothing new is begun, and the job is given back.

        Raises:
            PushError: a store is away.
        """
        standing = standing_of(job.cursor)
        turn = Turn(job, may_go_on, bool(standing.owed), is_noted=bool(job.push.result))
        while job.push.draft.expires_at > self._now():
            step = await self._step(turn, standing)
            if step.standing is None:
                return await self._close(job, step)
            pause = 0.0 if step.pause is None and not may_go_on() else step.pause
            if not await self._advance(job, step, self._lease if pause is None else pause):
                return Outcome.LOST
            if pause is not None:
                return Outcome.RETURNED if step.pause is None else Outcome.POSTPONED
            standing = step.standing
        await self._pushes.finish(job)
        return Outcome.LAPSED

    async def _step(self, turn: Turn, standing: Standing) -> Step:
        if standing.stage is Stage.APPLE:
            return await self._apple.step(turn, standing)
        return await self._fill(turn.job.push, standing)

    async def _fill(self, push: StoredPush, standing: Standing) -> Step:
        """Inboxes, for a page of the room."""
        page = await self._recipients.page(push, standing.after)
        android = [one.client for one in page.on(Platform.ANDROID)]
        if android:
            await self._pushes.put_in_inboxes(push, android, now=self._now())
            self.kept += len(android)
        if not page.is_last:
            return Step(Standing(after=page.last))
        is_all = not standing.after and len(android) == len(page.missed)
        return Step(None if is_all else Standing(Stage.APPLE))

    async def _close(self, job: Job, step: Step) -> Outcome:
        if step.is_worth_noting and not await self._advance(job, step, self._lease):
            return Outcome.LOST
        return Outcome.DONE if await self._pushes.finish(job) else Outcome.LOST

    async def _advance(self, job: Job, step: Step, pause: float) -> bool:
        """Whether it is still one's own."""
        until = self._now() + round(1000 * pause)
        return await self._pushes.advance(job, step.progress, until=until)
