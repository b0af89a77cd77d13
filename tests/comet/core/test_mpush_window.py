"""What was sent and not acknowledged: bounded, resent in time, and the floor never above what is pending."""

from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.mpush_stores import MAX_DONE, AckState
from comet.core.mpush_window import Pace, Window

PACE = Pace(2, 60)


def window(floor: int = 0, done: frozenset[int] = frozenset(), size: int = 10) -> Window:
    return Window(AckState(floor, done), size=size, pace=PACE)


def test_the_pace_doubles_up_to_its_longest() -> None:
    """2, 4, 8 ... 60 s; also after years."""
    assert [PACE.after(tries) for tries in (1, 2, 3, 5, 6, 10_000)] == [2, 4, 8, 32, 60, 60]


def test_what_was_done_before_is_not_wanted() -> None:
    """Below the floor, or among the done."""
    ours = window(10, frozenset({12}))

    assert [n for n in range(9, 15) if ours.wants(n)] == [11, 13, 14]


def test_each_is_due_at_its_own_time() -> None:
    """From its last transmission; resent ones wait longer."""
    ours = window()
    ours.sent(1, 0)
    ours.sent(2, 1)

    assert (ours.due_at(), ours.due(1.9), ours.due(2), ours.due(3)) == (2, [], [1], [1, 2])
    ours.sent(1, 3)
    assert (ours.due_at(), ours.due(6.9), ours.due(7)) == (3, [2], [1, 2])


def test_what_is_not_stored_is_given_up_when_it_is_due() -> None:
    """Nobody could send it again."""
    ours = window()
    ours.sent(5, 0, stored=False)
    assert (ours.reached, ours.floor, len(ours)) == (0, 0, 1)

    assert ours.due(2) == []

    assert len(ours) == 0


def test_a_sign_of_life_hurries_what_had_time() -> None:
    """But never within the first pause."""
    ours = window()
    ours.sent(1, 0)
    for now in (2, 6, 14):
        ours.sent(1, now)
    ours.sent(2, 20)

    ours.hurry(20.5)

    assert ours.due(20.5) == [1]
    assert ours.due_at() == 20.5


def test_unsent_ids_may_be_acknowledged_up_to_the_newest() -> None:
    """As many as the AckBook keeps; twice is once; of a newer one nobody can know."""
    ours = window()
    ours.sent(3, 0)

    assert ours.acknowledge([3, 3, 5, 5, 9], until=8) == [3, 5]
    assert ours.acknowledge(range(10, 10 + 2 * MAX_DONE), until=10**6) == list(
        range(10, 9 + MAX_DONE)
    )
    assert not ours.wants(5)


@given(st.data())
def test_the_floor_and_the_done_are_exactly_what_was_acknowledged(data: st.DataObject) -> None:
    """Whatever is sent, acknowledged and lost in which order: nothing pending is ever at or below the floor."""
    ours, acked, sent = window(size=5), set[int](), 0
    for _ in range(data.draw(st.integers(0, 40))):
        if ours.room and data.draw(st.booleans()):
            sent += 1
            ours.sent(sent, sent)
        ids = data.draw(st.lists(st.integers(1, 45), max_size=3))
        acked.update(ours.acknowledge(ids, until=0))

        assert len(ours) <= 5
        pending = {n for n in range(1, sent + 1) if ours.is_pending(n)}
        assert pending == set(range(1, sent + 1)) - acked
        assert ours.floor == (min(pending) - 1 if pending else sent)
