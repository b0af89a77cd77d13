"""Writes that wait together are one transaction: a commit costs more than what is written.

    number = await making.write(draft)      64 of them at once: one or two calls of `write_all`

    the first who comes     writes, with all who came in the same moment
    who comes meanwhile     waits, and the first of them writes for all of them

So there is no task of its own, and at most one call under way. They are written in the order of their coming.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import trio

from appmodel.errors import LimitReached, OutcomeUnknown, Unavailable

T = TypeVar("T")
R = TypeVar("R")

MAX_WAITING = 20_000  # more than callers that can come at once; beyond, they are refused
MANY = 500  # of one transaction


class GroupCommit(Generic[T, R]):
    """Gathers what is to be written."""

    def __init__(
        self,
        write_all: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        waiting: int = MAX_WAITING,
    ) -> None:
        """
        Args:
            write_all: one transaction, within a deadline: what became of each, in their order. If it raises,
                nothing was written, but for OutcomeUnknown.
            waiting: that may wait.
        """
        self._write_all, self._most = write_all, waiting
        self._waiting: deque[_Place[T, R]] = deque()
        self._is_busy = False

    async def write(self, item: T) -> R:
        """What became of `item`, once that is committed.

        Cancelling is safe until others write it, or it writes for others: then that is waited for, or nobody
        knows what became of it.

        Raises:
            LimitReached: too many wait already.
            Exception: what `write_all` raised. An error that is about one of them is told to that one alone.
        """
        if len(self._waiting) >= self._most:
            raise LimitReached(f"{self._most} others wait to be written; try again")
        place: _Place[T, R] = _Place(item)
        self._waiting.append(place)
        if self._is_busy:
            try:
                await place.called.wait()
            except trio.Cancelled:
                with suppress(ValueError):  # it is being written
                    self._waiting.remove(place)
                if place.called.is_set() and not place.is_done:
                    self._pass_on()
                raise
        if not place.is_done:
            await self._lead()
        if place.error is not None:
            raise place.error
        return place.results[0]

    async def _lead(self) -> None:
        """Write what waits, ours first, and let the next one lead. Others depend on it: it is not cancelled."""
        self._is_busy = True
        try:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()  # who comes in the same moment comes along
                batch = [self._waiting.popleft() for _ in range(min(MANY, len(self._waiting)))]
                await self._settle(batch)
        finally:
            self._pass_on()
        for place in batch:
            place.called.set()

    def _pass_on(self) -> None:
        """The next one leads."""
        if self._waiting:
            self._waiting[0].called.set()
        else:
            self._is_busy = False

    async def _settle(self, batch: Sequence["_Place[T, R]"]) -> None:
        try:
            results = await self._write_all([place.item for place in batch])
        except Exception as error:
            if len(batch) == 1 or isinstance(error, Unavailable | OutcomeUnknown):
                for place in batch:
                    place.error = error
                return
        else:
            for place, result in zip(batch, results, strict=True):
                place.results = [result]
            return
        for place in batch:  # one of them is to blame, and the others shall not suffer for it
            await self._settle([place])


class _Place(Generic[T, R]):
    __slots__ = ("called", "error", "item", "results")

    def __init__(self, item: T) -> None:
        self.item = item
        self.called = trio.Event()  # it is done, or it is to lead
        self.results: Sequence[R] = ()  # one, once it is written
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return bool(self.results) or self.error is not None
