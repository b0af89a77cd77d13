"""Ids rise, whatever the time does."""

from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.clock import MAX_ID, MAX_LEAD_US, MessageClock

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
    """A client's cursor is believed 5 minutes ahead, no further."""
    clock = MessageClock()
    now = 1_700_000_000_000_000

    assert clock.observe_claim(now + MAX_LEAD_US, now)
    assert not clock.observe_claim(MAX_ID, now)
    assert clock.next_id(now) == now + MAX_LEAD_US + 1


def test_what_cannot_be_an_id_is_not_observed() -> None:
    """Ids end below 2^53; a store with nonsense does not carry the clock over it."""
    clock = MessageClock()

    clock.observe(MAX_ID + 1)

    assert clock.next_id(5) == 5
