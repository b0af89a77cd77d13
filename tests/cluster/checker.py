"""Seven laws over a history: what a cluster owes to its callers and clients whatever breaks in it.

    ARRIVES     an accepted message with a ttl reaches every client of its key that is connected or
                comes back before it expires; nothing broken: so does one without a ttl, who is online
    ONCE        a connection gets no id of a key twice
    RISES       on a connection the ids of stored messages rise, and one that is not stored comes with
                an id above all before it
    RESUMES     a client that resumes from its last id misses nothing and reads nothing again; nobody
                sees a later stored message before an earlier one
    ADDRESSED   nothing reaches a key, or a realm, that it was not addressed to; an inbox means its sessions
    ONE         an order repeated under its idempotency key is one message, under the id that was told
    TRUTHFUL    what was refused is nowhere, what was accepted is kept, what was shown was kept before

`check(history)` returns what was broken; report.py shows it with its part of the history. Plain functions
over an index of the events: the laws look at what happened, never at what a node says of itself.

What a gopush client cannot be promised (docs/protocol.md, "Two positions in one"): it takes every id for its
position, also that of a message that is not stored. While something is broken, one that is stored may have a
lower id and come later; a client whose line ends in between does not fetch it. Nor need the ids of two keys
differ: a session may get its own message and a copy of its inbox under one.

Times are bounds: an order expires no earlier than its call left plus its ttl, which is all that an
observer knows. So nobody is accused for a message that may have expired.

Source: cluster.md section 7.
"""

import enum
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from appmodel.core.names import Key
from tests.cluster.case import Case, Connection, Order, index
from tests.cluster.history import AnyEvent, Id, OrderNumber, Received


class Law(enum.StrEnum):
    """Numbered as in cluster.md."""

    ARRIVES = "1 arrives"
    ONCE = "2 once"
    RISES = "3 rises"
    RESUMES = "4 resumes"
    ADDRESSED = "5 addressed"
    ONE = "6 one message"
    TRUTHFUL = "7 truthful"


class Violation(NamedTuple):
    """A law that does not hold, and what to look for in the history."""

    law: Law
    says: str
    key: str
    order: OrderNumber | None = None
    connection: int | None = None


def check(history: Iterable[AnyEvent]) -> list[Violation]:
    """Every violation, by law."""
    events = list(history)
    whole = index(events)
    own = index(_without_copies(whole, events))
    return [
        violation for law in LAWS for violation in law(whole if law in {once, addressed} else own)
    ]


def _without_copies(whole: Case, events: Sequence[AnyEvent]) -> Iterator[AnyEvent]:
    """A session hears what its inbox is sent, live and under the inbox's id: its own key keeps no promise of that."""
    for event in events:
        if not (isinstance(event, Received) and _is_copy(whole, event)):
            yield event


def _is_copy(case: Case, event: Received) -> bool:
    """Whether it came to a session because it was sent to its inbox."""
    key, order = case.connections[event.connection].key, case.orders.get(event.order)
    return order is not None and key not in order.keys and _inbox_of(key) in order.keys


def arrives(case: Case) -> Iterator[Violation]:
    """Law 1. Judged only of a history that had time to settle."""
    if case.settled_at is None:
        return
    for client, lines in case.clients.items():
        here = lines[-1].ended_at is None or lines[-1].ended_at >= case.settled_at
        if not here:
            continue  # whoever stays away is owed nothing yet
        key, seen = lines[0].key, case.seen(client)
        for order in case.orders_of[key]:
            if order.number not in seen and _is_owed(case, order, key, lines):
                ids = sorted(order.ids(key))
                if not case.calm and _is_passed_by(case, lines, ids[-1]):
                    continue
                yield Violation(
                    Law.ARRIVES,
                    f"order {order.number} (id {ids}, ttl {order.ttl:g}) never came to {client}",
                    key,
                    order.number,
                    lines[-1].number,
                )


def _is_owed(case: Case, order: Order, key: str, lines: list[Connection]) -> bool:
    """Whether a client that is here at the end must have seen `order`."""
    ids = order.ids(key)
    if not ids:
        return False  # nobody was promised anything
    assert case.settled_at is not None
    first = lines[0]
    stayed = len(lines) == 1 and first.opened_at < order.calls[0].asked_at
    if not order.is_stored or order.expires_at <= case.settled_at:
        return case.calm and stayed
    if first.cursor is None:
        return first.opened_at < order.calls[0].asked_at
    return min(ids) > first.cursor


def _is_passed_by(case: Case, lines: list[Connection], message_id: Id) -> bool:
    """Whether a gopush client came back with a position above it that it has from nothing stored."""
    back = next(
        (line for line in lines if not line.native and (line.cursor or 0) >= message_id), None
    )
    if back is None:
        return False
    before = lines[: lines.index(back)]
    stored = [event.id for line in before for event in line.came if case.is_stored(event)]
    for fetch in case.fetched[back.client]:
        if fetch.at < back.opened_at:
            stored += [fetched_id for fetched_id, _ in fetch.messages]
    return max(stored, default=0) < message_id


def once(case: Case) -> Iterator[Violation]:
    """Law 2."""
    for line in case.connections.values():
        came: set[tuple[Id, bool]] = set()
        for event in line.came:
            place = event.id, _is_copy(case, event)
            if place in came:
                says = f"connection {line.number} of {line.client} got id {event.id} twice"
                yield Violation(Law.ONCE, says, line.key, event.order, line.number)
            came.add(place)


