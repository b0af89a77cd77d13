"""The checker sees each kind of violation, and accuses no lawful history."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.cluster.checker import Law, check
from tests.cluster.history import (
    Accepted,
    Asked,
    Broken,
    Ended,
    History,
    Received,
    Settled,
    Welcomed,
)
from tests.cluster.ideal import MUTATIONS, Events, Mutation, histories
from tests.cluster.report import report


@given(histories())
def test_a_lawful_history_is_not_accused(events: Events) -> None:
    """Refusals, doubts, repetitions, returns and fetches are no violations."""
    assert report(events, check(events)) == ""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
# few, for each is long; and not every history has the place for a fault
@settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much])
@given(events=histories(), seed=st.integers(0, 2**32))
def test_each_violation_is_seen(mutation: Mutation, events: Events, seed: int) -> None:
    """One fault in a lawful history breaks its law, and the report shows the key's events."""
    broken = mutation(events, random.Random(seed))
    assume(broken is not None)
    assert broken is not None

    violations = check(broken)

    assert MUTATIONS[mutation] in {violation.law for violation in violations}
    assert "Asked" in report(broken, violations)


@given(histories(), st.integers(0, 200))
def test_a_history_that_breaks_off_is_not_accused(events: Events, end: int) -> None:
    """What has not come yet when the observer stops is not lost."""
    assert check(events[:end]) == []


def test_a_message_without_ttl_is_owed_only_while_nothing_is_broken() -> None:
    """It is best effort; but a calm cluster has no excuse."""
    events: Events = [
        Welcomed(connection=1, client="c", key="a", cursor=None),
        Asked(call=1, order=1, keys=("a",), ttl=0, idempotent=False),
        Accepted(call=1, key="a", id=5, stored=False),
        Settled(),
    ]

    assert [violation.law for violation in check(events)] == [Law.ARRIVES]
    assert check([Broken(what="a comet"), *events]) == []


def test_a_gopush_client_is_not_owed_what_its_position_has_passed() -> None:
    """While something is broken; and only if what took it there is not stored."""

    def story(ttl: float) -> Events:
        return [
            Welcomed(connection=1, client="c", key="a", cursor=0, native=False),
            Asked(call=1, order=1, keys=("a",), ttl=600, idempotent=False),
            Asked(call=2, order=2, keys=("a",), ttl=ttl, idempotent=False),
            Received(connection=1, id=6, order=2),
            Ended(connection=1, why=""),
            Welcomed(connection=2, client="c", key="a", cursor=6, native=False),
            Accepted(call=1, key="a", id=5, stored=True),
            Settled(),
        ]

    assert check([Broken(what="a comet"), *story(ttl=0)]) == []
    assert [violation.law for violation in check(story(ttl=0))] == [Law.ARRIVES]
    broken = check([Broken(what="a comet"), *story(ttl=600)])
    assert [violation.law for violation in broken] == [Law.ARRIVES]


def test_ids_of_an_inbox_and_of_a_session_may_meet() -> None:
    """But neither gives one twice."""

    def story(*came: tuple[int, int]) -> Events:
        return [
            Welcomed(connection=1, client="c", key="u1_iOS-d1@user", cursor=None),
            Asked(call=1, order=1, keys=("u1@user",), ttl=0, idempotent=False),
            Asked(call=2, order=2, keys=("u1_iOS-d1@user",), ttl=0, idempotent=False),
            Asked(call=3, order=3, keys=("u1@user",), ttl=0, idempotent=False),
            *(Received(connection=1, id=at, order=order) for at, order in came),
        ]

    assert check(story((5, 1), (5, 2))) == []
    for twice in ((5, 1), (5, 3)), ((5, 2), (5, 2)):
        assert Law.ONCE in {violation.law for violation in check(story(*twice))}


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Everything, in order: a wrong one is looked at again."""
    history = History([Welcomed(connection=1, client="c", key="shop\x1fa", cursor=None)])
    history.add(Received(connection=1, id=2**53 - 1, order=1))

    history.write(tmp_path / "history.jsonl")

    assert list(History.read(tmp_path / "history.jsonl")) == list(history)
