"""A violation as people want to see it: what is wrong, and what happened around it.

    2 once: connection 1 of n9 got id 1795285506740437 twice
            1.276  Broken(what='c1 is frozen')
            6.801  Accepted(call=496, key='g2@qun', id=1795285506740437, stored=True)
            6.809  Received(connection=1, id=1795285506740437, order=316)
            6.932  Received(connection=1, id=1795285506740437, order=495)

Seconds count from the beginning of the history.
"""

from collections.abc import Iterable

from tests.cluster.case import Case, index
from tests.cluster.checker import Law, Violation
from tests.cluster.history import (
    Accepted,
    Acknowledged,
    AnyEvent,
    Asked,
    Broken,
    Doubtful,
    Ended,
    Fetched,
    Mended,
    OrderNumber,
    Received,
    Refused,
    Settled,
    Welcomed,
)

AROUND = 12  # events of an excerpt on each side of what it is about
SHOWN = 10  # violations of one law that are shown
LONGEST = 300  # characters of an event


def report(history: Iterable[AnyEvent], violations: list[Violation]) -> str:
    """The violations, and for the first of each law the events that it is about."""
    events = list(history)
    start = events[0].at if events else 0.0
    parts: list[str] = []
    for law in Law:
        broken = [violation for violation in violations if violation.law is law]
        parts += [f"{law}: {violation.says}" for violation in broken[:SHOWN]]
        if len(broken) > SHOWN:
            parts.append(f"{law}: and {len(broken) - SHOWN} more")
        if broken:
            excerpt = _excerpt(events, broken[0])
            parts += [f"    {event.at - start:9.3f}  {_shown(event)}" for event in excerpt]
    return "\n".join(parts)


def _excerpt(events: list[AnyEvent], violation: Violation) -> list[AnyEvent]:
    """What happened at the key around the order, how its connection began and ended, and the faults."""
    case = index(events)
    about = [event for event in events if _is_about(case, event, violation)]
    marked = [i for i, event in enumerate(about) if _order_of(case, event) == violation.order]
    near = {j for i in marked for j in range(i - AROUND, i + AROUND + 1)}
    edges = Welcomed | Ended | Broken | Mended | Settled
    return [event for i, event in enumerate(about) if i in near or isinstance(event, edges)]


def _is_about(case: Case, event: AnyEvent, violation: Violation) -> bool:
    key, line = violation.key, case.connections.get(violation.connection or 0)
    client = line.client if line else None
    match event:
        case Asked():
            return key in event.keys or event.order == violation.order
        case Received() | Acknowledged() | Ended():
            found = case.connections[event.connection]
            return found.client == client if client else found.key == key
        case Welcomed() | Fetched() if client:
            return event.client == client
        case Accepted() | Refused() | Doubtful() | Welcomed():
            return event.key == key
        case _:
            return isinstance(event, Broken | Mended | Settled)


def _order_of(case: Case, event: AnyEvent) -> OrderNumber | None:
    match event:
        case Asked() | Received():
            return event.order
        case Accepted() | Refused() | Doubtful():
            return case.calls[event.call].order
        case _:
            return None


def _shown(event: AnyEvent) -> str:
    text = repr(event)
    name, _, rest = text.partition("(")
    rest = rest.partition(", ")[2]  # `at` is shown before it
    return f"{name}({rest}" if len(rest) < LONGEST else f"{name}({rest[:LONGEST]}...)"
