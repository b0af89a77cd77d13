"""Who waits for which acknowledgements, and those that came just before somebody asked.

A device may acknowledge before the web node that pushed has even read the answer, so what came is remembered for
some seconds. Keyed by (key, id): the same mid of another device is another message. Bounded: of too much that is
remembered the oldest goes, and who would be one too many is not kept waiting.
"""

from collections.abc import Callable, Sequence

from appmodel.core.mpush_waits import Awaited


class Waiter:
    """One call that waits for all of its messages."""

    __slots__ = ("_acked", "_awaited", "_missing", "on_done")

    def __init__(self, awaited: Sequence[Awaited], on_done: Callable[[], None]) -> None:
        """`on_done()` is called when the last of them has come; not if all have come before it waits."""
        self._awaited = tuple(awaited)
        self._missing = set(awaited)
        self.on_done = on_done

    def hear(self, acked: Awaited) -> None:
        """One has come."""
        if acked in self._missing:
            self._missing.remove(acked)
            if not self._missing:
                self.on_done()

    @property
    def missing(self) -> Sequence[Awaited]:
        """Those that have not come."""
        return tuple(self._missing)

    @property
    def answer(self) -> tuple[bool, ...]:
        """Which have, in the order of the question."""
        return tuple(one not in self._missing for one in self._awaited)


class Waiting:
    """The book of an owner. `now`: seconds of the caller's clock, never falling."""

    def __init__(self, *, memory: float, limit: int) -> None:
        """
        Args:
            memory: seconds for which an acknowledgement is remembered.
            limit: acknowledgements that are remembered, and messages that are waited for.
        """
        self._memory, self._limit = memory, limit
        self._recent: dict[Awaited, float] = {}  # in the order of their time
        self._waiters: dict[Awaited, list[Waiter]] = {}
        self._waited_for = 0

    def __len__(self) -> int:
        """Messages that are waited for, as often as they are."""
        return self._waited_for

    def begin(self, waiter: Waiter, now: float) -> bool:
        """Let it hear what comes from now on, and what came lately; whether anything is worth waiting for.

        `end` must follow if it is.
        """
        self._forget(now)
        for one in waiter.missing:
            if one in self._recent:
                waiter.hear(one)
        missing = waiter.missing
        if not missing or self._waited_for + len(missing) > self._limit:
            return False
        for one in missing:
            self._waiters.setdefault(one, []).append(waiter)
        self._waited_for += len(missing)
        return True

    def end(self, waiter: Waiter) -> None:
        """It waits no more."""
        for one in waiter.missing:
            self._drop(one, waiter)

    def hear(self, acked: Sequence[Awaited], now: float) -> None:
        """These have come: tell who waits, and remember them."""
        self._forget(now)
        for one in acked:
            self._recent.pop(one, None)
            self._recent[one] = now
            for waiter in self._waiters.pop(one, ()):
                self._waited_for -= 1
                waiter.hear(one)
        while len(self._recent) > self._limit:
            del self._recent[next(iter(self._recent))]

    def _drop(self, one: Awaited, waiter: Waiter) -> None:
        waiters = self._waiters.get(one, [])
        if waiter in waiters:
            waiters.remove(waiter)
            self._waited_for -= 1
            if not waiters:
                del self._waiters[one]

    def _forget(self, now: float) -> None:
        while self._recent:
            oldest = next(iter(self._recent))
            if self._recent[oldest] > now - self._memory:
                return
            del self._recent[oldest]
