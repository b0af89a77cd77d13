"""The hybrid message clock: ids that follow the time and never repeat or go back.

An id is an integer of microseconds since 1970, below 2^53 so that JavaScript and Redis scores hold
it exactly. Clients ask for what is newer than the last id they saw, so a clock must not give an id
at or below one that it has seen: in a store's answer, a hand-over, or a client's cursor.

Source: gopush-cluster id/timeid.go gives 100 ns units above 2^53 and, in the fork, sleeps until the
clock passes the last id. We count on instead: never blocks, and may run 1 µs ahead per excess call.
"""

MAX_ID = 2**53 - 1
MAX_LEAD_US = 60_000_000  # 1 min: how far ahead of our time a client's cursor is believed; well
# below the 5 min at which a store takes an id for that of a clock that ran away
MAX_MARK_LEAD_US = 7_200_000_000  # 2 h: how far ahead of our time a store's mark is believed;
# clocks that were wrong by a time zone and were put right go on from it, above is somebody else's


class MessageClock:
    """Ids of one comet: `max(now, last + 1)`."""

    __slots__ = ("_last",)

    def __init__(self, last: int = 0) -> None:
        self._last = last

    @property
    def last(self) -> int:
        """The highest id given or seen."""
        return self._last

    def next_id(self, now_us: int, step: int = 1) -> int:
        """A new id, above all before it by `step` if the time is not. `now_us`: Unix microseconds."""
        last = self._last
        self._last = last = now_us if now_us > last else last + step
        return last

    def observe(self, message_id: int) -> None:
        """Never give this id or one below it: it came from a store or another node."""
        if self._last < message_id <= MAX_ID:
            self._last = message_id

    def observe_mark(self, mark: int, now_us: int) -> bool:
        """The same for what a store says; False if it is too far ahead to be an id of ours.

        One foreign row must not carry all keys with it: the store would refuse what we propose then.
        """
        is_ours = mark <= max(now_us + MAX_MARK_LEAD_US, self._last)
        if is_ours:
            self.observe(mark)
        return is_ours

    def observe_claim(self, message_id: int, now_us: int) -> bool:
        """The same for an id that a client claims to have seen; False if that cannot be true.

        A stranger's number must not push the clock to its end, so no more than MAX_LEAD_US is believed.
        """
        if message_id > max(now_us + MAX_LEAD_US, self._last):
            return False
        self.observe(message_id)
        return True
