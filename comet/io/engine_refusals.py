"""How Engine.IO says no: a number and a text, as JSON.

    400 {"code":0,"message":"Transport unknown"}          none, another, or one that is switched off
        1 Session ID unknown    2 Bad handshake method    3 Bad request    5 Unsupported protocol version
    403 4 Forbidden             a page of an origin that may not connect
    408 3 Bad request           a post that was not whole within body_timeout: the session is closed
    413 3 Bad request           a post over max_payload: the session is closed
    503 3 Bad request           no room for a post: `bodies`; the session is closed
    503 3 Try again later       a limit of [comet.limits], or this comet drains

Source: engine.io 6 lib/server.ts; 408, 413 and 503 are ours.
"""

import msgspec

from appmodel.errors import PushError
from appmodel.protocol.http import Response

UNKNOWN_TRANSPORT, UNKNOWN_SID, BAD_METHOD, BAD_REQUEST, FORBIDDEN, BAD_REVISION = range(6)
MESSAGES = (
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
)


class Refusal(PushError):
    """A request that Engine.IO has a number for."""

    def __init__(self, number: int, message: str = "", *, status: int = 0) -> None:
        super().__init__(message or MESSAGES[number])
        self.number = number
        self.status = status or (403 if number == FORBIDDEN else 400)


def refuse(refusal: Refusal, headers: list[tuple[str, str]]) -> Response:
    """The answer. `headers`: that let a page read it."""
    said = {"code": refusal.number, "message": str(refusal)}
    return Response(
        status=refusal.status,
        headers=[("Content-Type", "application/json"), *headers],
        body=msgspec.json.encode(said),
    )
