"""What an HTTP handler sees: a request in, a response out, whichever server carries them.

A handler is `async (Request) -> Response`. It raises `PushError` for what it refuses; the listener's
`render_error` turns that into its own kind of answer. The front door (appmodel/io/http.py) serves
handlers on hot ports; web/asgi.py mounts the same ones in Hypercorn.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

from appmodel.errors import BadInput

Headers = Mapping[str, str]  # names in lower case; repeated ones joined with ", "


@dataclass(slots=False, kw_only=True)
class Request:
    """One request. `body` is whole, unless its route streams: then it is empty and `chunks` has it."""

    method: str
    path: str  # percent-decoded, without the query
    query_string: str = ""
    headers: Headers = field(default_factory=dict)
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None
    peer: str = ""  # the client's address, without the port
    secure: bool = False  # over TLS

    @cached_property
    def query(self) -> dict[str, str]:
        """Query parameters, percent-decoded; the first value wins if one is repeated.

        Raises:
            BadInput: not UTF-8, or more than 64 of them.
        """
        return first_values(self.query_string, "query")


def first_values(text: str, name: str) -> dict[str, str]:
    """A query string or form body as a dict; the first value of a repeated field wins."""
    try:
        parsed = parse_qs(text, keep_blank_values=True, max_num_fields=64, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise BadInput(name, text[:80], "at most 64 fields of percent-encoded UTF-8") from None
    return {key: values[0] for key, values in parsed.items()}


@dataclass(slots=True, kw_only=True)
class Response:
    """One answer. An iterator as `body` is sent chunk by chunk, as fast as the client reads."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)  # without length and connection
    body: bytes | AsyncIterator[bytes] = b""
    close: bool = False  # hang up after it
    takeover: Callable[[Any, bytes], Awaitable[None]] | None = None
    """With status 101: called with the connection's `Wire` and the bytes that followed the request."""


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A handler at an exact path for one method (GET answers HEAD too)."""

    method: str
    path: str
    handler: Handler
    streams: bool = False  # the handler reads `request.chunks` itself; no size limit on the whole
    max_body: int | None = None  # bytes; None = the listener's limit
