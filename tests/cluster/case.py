"""The events of a history by what they are about: orders and their calls, clients and their connections.

case = index(history)
case.orders[3].ids("u1@user")       under which ids callers were told of it
case.clients["n7"][0].came          what its first connection brought, in order
case.stored("u1@user")              every message with a ttl that is known of the key, by id
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.cluster.history import (
    Accepted,
    AnyEvent,
    Asked,
    Broken,
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


@dataclass(slots=True)
class Call:
    """One try of a caller. A key without a verdict is in doubt: the caller went away."""

    number: int
    order: OrderNumber
    keys: frozenset[str]
    asked_at: float
    accepted: dict[str, Id] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Order:
    """What a caller wanted."""

    number: OrderNumber
    keys: frozenset[str]
    ttl: float
    idempotent: bool
    calls: list[Call] = field(default_factory=list)

    @property
    def is_stored(self) -> bool:
        """Whether it is to be kept for those who are away."""
        return self.ttl > 0

    @property
    def expires_at(self) -> float:
        """Not before this; of the first call, for a repetition does not prolong its life."""
        return self.calls[0].asked_at + self.ttl

    def open_calls(self, key: str) -> int:
        """How many calls asked for `key` and were not refused there."""
        return sum(key in call.keys and key not in call.refused for call in self.calls)

    def ids(self, key: str) -> set[Id]:
        """Under which callers were told of it."""
        return {call.accepted[key] for call in self.calls if key in call.accepted}


@dataclass(slots=True)
class Connection:
    """What came over it, in order."""

    number: int
    client: str
    key: str
    cursor: Id | None
    native: bool
    opened_at: float
    came: list[Received] = field(default_factory=list)
    ended_at: float | None = None


@dataclass(slots=True)
class Case:
    """The events by what they are about."""

    orders: dict[OrderNumber, Order] = field(default_factory=dict)
    orders_of: dict[str, list[Order]] = field(default_factory=lambda: defaultdict(list))  # by key
    calls: dict[int, Call] = field(default_factory=dict)
    connections: dict[int, Connection] = field(default_factory=dict)
    clients: dict[str, list[Connection]] = field(default_factory=lambda: defaultdict(list))
    fetched: dict[str, list[Fetched]] = field(default_factory=lambda: defaultdict(list))
    kept: dict[str, Kept] = field(default_factory=dict)
    settled_at: float | None = None
    calm: bool = True  # nothing was broken

    def stored(self, key: str) -> dict[Id, Order]:
        """Every message with a ttl that is known to be in the store of `key`, by id."""
        found = {
            message_id: order
            for order in self.orders_of[key]
            if order.is_stored
            for message_id in order.ids(key)
        }
        if key in self.kept:
            for message_id, number in self.kept[key].messages:
                if number in self.orders:
                    found[message_id] = self.orders[number]
        return found

    def is_stored(self, event: Received) -> bool:
        """Whether its order has a ttl; so it is, if nobody placed that order."""
        order = self.orders.get(event.order)
        return order is None or order.is_stored

    def seen(self, client: str) -> set[OrderNumber]:
        """All that has come to a client, over all of its connections and fetches."""
        live = {event.order for line in self.clients[client] for event in line.came}
        return live | {n for fetch in self.fetched[client] for _, n in fetch.messages}

    def sightings(self) -> Iterator[tuple[str, Id, OrderNumber, int | None]]:
        """Wherever a message was seen: key, id, order, and over which connection."""
        for line in self.connections.values():
            for event in line.came:
                yield line.key, event.id, event.order, line.number
        for client, fetches in self.fetched.items():
            key = self.clients[client][0].key
            for fetch in fetches:
                for message_id, number in fetch.messages:
                    yield key, message_id, number, None
        for kept in self.kept.values():
            for message_id, number in kept.messages:
                yield kept.key, message_id, number, None


def index(history: Iterable[AnyEvent]) -> Case:
    """The events by what they are about. A history may break off anywhere."""
    case = Case()
    for event in history:
        match event:
            case Asked():
                _index_call(case, event)
            case Accepted():
                case.calls[event.call].accepted[event.key] = event.id
            case Refused():
                case.calls[event.call].refused.add(event.key)
            case Welcomed():
                line = Connection(
                    event.connection, event.client, event.key, event.cursor, event.native, event.at
                )
                case.connections[line.number] = line
                case.clients[line.client].append(line)
            case Received():
                case.connections[event.connection].came.append(event)
            case Fetched():
                case.fetched[event.client].append(event)
            case Ended():
                case.connections[event.connection].ended_at = event.at
            case Kept():
                case.kept[event.key] = event
            case Settled():
                case.settled_at = event.at
            case Broken():
                case.calm = False
            case _:
                pass
    return case


def _index_call(case: Case, event: Asked) -> None:
    order = case.orders.get(event.order)
    if order is None:
        order = Order(event.order, frozenset(event.keys), event.ttl, event.idempotent)
        case.orders[event.order] = order
        for key in event.keys:
            case.orders_of[key].append(order)
    call = Call(event.call, event.order, frozenset(event.keys), event.at)
    case.calls[event.call] = call
    order.calls.append(call)
