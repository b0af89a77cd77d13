"""Bad neighbours on real sockets: each is a counter and one log line, and nobody else notices."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import pytest
import structlog
import trio
from trio.testing import MockClock

from appmodel.core.cluster import Node, Role
from appmodel.errors import Unavailable
from appmodel.io.calls import Call
from appmodel.io.listener import open_sockets
from appmodel.io.peers import Peers
from appmodel.io.registry_embedded import EmbeddedRegistry
from appmodel.io.rpc_client import RpcClient
from appmodel.io.rpc_link import RpcLimits
from appmodel.io.rpc_server import serve_rpc
from appmodel.io.rpc_strangers import LOG_PAUSE, LOGGED, RpcCounts, Strangers
from appmodel.protocol import rpc
from tests.appmodel.io.loopback import LIMITS, PATIENCE, SECRET, serving
from tools.servers.ports import free_port

ECHO = Call[bytes, bytes]("test.echo")
NONCE = bytes(rpc.NONCE)
QUICK = replace(LIMITS, connect_timeout=0.2)  # seconds
BRIEF = replace(LIMITS, connect_timeout=2.0)  # and time for those who speak


async def echo(value: bytes) -> bytes:
    await trio.lowlevel.checkpoint()
    return value


def greeting(secret: bytes = SECRET, role: rpc.Role = rpc.Role.CLIENT) -> rpc.Connection:
    return rpc.Connection(role, secret=secret, nonce=NONCE)


def of_another_version() -> bytes:
    """A hello as ours, with the next version: the byte after the array's tag."""
    hello = bytearray(greeting().data_to_send())
    hello[rpc.LENGTH + 2] = rpc.VERSION + 1
    return bytes(hello)


STRANGERS = [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "garbage"),
    (bytes(1000), "garbage"),
    (b"\x00\x00\x00\x05hello", "garbage"),
    (b"\xff\xff\xff\xff", "garbage"),
    (of_another_version(), "version"),
    (greeting().data_to_send() + b"\x00\x00\x00\x04\x92\x01\xc4\x00", "secret"),
    (b"\x00\x00", "silence"),
    (b"", "silence"),
]


@asynccontextmanager
async def server(counts: RpcCounts, limits: RpcLimits = LIMITS) -> AsyncIterator[int]:
    """Its port."""
    sockets = open_sockets("127.0.0.1", 0)
    port: int = sockets[0].getsockname()[1]
    stop = trio.Event()
    handlers = dict([ECHO.answered_by(echo)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                serve_rpc,
                *(sockets, handlers),
                secret=SECRET,
                stop=stop,
                limits=limits,
                counts=counts,
            )
        )
        yield port
        stop.set()


async def is_hung_up_on(stream: trio.SocketStream) -> bool:
    """The other side has said what it wants and ends it."""
    with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass
    return True


@pytest.mark.parametrize(("words", "reason"), STRANGERS)
async def test_a_stranger_is_refused_and_nothing_else_happens(words: bytes, reason: str) -> None:
    """One line with its address and why, one number; who is one of us is served as before."""
    counts = RpcCounts()
    with structlog.testing.capture_logs() as logs:
        limits = BRIEF if reason == "silence" else LIMITS
        async with server(counts, limits) as port, trio.open_nursery() as nursery:
            client = RpcClient(f"127.0.0.1:{port}", secret=SECRET, limits=LIMITS)
            nursery.start_soon(client.run)
            assert await client.call(ECHO, b"before", timeout=PATIENCE) == b"before"
            stranger = await trio.open_tcp_stream("127.0.0.1", port)
            await stranger.send_all(words)

            assert await is_hung_up_on(stranger)
            await stranger.aclose()

            assert await client.call(ECHO, b"after", timeout=PATIENCE) == b"after"
            assert counts.connections == 1
            nursery.cancel_scope.cancel()

    refused = [line for line in logs if line["event"] == "rpc connection refused"]
    assert [(line["peer"], line["reason"]) for line in refused] == [("127.0.0.1", reason)]
    assert counts.refused == {reason: 1}
    assert counts.connections == 0
    assert not [line for line in logs if line["log_level"] == "error"]
    assert SECRET.decode() not in str(logs)


