"""What a device was sent and has not acknowledged: at most a window of it, resent with growing patience.

    floor ......................... reached ................
    done     pending   done         not sent yet: it lies in the store

    sent          resend 2 s later, then 4, 8, ... 60 s after the last time
    acknowledged  room for one more; the floor rises to the lowest that is pending

Everything up to `reached` was sent on this connection or was acknowledged before. Bodies are not kept: what is
sent again is read again. What is not stored is sent once, and is pending only until its first resend is due.

Source: spec/mpush.md 6.2 (the suggestion; the original has no timer) and 11.7 (window 1: only the head counts).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from appmodel.core.mpush_stores import MAX_DONE, AckState


@dataclass(frozen=True, slots=True)
class Pace:
    """When what is not acknowledged is sent again. Seconds."""

    first: float
    longest: float

    def after(self, tries: int) -> float:
        """From the last of so many transmissions."""
        return float(min(self.first * 2.0 ** min(tries - 1, 20), self.longest))


@dataclass(slots=True)
class _Pending:
    sent_at: float
    due_at: float
    tries: int
    stored: bool


class Window:
    """Of one connection. Times are the caller's clock."""

    __slots__ = ("_done", "_pace", "_pending", "_size", "reached")

    def __init__(self, state: AckState, *, size: int, pace: Pace) -> None:
        """`state`: what the device had acknowledged when it logged in."""
        self.reached = state.floor
        self._done = state.done  # above `reached`; frozen, for an empty set of its own is 200 bytes
        self._pending: dict[int, _Pending] = {}
        self._size, self._pace = size, pace

    def __len__(self) -> int:
        """Messages that are pending."""
        return len(self._pending)

    @property
    def room(self) -> int:
        """How many more may be sent."""
        return max(0, self._size - len(self._pending))

    @property
    def floor(self) -> int:
        """Every stored id up to it is done."""
        first = min((id for id, one in self._pending.items() if one.stored), default=None)
        return self.reached if first is None else min(first - 1, self.reached)

    def wants(self, message_id: int) -> bool:
        """Whether a stored message is to be sent: it is new, and not done."""
        return message_id > self.reached and message_id not in self._done

    def pass_by(self, message_id: int) -> None:
        """Everything stored up to `message_id` was sent, or is not to be."""
        if message_id > self.reached:
            self.reached = message_id
            if self._done:
                self._done = frozenset(one for one in self._done if one > message_id)

    def sent(self, message_id: int, now: float, *, stored: bool = True) -> None:
        """It went out, for the first time or again."""
        before = self._pending.get(message_id)
        tries = before.tries + 1 if before else 1
        due = now + self._pace.after(tries)
        self._pending[message_id] = _Pending(now, due, tries, stored)
        if stored:
            self.pass_by(message_id)

    def acknowledge(self, ids: Iterable[int], *, until: int) -> list[int]:
        """Note what the device has; which of `ids` that was news of.

        `until`: the newest id of the device. What lies between `reached` and it may be acknowledged unsent.
        """
        new: list[int] = []
        early: set[int] = set()
        for message_id in ids:
            if self._pending.pop(message_id, None) is not None:
                new.append(message_id)
            elif (
                self.reached < message_id <= until
                and len(self._done) + len(early) < MAX_DONE
                and message_id not in early
                and message_id not in self._done
            ):
                early.add(message_id)
                new.append(message_id)
        if early:
            self._done |= early
        return new

    def lose(self, ids: Iterable[int]) -> None:
        """These are not in the store any more: expired, or deleted."""
        for message_id in ids:
            self._pending.pop(message_id, None)

    def hurry(self, now: float) -> None:
        """The client shows life: what it has had time for is due again."""
        for one in self._pending.values():
            one.due_at = min(one.due_at, max(now, one.sent_at + self._pace.first))

    def due_at(self) -> float | None:
        """When something is to be sent again; None: nothing is pending."""
        return min((one.due_at for one in self._pending.values()), default=None)

    def due(self, now: float) -> list[int]:
        """What is to be sent again now, ids ascending. What is not stored is given up."""
        overdue = [id for id, one in self._pending.items() if one.due_at <= now]
        self.lose([id for id in overdue if not self._pending[id].stored])
        return sorted(id for id in overdue if id in self._pending)

    def is_pending(self, message_id: int) -> bool:
        """Whether it was sent, and not acknowledged."""
        return message_id in self._pending
