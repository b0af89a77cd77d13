"""Everything is looked at within a tick of its deadline, and never before."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from comet.core.wheel import Wheel

TICK = 0.25


@dataclass
class Entry:
    """Something with one deadline, or a list of them."""

    deadlines: list[float]
    expired_at: list[float] = field(default_factory=list)

    def due_at(self) -> float | None:
        return self.deadlines[0] if self.deadlines else None

    def expire(self, now: float) -> None:
        self.expired_at.append(now)
        self.deadlines.pop(0)


@given(
    st.lists(st.floats(0.01, 500), min_size=1, max_size=20),
    st.lists(st.floats(0.01, 40), min_size=1, max_size=60),
    st.floats(0, 10**6),
)
def test_deadlines_pass_on_time(after: list[float], steps: list[float], start: float) -> None:
    """Whatever the steps of the clock, also deadlines beyond the wheel's turn."""
    wheel = Wheel(now=start, tick=TICK, slots=16)
    entries = [Entry([start + delay]) for delay in after]
    dues = [entry.deadlines[0] for entry in entries]
    for entry in entries:
        wheel.watch(entry)

    now = start
    for step in steps:
        now += step
        list(wheel.advance(now))
        for entry, due in zip(entries, dues, strict=True):
            if entry.expired_at:
                assert entry.expired_at[0] >= due
            else:
                assert due > now - 2 * TICK


def test_a_deadline_that_moved_is_not_expired() -> None:
    """A heartbeat only notes the time; the wheel comes by and puts the entry back."""
    wheel = Wheel(now=0, tick=TICK)
    entry = Entry([35])
    wheel.watch(entry)

    entry.deadlines = [60]
    list(wheel.advance(40))
    assert entry.expired_at == []
    list(wheel.advance(61))

    assert len(entry.expired_at) == 1


def test_an_entry_that_is_gone_is_forgotten() -> None:
    """Nobody has to take it out."""
    wheel = Wheel(now=0, tick=TICK)
    entry = Entry([1])
    wheel.watch(entry)

    entry.deadlines = []
    looked_at = sum(wheel.advance(100))

    assert looked_at == 1
    assert sum(wheel.advance(1000)) == 0
