"""Front-door routes in front of an ASGI application: no route is written twice.

A connection that asked for something else first lives in Hypercorn (web/breadth.py) until it ends. What
it asks for later may be a hot route: here the same handler answers it, streaming included.

Source: the ASGI specification 3.0, HTTP connection scope.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from appmodel.errors import PushError, TooLarge
from appmodel.io.http_connection import first_of
from appmodel.io.http_limits import HttpLimits
from appmodel.io.http_streams import BodyChunks
from appmodel.protocol.http import RenderError, Request, Response, Route, RouteTable, no_route
from appmodel.protocol.http1 import END, HttpError


def mount(
    routes: Iterable[Route], app: ASGIFramework, *, render_error: RenderError, limits: HttpLimits
) -> ASGIFramework:
    """`app`, with `routes` answered before it is asked. A handler's bug is the server's to contain."""
    table = RouteTable(routes)

    async def mounted(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        route = table.find((scope["method"], scope["path"]))
        if route is not None:
            request = _request(scope)
            body = BodyChunks(_next_chunk(receive, limits.body_timeout))
            try:
                response = await _call(route, request, body, limits)
            except* PushError as group:
                response = render_error(first_of(group), request)
            await _send(response, send)
        elif allow := table.allow(scope["path"]):
            await _send(no_route(allow), send)
        else:
            await app(scope, receive, send)

    return mounted


async def _call(route: Route, request: Request, body: BodyChunks, limits: HttpLimits) -> Response:
    if route.streams:
        request.chunks = body
    else:
        limit = limits.max_body if route.max_body is None else route.max_body
        with _in_time(limits.body_timeout):
            request.body = await _whole(body, request, limit)
    return await route.handler(request)


@contextmanager
def _in_time(timeout: float) -> Iterator[None]:
    try:
        with trio.fail_after(timeout):
            yield
    except trio.TooSlowError:
        raise HttpError(408, "body timeout") from None


def _request(scope: Any) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Request(
        method=scope["method"],
        path=scope["path"],
        query_string=scope["query_string"].decode("latin-1"),
        headers=headers,
        peer=(scope.get("client") or [""])[0],
        secure=scope["scheme"] == "https",
    )


def _next_chunk(receive: Any, timeout: float) -> Callable[[], Awaitable[bytes]]:
    is_read = False

    async def next_chunk() -> bytes:
        nonlocal is_read
        while not is_read:
            with _in_time(timeout):
                message = await receive()
            if message["type"] == "http.disconnect":
                raise HttpError(400, "body: ended early")
            is_read = not message.get("more_body", False)
            if body := message.get("body", b""):
                return bytes(body)
        return END

    return next_chunk


async def _whole(chunks: BodyChunks, request: Request, limit: int) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise TooLarge(f"body: {length} bytes, at most {limit}")
    body = bytearray()
    async for data in chunks:
        body += data
        if len(body) > limit:
            raise TooLarge(f"body: over {limit} bytes")
    return bytes(body)


async def _send(response: Response, send: Any) -> None:
    assert response.takeover is None, "Hypercorn keeps its connections"
    headers = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in response.headers]
    if response.close:
        headers.append((b"connection", b"close"))
    body = response.body
    if isinstance(body, bytes):
        if response.status >= 200 and response.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    async for data in body:
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
