"""The order of checks and the limits: spec/gopush.md 1.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import BadInput
from comet.core.admission import (
    Gate,
    HeartbeatRule,
    Limits,
    Subscription,
    parse_subscription,
)

RULE = HeartbeatRule(minimum=30, maximum=86400)


def parse(
    key: str = "u1@user",
    heartbeat: str = "30",
    ticket: str = "",
    version: str = "",
    last_id: str = "",
) -> Subscription:
    return parse_subscription(
        key=key, heartbeat=heartbeat, ticket=ticket, version=version, last_id=last_id, rule=RULE
    )


@pytest.mark.parametrize(
    ("key", "heartbeat", "field"),
    [
        ("", "x", "key"),
        ("a\nb", "30", "key"),
        ("k", "", "heartbeat"),
        ("k", "3x", "heartbeat"),
        ("k", "30.0", "heartbeat"),
        ("k", " 30", "heartbeat"),
        ("k", "٣٠", "heartbeat"),
        ("k", "29", "heartbeat"),
        ("k", "-30", "heartbeat"),
        ("k", "9" * 20, "heartbeat"),
    ],
)
def test_the_first_wrong_field_is_named(key: str, heartbeat: str, field: str) -> None:
    """Checks 4 to 6 of the table, in their order."""
    with pytest.raises(BadInput) as caught:
        parse(key, heartbeat)

    assert caught.value.field == field


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("+45", 45), ("999999999", 86400)])
def test_heartbeats(text: str, seconds: float) -> None:
    """A sign is allowed, and more than the maximum counts as the maximum (L28)."""
    assert parse(heartbeat=text).heartbeat == seconds


def test_only_version_2_resumes() -> None:
    """A legacy client's extra parameters are ignored, as in the original."""
    assert parse(version="1", last_id="5").last_id is None
    assert parse(version="2", last_id="5").last_id == 5
    assert parse(version="2").last_id is None


@pytest.mark.parametrize("last_id", ["x", "-1", str(2**53), "1.5"])
def test_a_bad_cursor_is_refused(last_id: str) -> None:
    """An id is a whole number from 0 below 2^53."""
    with pytest.raises(BadInput, match="mid"):
        parse(version="2", last_id=last_id)


def gate(**limits: int) -> Gate:
    defaults = {
        "connections": 10,
        "per_address": 10,
        "per_key": 2,
        "sessions_per_user": 3,
        "handshakes_per_second": 10,
    }
    return Gate(Limits(**defaults | limits))


@pytest.mark.parametrize("limit", ["connections", "per_address", "handshakes_per_second"])
def test_each_limit_refuses_and_counts(limit: str) -> None:
    """One more than the limit is refused by its name; a place given back can be taken again."""
    door = gate(**{limit: 2})

    assert [door.enter("10.0.0.1", 1.0) for _ in range(3)] == [None, None, limit]
    assert door.refused == {limit: 1}
    door.leave("10.0.0.1")
    assert door.enter("10.0.0.1", 2.0) is None


def test_addresses_are_counted_apart() -> None:
    """One address at its limit takes nothing from another."""
    door = gate(per_address=1)

    assert door.enter("10.0.0.1", 1.0) is None
    assert door.enter("10.0.0.2", 1.0) is None
    assert door.enter("10.0.0.1", 1.0) == "per_address"


def test_a_key_can_be_full() -> None:
    """Connection number limit + 1 is refused."""
    door = gate()

    assert [door.is_full(number) for number in (0, 1, 2)] == [False, False, True]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), max_size=60))
def test_the_gate_never_loses_count(steps: list[tuple[bool, str]]) -> None:
    """Places taken are places given back, whatever the order."""
    door = gate(connections=5, per_address=2, handshakes_per_second=1000)
    inside: list[str] = []

    for enters, address in steps:
        if enters and door.enter(address, 1.0) is None:
            inside.append(address)
        elif not enters and address in inside:
            inside.remove(address)
            door.leave(address)

        assert door.connections == len(inside)
        assert len(inside) <= 5
        assert all(inside.count(each) <= 2 for each in inside)


def test_a_user_can_have_too_many_sessions() -> None:
    """The limit counts the one that comes, too."""
    assert [gate().has_too_many(number) for number in (3, 4)] == [False, True]