async def test_one_that_leaves_in_the_middle_is_counted() -> None:
    """Before it has proved itself: a health check, or a node with another secret."""
    counts = RpcCounts()
    async with server(counts) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stranger:
            await stranger.receive_some()
        await until(lambda: counts.refused == {"hangup": 1})


async def test_garbage_of_one_of_us_ends_its_connection() -> None:
    """It knows the secret, and then breaks the protocol."""
    counts = RpcCounts()
    async with server(counts) as port:
        peer = greeting()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            while not peer.is_open:
                await stream.send_all(peer.data_to_send())
                peer.receive_data(await stream.receive_some())
            await stream.send_all(b"\x00\x00\x00\x01\xc1")
            assert await is_hung_up_on(stream)
        await until(lambda: counts.connections == 0)

    assert counts.refused == {"garbage": 1}


async def test_one_address_cannot_take_all_places(mock_clock: MockClock) -> None:
    """Whoever says nothing holds a place until its time is over; one of us still gets in after it."""
    counts = RpcCounts()
    limits = replace(LIMITS, handshakes_per_address=3)
    async with server(counts, limits) as port, trio.open_nursery() as nursery:
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
        for each in silent:
            await each.receive_some()  # its handshake has begun
        one_more = await trio.open_tcp_stream("127.0.0.1", port)
        assert await is_hung_up_on(one_more)
        assert counts.refused == {"address": 1}

        mock_clock.jump(limits.connect_timeout)
        for each in silent:
            assert await is_hung_up_on(each)
        assert counts.refused == {"address": 1, "silence": 3}

        client = RpcClient(f"127.0.0.1:{port}", secret=SECRET)
        nursery.start_soon(client.run)
        assert await client.call(ECHO, b"", timeout=PATIENCE) == b""
        for each in (*silent, one_more):
            await each.aclose()
        nursery.cancel_scope.cancel()


async def test_one_of_us_does_not_count_as_a_greeting() -> None:
    """Many nodes on one machine: the bound is on those that have not proved themselves."""
    counts = RpcCounts()
    limits = replace(LIMITS, handshakes_per_address=1)
    async with server(counts, limits) as port, trio.open_nursery() as nursery:
        for _ in range(5):
            client = RpcClient(f"127.0.0.1:{port}", secret=SECRET)
            nursery.start_soon(client.run)
            await client.call(ECHO, b"", timeout=PATIENCE)
        assert counts.connections == 5
        nursery.cancel_scope.cancel()

    assert not counts.refused


async def test_a_full_server_counts_whom_it_turned_away() -> None:
    """Above max_connections."""
    counts = RpcCounts()
    async with (
        server(counts, replace(LIMITS, max_connections=1)) as port,
        await trio.open_tcp_stream("127.0.0.1", port) as first,
    ):
        await first.receive_some()
        async with await trio.open_tcp_stream("127.0.0.1", port) as second:
            assert await is_hung_up_on(second)

    assert counts.refused["full"] == 1


async def test_a_flood_does_not_fill_the_log(mock_clock: MockClock) -> None:
    """Every stranger is counted; an address is logged once a minute for each reason."""
    counts = RpcCounts()
    strangers = Strangers(counts, at_once=1)
    with structlog.testing.capture_logs() as logs:
        for _ in range(100):
            strangers.refuse("192.0.2.1", "garbage", "x")
            strangers.refuse("192.0.2.1", "silence", "x")
            strangers.refuse("192.0.2.2", "garbage", "x")
        assert len(logs) == 3
        mock_clock.jump(LOG_PAUSE)
        strangers.refuse("192.0.2.1", "garbage", "x")
        assert len(logs) == 4
        for number in range(10 * LOGGED):
            strangers.refuse(str(number), "garbage", "x")

    assert counts.refused == {"garbage": 201 + 10 * LOGGED, "silence": 100}
    assert len(strangers._quiet_until) <= LOGGED


