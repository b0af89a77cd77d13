"""What the light-push REST tells of pushes, and of who is online: shapes of answers.

    of a push       its hash, {"ackIOSDetail":[],"ackAndroidDetail":[],"ackWebDetail":[],"deliveryRate":0.75}
    of a namespace  {"roomCount":1,"userCount":2,"clientCount":3,"totalClientCount":4}
    of a room       {"name":"r1","userCount":2,"clientCount":3,"totalClientCount":4,"iosClientCount":1,
                     "totalIOSClientCount":1,"androidClientCount":0,"totalAndroidClientCount":1}
    totals          {"minute":[{"time":1793233980000,"count":2},...],"hour":[...],"day":[...]}

Source: spec/liutian-push.md 5.3 and 5.4. Ours: the delivery rate, which the original leaves to its readers, and
totals of the past, which it keeps and shows to nobody.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from appmodel.core.lightpush_records import (
    AckDetails,
    Lists,
    Overview,
    RoomOverview,
    StoredPush,
    Totals,
    Unit,
)
from appmodel.core.lightpush_texts import push_texts

TOO_MANY = ["$$"]  # instead of acknowledgements that are as many as may be listed, or more
MAX_ID = 2**63 - 1

_CURRENT = {
    Unit.MINUTE: "currMinuteMessageCount",
    Unit.HOUR: "currHourMessageCount",
    Unit.DAY: "currDateMessageCount",
}


def push_id(text: str) -> int | None:
    """The id in a path; None: no push can have it."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID))
    return int(text) if is_number and int(text) <= MAX_ID else None


def push_report(push: StoredPush, details: AckDetails | None) -> dict[str, Any]:
    """One push. `details`: None = nobody asked for them."""
    shown = details or AckDetails((), (), ())
    return {
        **push_texts(push),
        "ackIOSDetail": _acks(shown.ios),
        "ackAndroidDetail": _acks(shown.android),
        "ackWebDetail": _acks(shown.web),
        "deliveryRate": delivery_rate(push),
    }


def delivery_rate(push: StoredPush) -> float | None:
    """Acknowledgements for each frame that was written, 0 to 1; None: no frame was.

    Who gets a push later, out of an inbox, acknowledges it too: so there may be more of them than frames.
    """
    if not push.online_clients:
        return None
    return round(min(1.0, push.acks / push.online_clients), 4)


def current_counts(counts: Mapping[Unit, Sequence[int]]) -> dict[str, str | int]:
    """Of this minute, hour and day: a text, and the number 0 where there is none yet."""
    return {
        name: str(counts[unit][-1]) if counts[unit][-1] else 0 for unit, name in _CURRENT.items()
    }


def past_counts(unit: Unit, counts: Sequence[int], now: int) -> list[dict[str, int]]:
    """Buckets by the time when they began, the current one last. `now`: ms."""
    current = now // unit.length
    first = current - len(counts) + 1
    return [{"time": (first + at) * unit.length, "count": n} for at, n in enumerate(counts)]


def platform_report(overview: Overview) -> dict[str, Any]:
    """All namespaces together."""
    return {
        "userCount": overview.users,
        "roomCount": overview.rooms,
        "clientCount": overview.clients,
    }


def namespace_report(overview: Overview, total: int, lists: Lists | None = None) -> dict[str, Any]:
    """One namespace. A list is left out where there is more than may be listed."""
    report: dict[str, Any] = {
        "roomCount": overview.rooms,
        "userCount": overview.users,
        "clientCount": overview.clients,
        "totalClientCount": total,
    }
    if lists is not None:
        named = {"room": lists.rooms, "client": lists.clients, "user": lists.users}
        report |= {name: each for name, each in named.items() if each is not None}
    return report


def room_report(
    name: str, overview: RoomOverview, totals: Totals, lists: Lists | None = None
) -> dict[str, Any]:
    """One room, in the same manner."""
    report: dict[str, Any] = {
        "name": name,
        "userCount": overview.users,
        "clientCount": overview.clients,
        "totalClientCount": totals.clients,
        "iosClientCount": overview.ios,
        "totalIOSClientCount": totals.ios,
        "androidClientCount": overview.android,
        "totalAndroidClientCount": totals.android,
    }
    if lists is not None:
        named = {"client": lists.clients, "user": lists.users}
        report |= {key: each for key, each in named.items() if each is not None}
    return report


def _acks(clients: Sequence[str] | None) -> Sequence[str]:
    return TOO_MANY if clients is None else clients
