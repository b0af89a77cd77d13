"""Acknowledgements and frames, until they are written."""

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Ack, Process, Tally
from comet.core.lightpush_receipts import ReceiptBook

ME = Process("comet-1", 7)


def ack(number: int, client: str = "a") -> Ack:
    """Of one client."""
    return Ack("/demo", number, client, Platform.WEB)


def test_an_ack_is_kept_once_until_it_is_written() -> None:
    """However often a client says so."""
    book = ReceiptBook(10)
    for _ in range(3):
        book.acknowledge(ack(1))
    book.acknowledge(ack(1, "b"))

    taken = book.acks(10)

    assert taken == [ack(1), ack(1, "b")]
    assert len(book) == 2
    book.done(taken)
    assert len(book) == 0


def test_too_many_acks_are_dropped_and_counted() -> None:
    """One that is there already is not one too many."""
    book = ReceiptBook(2)
    for number in (1, 2, 3, 1):
        book.acknowledge(ack(number))

    assert list(book.acks(10)) == [ack(1), ack(2)]
    assert book.dropped == 1


def test_frames_of_a_push_are_added_up() -> None:
    """Of one namespace: two may have the same number by accident."""
    book = ReceiptBook(10)
    book.count("/demo", 1, 3)
    book.count("/demo", 1, 4)
    book.count("/other", 1, 5)

    assert book.tally(ME, 10) == Tally(ME, 1, {("/demo", 1): 7, ("/other", 1): 5})


def test_a_tally_is_the_same_until_it_has_come_through() -> None:
    """Then the next one has the next number, with what came meanwhile."""
    book = ReceiptBook(10)
    book.count("/demo", 1, 3)
    first = book.tally(ME, 10)
    book.count("/demo", 1, 4)

    assert book.tally(ME, 10) is first

    book.counted()
    assert book.tally(ME, 10) == Tally(ME, 2, {("/demo", 1): 4})
    book.counted()
    assert book.tally(ME, 10) is None
    assert len(book) == 0


def test_a_tally_has_its_limit() -> None:
    """The rest is the next one; too many pushes are dropped and counted."""
    book = ReceiptBook(2)
    for number in (1, 2, 3):
        book.count("/demo", number, 10)

    first = book.tally(ME, 1)

    assert first is not None
    assert list(first.frames) == [("/demo", 1)]
    assert book.dropped == 10
