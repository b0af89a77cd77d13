"""The book holds the newest of each session, in bounded memory, and never forgets in silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.names import parse_key
from appmodel.core.sessions import SessionName, session_of
from comet.core.session_book import News, SessionBook


def session(number: int) -> SessionName:
    """A session of user `number`."""
    name = session_of(parse_key(f"u{number}_Android-d@user"))
    assert name is not None
    return name


EVENTS = st.lists(st.tuples(st.sampled_from(["note", "write", "fail"]), st.integers(0, 5)))


@given(EVENTS)
def test_what_is_written_in_the_end_is_what_is_here(events: list[tuple[str, int]]) -> None:
    """Whatever comes and goes, and whichever batches fail, some of them half-done."""
    book, here, written = SessionBook(100), set[int](), set[str]()

    for what, number in events:
        if what == "note":
            here ^= {number}
            book.note(session(number), is_here=number in here)
        elif what == "write":
            apply(book.take(2), written)
        else:
            failed = book.take(2)
            apply(News(failed.here[:1], failed.gone[:1]), written)  # it was done in part
            book.put_back(failed)
    while len(book):
        apply(book.take(2), written)

    assert written == {session(number).id for number in here}
    assert book.here == len(here)
    assert not book.is_torn


def apply(news: News, written: set[str]) -> None:
    """As the database does."""
    written.update(name.id for name in news.here)
    written.difference_update(news.gone)


def test_news_of_one_session_are_one_entry_and_the_newest_counts() -> None:
    """Who flaps costs one write."""
    book = SessionBook(10)

    for _ in range(5):
        book.note(session(1), is_here=True)
        book.note(session(1), is_here=False)

    assert book.take(10) == News([], [session(1).id])


def test_a_batch_that_failed_is_older_than_what_came_meanwhile() -> None:
    """Else a session that has gone would be written as here."""
    book = SessionBook(10)
    book.note(session(1), is_here=True)
    failed = book.take(10)
    book.note(session(1), is_here=False)

    book.put_back(failed)

    assert book.take(10) == News([], [session(1).id])


def test_the_oldest_news_are_taken_first() -> None:
    """Nobody waits for ever behind others."""
    book = SessionBook(10)
    for number in range(5):
        book.note(session(number), is_here=True)

    assert [name.user for name in book.take(2).here] == ["u0", "u1"]


def test_a_full_book_says_that_it_has_forgotten() -> None:
    """Its memory is bounded; what is lost is found by comparing."""
    book = SessionBook(3)
    states = [book.is_torn]

    for number in range(4):
        book.note(session(number), is_here=True)
        states.append(book.is_torn)
    kept = len(book), book.here
    book.begin_anew()
    states.append(book.is_torn)

    assert states == [False, False, False, False, True, False]
    assert kept == (1, 4)


@pytest.mark.parametrize("is_here", [True, False])
def test_news_are_newer_than_a_repair(*, is_here: bool) -> None:
    """What was read from the database is older than what happened while it was read."""
    book = SessionBook(3)
    book.note(session(1), is_here=is_here)

    assert not book.repair(session(1).id, None if is_here else session(1))
    assert book.repair(session(2).id, session(2))

    news = book.take(10)
    assert (session(1) in news.here) is is_here
    assert session(2) in news.here
