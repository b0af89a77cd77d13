"""Listening sockets, and an accept loop that nothing stops but its owner."""

import errno
import resource
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from appmodel.errors import ConfigError
from appmodel.io.listener import is_loopback, open_sockets, serve_wires, tls_context
from appmodel.io.wire import Wire

CERTIFICATE = Path(__file__).parents[2] / "data" / "localhost.pem"


class Server:
    """A running `serve_wires`, its port and the troubles that it reported."""

    def __init__(self, port: int, stop: trio.Event) -> None:
        self.port = port
        self.stop = stop
        self.troubles: Counter[str] = Counter()
        self.last: BaseException | None = None
        self.ended = trio.Event()
        self.clients: list[trio.SocketStream] = []
        self.three_accepts_failed = trio.Event()

    def count(self, reason: str, error: BaseException | None) -> None:
        """The `on_trouble` of the loop."""
        self.troubles[reason] += 1
        self.last = error
        if self.troubles["accept"] == 3:
            self.three_accepts_failed.set()

    async def connect(self) -> trio.SocketStream:
        """A client."""
        self.clients.append(await trio.open_tcp_stream("127.0.0.1", self.port))
        return self.clients[-1]


@asynccontextmanager
async def serving(
    handler: Callable[[Wire], Awaitable[None]], **options: Any
) -> AsyncIterator[Server]:
    """Serve on a free port inside the block."""
    sockets = open_sockets("127.0.0.1", 0)
    server = Server(sockets[0].getsockname()[1], trio.Event())

    async def serve() -> None:
        await serve_wires(sockets, handler, stop=server.stop, on_trouble=server.count, **options)
        server.ended.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield server
            nursery.cancel_scope.cancel()
    finally:
        for client in server.clients:
            client.socket.close()


async def echo(wire: Wire) -> None:
    """A handler that runs until its client ends."""
    while data := await wire.receive_some():
        await wire.send_all(data)


async def says(stream: trio.SocketStream, text: bytes) -> bytes:
    """What an echo server answers."""
    await stream.send_all(text)
    return bytes(await stream.receive_some())


def test_localhost_is_both_families_on_one_port() -> None:
    """Port 0 is the same free port for each address."""
    with ExitStack() as closing:
        sockets = [closing.enter_context(one) for one in open_sockets("localhost", 0)]

        assert sockets[0].getsockname()[0] == "127.0.0.1"
        assert len({one.getsockname()[1] for one in sockets}) == 1
        assert is_loopback(sockets)
        assert not any(one.getblocking() for one in sockets)


def test_taken_address_is_named() -> None:
    """The operator reads which address, and why not; nothing stays open."""
    with ExitStack() as closing:
        (first,) = open_sockets("127.0.0.1", 0)
        closing.enter_context(first)
        port = first.getsockname()[1]

        with pytest.raises(ConfigError, match=f"localhost:{port}.*Address already in use"):
            open_sockets("localhost", port)
        with pytest.raises(ConfigError, match=r"no\.such\.host\.invalid:1"):
            open_sockets("no.such.host.invalid", 1)


def test_any_address_is_not_loopback() -> None:
    """Law 10 looks at what the socket is bound to."""
    with ExitStack() as closing:
        sockets = [closing.enter_context(one) for one in open_sockets("0.0.0.0", 0)]

        assert not is_loopback(sockets)


def test_missing_certificate_is_named(tmp_path: Path) -> None:
    """Files that are missing, or that are no certificate, are configuration errors."""
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")

    for path in (tmp_path / "none.pem", junk):
        with pytest.raises(ConfigError, match=path.name):
            tls_context(path, path)


async def test_every_connection_has_its_own_task() -> None:
    """Many clients at once; more than one wake-up accepts."""
    async with serving(echo) as server:
        clients = [await server.connect() for _ in range(100)]

        for client in reversed(clients):
            assert await says(client, b"hello") == b"hello"


async def test_stop_closes_the_door_and_lets_guests_finish() -> None:
    """After `stop` nobody new comes in, running handlers go on, and the call returns with the last."""
    async with serving(echo) as server:
        client = await server.connect()
        assert await says(client, b"a") == b"a"

        server.stop.set()
        await trio.testing.wait_all_tasks_blocked()

        with pytest.raises(OSError, match="connect"):
            await server.connect()
        assert await says(client, b"b") == b"b"
        assert not server.ended.is_set()
        await client.aclose()
        await server.ended.wait()


