"""What an HTTP handler sees: a request in, a response out, whichever server carries them.

A handler is `async (Request) -> Response`. It raises `PushError` for what it refuses; the listener's
`render_error` turns that into its own kind of answer. The front door (appmodel/io/http.py) serves
handlers on hot ports; web/asgi.py mounts the same ones in Hypercorn.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import unquote_plus

import msgspec

from appmodel.errors import BadInput, PushError

MAX_FIELDS = 64  # of a query or a form: a small body must not become a large dict

Headers = Mapping[str, str]  # names in lower case; repeated ones joined with ", "


class Request(msgspec.Struct, kw_only=True, dict=True):
    """One request. `body` is whole, unless its route streams: then it is empty and `chunks` has it."""

    method: str
    path: str  # percent-decoded, without the query
    query_string: str = ""
    headers: Headers = {}
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
    """A query string or form body as a dict; the first value of a repeated field wins.

    What urllib's parse_qs gives, for a fifth of its 5 µs: nearly no field is percent-encoded.
    """
    fields = text.split("&")
    if len(fields) > MAX_FIELDS:
        raise BadInput(name, text[:80], f"at most {MAX_FIELDS} fields")
    values: dict[str, str] = {}
    for one in fields:
        key, _, value = one.partition("=")
        if "%" in one or "+" in one:
            try:
                key, value = (
                    unquote_plus(key, errors="strict"),
                    unquote_plus(value, errors="strict"),
                )
            except UnicodeDecodeError:
                raise BadInput(name, one[:80], "percent-encoded UTF-8") from None
        if one:
            values.setdefault(key, value)
    return values


class Response(msgspec.Struct, kw_only=True):
    """One answer. An iterator as `body` is sent chunk by chunk, as fast as the client reads."""

    status: int = 200
    headers: list[tuple[str, str]] = []  # without Date, Content-Length and Connection
    body: bytes | AsyncIterator[bytes] = b""
    close: bool = False  # hang up after it
    takeover: Callable[[Any, bytes], Awaitable[None]] | None = None
    """With status 101: called with the connection's `Wire` and the bytes that followed the request."""
    hold: Callable[[Any], None] | None = None
    """Instead of an answer now: called with the `Held` request, to be answered later. Nothing else of
    this response counts. Only the front door can do it, and only for a request whose body was read."""


Handler = Callable[[Request], Awaitable[Response]]


class RenderError(Protocol):
    """A listener's way to say no. Called for each `PushError` of a handler or of a request's body."""

    def __call__(self, error: PushError, request: Request, /) -> Response: ...


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A handler at an exact path for one method (GET answers HEAD too)."""

    method: str
    path: str
    handler: Handler
    streams: bool = False  # the handler reads `request.chunks` itself; no size limit on the whole
    max_body: int | None = None  # bytes; None = the listener's limit


class RouteTable:
    """Routes by method and path. A path that is here belongs to it, with any method."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, str], Route] = {}
        self._methods: dict[str, list[str]] = {}
        for route in routes:
            self._add(route.method, route)
            if route.method == "GET":
                self._add("HEAD", route)
        self.find = self._routes.get

    def _add(self, method: str, route: Route) -> None:
        if (method, route.path) in self._routes:
            raise ValueError(f"two routes for {method} {route.path}")
        self._routes[method, route.path] = route
        self._methods.setdefault(route.path, []).append(method)

    def allow(self, path: str) -> str | None:
        """The `Allow` header of a path; None if no route has it."""
        methods = self._methods.get(path)
        return ", ".join(sorted(methods)) if methods else None


def no_route(allow: str | None) -> Response:
    """405 for a path that has other methods, as gopush-cluster writes it, else 404."""
    if allow is None:
        return plain(404, "Not Found")
    response = plain(405, "Method Not Allowed")
    response.headers.append(("Allow", allow))
    return response


def plain(status: int, text: str) -> Response:
    """A short answer for people."""
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    return Response(status=status, headers=headers, body=text.encode())


def render_plainly(error: PushError, _request: Request) -> Response:
    """The `RenderError` of a listener without a form of its own: the message as plain text."""
    return plain(error.status, str(error))
