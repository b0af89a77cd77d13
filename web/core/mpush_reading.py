r"""Reading what came to a device without being it: where to begin, and how a message is written.

    ?since=1557901952810     behind the message with this mid
    ?since=1557901952        from that second on
    ?since=10m               of the last ten minutes
    ?since=all               all that is kept                     what `poll=1` does by itself
    ?since=latest            the newest one
    (nothing)                what comes from now on

    {"mid":"1557901952810","time":1557901952,"title":"t","content":"c"}          a line of /name/json
    id: 1557901952810\ndata: {"mid":...}\n\n                                     an event of /name/sse

Source: research/simple-peers.md 1: ntfy's `since` and `poll`. A browser that connects again says the last id by itself
(Last-Event-ID, HTML 9.2).
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from appmodel.core.mpush import MID_DIGITS, id_of, mid_of, read_body
from appmodel.core.units import Duration
from appmodel.errors import BadInput

EXPECTED = "a mid of 13 digits, Unix seconds, a duration such as 10m, all, or latest"

JSON_BEAT = b"\n"  # what an idle stream says, so that proxies keep it
SSE_BEAT = b":\n\n"


class Edge(Enum):
    """Where to begin, if that is no instant."""

    END = "what comes from now on"
    LATEST = "the newest one"


Since = int | Edge
"""A message id, to read what is above it; or an edge."""


def read_since(text: str, *, polls: bool, now: float) -> Since:
    """Where a reader begins. `polls`: it wants what is there, and no more.

    Raises:
        BadInput: none of what the module shows.
    """
    if not text:
        return 0 if polls else Edge.END
    if text == "all":
        return 0
    if text == "latest":
        return Edge.LATEST
    if text.isascii() and text.isdecimal():
        if len(text) == MID_DIGITS:
            after = id_of(text)
            assert after is not None, "13 digits are a mid"
            return after
        if len(text) < MID_DIGITS - 1:
            return max(0, int(text) * 1_000_000 - 1)
        raise BadInput("since", text, EXPECTED)
    try:
        return max(0, int((now - Duration.parse(text)) * 1_000_000))
    except (ValueError, OverflowError):
        raise BadInput("since", text, EXPECTED) from None


class Shown(NamedTuple):
    """A message, as readers get it."""

    mid: str
    text: bytes  # JSON


def show(message_id: int, stored: bytes) -> Shown:
    """One message."""
    body = read_body(stored)
    shown: dict[str, Any] = {"mid": mid_of(message_id), "time": message_id // 1_000_000}
    fields: Mapping[str, Any] = {
        "title": body.title,
        "content": body.content,
        "priority": body.priority,
        "tags": body.tags or None,
        "click": body.click,
        "extra": body.extra,
        "from": body.sender,
    }
    shown |= {name: value for name, value in fields.items() if value is not None}
    return Shown(mid_of(message_id), msgspec.json.encode(shown))


def json_line(shown: Shown) -> bytes:
    """A line of NDJSON."""
    return shown.text + b"\n"


def sse_event(shown: Shown) -> bytes:
    """A Server-Sent Event. JSON as msgspec writes it has no line feed."""
    return b"id: %b\ndata: %b\n\n" % (shown.mid.encode(), shown.text)
