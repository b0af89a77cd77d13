"""A request that is held: no task waits for its answer, and the connection is as any other behind it."""

import socket
import ssl

import pytest
import trio

from appmodel.io.http_held import Held
from appmodel.protocol.http import Request, Response, Route
from tests.appmodel.io.test_front_door import (
    CERTIFICATE,
    ECHO,
    Client,
    House,
    open_house,
    request,
)

LARGE = 8 * 1024**2  # bytes: more than the kernel keeps for a client that reads little at once


class Shelf:
    """Where the handler of /poll puts what it holds."""

    def __init__(self) -> None:
        self.held: list[Held] = []

    async def poll(self, _request: Request) -> Response:
        return Response(hold=self.held.append)

    @property
    def route(self) -> Route:
        return Route(method="GET", path="/poll", handler=self.poll)

    async def take(self) -> Held:
        """The request that is held next."""
        with trio.fail_after(10):
            while not self.held:
                await trio.lowlevel.checkpoint()
        return self.held.pop()


async def readable(held: Held) -> None:
    """Until its client has said something, or ended."""
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(held.fileno())


async def ended(house: House) -> None:
    """Until the front door has no connection."""
    with trio.fail_after(10):
        while house.door.open_connections:
            await trio.lowlevel.checkpoint()


async def test_it_waits_without_a_task_and_is_answered_later() -> None:
    """And its connection serves on, request by request, held or not."""
    shelf = Shelf()
    async with open_house(ECHO, shelf.route) as house:
        client = await house.connect()
        for number in range(3):
            await client.send(request("/poll", method="GET"))
            held = await shelf.take()
            await ended(house)

            held.answer(Response(headers=[("X-Number", str(number))], body=b"due"))
            answer = await client.answer()

            assert (answer.status, answer.body) == (200, b"due")
            assert answer.headers["x-number"] == str(number)
            assert "connection" not in answer.headers
            assert (await client.ask("/echo", b"more")).body == b"more"
        assert house.door.answered["2xx"] == 6


async def test_a_client_that_hangs_up_is_noticed() -> None:
    """By whoever watches the descriptor; and an answer that comes too late does no harm."""
    shelf = Shelf()
    async with open_house(shelf.route) as house:
        client = await house.connect()
        await client.send(request("/poll", method="GET"))
        held = await shelf.take()

        await client.stream.aclose()
        await readable(held)

        assert held.is_gone()
        held.answer(Response(body=b"x" * 100_000))
        held.drop()
        await ended(house)
        assert house.bugs == []


@pytest.mark.parametrize("together", [True, False])
async def test_what_is_asked_behind_it_is_answered_behind_it(together: bool) -> None:
    """Whether it came with the held request or while that waited."""
    shelf = Shelf()
    async with open_house(ECHO, shelf.route) as house:
        client = await house.connect()
        behind = request("/echo", b"behind")
        await client.send(request("/poll", method="GET") + (behind if together else b""))
        held = await shelf.take()
        if not together:
            assert not held.says_more
            await client.send(behind)
            await readable(held)
            assert not held.is_gone()

        assert held.says_more
        held.answer(Response(body=b"first"))

        assert (await client.answer()).body == b"first"
        assert (await client.answer()).body == b"behind"


async def test_nothing_to_read_means_nothing() -> None:
    """A look without need finds a client that lives and says no more."""
    shelf = Shelf()
    async with open_house(shelf.route) as house:
        client = await house.connect()
        await client.send(request("/poll", method="GET"))
        held = await shelf.take()

        assert not held.is_gone()
        assert not held.says_more
        held.drop()

        assert await client.to_end() == b""


async def test_an_answer_that_the_kernel_does_not_take_at_once_still_arrives() -> None:
    """The front door writes the rest, as slowly as the client reads, and serves on."""
    shelf = Shelf()
    async with open_house(ECHO, shelf.route) as house:
        client = await house.connect()
        house.clients[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        await client.send(request("/poll", method="GET"))
        held = await shelf.take()

        held.answer(Response(body=b"x" * LARGE))

        assert len((await client.answer()).body) == LARGE
        assert (await client.ask("/echo", b"more")).body == b"more"


@pytest.mark.parametrize("more", ["Connection: close\r\n", ""])
async def test_a_connection_that_is_to_end_ends_behind_the_answer(more: str) -> None:
    """By the client's wish, or by the answer's."""
    shelf = Shelf()
    async with open_house(shelf.route) as house:
        client = await house.connect()
        await client.send(request("/poll", method="GET", more=more))
        held = await shelf.take()

        held.answer(Response(body=b"x" * LARGE, close=not more))
        answer = await client.answer()

        assert answer.headers["connection"] == "close"
        assert await client.to_end() == b""


async def test_the_front_door_can_stop_while_something_is_held() -> None:
    """It waits for no one who may wait for ever; the answer is still given, and ends the connection."""
    shelf = Shelf()
    async with open_house(shelf.route) as house:
        client = await house.connect()
        await client.send(request("/poll", method="GET"))
        held = await shelf.take()

        house.stop.set()
        with trio.fail_after(10):
            await house.ended.wait()
        held.answer(Response(body=b"late"))
        answer = await client.answer()

        assert (answer.body, answer.headers["connection"]) == (b"late", "close")
        assert await client.to_end() == b""


async def test_a_resumed_connection_at_rest_ends_at_once_when_the_front_door_stops() -> None:
    """As every connection between two requests does."""
    shelf = Shelf()
    async with open_house(ECHO, shelf.route) as house:
        client = await house.connect()
        await client.send(request("/poll", method="GET"))
        (await shelf.take()).answer(Response(body=b"due"))
        await client.answer()
        assert (await client.ask("/echo", b"more")).body == b"more"

        house.stop.set()

        assert await client.to_end() == b""
        with trio.fail_after(10):
            await house.ended.wait()


async def test_over_tls_it_is_the_same() -> None:
    """The connection goes back and forth with its keys."""
    shelf = Shelf()
    async with open_house(ECHO, shelf.route, tls=True) as house:
        plain = await house.connect()
        trust = ssl.create_default_context(cafile=str(CERTIFICATE))
        client = Client(trio.SSLStream(plain.stream, trust, server_hostname="localhost"))
        await client.send(request("/poll", method="GET"))
        held = await shelf.take()

        await client.send(request("/echo", b"behind"))
        await readable(held)
        assert not held.is_gone()
        held.answer(Response(body=b"first"))

        assert (await client.answer()).body == b"first"
        assert (await client.answer()).body == b"behind"
