"""Locations of departments: the original's vectors, and what it got wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.locations import (
    LEVEL,
    MAX_LOCATION,
    Department,
    is_below,
    next_location,
    place_all,
)

IDS = [f"d{number}" for number in range(8)]
PLACES = ["", "0", "00", "01", "0000", "0001", "0z", "zz", "00zz", "{0", "000000", "Zz"]


@pytest.mark.parametrize(
    ("parent", "greatest", "expected"),
    [
        ("", "00", "01"),
        ("", "09", "0a"),
        ("", "0z", "10"),
        ("", "9z", "a0"),
        ("", "az", "b0"),
        ("00", "0003", "0004"),
        ("00", "000z", "0010"),
    ],
)
def test_new_department_follows_the_greatest_sibling(
    parent: str, greatest: str, expected: str
) -> None:
    """The vectors of the reference, section 10.1."""
    assert next_location(parent, [greatest]) == expected


@pytest.mark.parametrize(("parent", "expected"), [("", "00"), ("00", "0000"), ("0003", "000300")])
def test_first_child_is_00(parent: str, expected: str) -> None:
    """Below any parent."""
    assert next_location(parent, []) == expected


def test_after_the_last_place_the_first_free_one_is_taken() -> None:
    """The original overflows into "{0"."""
    assert next_location("", ["00", "01", "03", "zz"]) == "02"


def test_a_full_level_has_no_place() -> None:
    """1,296 departments below one parent."""
    taken: set[str] = set()
    for _ in range(LEVEL):
        place = next_location("7q", taken)
        assert place is not None
        taken.add(place)

    assert len(taken) == LEVEL
    assert next_location("7q", taken) is None


def test_a_path_has_an_end() -> None:
    """What is longer, fits no column."""
    assert next_location("00" * (MAX_LOCATION // 2), []) is None


def test_siblings_without_a_right_location_do_not_count() -> None:
    """The original panics at them."""
    assert next_location("00", ["", "0", "01", "{0", "00{0", "0000"]) == "0001"


def test_nothing_lies_below_a_department_without_a_place() -> None:
    """Else all of the company would."""
    assert not is_below("0001", "")
    assert is_below("0001", "00")
    assert is_below("00", "00")
    assert not is_below("01", "00")


departments = st.lists(
    st.builds(
        Department,
        st.sampled_from(IDS),
        st.sampled_from([*IDS, "", "nobody"]),
        st.sampled_from(PLACES),
    ),
    unique_by=lambda each: each.id,
)


@given(departments)
def test_every_department_gets_a_place_of_its_own(given: list[Department]) -> None:
    """Whatever was there: circles, missing parents, wrong and doubled locations."""
    places = place_all(given)

    assert places.keys() == {each.id for each in given}
    assert len(set(places.values())) == len(given)
    assert all(places.values())


@given(departments)
def test_children_lie_one_step_below_their_parents(given: list[Department]) -> None:
    """All but those that have none, or are in a circle: they are roots."""
    places = place_all(given)

    for each in given:
        if len(places[each.id]) > 2:
            assert places[each.id][:-2] == places[each.parent_id]


@given(departments)
def test_right_locations_stay(given: list[Department]) -> None:
    """To place all a second time changes nothing."""
    once = [each._replace(location=place_all(given)[each.id]) for each in given]

    assert place_all(once) == {each.id: each.location for each in once}


def test_a_moved_department_takes_its_children_along() -> None:
    """In the original neither it nor they get a new location."""
    given = [
        Department("a", "", "00"),
        Department("b", "", "01"),
        Department("moved", "b", "0000"),
        Department("child", "moved", "000000"),
        Department("settled", "b", "0100"),
    ]

    places = place_all(given)

    assert places == {"a": "00", "b": "01", "settled": "0100", "moved": "0101", "child": "010100"}


def test_what_overflows_has_no_place_and_neither_has_what_is_below() -> None:
    """1,297 departments on one level."""
    given = [Department(f"d{number:04}", "", "") for number in range(LEVEL + 1)]
    last = Department("below", given[-1].id, "0000")

    places = place_all([*given, last])

    assert places[given[-1].id] == places["below"] == ""
