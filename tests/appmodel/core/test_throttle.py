"""How often somebody may try."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.throttle import Throttle
from appmodel.errors import LimitReached


def tries(throttle: Throttle, name: str, now: float, count: int) -> int:
    """How many of `count` tries are let through."""
    passed = 0
    for _ in range(count):
        try:
            throttle.take(name, now, what="login")
        except LimitReached:
            continue
        passed += 1
    return passed


def test_so_many_at_once_then_at_a_pace() -> None:
    """Ten, then one each tenth of the window; each name for itself."""
    throttle = Throttle(10, 900, capacity=100)

    assert tries(throttle, "ann", 0, 50) == 10
    assert tries(throttle, "bob", 0, 50) == 10
    assert tries(throttle, "ann", 89, 50) == 0
    assert tries(throttle, "ann", 90, 50) == 1
    assert tries(throttle, "ann", 90 + 900, 50) == 10


def test_the_refusal_says_when_to_come_back() -> None:
    """Whoever comes then is let through."""
    throttle = Throttle(2, 60, capacity=100)
    tries(throttle, "ann", 0, 2)

    with pytest.raises(LimitReached, match="login: too often; try again in 20 s"):
        throttle.take("ann", 10, what="login")
    assert (throttle.pause("ann", 10), throttle.pause("bob", 10)) == (20, 0)
    throttle.take("ann", 30, what="login")


def test_good_tries_do_not_count() -> None:
    """Who gives back each try may try for ever."""
    throttle = Throttle(2, 60, capacity=100)

    for at in range(100):
        throttle.take("ann", at / 10, what="login")
        throttle.give_back("ann", at / 10)

    assert len(throttle) == 0


def test_no_limit() -> None:
    """0 lets everything through, and remembers nothing."""
    throttle = Throttle(0, 60, capacity=100)

    assert tries(throttle, "ann", 0, 1000) == 1000
    assert len(throttle) == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 10)), max_size=60))
def test_memory_is_bounded_and_the_limit_holds(calls: list[tuple[str, float]]) -> None:
    """Whatever comes: never more names than the capacity, nor more tries than limit and time allow."""
    throttle = Throttle(3, 6, capacity=4)
    now, passed = 0.0, 0
    for name, wait in calls:
        now += wait
        passed += tries(throttle, name, now, 1)
        assert len(throttle) <= 4
    one = Throttle(3, 6, capacity=4)
    assert sum(tries(one, "a", at / 4, 1) for at in range(400)) <= 3 + 100 / 2
