"""The time for ids: Unix seconds that no step of the system's clock moves.

    12:00:00  the node starts                     steady 12:00:00
    12:10:00  somebody sets the clock to 13:10    steady 12:10:00, offset 3600
    13:11:00  one minute later                    steady 12:11:03, offset 3597

It starts at the wall clock, runs with the monotonic clock, and turns towards the wall clock by at
most 5 % of the time that passes: a small error is gone in seconds, and an hour's step takes a
day. So ids neither jump ahead of all other nodes', which a store refuses, nor stand still.

The monotonic clock should also count while the machine sleeps (CLOCK_BOOTTIME), or waking up looks like
a step.

Source: ours; adjtime(3) slews in the same way, by 0.05 %, because it may not disturb what measures time.
"""

SLEW = 0.05  # of the time that passed; nobody measures durations by ids


class SteadyTime:
    """One clock. Its reader passes the readings of the two others."""

    __slots__ = ("_anchor", "_correction", "_given", "_last", "offset")

    def __init__(self, wall: float, monotonic: float) -> None:
        """Both in seconds; `wall` since 1970."""
        self._anchor = wall - monotonic
        self._correction = 0.0  # apart from the anchor: small turns are not rounded away
        self._last = monotonic
        self._given = wall
        self.offset = 0.0  # seconds by which the wall clock was ahead of us at the last reading

    def at(self, wall: float, monotonic: float) -> float:
        """The steady time; never less than the last one."""
        elapsed = monotonic - self._last  # compared by hand here: this is asked for each push
        if elapsed < 0.0:
            elapsed = 0.0
        self._last += elapsed
        ahead = wall - (self._anchor + (self._last + self._correction))
        turn, most = ahead, elapsed * SLEW
        if ahead > most:
            turn = most
        elif ahead < -most:
            turn = -most
        self._correction += turn
        self.offset = ahead - turn
        given = self._anchor + (self._last + self._correction)
        if given > self._given:  # the last digit of the sum alone may go back
            self._given = given
        return self._given
