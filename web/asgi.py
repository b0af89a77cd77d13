"""Front-door routes in front of an ASGI application: no route is written twice.

A connection that asked for something else first lives in Hypercorn (web/breadth.py) until it ends. What
it asks for later may be a hot route: here the same handler answers it, streaming included.

A body that a handler did not read to its end would fill Hypercorn's queue, in which its own last word waits
for room: the connection would hang for ever. So the rest is dropped, and the connection ends with the answer.

Source: the ASGI specification 3.0, HTTP connection scope.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
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
            request, body = _request(scope), _Body(scope, receive, limits)
            try:
                response = await _call(route, request, body, limits)
            except* PushError as group:
                response = render_error(first_of(group), request)
            await _send(response, body, send)
        elif allow := table.allow(scope["path"]):
            await _send(no_route(allow), _Body(scope, receive, limits), send)
        else:
            await app(scope, receive, send)

    return mounted


class _Body:
    """What a client sends behind the head of its request."""

    def __init__(self, scope: Any, receive: Any, limits: HttpLimits) -> None:
        names = {name for name, _ in scope["headers"]}
        has_none = names.isdisjoint({b"content-length", b"transfer-encoding"})
        self.is_read = has_none and scope["http_version"] != "2"
        self.is_http2 = scope["http_version"] == "2"
        self._receive, self._limits = receive, limits

    async def next_chunk(self) -> bytes:
        """Some of it, END behind it. Raises HttpError if the client is too slow, or leaves."""
        while not self.is_read:
            with _in_time(self._limits.body_timeout):
                message = await self._receive()
            if message["type"] == "http.disconnect":
                raise HttpError(400, "body: ended early")
            self.is_read = not message.get("more_body", False)
            if body := message.get("body", b""):
                return bytes(body)
        return END

    async def linger(self) -> None:
        """Drop for a while what still comes: a close before that destroys an answer on its way."""
        if not self.is_read:
            with trio.move_on_after(self._limits.linger):
                await self.drop()

    async def drop(self) -> None:
        """Drop the rest. Cancelling is safe."""
        while not self.is_read:
            message = await self._receive()
            self.is_read = not message.get("more_body", False)  # or the client has left


async def _call(route: Route, request: Request, body: _Body, limits: HttpLimits) -> Response:
    if route.streams:
        request.chunks = BodyChunks(body.next_chunk)
    else:
        limit = limits.max_body if route.max_body is None else route.max_body
        with _in_time(limits.body_timeout):
            request.body = await _whole(BodyChunks(body.next_chunk), request, limit)
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


async def _send(response: Response, body: _Body, send: Any) -> None:
    assert response.takeover is None, "Hypercorn keeps its connections"
    headers = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in response.headers]
    answer = response.body
    if isinstance(answer, bytes):
        if response.status >= 200 and response.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(answer)))
        if (response.close or not body.is_read) and not body.is_http2:
            headers.append((b"connection", b"close"))
    elif response.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    async for data in _pieces(answer):
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await body.linger()
    async with trio.open_nursery() as nursery:  # room for Hypercorn's last word
        nursery.start_soon(body.drop)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        nursery.cancel_scope.cancel()


async def _pieces(answer: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if not isinstance(answer, bytes):
        async for data in answer:
            yield data
    elif answer:
        yield answer
