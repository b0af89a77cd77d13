"""The second stage of a job of light-push: Apple is told for the iOS clients of a room.

begins        those who are owed an answer by Apple, once more
goes on       a page of the room, from behind the last client
pauses        too many are owed, or nobody is left but them: who comes next begins with them
ends          all were told of, or there is no way to Apple
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Job, Reachable
from web.core.lightpush_apns import UNUSABLE, Letter, environment_note, letter_of, place_of
from web.core.lightpush_offline import Stage, Standing, Step, pause_after
from web.gateways.lightpush_apns import Way, Ways
from web.services.lightpush_recipients import Recipients
from web.services.lightpush_telling import Telling, Told


class AppleLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    concurrency: int  # notifications of one job at once; as many clients may be owed
    begin: float  # within which the notifications of a step are begun
    first_pause: float  # before Apple is asked a second time, at most; doubles
    max_pause: float  # up to here, or what Apple asks for


@dataclass(slots=True)
class Turn:
    """A job in one's hands."""

    job: Job
    may_go_on: Callable[[], bool]  # whether another notification may be begun
    asks_again: bool  # for those who were owed when it began; who is owed since then has a pause
    way: tuple[Way, Letter] | None = None  # once it is known
    is_noted: bool = False  # through which environment
    after: float = 0.0  # seconds that Apple wants to have before the next try


class Apple:
    """Does this stage. Its calls raise PushError if a store is away."""

    def __init__(
        self,
        recipients: Recipients,
        ways: Ways,
        telling: Telling,
        limits: AppleLimits,
        *,
        alert: str,
        now: Callable[[], int],
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """
        Args:
            alert: what phones show of a push that says nothing.
            now: Unix ms.
            jitter: a number between two.
        """
        self._recipients, self._ways, self._telling = recipients, ways, telling
        self._limits, self._alert, self._now, self._jitter = limits, alert, now, jitter

    async def step(self, turn: Turn, standing: Standing) -> Step:
        """What can be done now."""
        if turn.asks_again:
            turn.asks_again = False
            return await self._settle(turn, standing)
        return await self._go_on(turn, standing)

    async def _settle(self, turn: Turn, standing: Standing) -> Step:
        """Those who are owed: they were counted before, and noted."""
        targets = await self._recipients.again(turn.job.push, standing.owed)
        told = await self._tell(turn, targets, self._limits.concurrency)
        if told.is_hopeless:
            return Step(None, 0, told.delivered, told.notes)
        owed = (*told.owed, *(one.client for one in targets[told.tried :]))
        left = Standing(Stage.APPLE, standing.after, owed)
        pause = self._pause(turn) if self._is_full(left) else None
        return Step(left, 0, told.delivered, told.notes, pause)

    async def _go_on(self, turn: Turn, standing: Standing) -> Step:
        """A page of the room."""
        page = await self._recipients.page(turn.job.push, standing.after)
        targets = page.on(Platform.IOS)
        told = await self._tell(turn, targets, self._limits.concurrency - len(standing.owed))
        notes = [*told.notes, *(f"{client}:{why}" for client, why in told.owed.items())]
        step = Step(None, told.tried, told.delivered, notes)
        if told.is_hopeless:
            return step
        is_through = told.tried == len(targets)
        after = page.last if is_through else told.last or standing.after
        left = Standing(Stage.APPLE, after, (*standing.owed, *told.owed))
        if is_through and page.is_last:
            return step._replace(standing=left, pause=self._pause(turn)) if left.owed else step
        pause = self._pause(turn) if self._is_full(left) else None
        return step._replace(standing=left, pause=pause)

    async def _tell(self, turn: Turn, targets: Sequence[Reachable], at_once: int) -> Told:
        if not targets or at_once < 1:
            return Told()
        found = await self._find_way(turn)
        if isinstance(found, Told):
            return found
        way, letter = found
        end = self._now() + round(1000 * self._limits.begin)
        told = await self._telling.tell(
            turn.job.push,
            letter,
            way,
            targets,
            at_once=at_once,
            may_go_on=lambda: turn.may_go_on() and self._now() < end,
        )
        turn.after = max(turn.after, told.after)
        if told.tried and not turn.is_noted:
            turn.is_noted = True
            told.notes.insert(0, environment_note(way.config))
        return told

    async def _find_way(self, turn: Turn) -> tuple[Way, Letter] | Told:
        """How Apple is told of this push; else what its report says."""
        if turn.way is not None:
            return turn.way
        push = turn.job.push
        place = place_of(push.draft)
        way = await self._ways.find(place)
        if way is None:
            return Told(notes=[place.missing], is_hopeless=True)
        if way.trouble:
            notes = [environment_note(way.config), f"{UNUSABLE}: {way.trouble}"]
            return Told(notes=notes, is_hopeless=True)
        turn.way = way, letter_of(push, way.config, alert=self._alert, now=self._now())
        return turn.way

    def _is_full(self, standing: Standing) -> bool:
        return len(standing.owed) >= self._limits.concurrency

    def _pause(self, turn: Turn) -> float:
        limits = self._limits
        pause = pause_after(turn.job.attempts, first=limits.first_pause, most=limits.max_pause)
        return max(self._jitter(pause / 2, pause), turn.after)
