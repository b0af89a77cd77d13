"""Deadlines of very many things, one small list entry each: a hashed timing wheel.

An entry sits in the slot of the tick at which somebody should look at it. Looking is lazy: a heartbeat
only notes the time, and the entry is put back when its slot comes by. So a beat costs nothing, and
nothing has to be taken out of the wheel when a client leaves: its entry is dropped when it is seen.
"""

from collections.abc import Iterator
from typing import Protocol


class Watched(Protocol):
    """Something with a deadline that may move later, or vanish."""

    def due_at(self) -> float | None:
        """When it wants to be looked at, in seconds of the wheel's clock; None = never again."""

    def expire(self, now: float) -> None:
        """Its deadline has passed. It may have a new one afterwards."""


class Wheel:
    """`tick` seconds a slot. Later deadlines than the wheel is long are looked at once a turn."""

    def __init__(self, *, now: float, tick: float = 0.25, slots: int = 240) -> None:
        self._tick = tick
        self._slots: list[list[Watched]] = [[] for _ in range(slots)]
        self._position = int(now / tick)

    def watch(self, entry: Watched) -> None:
        """Look at `entry` when it is due, within one tick, never before."""
        due = entry.due_at()
        if due is not None:
            self._put(entry, due)

    def advance(self, now: float, *, step: int = 256) -> Iterator[int]:
        """Handle every slot up to `now`; yields the number looked at after each `step`: pause there."""
        while self._position < int(now / self._tick):
            self._position += 1
            at = self._position % len(self._slots)
            slot, self._slots[at] = self._slots[at], []
            for start in range(0, len(slot), step):
                part = slot[start : start + step]
                for entry in part:
                    self._look(entry, now)
                yield len(part)

    def _look(self, entry: Watched, now: float) -> None:
        due = entry.due_at()
        if due is not None and due <= now:
            entry.expire(now)
            due = entry.due_at()
        if due is not None:
            self._put(entry, due)

    def _put(self, entry: Watched, due: float) -> None:
        ticks = int(due / self._tick) + 1 - self._position
        ahead = max(1, min(ticks, len(self._slots) - 1))
        self._slots[(self._position + ahead) % len(self._slots)].append(entry)
