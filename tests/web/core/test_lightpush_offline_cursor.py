"""How far a job has come, as it is kept."""

from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.lightpush import MAX_CLIENT_ID
from appmodel.core.lightpush_records import Draft, Progress
from appmodel.core.lightpush_stores import MAX_CURSOR
from web.core.lightpush_offline import (
    MAX_OWED,
    Stage,
    Standing,
    Step,
    pause_after,
    spared,
    standing_of,
)

CLIENTS = st.text("aZ0_.-$#/\\", max_size=MAX_CLIENT_ID)


@given(st.sampled_from(Stage), CLIENTS, st.lists(CLIENTS, max_size=5))
def test_a_cursor_says_what_it_was_made_of(stage: Stage, after: str, owed: list[str]) -> None:
    """Whatever clients are called."""
    standing = Standing(stage, after, tuple(owed))

    assert standing_of(standing.cursor) == standing


def test_a_job_begins_at_the_beginning() -> None:
    """An empty cursor is no JSON."""
    assert standing_of("") == Standing(Stage.INBOXES, "", ())


def test_all_that_may_be_owed_has_room_in_a_cursor() -> None:
    """Also if every character has to be escaped."""
    worst = "\\" * MAX_CLIENT_ID

    assert len(Standing(Stage.APPLE, worst, (worst,) * MAX_OWED).cursor) <= MAX_CURSOR


def test_a_step_is_what_the_book_notes() -> None:
    """Notes are separated as in the original; a job that is done needs no cursor."""
    step = Step(None, 3, 2, ["apnsEnv:production", "c:BadTopic"])

    assert step.progress == Progress("", 3, 2, "apnsEnv:production  >>>>  c:BadTopic")
    assert step.is_worth_noting
    assert not Step(Standing()).is_worth_noting


def test_who_sent_it_and_who_is_excepted_are_spared() -> None:
    """If there are such (W15)."""
    draft = Draft("/demo", "r1", "{}", 1.0, 0, 1)

    assert spared(draft) == set()
    assert spared(Draft("/demo", "r1", "{}", 1.0, 0, 1, without="a", sender="b")) == {"a", "b"}


def test_pauses_double_up_to_a_limit() -> None:
    """However often it was tried."""
    pauses = [pause_after(attempt, first=1.0, most=60.0) for attempt in (1, 2, 3, 7, 8, 10**9)]

    assert pauses == [1.0, 2.0, 4.0, 60.0, 60.0, 60.0]
