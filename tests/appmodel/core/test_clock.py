"""Ids rise, whatever the time does."""

from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.clock import MAX_ID, MAX_LEAD_US, MAX_MARK_LEAD_US, MessageClock

times = st.integers(min_value=0, max_value=2**51)
steps = st.lists(st.tuples(st.sampled_from(["next", "observe", "claim"]), times), max_size=50)


@given(steps)
def test_ids_rise_above_all_that_was_given_or_seen(steps: list[tuple[str, int]]) -> None:
    """Under any interleaving of clock steps, stores' answers and clients' cursors, no id repeats."""
    clock = MessageClock()
    highest = 0

    for what, value in steps:
        if what == "next":
            given_id = clock.next_id(value)
            assert given_id > highest
            assert given_id >= value
            highest = given_id
        elif what == "observe":
            clock.observe(value)
            highest = max(highest, value)
        elif clock.observe_claim(value, highest):
            highest = max(highest, value)


def test_a_stranger_cannot_push_the_clock_to_its_end() -> None:
    """A client's cursor is believed a minute ahead, no further."""
    clock = MessageClock()
    now = 1_700_000_000_000_000

    assert clock.observe_claim(now + MAX_LEAD_US, now)
    assert not clock.observe_claim(MAX_ID, now)
    assert clock.next_id(now) == now + MAX_LEAD_US + 1


@given(st.lists(st.integers(0, 3 * MAX_LEAD_US), max_size=20))
def test_claims_on_top_of_claims_carry_no_further_than_one(leads: list[int]) -> None:
    """Strangers who take turns get as far as one of them alone."""
    clock = MessageClock()
    now = 1_700_000_000_000_000

    for lead in leads:
        clock.observe_claim(clock.last + lead, now)

        assert clock.last <= now + MAX_LEAD_US


def test_ten_claims_a_lead_above_one_another() -> None:
    """The first is believed, and none after it."""
    clock = MessageClock()
    now = 1_700_000_000_000_000

    believed = [clock.observe_claim(now + step * MAX_LEAD_US, now) for step in range(1, 11)]

    assert believed == [True] + [False] * 9
    assert clock.last == now + MAX_LEAD_US


def test_a_claim_of_what_was_given_is_always_true() -> None:
    """Also while the clock runs ahead of the time, for it saw a store that does."""
    clock = MessageClock()
    now = 1_700_000_000_000_000
    clock.observe(now + 10 * MAX_LEAD_US)

    assert clock.observe_claim(now + 10 * MAX_LEAD_US, now)
    assert not clock.observe_claim(now + 10 * MAX_LEAD_US + 1, now)


def test_a_foreign_row_cannot_carry_the_clock_away() -> None:
    """A store is followed as far as clocks can be wrong, and no further."""
    clock = MessageClock()
    now = 1_700_000_000_000_000

    assert clock.observe_mark(now + MAX_MARK_LEAD_US, now)
    assert not clock.observe_mark(now + MAX_MARK_LEAD_US + 1, now)
    assert clock.observe_mark(now + MAX_MARK_LEAD_US + 1, now + 1)
    assert clock.next_id(now) == now + MAX_MARK_LEAD_US + 2


def test_what_cannot_be_an_id_is_not_observed() -> None:
    """Ids end below 2^53; a store with nonsense does not carry the clock over it."""
    clock = MessageClock()

    clock.observe(MAX_ID + 1)

    assert clock.next_id(5) == 5


def test_a_step_keeps_a_distance_only_while_the_clock_is_ahead() -> None:
    """Ids that no store arbitrates stay away from those that it counts on from its marks."""
    clock = MessageClock(last=1000)

    assert [clock.next_id(now, 16) for now in (900, 1000, 2000, 2001)] == [1016, 1032, 2000, 2001]