async def test_grace_ends() -> None:
    """Who does not leave within the grace is cancelled, and its wire closed."""
    async with serving(echo, grace=0.05) as server:
        client = await server.connect()
        assert await says(client, b"a") == b"a"

        server.stop.set()
        await server.ended.wait()

        assert await client.receive_some() == b""


async def test_bug_ends_its_connection_only() -> None:
    """A handler's exception is counted, its wire closed, and everybody else served."""

    async def buggy(wire: Wire) -> None:
        if await wire.receive_some() == b"bug":
            raise KeyError("a bug of ours")
        await wire.send_all(b"fine")

    async with serving(buggy) as server:
        victim, other = await server.connect(), await server.connect()
        await victim.send_all(b"bug")

        assert await victim.receive_some() == b""
        assert await says(other, b"x") == b"fine"
        assert server.troubles == {"bug": 1}
        assert isinstance(server.last, KeyError)


async def test_peers_end_is_no_trouble() -> None:
    """A reset is the peer's affair, also when it comes out of a handler's nursery."""
    gone = trio.Event()

    async def in_nursery(wire: Wire) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(echo, wire)
                nursery.start_soon(trio.sleep_forever)
        finally:
            gone.set()

    async with serving(in_nursery) as server:
        client = await server.connect()
        assert await says(client, b"a") == b"a"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await client.aclose()
        await gone.wait()
        await trio.testing.wait_all_tasks_blocked()

        assert not server.troubles


async def test_full_house_says_so() -> None:
    """Above `max_connections` a client hears the refusal; a place that is free again is given."""
    async with serving(echo, max_connections=1, refusal=b"full") as server:
        first = await server.connect()
        assert await says(first, b"a") == b"a"
        second = await server.connect()

        assert await second.receive_some() == b"full"
        assert await second.receive_some() == b""
        assert server.troubles == {"full": 1}

        await first.aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        third = await server.connect()
        assert await says(third, b"b") == b"b"


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Inside the block this process can open nothing more (EMFILE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        lowest_free = highest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_out_of_descriptors_rests_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: EMFILE does not spin, is counted, and the waiting client is served when it is over."""
    monkeypatch.setattr("appmodel.io.listener.PAUSE", 0.01)
    async with serving(echo) as server:
        waiting = socket.socket()
        waiting.setblocking(False)
        with no_descriptors_left():
            assert waiting.connect_ex(("127.0.0.1", server.port)) in (0, errno.EINPROGRESS)
            await server.three_accepts_failed.wait()
        assert isinstance(server.last, OSError)
        assert server.last.errno == errno.EMFILE

        client = trio.SocketStream(trio.socket.from_stdlib_socket(waiting))
        assert await says(client, b"still there") == b"still there"
        await client.aclose()


async def test_out_of_descriptors_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: while it rests, the loop does nothing, however long the client waits."""
    monkeypatch.setattr("appmodel.io.listener.PAUSE", 3600)
    async with serving(echo) as server:
        with socket.socket() as waiting:
            waiting.setblocking(False)
            with no_descriptors_left():
                waiting.connect_ex(("127.0.0.1", server.port))
                with trio.move_on_after(0.2):
                    await trio.sleep_forever()

        assert server.troubles == {"accept": 1}


async def test_tls_is_agreed_in_the_connections_own_task() -> None:
    """A client that is slow to say hello delays nobody, and is cut at its deadline."""
    tls = tls_context(CERTIFICATE, CERTIFICATE)
    trust = ssl.create_default_context(cafile=str(CERTIFICATE))
    async with serving(echo, tls=tls, handshake_timeout=3) as server:
        silent = await server.connect()
        wrong = await server.connect()
        await wrong.send_all(b"GET / HTTP/1.1\r\n\r\n")
        stream = await server.connect()
        client = trio.SSLStream(stream, trust, server_hostname="localhost")

        await client.send_all(b"secret")
        assert await client.receive_some() == b"secret"
        assert client.selected_alpn_protocol() is None

        assert await silent.receive_some() == b""
        assert server.troubles == {"handshake": 2}


async def test_a_socket_that_does_not_listen_is_a_bug() -> None:
    """What can never work again ends the call instead of failing for ever."""
    unbound = socket.socket()
    unbound.setblocking(False)

    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        await serve_wires([unbound], echo, stop=trio.Event())

    assert unbound.fileno() == -1
