"""What all routes of the light-push REST (10002) have in common.

    POST /api/auth/push                        a namespace: its key and its password
    POST /api/admin/namespace/save             the administrator
    GET  /health                               anybody

    HTTP/1.1 200 OK
    Content-Type: application/json; charset=utf-8
    X-Response-Time: 3ms
    from: light-push
    Access-Control-Allow-Origin: https://ops.example      as the request's Origin
    Access-Control-Allow-Credentials: true

    {"id":17}

The order of all calls: OPTIONS, who calls, the body, the route. Below both prefixes a path that is none is
404 for who may call, whatever the method: there is no 405.

Source: spec/liutian-push.md 5.1. Differences: errors carry CORS headers too (W33); answers vary by Origin
and say `nosniff`. While the administrator's password is the well-known one, pages of other sites may not
call as the administrator: any page in a browser on this machine could.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from appmodel.errors import PushError
from appmodel.protocol.http import Request, Response, plain
from web.api.replies import NOSNIFF
from web.core.lightpush_wire import Asked, Spoken, read_body, refusal

AUTH, ADMIN = "/api/auth/", "/api/admin/"
JSON = ("Content-Type", "application/json; charset=utf-8")
FROM = ("from", "light-push")
PREFLIGHT = [
    ("Access-Control-Allow-Methods", "GET, POST"),
    (
        "Access-Control-Allow-Headers",
        "Content-Type, AdminKey, Nonce, Timestamp, Signature, AppKey, Token, AppId, RefKey, Authorization",
    ),
    ("Access-Control-Max-Age", "2592000"),
]

_encode = msgspec.json.Encoder().encode


class Doorkeeper(Protocol):
    """Who may come in."""

    async def namespace(self, request: Request) -> str:
        """The key of the namespace that calls. Raises Spoken, LimitReached, Unavailable."""

    def admin(self, request: Request) -> None:
        """Pass the administrator. Raises Spoken, LimitReached, Forbidden."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, its caller known."""

    namespace: str  # that calls; "" = the administrator
    asked: Asked
    body: Mapping[str, Any]
    parameter: str  # behind the path, of routes that end with "/"
    now: int  # Unix ms


Handler = Callable[[Call], Awaitable[Any]]
"""Answers with what goes back as JSON, None for `{}`, or a whole Response."""


class LightpushFrame:
    """Collects the routes of all parts, and serves them."""

    def __init__(self, doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper
        self._routes: dict[tuple[str, str], Handler] = {}
        self._below: dict[str, dict[str, Handler]] = {}  # by method, then by path: with a parameter

    def namespace(self, method: str, path: str, handler: Handler) -> None:
        """A route for namespaces; `path` behind /api/auth/. One that ends with "/" has a parameter."""
        self._add(method, AUTH + path, handler)

    def admin(self, method: str, path: str, handler: Handler) -> None:
        """A route for the administrator; `path` behind /api/admin/."""
        self._add(method, ADMIN + path, handler)

    async def serve(self, request: Request) -> Response:
        """The answer to any request. Raises PushError: see `refuse`."""
        began = time.perf_counter()
        response = await self._respond(request)
        took = round((time.perf_counter() - began) * 1000)
        response.headers = [*response.headers, ("X-Response-Time", f"{took}ms"), *_common(request)]
        return response

    def refuse(self, error: PushError, request: Request) -> Response:
        """The `render_error` of the listener."""
        response = plain(*refusal(error))
        response.headers += _common(request)
        return response

    def _add(self, method: str, path: str, handler: Handler) -> None:
        if path.endswith("/"):
            self._below.setdefault(method, {})[path] = handler
        else:
            self._routes[method, path] = handler

    async def _respond(self, request: Request) -> Response:
        path = request.path
        is_ours = path.startswith((AUTH, ADMIN))
        if request.method == "OPTIONS":
            return Response(status=200 if is_ours else 404, headers=PREFLIGHT)
        method = "GET" if request.method == "HEAD" else request.method
        if not is_ours:
            if (method, path) == ("GET", "/health"):
                return plain(200, "hello")
            raise Spoken(404, "Not Found")
        namespace = await self._prove(request)
        has_body = method in {"POST", "PUT", "PATCH"}
        content_type = request.headers.get("content-type", "")
        body = read_body(request.body, content_type) if has_body else {}
        handler, parameter = self._find(method, path)
        asked = Asked(request.query_string)
        return render(await handler(Call(namespace, asked, body, parameter, _now())))

    async def _prove(self, request: Request) -> str:
        if request.path.startswith(AUTH):
            return await self._doorkeeper.namespace(request)
        self._doorkeeper.admin(request)
        return ""

    def _find(self, method: str, path: str) -> tuple[Handler, str]:
        """The route of a path, and the parameter behind it: client ids and namespaces hold slashes."""
        handler = self._routes.get((method, path))
        if handler is not None:
            return handler, ""
        for prefix, below in self._below.get(method, {}).items():
            if path.startswith(prefix) and path != prefix:
                return below, path.removeprefix(prefix)
        raise Spoken(404, "Not Found")


def render(answer: Any) -> Response:
    """See Handler."""
    if isinstance(answer, Response):
        return answer
    return Response(headers=[JSON], body=_encode({} if answer is None else answer))


def in_pieces(items: AsyncGenerator[Any, None]) -> Response:
    """A JSON array that is sent while it is made."""

    async def pieces() -> AsyncIterator[bytes]:
        opening = b"["
        async with aclosing(items):
            async for item in items:
                yield opening + _encode(item)
                opening = b","
        yield b"[]" if opening == b"[" else b"]"

    return Response(headers=[JSON], body=pieces())


def _now() -> int:
    return time.time_ns() // 1_000_000


def _common(request: Request) -> list[tuple[str, str]]:
    origin = request.headers.get("origin", "")
    return [
        FROM,
        NOSNIFF,
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    ]
