"""The decisions that all stores share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.clock import MAX_ID
from appmodel.core.message import DEDUPE_WINDOW, Stored
from appmodel.core.names import QUEUE_STEP
from message.core.retention import MAX_AHEAD_US, kept_until, message_id, runs_away, take_page

IDS = st.integers(0, MAX_ID)


@given(IDS, IDS)
def test_an_id_is_above_the_mark_and_no_higher_than_it_must_be(proposed: int, mark: int) -> None:
    """It is the proposed one, or the next one."""
    mid = message_id(proposed, mark)

    assert mid > mark
    assert mid in (proposed, mark + 1)
    assert mid == proposed or proposed <= mark


@given(st.lists(st.integers(0, 20_000), max_size=20), st.integers(0, 9))
def test_ids_of_a_queue_are_of_different_milliseconds(proposals: list[int], mark: int) -> None:
    """Each is whole, not below what was proposed, and no higher than that and the one before ask for."""
    mark *= QUEUE_STEP
    for proposed in proposals:
        mid = message_id(proposed, mark, QUEUE_STEP)

        assert mid % QUEUE_STEP == 0
        assert mid >= proposed
        assert mid >= mark + QUEUE_STEP
        assert mid < proposed + QUEUE_STEP or mid == mark + QUEUE_STEP
        mark = mid


@pytest.mark.parametrize(
    ("ttl", "kept"),
    [(0, DEDUPE_WINDOW), (60, DEDUPE_WINDOW), (DEDUPE_WINDOW + 1, DEDUPE_WINDOW + 1)],
)
def test_receipts_are_kept_a_day_or_the_ttl_if_longer(ttl: float, kept: float) -> None:
    """From the save on."""
    assert kept_until(1000.0, 1000.0 + ttl) == 1000.0 + kept


@pytest.mark.parametrize(
    ("now_us", "highest", "proposed", "refused"),
    [
        (10**15, 0, 10**15 + MAX_AHEAD_US, False),
        (10**15, 0, 10**15 + MAX_AHEAD_US + 1, True),
        (10**15, 2 * 10**15, 2 * 10**15 + MAX_AHEAD_US, False),
        (10**15, 2 * 10**15, 2 * 10**15 + MAX_AHEAD_US + 1, True),
        (10**15, 0, 1, False),
        (10**15, MAX_ID, MAX_ID, False),
        (10**15, MAX_ID, MAX_ID + 1, True),
    ],
)
def test_a_clock_may_lead_by_five_minutes(
    now_us: int, highest: int, proposed: int, refused: bool
) -> None:
    """Over our time or over the highest mark, whichever is later; and never above MAX_ID."""
    assert runs_away(proposed, now=now_us / 1e6, highest=highest) == refused


@given(
    st.lists(st.integers(0, 50), max_size=30),
    st.integers(1, 12),
    st.integers(1, 120),
)
def test_pages_put_together_are_the_whole(sizes: list[int], limit: int, max_bytes: int) -> None:
    """In order, nothing twice; each within its bounds, or a single message."""
    messages = [Stored(number, b"x" * size, 0.0) for number, size in enumerate(sizes)]

    pages = [take_page(messages, limit=limit, max_bytes=max_bytes)]
    while pages[-1].more:
        after = pages[-1].messages[-1].id
        pages.append(take_page(messages[after + 1 :], limit=limit, max_bytes=max_bytes))

    assert [message for page in pages for message in page.messages] == messages
    for page in pages:
        assert len(page.messages) <= limit
        assert len(page.messages) == 1 or sum(len(m.body) for m in page.messages) <= max_bytes
