"""What has happened to clients of light-push since it was last written: one entry for each client, however much it was.

    came                   Clients.arrived      Attendance.came
    joined r1              Clients.enrolled     Attendance.joined
    left r1                                     Attendance.left
    went                   Clients.departed     Attendance.went

A batch takes whole entries, and writes arrivals, presence, enrolments, departures, in that order: so of a client
that came, went and came again before anything was written, both connects and the disconnect are told, and it is
present. Entries may be written twice: an entry whose fate is not known is put back under what is newer.

The book is bounded. When it is full it forgets everything and says so (`is_torn`): then all that is here must be
written anew. Of a client that changes too many rooms before anything is written, the rest is not noted: its
seats are wrong until the next comparison.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from appmodel.core.lightpush_records import (
    Arrival,
    AttendanceNews,
    Departure,
    Enrolment,
    Presence,
    Seat,
)

MAX_ROOMS = 4096  # of one entry

Name = tuple[str, str]  # namespace, client


@dataclass(slots=True)
class Entry:
    """One client's news."""

    arrival: Arrival | None = None  # its newest connect
    departure: Departure | None = None  # its newest disconnect
    has_gone: bool = False  # what is written of its presence counts no more
    presence: Presence | None = None  # it is here, since `has_gone` if that is set
    seats: dict[str, bool] = field(default_factory=dict)  # room -> whether it is in it
    enrolled: dict[str, Enrolment] = field(default_factory=dict)  # by room

    def under(self, newer: "Entry | None") -> "Entry":
        """Both in one: what `newer` says counts more."""
        if newer is None:
            return self
        presence, seats = newer.presence, newer.seats
        if not newer.has_gone:
            presence, seats = presence or self.presence, {**self.seats, **seats}
        return Entry(
            arrival=newer.arrival or self.arrival,
            departure=newer.departure or self.departure,
            has_gone=self.has_gone or newer.has_gone,
            presence=presence,
            seats=seats,
            enrolled={**self.enrolled, **newer.enrolled},
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of the book, to be written in the order of the fields."""

    entries: dict[Name, Entry]

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """Connects."""
        return [entry.arrival for entry in self.entries.values() if entry.arrival is not None]

    @property
    def attendance(self) -> AttendanceNews:
        """Who is present where."""
        seats = [
            (Seat(namespace, room, client), is_in)
            for (namespace, client), entry in self.entries.items()
            for room, is_in in entry.seats.items()
        ]
        entries = self.entries.values()
        return AttendanceNews(
            went=tuple(name for name, entry in self.entries.items() if entry.has_gone),
            came=tuple(entry.presence for entry in entries if entry.presence is not None),
            left=tuple(seat for seat, is_in in seats if not is_in),
            joined=tuple(seat for seat, is_in in seats if is_in),
        )

    @property
    def enrolments(self) -> Sequence[Enrolment]:
        """Members for good."""
        return [each for entry in self.entries.values() for each in entry.enrolled.values()]

    @property
    def departures(self) -> Sequence[Departure]:
        """Disconnects."""
        return [entry.departure for entry in self.entries.values() if entry.departure is not None]


class NewsBook:
    """The news of one comet."""

    def __init__(self, limit: int) -> None:
        """`limit`: clients whose news are kept."""
        self._limit = limit
        self._entries: dict[Name, Entry] = {}
        self.is_torn = False  # news were forgotten

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: Name) -> bool:
        return name in self._entries

    def came(self, arrival: Arrival) -> None:
        """A client is here."""
        entry = self._entry(_name(arrival))
        entry.arrival, entry.presence = arrival, presence_of(arrival)

    def went(self, arrival: Arrival, now: int, reason: str = "network") -> None:
        """It is not; `now`: ms."""
        entry = self._entry(_name(arrival))
        entry.departure = Departure(arrival.namespace, arrival.client, arrival.at, now, reason)
        entry.has_gone, entry.presence = True, None
        entry.seats.clear()

    def joined(self, arrival: Arrival, room: str) -> None:
        """It is in a room, and a member for good."""
        entry = self._note_seat(arrival, room, is_in=True)
        if room in entry.seats:
            entry.enrolled[room] = Enrolment(
                arrival.namespace, room, arrival.client, arrival.platform
            )

    def left(self, arrival: Arrival, room: str) -> None:
        """It is not in that room."""
        self._note_seat(arrival, room, is_in=False)

    def rewrite(self, arrival: Arrival, rooms: Iterable[str]) -> None:
        """Whatever is written of it, it is here, in these rooms."""
        entry = Entry(arrival=arrival, has_gone=True, presence=presence_of(arrival))
        for room in rooms:
            entry.seats[room] = True
            entry.enrolled[room] = Enrolment(
                arrival.namespace, room, arrival.client, arrival.platform
            )
        self._keep(_name(arrival), entry.under(self._entries.get(_name(arrival))))

    def erase(self, presence: Presence, now: int) -> None:
        """What is written of it is wrong: it is not here. What the book knows of it is newer."""
        name = (presence.namespace, presence.client)
        departure = Departure(*name, presence.at, now)
        entry = Entry(departure=departure, has_gone=True)
        self._keep(name, entry.under(self._entries.get(name)))

    def take(self, limit: int) -> Batch:
        """At most `limit` entries, oldest first. `put_back` them if they cannot be written."""
        oldest = list(islice(self._entries, limit))
        return Batch({name: self._entries.pop(name) for name in oldest})

    def put_back(self, batch: Batch) -> None:
        """These may not be written. What has happened since then is newer."""
        for name, entry in batch.entries.items():
            self._keep(name, entry.under(self._entries.get(name)))

    def begin_anew(self) -> None:
        """All that is here is going to be written."""
        self.is_torn = False

    def _note_seat(self, arrival: Arrival, room: str, *, is_in: bool) -> Entry:
        entry = self._entry(_name(arrival))
        if len(entry.seats) < MAX_ROOMS or room in entry.seats:
            entry.seats[room] = is_in
        return entry

    def _entry(self, name: Name) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            entry = Entry()
            self._keep(name, entry)
        return entry

    def _keep(self, name: Name, entry: Entry) -> None:
        if len(self._entries) >= self._limit and name not in self._entries:
            self._entries.clear()
            self.is_torn = True
        self._entries[name] = entry


def presence_of(arrival: Arrival) -> Presence:
    """A client that came so is present so."""
    return Presence(arrival.namespace, arrival.client, arrival.userid, arrival.platform, arrival.at)


def _name(arrival: Arrival) -> Name:
    return (arrival.namespace, arrival.client)
