"""How /v2 says no: problem details (RFC 9457), with the field at fault.

HTTP/1.1 422
Content-Type: application/problem+json

{"type":"/v2/docs#bad_input","title":"Bad input","status":422,"code":"bad_input",
 "detail":"ttl: got 'soon', expected a duration such as \"500ms\", ...","field":"ttl"}
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from appmodel.errors import LimitReached, PushError, Unauthorized
from appmodel.protocol.http import Response

MEDIA_TYPE = "application/problem+json"
PAUSE = 1  # seconds; what is away or full now may be back then


class Problem(msgspec.Struct):
    """A refusal."""

    type: Annotated[str, msgspec.Meta(description="Where it is described")]
    title: str
    status: int
    code: Annotated[str, msgspec.Meta(description="For programs")]
    detail: Annotated[str, msgspec.Meta(description="For people: field, value, what was expected")]
    field: Annotated[str, msgspec.Meta(description="What to repair")] | UnsetType = UNSET
    line: Annotated[int, msgspec.Meta(description="Of a stream, from 1")] | UnsetType = UNSET


def problem(
    error: PushError, *, status: int | None = None, line: int | UnsetType = UNSET
) -> Problem:
    """`error` as its caller sees it. `status`: where it is answered with another than its own."""
    return Problem(
        type=f"/v2/docs#{error.code}",
        title=error.title,
        status=status or error.status,
        code=error.code,
        detail=str(error),
        field=getattr(error, "field", None) or UNSET,
        line=line,
    )


def problem_headers(error: PushError) -> list[tuple[str, str]]:
    """What goes with it."""
    headers = [("Content-Type", MEDIA_TYPE), ("Cache-Control", "no-store")]
    if isinstance(error, Unauthorized):
        headers.append(("WWW-Authenticate", 'Bearer realm="appmsg"'))
    return headers + retry_after(error)


def retry_after(error: PushError) -> list[tuple[str, str]]:
    """The header that says when it is worth another try, if it ever is."""
    if error.status not in {429, 503}:
        return []
    pause = error.pause if isinstance(error, LimitReached) else PAUSE
    return [("Retry-After", str(pause))]


def render_problem(error: PushError, request: object = None) -> Response:
    """A whole answer. `request` is there to fit the front door's `render_error`."""
    body = msgspec.json.encode(problem(error))
    return Response(status=error.status, headers=problem_headers(error), body=body)
