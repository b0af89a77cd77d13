"""How often somebody may try: so many times in a window, then as often as the window lets go.

    Throttle(limit=10, window=900)      ten at once, then one each 90 s

Each name has a level that rises by one per try and falls all the time. Memory is bounded: of more names than
`capacity` those that tried least recently are forgotten.
"""

import math
from collections import OrderedDict

from appmodel.errors import LimitReached


class Throttle:
    """Levels by name. `now` is in seconds, of any clock that does not go back."""

    def __init__(self, limit: int, window: float, *, capacity: int) -> None:
        """`limit` tries in `window` seconds; 0 = any number."""
        self._limit = limit
        self._pace = window / limit if limit else 0.0  # seconds in which a level falls by one
        self._capacity = capacity
        self._empty_at: OrderedDict[str, float] = OrderedDict()  # name -> when its level is 0 again

    def __len__(self) -> int:
        return len(self._empty_at)

    def pause(self, name: str, now: float) -> float:
        """Seconds until there is a try left; 0 = there is one."""
        wait = self._empty_at.get(name, now) - now - (self._limit - 1) * self._pace
        return wait if self._limit and wait > 1e-9 else 0.0

    def take(self, name: str, now: float, *, what: str) -> None:
        """Count a try, before its outcome is known: so that many at once are counted too.

        Args:
            what: is tried, for the message.

        Raises:
            LimitReached: with the seconds to wait; nothing is counted.
        """
        if not self._limit:
            return
        wait = self.pause(name, now)
        if wait:
            pause = math.ceil(wait)
            raise LimitReached(f"{what}: too often; try again in {pause} s", pause=pause)
        self._empty_at[name] = max(self._empty_at.get(name, now), now) + self._pace
        self._empty_at.move_to_end(name)
        if len(self._empty_at) > self._capacity:
            self._empty_at.popitem(last=False)

    def give_back(self, name: str, now: float) -> None:
        """Take back one try: it was a good one."""
        empty_at = self._empty_at.get(name)
        if empty_at is None:
            return
        if empty_at - self._pace <= now:
            del self._empty_at[name]
        else:
            self._empty_at[name] = empty_at - self._pace
