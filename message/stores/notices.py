"""What a store does that its operator should hear of: always counted, seldom logged."""

import structlog

from appmodel.core.names import Key
from appmodel.errors import NotStored
from message.core.retention import MAX_AHEAD_US

NAMED_KEYS = 10_000  # keys whose first trim is logged; after that only the counter speaks
RUNAWAY_PAUSE = 60.0  # seconds between two log lines on clocks that run away

log = structlog.get_logger(__name__)


class Notices:
    """The counters of one store."""

    def __init__(self) -> None:
        self.saved = 0  # messages: a push counts once per key
        self.swept = 0  # messages, receipts and facts freed because their time had passed
        self.failures = 0  # calls that the disk refused
        self.trimmed = 0  # messages dropped unexpired, because `depth` newer ones of their key live
        self.runaways = 0  # saves refused for their proposed id
        self.foreign = 0  # what others have put where our data lie: skipped, or the call refused
        self._named: set[Key] = set()
        self._foreign_places: set[str] = set()
        self._next_runaway = 0.0

    def trim(self, key: Key, count: int) -> None:
        """`count` messages of `key` had to make room. Logged once per key."""
        self.trimmed += count
        if key not in self._named and len(self._named) < NAMED_KEYS:
            self._named.add(key)
            log.warning("messages of a key trimmed", key=key.stored, count=count)

    def foreign_data(self, place: str, count: int = 1) -> None:
        """Something at `place` is not ours. Logged once per place."""
        self.foreign += count
        if place not in self._foreign_places and len(self._foreign_places) < NAMED_KEYS:
            self._foreign_places.add(place)
            log.error("foreign data in the store", place=place)

    def runaway(self, proposed: int, now: float) -> NotStored:
        """The error for a proposed id too far ahead of `now`. Logged once a minute."""
        self.runaways += 1
        ahead = int(proposed / 1e6 - now)
        if now >= self._next_runaway:
            self._next_runaway = now + RUNAWAY_PAUSE
            log.error("a comet's clock runs away", proposed_id=proposed, ahead_s=ahead)
        return NotStored(
            f"proposed_id: got {proposed}, {ahead} s ahead of the store's time, "
            f"expected at most {MAX_AHEAD_US // 1_000_000} s: check the clocks"
        )
