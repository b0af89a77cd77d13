"""A process that stood still must not go on as if nothing had happened (cluster.md section 6: frozen, and back).

While it was stopped, others may have become the owners of its keys, and calls lie in its sockets that are
as old. What is stored is safe: the store gives the ids. A message that is not stored gets its id from us,
and the new owner may give the same one. So for a moment, until the registry has been heard again, a comet
that was frozen takes none of these.
"""

FROZEN = 2.0  # seconds between two turns of the wheel: the process or the machine stood still
RECOVERY = 2.0  # seconds in which a registry tells that our session is over


class Standstill:
    """One per comet. Times are those of the loop's clock, in seconds."""

    __slots__ = ("_recovers_until", "_turned")

    def __init__(self, now: float) -> None:
        self._turned = now
        self._recovers_until = now

    def turn(self, now: float) -> float:
        """The wheel turns; for how long the process stood still before, 0 if it did not."""
        gap = now - self._turned
        self._note(gap, now)
        self._turned = now
        return gap if gap > FROZEN else 0.0

    def is_recent(self, now: float) -> bool:
        """Whether it has only just gone on: perhaps the wheel has not turned since."""
        self._note(now - self._turned, now)
        return now < self._recovers_until

    def _note(self, gap: float, now: float) -> None:
        if gap > FROZEN and self._recovers_until <= now:
            self._recovers_until = now + RECOVERY
