"""A cluster that cannot fail, as a model: it makes lawful histories for the tests of the checker.

Callers are refused and left in doubt, clients come and go, resume, and fetch; but whatever was saved
is kept and comes once, in order. `steps` draws such a history; `MUTATIONS` break one law each.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from itertools import count

import msgspec
from hypothesis import strategies as st

from tests.cluster.case import index
from tests.cluster.checker import Law
from tests.cluster.history import (
    Accepted,
    AnyEvent,
    Asked,
    Doubtful,
    Ended,
    Fetched,
    Id,
    Kept,
    OrderNumber,
    Received,
    Refused,
    Settled,
    Welcomed,
)

KEYS = ("a", "b", "shop\x1fa")
CLIENTS = {f"{kind}{key}": key for kind in "nlw" for key in KEYS}  # native, of gopush, waiting
LONG = 1000.0  # seconds: longer than any history
FIRST_ID = 10_000  # higher than any order number, so that reports are easy to read

Events = list[AnyEvent]


class Ideal:
    """Time passes by one second with each event."""

    def __init__(self) -> None:
        self.events: Events = []
        self._stored: dict[str, dict[Id, OrderNumber]] = defaultdict(dict)
        self._lines: dict[str, int] = {}  # client: its connection
        self._last: dict[str, Id] = {}  # client: the last stored id that it handled
        self._numbers, self._id = count(1), FIRST_ID

    def push(self, keys: tuple[str, ...], ttl: float, tries: str) -> None:
        """One order. `tries`: what becomes of each call: (a)ccepted (r)efused (d)oubtful, but (s)aved."""
        order = next(self._numbers)
        told: dict[str, Id] = {}
        for outcome in tries:
            call = next(self._numbers)
            self._add(Asked(call=call, order=order, keys=keys, ttl=ttl, idempotent=len(tries) > 1))
            if outcome in "as" and not told:
                told = {key: self._save(key, order, ttl) for key in keys}
            for key in keys:
                self._add(_answer(outcome, call, key, told.get(key, 0), ttl))

    def connect(self, client: str) -> None:
        """It was away, and comes back with what it had last."""
        if client in self._lines:
            return
        key, line = CLIENTS[client], next(self._numbers)
        waits = client.startswith("w") and client not in self._last
        cursor = None if waits else self._last.get(client, 0)
        native = not client.startswith("l")
        self._lines[client] = line
        self._add(Welcomed(connection=line, client=client, key=key, cursor=cursor, native=native))
        missed = {i: n for i, n in self._stored[key].items() if cursor is not None and i > cursor}
        if not native:
            assert cursor is not None
            self._add(Fetched(client=client, after=cursor, messages=tuple(missed.items())))
            self._last[client] = max(missed, default=cursor)
            return
        for message_id, order in missed.items():
            self._receive(client, message_id, order, stored=True)

    def hang_up(self, client: str) -> None:
        """It goes away."""
        if client in self._lines:
            self._add(Ended(connection=self._lines.pop(client), why=""))
            self._last.setdefault(client, self._id)  # it asked for the time

    def end(self) -> None:
        """Everybody comes back, and the store is read."""
        for client in CLIENTS:
            self.connect(client)
        self._add(Settled())
        for key in KEYS:
            self._add(Kept(key=key, messages=tuple(self._stored[key].items())))

    def _save(self, key: str, order: OrderNumber, ttl: float) -> Id:
        self._id += 1
        message_id = self._id
        if ttl:
            self._stored[key][message_id] = order
        for client in self._lines:
            if CLIENTS[client] == key:
                self._receive(client, message_id, order, stored=ttl > 0)
        return message_id

    def _receive(self, client: str, message_id: Id, order: OrderNumber, *, stored: bool) -> None:
        if stored:
            self._last[client] = message_id
        self._add(Received(connection=self._lines[client], id=message_id, order=order))

    def _add(self, event: AnyEvent) -> None:
        self.events.append(msgspec.structs.replace(event, at=float(len(self.events))))


def _answer(outcome: str, call: int, key: str, message_id: Id, ttl: float) -> AnyEvent:
    if outcome == "a":
        return Accepted(call=call, key=key, id=message_id, stored=ttl > 0)
    if outcome == "r":
        return Refused(call=call, key=key, how="503")
    return Doubtful(call=call, key=key, how="504")


@st.composite
def histories(draw: st.DrawFn) -> Events:
    """A lawful history that ends settled and read back."""
    ideal = Ideal()
    clients = st.sampled_from(sorted(CLIENTS))
    keys = st.lists(st.sampled_from(KEYS), min_size=1, unique=True).map(tuple)
    tries = st.sampled_from(["a", "a", "r", "d", "s", "ra", "rda", "sda", "ss"])
    for action in draw(st.lists(st.sampled_from("pppchpp"), min_size=1, max_size=40)):
        match action:
            case "p":
                ttl = draw(st.sampled_from([LONG, LONG, 3.0, 0.0]))
                ideal.push(draw(keys), ttl, draw(tries) if ttl else draw(st.sampled_from("ard")))
            case "c":
                ideal.connect(draw(clients))
            case _:
                ideal.hang_up(draw(clients))
    ideal.end()
    return ideal.events


Mutation = Callable[[Events, random.Random], Events | None]
"""A history with one fault in it; None if there is no place for that fault."""


def lose(events: Events, chance: random.Random) -> Events | None:
    """An accepted message does not come to one client, however often it returns."""
    case = index(events)
    owed = [
        (client, event.order)
        for client, lines in case.clients.items()
        for line in lines
        for event in line.came
        if case.orders[event.order].ttl == LONG and case.orders[event.order].ids(line.key)
    ]
    if not owed:
        return None
    client, order = chance.choice(sorted(owed))
    own = {line.number for line in case.clients[client]}
    return [
        e
        for e in events
        if not (isinstance(e, Received) and e.connection in own and e.order == order)
    ]


def double(events: Events, chance: random.Random) -> Events | None:
    """A connection gets a message twice."""
    at = _choose(events, chance, lambda e: isinstance(e, Received))
    return None if at is None else [*events[: at + 1], *events[at:]]


def swap(events: Events, chance: random.Random) -> Events | None:
    """Two messages of a connection change places."""
    case = index(events)
    pairs = [
        (i, j)
        for i, one in enumerate(events)
        for j, two in enumerate(events)
        if i < j and isinstance(one, Received) and isinstance(two, Received)
        if one.connection == two.connection
        if case.is_stored(two) or not case.is_stored(one)  # what is not stored may be overtaken
    ]
    if not pairs:
        return None
    i, j = chance.choice(pairs)
    swapped = events.copy()
    swapped[i], swapped[j] = events[j], events[i]
    return swapped


def skip(events: Events, chance: random.Random) -> Events | None:
    """A connection gets a stored message without the stored one before it."""
    case = index(events)
    places: list[Received] = []
    for line in case.connections.values():
        lasting = [e for e in line.came if case.orders[e.order].ttl == LONG]
        resumes = line.native and line.cursor is not None
        places += lasting[:-1] if resumes else lasting[1:-1]
    if not places:
        return None
    skipped = chance.choice(places)
    return [event for event in events if event is not skipped]


def read_again(events: Events, chance: random.Random) -> Events | None:
    """A client that came back gets what it had when it left."""
    case = index(events)
    returned = [
        (lines[i], lines[i + 1])
        for lines in case.clients.values()
        for i in range(len(lines) - 1)
        if lines[i].native and any(map(case.is_stored, lines[i].came))
    ]
    if not returned:
        return None
    before, line = chance.choice(returned)
    old = chance.choice([event for event in before.came if case.is_stored(event)])
    at = next(
        i for i, e in enumerate(events) if isinstance(e, Welcomed) and e.connection == line.number
    )
    again = Received(at=events[at].at, connection=line.number, id=old.id, order=old.order)
    return [*events[: at + 1], again, *events[at + 1 :]]


def stray(events: Events, chance: random.Random) -> Events | None:
    """A message shows up where it was not sent."""
    case = index(events)
    strangers = [o for o in case.orders.values() if len(o.keys) < len(KEYS)]
    if not strangers:
        return None
    order = chance.choice(strangers)
    key = chance.choice(sorted(set(KEYS) - order.keys))
    at = _choose(events, chance, lambda e: isinstance(e, Kept) and e.key == key)
    return _with_kept(events, at, (1, order.number))


def make_two(events: Events, chance: random.Random) -> Events | None:
    """An order that was repeated under its key became two messages."""
    case = index(events)
    repeated = [
        (key, order.number)
        for order in case.orders.values()
        for key in sorted(order.keys)
        if order.idempotent and order.is_stored and order.ids(key)
    ]
    if not repeated:
        return None
    key, number = chance.choice(repeated)
    at = _choose(events, chance, lambda e: isinstance(e, Kept) and e.key == key)
    return _with_kept(events, at, (1, number))


def keep_refused(events: Events, chance: random.Random) -> Events | None:
    """What was refused is there."""
    case = index(events)
    refused = [
        (key, order.number)
        for order in case.orders.values()
        for key in sorted(order.keys)
        if not order.open_calls(key)
    ]
    if not refused:
        return None
    key, number = chance.choice(refused)
    at = _choose(events, chance, lambda e: isinstance(e, Kept) and e.key == key)
    return _with_kept(events, at, (1, number))


def forget(events: Events, chance: random.Random) -> Events | None:
    """What was accepted is not in the store."""
    case = index(events)
    at = _choose(
        events,
        chance,
        lambda e: (
            isinstance(e, Kept)
            and any(
                case.orders[n].ttl == LONG and i in case.orders[n].ids(e.key) for i, n in e.messages
            )
        ),
    )
    if at is None:
        return None
    kept = events[at]
    assert isinstance(kept, Kept)
    lasting = [
        (i, n)
        for i, n in kept.messages
        if case.orders[n].ttl == LONG and i in case.orders[n].ids(kept.key)
    ]
    lost = chance.choice(lasting)
    left = tuple(one for one in kept.messages if one != lost)
    return [*events[:at], msgspec.structs.replace(kept, messages=left), *events[at + 1 :]]


MUTATIONS: dict[Mutation, Law] = {
    lose: Law.ARRIVES,
    double: Law.ONCE,
    swap: Law.RISES,
    skip: Law.RESUMES,
    read_again: Law.RESUMES,
    stray: Law.ADDRESSED,
    make_two: Law.ONE,
    keep_refused: Law.TRUTHFUL,
    forget: Law.TRUTHFUL,
}


def _choose(events: Events, chance: random.Random, fits: Callable[[AnyEvent], bool]) -> int | None:
    places = [i for i, event in enumerate(events) if fits(event)]
    return chance.choice(places) if places else None


def _with_kept(events: Events, at: int | None, message: tuple[Id, OrderNumber]) -> Events | None:
    if at is None:
        return None
    kept = events[at]
    assert isinstance(kept, Kept)
    more = msgspec.structs.replace(kept, messages=(message, *kept.messages))
    return [*events[:at], more, *events[at + 1 :]]
