"""A comet knows that it stood still, whoever looks first."""

from comet.core.standstill import FROZEN, RECOVERY, Standstill

TICK = 0.25  # seconds


def test_a_wheel_that_turns_in_time_is_no_standstill() -> None:
    """Small delays are everybody's."""
    standstill = Standstill(100.0)

    assert [standstill.turn(100.0 + number * TICK) for number in range(1, 9)] == [0.0] * 8
    assert not standstill.is_recent(102.0 + FROZEN / 2)


def test_who_looks_before_the_wheel_has_turned_sees_it_too() -> None:
    """The calls that lay in the sockets may be the first that the process works off."""
    standstill = Standstill(100.0)
    woken = 100.0 + FROZEN + 5

    assert standstill.is_recent(woken)
    assert standstill.turn(woken + TICK) == FROZEN + 5 + TICK
    assert standstill.is_recent(woken + RECOVERY - TICK)
    assert not standstill.is_recent(woken + RECOVERY)


def test_it_may_happen_again() -> None:
    """Each standstill has its own moment."""
    standstill = Standstill(100.0)
    for woken in (110.0, 120.0):
        assert standstill.turn(woken) == 10.0
        assert standstill.is_recent(woken)
        assert not standstill.is_recent(woken + RECOVERY)
        standstill.turn(woken + 0.0)
