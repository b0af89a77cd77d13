"""News of acknowledgements: what is not written yet is known, whatever the book says."""

from appmodel.core.mpush_stores import AckNews, AckState
from comet.core.mpush_news import AckNewsBook


def test_news_of_one_device_are_one_entry() -> None:
    """The highest floor, and the ids above it."""
    book = AckNewsBook(100)
    book.add("a", 5, [7, 9])
    book.add("b", 0, [1])
    book.add("a", 8, [11])
    book.add("a", 3, [])

    assert list(book.take(10)) == [AckNews("b", 0, (1,)), AckNews("a", 8, (9, 11))]


def test_what_is_being_written_is_not_forgotten_before_it_is() -> None:
    """A login in between sees all; what failed waits again, with what came meanwhile."""
    book = AckNewsBook(100)
    book.add("a", 5, [7])
    book.take(10)
    book.add("a", 6, [9])

    assert book.merged("a", AckState(2, frozenset({3, 8}))) == AckState(6, frozenset({7, 8, 9}))
    book.failed()
    assert list(book.take(10)) == [AckNews("a", 6, (7, 9))]
    book.written()
    assert book.merged("a", AckState(2)) == AckState(2)
    assert len(book) == 0


def test_of_too_much_the_device_that_was_silent_longest_loses_its_news() -> None:
    """They come to it once more; the others keep theirs."""
    book = AckNewsBook(6)
    book.add("old", 0, [1, 2])
    book.add("new", 0, [1, 2])
    book.add("new", 0, [3])

    assert [news.name for news in book.take(10)] == ["new"]
    assert book.dropped == 1