async def say_nothing(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def leave(stream: trio.SocketStream) -> None:
    await stream.aclose()


def says(*words: bytes) -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def say(stream: trio.SocketStream) -> None:
        await stream.send_all(b"".join(words))
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass

    return say


SERVERS = [
    (say_nothing, "silence"),
    (leave, "hangup"),
    (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "garbage"),
    (says(of_another_version()), "version"),
    (says(greeting(role=rpc.Role.SERVER).data_to_send(), b"\0\0\0\4\x92\1\xc4\0"), "secret"),
]


@pytest.mark.parametrize(("behave", "reason"), SERVERS)
async def test_a_node_that_is_none_is_unavailable(
    behave: Callable[[trio.SocketStream], Awaitable[None]], reason: str
) -> None:
    """Its calls fail with the cause, it is dialled again, and all of that is one line."""
    counts = RpcCounts()
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, behave, 0, host="127.0.0.1"))
            address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
            limits = QUICK if reason == "silence" else LIMITS
            client = RpcClient(address, secret=SECRET, limits=limits, counts=counts)
            nursery.start_soon(client.run)

            with pytest.raises(Unavailable, match=re.escape(address)):
                await client.call(ECHO, b"", timeout=PATIENCE)
            await until(lambda: counts.failures[reason] >= 3)
            nursery.cancel_scope.cancel()

    assert set(counts.failures) == {reason}
    [line] = [line for line in logs if line["event"] == "rpc connection lost"]
    assert (line["address"], line["reason"]) == (address, reason)
    assert SECRET.decode() not in str(logs)


async def test_one_that_is_not_there_is_unreachable() -> None:
    """Through `Peers`, whose counters are those of the process; and another cause is another line."""
    counts = RpcCounts()
    peers = Peers(EmbeddedRegistry(), secret=SECRET, limits=LIMITS, counts=counts)
    with structlog.testing.capture_logs() as logs:
        async with peers:
            port = free_port()
            address = f"127.0.0.1:{port}"
            node = Node(Role.COMET, "c1", rpc=address)
            with pytest.raises(Unavailable):
                await peers.pusher(node).presence([])
            await until(lambda: counts.failures["unreachable"] >= 2)

            async with trio.open_nursery() as nursery:
                await nursery.start(partial(trio.serve_tcp, leave, port, host="127.0.0.1"))
                await until(lambda: counts.failures["hangup"] >= 2)
                nursery.cancel_scope.cancel()

    lost = [line["reason"] for line in logs if line["event"] == "rpc connection lost"]
    assert lost[:2] == ["unreachable", "hangup"]


async def test_a_node_that_stops_is_no_failure() -> None:
    """It says that it goes; that it has gone then is no news."""
    counts = RpcCounts()
    with structlog.testing.capture_logs() as logs:
        async with (
            serving(dict([ECHO.answered_by(echo)])) as served,
            trio.open_nursery() as nursery,
        ):
            client = RpcClient(served.address, secret=SECRET, counts=counts)
            nursery.start_soon(client.run)
            await client.call(ECHO, b"", timeout=PATIENCE)
            served.stop.set()
            with trio.fail_after(PATIENCE):
                await served.done.wait()
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    assert "lost" not in counts.failures
    assert [line.get("reason") for line in logs if line["log_level"] == "warning"] in (
        [],
        ["unreachable"],  # it was dialled again
    )


async def until(happened: Callable[[], bool]) -> None:
    """Return once it has."""
    with trio.fail_after(PATIENCE):
        while not happened():
            await trio.lowlevel.checkpoint()
