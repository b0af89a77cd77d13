"""Wires over real sockets, plain and TLS."""

import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from appmodel.io.listener import tls_context
from appmodel.io.wire import Wire

CERTIFICATE = Path(__file__).parents[2] / "data" / "localhost.pem"
BIG = bytes(range(256)) * 32 * 1024  # 8 MiB: more than two sockets' buffers hold

Pair = tuple[Wire, trio.abc.Stream]


@pytest.fixture(params=["plain", "tls"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Our wire and the client's stream, connected over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stream = await trio.open_tcp_stream(*listening.getsockname())
        connected, _ = listening.accept()
    if request.param == "plain":
        wire = Wire(connected)
        client: trio.abc.Stream = stream
    else:
        wire = Wire(connected, tls=tls_context(CERTIFICATE, CERTIFICATE))
        trust = ssl.create_default_context(cafile=str(CERTIFICATE))
        secure = trio.SSLStream(stream, trust, server_hostname="localhost", https_compatible=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.handshake)
            nursery.start_soon(secure.do_handshake)
        client = secure
    yield wire, client
    wire.close()
    await trio.aclose_forcefully(client)


async def read_to_end(stream: trio.abc.Stream) -> bytes:
    """All that comes until the end."""
    data = bytearray()
    while piece := await stream.receive_some(65536):
        data += piece
    return bytes(data)


async def test_bytes_go_both_ways(pair: Pair) -> None:
    """What one side sends is what the other receives, then the end."""
    wire, client = pair

    await client.send_all(b"ping")
    assert await wire.receive_some() == b"ping"
    await wire.send_all(b"pong")
    await wire.aclose()

    assert await read_to_end(client) == b"pong"
    assert wire.closed


async def test_more_than_the_buffers_hold_is_sent_whole(pair: Pair) -> None:
    """A slow reader gets all of it; the sender waits, and others run meanwhile."""
    wire, client = pair
    received = bytearray()

    async def read() -> None:
        received.extend(await read_to_end(client))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        sent = wire.send_nowait(BIG)
        await wire.send_all(memoryview(BIG)[sent:])
        await wire.aclose()

    assert received == BIG


async def test_big_input_arrives_whole(pair: Pair) -> None:
    """Full and short receives alternate and nothing is left behind, also inside TLS."""
    wire, client = pair
    received = bytearray()

    async def read() -> None:
        while len(received) < len(BIG):
            received.extend(await wire.receive_some(1000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await client.send_all(BIG)

    assert received == BIG


async def test_receive_is_fair(pair: Pair) -> None:
    """A peer that always has more to give leaves other tasks their turn."""
    wire, client = pair
    turns = 0
    await client.send_all(b"x" * 4096)

    async def count(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        nonlocal turns
        task_status.started()
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        await nursery.start(count)
        before = turns
        for _ in range(1024):
            await wire.receive_some(1)
        nursery.cancel_scope.cancel()

    assert turns > before + 10


async def test_waiting_is_cancellable_and_loses_nothing(pair: Pair) -> None:
    """A cancelled receive has taken nothing; the next one gets everything."""
    wire, client = pair

    with trio.move_on_after(0.01) as scope:
        await wire.receive_some()

    assert scope.cancelled_caught
    await client.send_all(b"later")
    assert await wire.receive_some() == b"later"


async def test_slow_reader_meets_the_callers_deadline(pair: Pair) -> None:
    """Nobody reads: `send_all` ends with the caller's deadline, and closing does not wait."""
    wire, _client = pair

    with trio.move_on_after(0.05) as scope:
        await wire.send_all(BIG)

    assert scope.cancelled_caught
    await wire.aclose()
    assert wire.closed


async def test_closing_wakes_a_waiting_task(pair: Pair) -> None:
    """A wire closed elsewhere is `ClosedResourceError` for whoever waits, and for later calls."""
    wire, _client = pair

    async def receive(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pytest.raises(trio.ClosedResourceError):
            await wire.receive_some()

    async with trio.open_nursery() as nursery:
        await nursery.start(receive)
        await trio.testing.wait_all_tasks_blocked()
        wire.close()
        wire.close()

    for call in (wire.receive_some, lambda: wire.send_all(b"x")):
        with pytest.raises(trio.ClosedResourceError):
            await call()
    with pytest.raises(trio.ClosedResourceError):
        wire.send_nowait(b"x")


async def test_a_reset_is_a_broken_wire(pair: Pair) -> None:
    """A peer that crashes is `BrokenResourceError` with its address; TLS may call it the end."""
    wire, client = pair
    transport = client.transport_stream if isinstance(client, trio.SSLStream) else client
    assert isinstance(transport, trio.SocketStream)
    transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    await trio.aclose_forcefully(transport)

    try:
        data = await wire.receive_some()
    except trio.BrokenResourceError as error:
        assert f"{wire.peer} broke" in str(error)  # noqa: PT017  # TLS raises or not, by version
    else:
        assert (data, wire.secure) == (b"", True)


async def test_pushed_back_bytes_come_first(pair: Pair) -> None:
    """Whoever takes a wire over reads the same bytes as if nobody had read before."""
    wire, client = pair
    await client.send_all(b"abcdef")
    data = await wire.receive_some(4)

    wire.push_back(data[2:])
    wire.push_back(b"b")

    assert await wire.receive_some(2) == b"bc"
    assert await wire.receive_some() == b"d"
    assert await wire.receive_some() == b"ef"


async def test_detached_socket_goes_on(pair: Pair) -> None:
    """The socket works without its wire: non-blocking, same keys, nothing read ahead."""
    wire, client = pair
    secure = wire.secure
    await client.send_all(b"for the next owner")

    taken = wire.detach()

    with taken:
        assert wire.closed
        assert isinstance(taken, ssl.SSLSocket) is secure
        assert not taken.getblocking()
        await trio.lowlevel.wait_readable(taken)
        assert taken.recv(100) == b"for the next owner"
        taken.send(b"welcome")
        assert await client.receive_some(100) == b"welcome"


async def test_last_words_survive_what_nobody_read(pair: Pair) -> None:
    """With `linger` a refusal reaches a client that is still sending; the close is no reset."""
    wire, client = pair
    said = b""

    async def talk_then_listen() -> None:
        nonlocal said
        try:
            for _ in range(64):
                await client.send_all(b"x" * 65536)
        except trio.BrokenResourceError:
            pytest.fail("the client was reset before it could read why")
        said = bytes(await client.receive_some(100))
        await client.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk_then_listen)
        await wire.receive_some(10)
        await wire.send_all(b"no")
        await wire.aclose(linger=10)

    assert said == b"no"


@pytest.mark.parametrize(
    "say",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""],
    ids=["http", "junk", "end"],
)
async def test_no_tls_is_a_broken_wire(say: bytes) -> None:
    """Whoever speaks something else, or nothing, ends its own connection only."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = await trio.open_tcp_stream(*listening.getsockname())
        wire = Wire(listening.accept()[0], tls=tls_context(CERTIFICATE, CERTIFICATE))
    await client.send_all(say)
    await client.send_eof()

    with pytest.raises(trio.BrokenResourceError):
        await wire.handshake()

    wire.close()
    await client.aclose()


async def test_wire_knows_both_ends(pair: Pair) -> None:
    """Addresses as `host:port`, and small packets leave at once."""
    wire, client = pair
    transport = client.transport_stream if isinstance(client, trio.SSLStream) else client
    assert isinstance(transport, trio.SocketStream)

    assert tuple(wire.peer) == transport.socket.getsockname()
    assert str(wire.local) == "{}:{}".format(*transport.socket.getpeername())
    with wire.detach() as taken:
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
