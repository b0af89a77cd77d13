"""The time for ids: what no step of the system's clock may do to it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.steady_time import SLEW, SteadyTime

NOW = 1_800_000_000.0  # Unix seconds
BOOTED = 5_000.0  # seconds since
TINY = 1e-6  # seconds: what a double of Unix seconds can tell apart, and a little more

passing = st.floats(0, 10_000)  # seconds between two readings
steps = st.floats(-1e6, 1e6)  # seconds by which somebody sets the clock meanwhile


def read(*times: tuple[float, float]) -> list[float]:
    """The steady times of a clock that is read after so many seconds, and so large steps."""
    clock = SteadyTime(NOW, BOOTED)
    found = [clock.at(NOW, BOOTED)]
    passed = stepped = 0.0
    for elapsed, step in times:
        passed += elapsed
        stepped += step
        found.append(clock.at(NOW + (passed + stepped), BOOTED + passed))
    return found


@given(st.lists(st.tuples(passing, steps)))
def test_it_never_goes_back(times: list[tuple[float, float]]) -> None:
    """Whatever is done to the system's clock."""
    assert all(after >= before for before, after in pairwise(read(*times)))


@given(st.lists(st.tuples(passing, steps)))
def test_a_second_is_nearly_a_second(times: list[tuple[float, float]]) -> None:
    """Steps of the wall clock change its speed by 5 % at most."""
    for (elapsed, _), (before, after) in zip(times, pairwise(read(*times)), strict=True):
        assert abs(after - before - elapsed) <= elapsed * SLEW + TINY


@given(st.lists(passing))
def test_undisturbed_it_is_the_wall_clock(elapsed: list[float]) -> None:
    """Without a step there is nothing to correct."""
    found = read(*[(each, 0.0) for each in elapsed])

    assert found[-1] == pytest.approx(NOW + sum(elapsed), abs=TINY)


@given(step=st.floats(-3600, 3600), readings=st.integers(1, 200))
def test_a_step_is_forgotten_in_twenty_times_its_size(step: float, readings: int) -> None:
    """However often the clock is read meanwhile, it ends at the wall clock and stays there."""
    patience = abs(step) / SLEW + 1

    found = read((0.0, step), *[(patience / readings, 0.0)] * readings)

    assert found[-1] == pytest.approx(NOW + step + patience, abs=TINY)


def test_small_turns_add_up() -> None:
    """A busy node reads it every few microseconds: none of the turns may be lost to rounding."""
    found = read((0.0, 0.1), *[(2e-6, 0.0)] * 100_000)

    assert found[-1] - found[0] == pytest.approx(0.2 * (1 + SLEW), rel=1e-3)


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.0])
def test_it_tells_how_far_the_wall_clock_is_away(step: float) -> None:
    """What an operator should hear of: positive when the system's clock is ahead."""
    clock = SteadyTime(NOW, BOOTED)

    clock.at(NOW + 1 + step, BOOTED + 1)

    assert clock.offset == pytest.approx(
        step - (SLEW if step > 0 else -SLEW if step else 0), abs=TINY
    )


def test_a_monotonic_clock_that_goes_back_stops_it() -> None:
    """There is no such clock; were there one, no id would go back with it."""
    clock = SteadyTime(NOW, BOOTED)
    before = clock.at(NOW, BOOTED)

    assert clock.at(NOW, BOOTED - 100) == before
    assert clock.at(NOW + 1, BOOTED + 1) == pytest.approx(NOW + 1, abs=TINY)
