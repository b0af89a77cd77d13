"""What waits, in lanes."""

from hypothesis import given
from hypothesis import strategies as st

from web.core.backlog import Backlog

LANES = st.sampled_from("abc")


def test_lanes_take_turns() -> None:
    """A tenant with a thousand notifications delays that with one by one."""
    backlog = Backlog[str, int](100)
    for number in range(10):
        backlog.put("busy", number)
    backlog.put("calm", 99)

    taken = [backlog.take() for _ in range(4)]

    assert taken == [("busy", 0), ("calm", 99), ("busy", 1), ("busy", 2)]


def test_who_fills_it_loses_its_oldest() -> None:
    """Nobody else does, and the newest news is worth the most."""
    backlog = Backlog[str, int](4)
    assert backlog.put("calm", 1) == []
    for number in (10, 11, 12):
        assert backlog.put("busy", number) == []

    assert backlog.put("busy", 13) == [10]
    assert backlog.put("calm", 2) == [11]

    assert [backlog.take_from("calm"), backlog.take_from("calm")] == [1, 2]
    assert backlog.take_from("calm") is None


def test_an_item_larger_than_all_is_taken_if_it_is_alone() -> None:
    """A limit that was set too low stops nothing for good."""
    backlog = Backlog[str, int](10)
    backlog.put("a", 1, size=5)

    assert backlog.put("b", 2, size=50) == [2]
    assert backlog.take() == ("a", 1)
    assert backlog.put("b", 3, size=50) == []
    assert backlog.take() == ("b", 3)


@given(st.lists(st.tuples(LANES, st.integers(1, 5)) | st.none() | LANES), st.integers(1, 20))
def test_it_counts_what_it_holds(steps: list[tuple[str, int] | str | None], limit: int) -> None:
    """Nothing is lost but what it says it dropped, nothing is there twice, per lane in order."""
    backlog = Backlog[str, tuple[int, int]](limit)
    held: dict[str, list[tuple[int, int]]] = {lane: [] for lane in "abc"}
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            lane, size = step
            held[lane].append((number, size))
            for item in backlog.put(lane, (number, size), size):
                (owner,) = [each for each in held if item in held[each]]
                assert held[owner].pop(0) == item
        elif step is None:
            found = backlog.take()
            if found is not None:
                assert held[found[0]].pop(0) == found[1]
        else:
            taken = backlog.take_from(step)
            assert taken == (held[step].pop(0) if held[step] else None)

        waiting = [item for lane in held.values() for item in lane]
        assert len(backlog) == len(waiting)
        assert backlog.size == sum(size for _, size in waiting)
        assert backlog.size <= limit or len(backlog) == 1