def rises(case: Case) -> Iterator[Violation]:
    """Law 3."""
    for line in case.connections.values():
        highest = highest_stored = -1
        for event in line.came:
            stored = case.is_stored(event)
            before = highest_stored if stored else highest
            if event.id < before:
                says = f"connection {line.number} of {line.client} got id {event.id} after {before}"
                yield Violation(Law.RISES, says, line.key, event.order, line.number)
            highest = max(highest, event.id)
            highest_stored = max(highest_stored, event.id) if stored else highest_stored


def resumes(case: Case) -> Iterator[Violation]:
    """Law 4."""
    stored = {key: case.stored(key) for key in {line.key for line in case.connections.values()}}
    for line in case.connections.values():
        yield from _read_again(line, case)
        yield from _skipped(line, case, stored[line.key])
    for lines in case.clients.values():
        yield from _repeated(lines, case)


def _read_again(line: Connection, case: Case) -> Iterator[Violation]:
    """Nothing stored at or below the cursor comes to a client that named it."""
    if not line.native or line.cursor is None:
        return
    for event in line.came:
        if event.id <= line.cursor and case.is_stored(event):
            says = (
                f"connection {line.number} of {line.client} resumed from {line.cursor} "
                f"and got id {event.id}"
            )
            yield Violation(Law.RESUMES, says, line.key, event.order, line.number)


def _skipped(line: Connection, case: Case, stored: dict[Id, Order]) -> Iterator[Violation]:
    """What lies between two stored messages of a connection, and lives, has come before the later."""
    came = [event for event in line.came if event.id in stored]
    if not came:
        return
    last = max(came, key=lambda event: event.id)
    begin = line.cursor if line.native and line.cursor is not None else min(e.id for e in came)
    ids = {event.id for event in came}
    for message_id, order in stored.items():
        if begin < message_id < last.id and message_id not in ids and order.expires_at > last.at:
            says = (
                f"connection {line.number} of {line.client} got id {last.id} "
                f"without {message_id} (order {order.number}) before it"
            )
            yield Violation(Law.RESUMES, says, line.key, order.number, line.number)


def _repeated(lines: list[Connection], case: Case) -> Iterator[Violation]:
    """A native client, which names its last id, gets nothing stored on two connections."""
    seen: dict[Id, int] = {}
    for line in lines:
        if not line.native:
            return
        for event in filter(case.is_stored, line.came):
            before = seen.setdefault(event.id, line.number)
            if before != line.number:
                says = (
                    f"{line.client} got id {event.id} on connection {before} and again "
                    f"on {line.number}"
                )
                yield Violation(Law.RESUMES, says, line.key, event.order, line.number)


def addressed(case: Case) -> Iterator[Violation]:
    """Law 5."""
    for key, message_id, number, connection in case.sightings():
        order = case.orders.get(number)
        if order is None or not {key, _inbox_of(key)} & set(order.keys):
            to = sorted(order.keys) if order else "nobody"
            says = f"order {number} (id {message_id}) was addressed to {to} and seen at {key}"
            yield Violation(Law.ADDRESSED, says, key, number, connection)


def _inbox_of(key: str) -> str:
    """Of a session's key: what is pushed to it reaches the session too; of any other key, itself."""
    inbox = Key.from_stored(key).inbox
    return key if inbox is None else inbox.stored


def one_message(case: Case) -> Iterator[Violation]:
    """Law 6: as many messages as calls that did not fail; one, if the calls named their order."""
    ids: dict[tuple[str, OrderNumber], set[Id]] = defaultdict(set)
    for key, message_id, number, _ in case.sightings():
        ids[key, number].add(message_id)
    for order in case.orders.values():
        for key in order.keys:
            found = ids[key, order.number] | order.ids(key)
            calls = order.open_calls(key)
            allowed = min(calls, 1) if order.idempotent and order.is_stored else calls
            if len(found) > max(allowed, 1):
                says = (
                    f"order {order.number}, asked for by {len(order.calls)} calls, became "
                    f"{len(found)} messages at {key}: {sorted(found)}"
                )
                yield Violation(Law.ONE, says, key, order.number)


def truthful(case: Case) -> Iterator[Violation]:
    """Law 7."""
    yield from _found_after_refusal(case)
    yield from _not_kept(case)


def _found_after_refusal(case: Case) -> Iterator[Violation]:
    for key, message_id, number, connection in case.sightings():
        order = case.orders.get(number)
        if order and key in order.keys and not order.open_calls(key):
            says = f"order {number} was refused at {key} and is there: id {message_id}"
            yield Violation(Law.TRUTHFUL, says, key, number, connection)


def _not_kept(case: Case) -> Iterator[Violation]:
    """What lives at the end and was promised or shown is in the store, under that very id."""
    shown: dict[str, set[tuple[Id, OrderNumber]]] = defaultdict(set)
    for line in case.connections.values():
        shown[line.key] |= {(event.id, event.order) for event in line.came}
    for order in case.orders.values():
        for key in order.keys:
            shown[key] |= {(message_id, order.number) for message_id in order.ids(key)}
    for key, kept in case.kept.items():
        for message_id, number in sorted(shown[key] - set(kept.messages)):
            order_of = case.orders.get(number)
            if order_of and order_of.is_stored and order_of.expires_at > kept.at:
                says = f"order {number} (id {message_id}) was accepted or shown, and is not kept"
                yield Violation(Law.TRUTHFUL, says, key, number)


LAWS: tuple[Callable[[Case], Iterator[Violation]], ...] = (
    arrives,
    once,
    rises,
    resumes,
    addressed,
    one_message,
    truthful,
)
