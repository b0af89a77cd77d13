"""What else is served where Socket.IO is."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from appmodel.io.http import FrontDoor
from appmodel.io.listener import bound_to, open_sockets
from comet.io.engine_pages import not_here, page_routes
from tests.comet.engine_world import EngineClient, Reply

SCRIPT = "6b0e1b2a58b31c81112c8312779f4543fa065c8fa004363db05e7a8d76f12673"  # of 2.5.0 on npm


@asynccontextmanager
async def pages() -> AsyncIterator[EngineClient]:
    """A client of a front door with nothing but these."""
    door = FrontDoor(page_routes("/socket.io/"), otherwise=not_here)
    sockets = open_sockets("127.0.0.1", 0)
    port = bound_to(sockets).port
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(door.serve, sockets, stop=trio.Event()))
        client = EngineClient(await trio.open_tcp_stream("127.0.0.1", port))
        yield client
        await trio.aclose_forcefully(client.stream)
        nursery.cancel_scope.cancel()


async def get(client: EngineClient, path: str, more: str = "") -> Reply:
    """A GET and its answer."""
    await client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode())
    return await client.reply()


async def test_the_client_for_browsers_is_served_as_it_was_published() -> None:
    """Byte for byte, and with its version as its mark."""
    async with pages() as client:
        reply = await get(client, "/socket.io/socket.io.js?v=1")

        assert hashlib.sha256(reply.body).hexdigest() == SCRIPT
        assert reply.headers["content-type"].startswith("application/javascript")
        assert reply.headers["etag"] == '"2.5.0"'


@pytest.mark.parametrize("mark", ['"2.5.0"', 'W/"2.5.0"'])
async def test_who_has_it_gets_nothing(mark: str) -> None:
    """A proxy may have weakened the mark."""
    async with pages() as client:
        reply = await get(client, "/socket.io/socket.io.js", f"If-None-Match: {mark}\r\n")
        assert (reply.status, reply.body) == (304, b"")
        other = await get(client, "/socket.io/socket.io.js", 'If-None-Match: "2.3.0"\r\n')
        assert other.status == 200


async def test_balancers_hear_of_life() -> None:
    """At light-push's path, in its word."""
    async with pages() as client:
        reply = await get(client, "/health")
        assert (reply.status, reply.body) == (200, b"hello")


@pytest.mark.parametrize("path", ["/", "/health/", "/socket.io", "/socket.io/socket.io.js.map"])
async def test_nothing_else_is_here(path: str) -> None:
    """And it says whose answer that is, as light-push does."""
    async with pages() as client:
        reply = await get(client, path)
        assert (reply.status, reply.headers["from"]) == (404, "light-push")
