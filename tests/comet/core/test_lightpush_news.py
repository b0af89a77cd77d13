"""What has happened to clients of light-push since it was last written."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Arrival, AttendanceNews, Seat
from comet.core.lightpush_news import MAX_ROOMS, Batch, Entry, NewsBook, presence_of

NOW = 9000  # ms


def arrival(client: str, at: int = 1000) -> Arrival:
    """A connect."""
    return Arrival("/demo", client, "u1", Platform.WEB, "d1", at)


class Written(NamedTuple):
    """What stores know after batches were carried out in their order."""

    present: dict[str, int]
    seats: set[tuple[str, str]]

    def write(self, news: AttendanceNews) -> None:
        """As Attendance.record promises it."""
        for _, client in news.went:
            self.present.pop(client, None)
            self.seats.difference_update([seat for seat in self.seats if seat[0] == client])
        self.present.update((one.client, one.at) for one in news.came)
        self.seats.difference_update((seat.client, seat.room) for seat in news.left)
        self.seats.update(
            (seat.client, seat.room) for seat in news.joined if seat.client in self.present
        )


def test_a_client_that_comes_joins_and_leaves_is_one_entry() -> None:
    """Only the last word about each room is written."""
    book = NewsBook(10)
    one = arrival("a")
    book.came(one)
    for room in ("r1", "r2"):
        book.joined(one, room)
    book.left(one, "r1")

    batch = book.take(10)

    assert batch.arrivals == [one]
    assert batch.attendance == AttendanceNews(
        came=(presence_of(one),),
        left=(Seat("/demo", "r1", "a"),),
        joined=(Seat("/demo", "r2", "a"),),
    )
    assert [each.room for each in batch.enrolments] == ["r1", "r2"]
    assert not len(book)


def test_who_came_and_went_in_between_was_here() -> None:
    """It is known for good, and not present."""
    book = NewsBook(10)
    one = arrival("a")
    book.came(one)
    book.joined(one, "r1")
    book.went(one, NOW)

    batch = book.take(10)

    assert (batch.arrivals, len(batch.enrolments)) == ([one], 1)
    assert batch.attendance == AttendanceNews(went=(("/demo", "a"),))
    assert [(each.arrived, each.at) for each in batch.departures] == [(1000, NOW)]


def test_who_went_and_came_again_is_present_and_in_its_new_rooms_alone() -> None:
    """What was written of the old connection goes first."""
    book = NewsBook(10)
    old, new = arrival("a", 1000), arrival("a", 2000)
    book.joined(old, "r1")
    book.went(old, NOW)
    book.came(new)
    book.joined(new, "r2")

    batch = book.take(10)

    assert batch.attendance == AttendanceNews(
        went=(("/demo", "a"),), came=(presence_of(new),), joined=(Seat("/demo", "r2", "a"),)
    )


def test_what_is_put_back_lies_under_what_is_newer() -> None:
    """Room by room; a newer departure ends all of it."""
    book = NewsBook(10)
    one = arrival("a")
    book.came(one)
    book.joined(one, "r1")
    book.joined(one, "r2")
    batch = book.take(10)
    book.left(one, "r1")

    book.put_back(batch)

    news = book.take(10).attendance
    assert (news.came, news.left) == ((presence_of(one),), (Seat("/demo", "r1", "a"),))
    assert news.joined == (Seat("/demo", "r2", "a"),)

    book.put_back(batch)
    book.went(one, NOW)
    assert book.take(10).attendance == AttendanceNews(went=(("/demo", "a"),))


def test_a_full_book_forgets_and_says_so() -> None:
    """Then everything is written anew."""
    book = NewsBook(2)
    for client in "abc":
        book.came(arrival(client))

    assert book.is_torn
    assert len(book) == 1


def test_what_is_written_anew_replaces_what_was_written() -> None:
    """Unless the client has gone meanwhile."""
    book = NewsBook(10)
    stays, goes = arrival("a"), arrival("b")
    book.went(goes, NOW)

    book.rewrite(stays, ["r1"])
    book.rewrite(goes, ["r1"])
    book.erase(presence_of(arrival("c")), NOW)

    news = book.take(10).attendance
    assert {client for _, client in news.went} == {"a", "b", "c"}
    assert (news.came, news.joined) == ((presence_of(stays),), (Seat("/demo", "r1", "a"),))


def test_one_client_cannot_fill_the_book() -> None:
    """However many rooms it enters and leaves."""
    book = NewsBook(10)
    one = arrival("a")
    for number in range(MAX_ROOMS + 10):
        book.joined(one, f"r{number}")
        book.left(one, f"r{number}")

    (entry,) = book.take(10).entries.values()
    assert len(entry.seats) == len(entry.enrolled) == MAX_ROOMS


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["came", "went", "joined", "left", "write", "fail", "doubt"]),
        st.sampled_from("ab"),
        st.sampled_from(["r1", "r2"]),
    ),
    max_size=40,
)


@given(STEPS)
def test_stores_come_to_know_what_is(steps: list[tuple[str, str, str]]) -> None:
    """Whatever happens in which order, and whichever batches fail, before or after they were carried out."""
    book, written = NewsBook(100), Written({}, set())
    here: dict[str, Arrival] = {}
    seats: set[tuple[str, str]] = set()
    for time, (what, client, room) in enumerate(steps):
        if what == "came" and client not in here:
            here[client] = arrival(client, time)
            book.came(here[client])
        elif what == "went" and client in here:
            book.went(here.pop(client), time)
            seats = {seat for seat in seats if seat[0] != client}
        elif what == "joined" and client in here:
            book.joined(here[client], room)
            seats.add((client, room))
        elif what == "left" and client in here:
            book.left(here[client], room)
            seats.discard((client, room))
        elif what in {"write", "fail", "doubt"}:
            batch = book.take(1)
            if what != "fail":
                written.write(batch.attendance)
            if what != "write":
                book.put_back(batch)

    written.write(book.take(100).attendance)

    assert written == Written({client: one.at for client, one in here.items()}, seats)


def test_an_empty_batch_is_no_news() -> None:
    """Nothing is written then."""
    assert Batch({}).attendance == AttendanceNews()
    assert Batch({("/demo", "a"): Entry()}).attendance == AttendanceNews()
