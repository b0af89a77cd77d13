r"""A comet on real sockets, with the memory store behind it.

async with open_comet() as comet:
    client = await comet.tcp(REQUEST)
    assert await client.read(4) == b"+h\r\n"
"""

import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import msgspec
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.cluster import Node, Role
from appmodel.core.credentials import Credentials
from appmodel.core.message import Delivery, Push
from appmodel.core.names import parse_key
from appmodel.errors import PushError, Unavailable
from appmodel.io.http import FrontDoor
from appmodel.io.listener import bound_to, open_sockets, serve_wires
from appmodel.io.peers import Peers
from appmodel.io.registry_embedded import EmbeddedRegistry
from appmodel.io.rpc_server import serve_rpc
from comet.config import CometConfig
from comet.core.channel import Channel
from comet.io.comet import Comet
from comet.io.proving import Proving
from comet.io.subscriber import Subscriber
from message.config import MessageConfig
from message.stores.memory import MemoryStore

ALONE = Node(Role.COMET, "node1")
BEAT = b"+h\r\n"
LIMIT = 40.0  # seconds of real time for one answer: a test that hangs says where
HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
UPGRADED = [
    b"HTTP/1.1 101 Switching Protocols",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    b"",
    b"",
]


class Client:
    """The other end of a connection, byte for byte."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._received = b""

    async def send(self, data: bytes) -> None:
        with _deadline():
            await self.stream.send_all(data)

    async def read(self, count: int) -> bytes:
        """Exactly `count` bytes; fewer if the server ends before."""
        with _deadline():
            while len(self._received) < count:
                data = await self.stream.receive_some()
                if not data:
                    break
                self._received += data
        found, self._received = self._received[:count], self._received[count:]
        return found

    async def read_until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`, or to the end."""
        with _deadline():
            while mark not in self._received:
                data = await self.stream.receive_some()
                if not data:
                    break
                self._received += data
        at = self._received.find(mark)
        at = len(self._received) if at < 0 else at + len(mark)
        found, self._received = self._received[:at], self._received[at:]
        return found

    async def read_ids(self, count: int) -> list[int]:
        """The ids of the next TCP messages."""
        ids: list[int] = []
        for _ in range(count):
            size = await self.read_until(b"\r\n")
            body = await self.read(int(size[1:-2]) + 2)
            ids.append(json.loads(body)["mid"])
        return ids

    async def read_all(self) -> bytes:
        """Everything to the server's end."""
        found = await self.read_until(b"\0never\0")
        await self.stream.aclose()
        return found


@dataclass
class World:
    """A running comet, and ways to reach it."""

    comet: Comet
    store: MemoryStore
    ws_port: int
    tcp_port: int
    door: FrontDoor
    credentials: Credentials
    tls: ssl.SSLContext | None = None
    clients: list[Client] = field(default_factory=list)

    async def connect(self, port: int) -> Client:
        """A bare connection; TLS if the world has it."""
        stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", port)
        if self.tls is not None:
            stream = trio.SSLStream(stream, self.tls, server_hostname="localhost")
        self.clients.append(Client(stream))
        return self.clients[-1]

    async def tcp(self, request: bytes) -> Client:
        """A TCP client that has sent `request`."""
        client = await self.connect(self.tcp_port)
        await client.send(request)
        return client

    async def subscriber(self, key: str = "k", *, version: str = "2", after: int = -1) -> Client:
        """A TCP client that was welcomed; `after` >= 0: it resumes from this id."""
        last_id = str(after) if after >= 0 else ""
        client = await self.tcp(request("sub", key, "30", "", version, last_id))
        assert await client.read(len(BEAT)) == BEAT
        return client

    async def ws(self, target: str, *, headers: str = "") -> Client:
        """A WebSocket client that was upgraded."""
        client = await self.connect(self.ws_port)
        request = HANDSHAKE.format(target=target, host=f"127.0.0.1:{self.ws_port}")
        await client.send(request.replace("\r\n\r\n", f"\r\n{headers}\r\n").encode())
        head = await client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return client

    def channel(self, key: str = "k") -> Channel:
        """The channel of `key`, which must have somebody."""
        channel = self.comet.live.hub.get(parse_key(key))
        assert channel is not None, key
        return channel

    def member(self, key: str = "k") -> Subscriber:
        """The comet's side of the last subscriber of `key`."""
        subscriber = self.channel(key).subscribers[-1]
        assert isinstance(subscriber, Subscriber)
        return subscriber

    async def push(self, *keys: str, body: bytes = b"{}", ttl: float = 0) -> Delivery:
        """One push that must not be refused; made again, as web does, where nothing was done.

        A comet whose machine stood still says so: it may not be the owner any more.
        """
        outcome = await self.try_push(*keys, body=body, ttl=ttl)
        with _deadline():
            while type(outcome) is Unavailable:
                await trio.sleep(0.05)
                outcome = await self.try_push(*keys, body=body, ttl=ttl)
        assert isinstance(outcome, Delivery), outcome
        return outcome

    async def try_push(
        self, *keys: str, body: bytes = b"{}", ttl: float = 0
    ) -> Delivery | PushError:
        """One push and its outcome."""
        with _deadline():
            [outcome] = await self.comet.pusher.push([self.make_push(*keys, body=body, ttl=ttl)])
        return outcome

    def make_push(self, *keys: str, body: bytes = b"{}", ttl: float = 0) -> Push:
        """A push with an id of its own."""
        expires_at = self.now() + ttl if ttl else 0.0
        return Push(os.urandom(16), tuple(parse_key(key) for key in keys), body, expires_at)

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait, in real time, until the comet has come so far."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < LIMIT, "it did not come so far"
            await trio.lowlevel.checkpoint()


async def pass_time(clock: MockClock, seconds: float) -> None:
    """Let time go by in steps: after a leap a comet would find that it was frozen, and be patient."""
    end = trio.current_time() + seconds
    while (left := end - trio.current_time()) > 0:
        clock.jump(min(left, 1.0))
        await wait_all_tasks_blocked()


def request(*arguments: str) -> bytes:
    """A TCP request."""
    texts = [argument.encode() for argument in arguments]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(t), t) for t in texts)


def client_frame(payload: bytes, first: int = 0x81) -> bytes:
    """A masked frame of fewer than 126 bytes; the mask is zero."""
    return bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def text_frame(payload: bytes) -> bytes:
    """A server's text frame of fewer than 126 bytes."""
    return bytes([0x81, len(payload)]) + payload


@asynccontextmanager
async def open_comet(
    config: CometConfig | None = None,
    *,
    auth: bool = False,
    nodes: Sequence[Node] = (ALONE,),
    store: MemoryStore | None = None,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    registry: EmbeddedRegistry | None = None,
    me: Node = ALONE,
    proving: Proving | None = None,
) -> AsyncIterator[World]:
    """A comet until the block ends: alone, or the node `me` of a `registry` that others share.

    `tls`: the server's context and a client's. `auth`: tickets only; `proving`: other credentials too.
    """
    config = config or CometConfig()
    store = store or MemoryStore(MessageConfig())
    credentials = Credentials(b"a secret of the tests, long enough to sign with")
    alone = registry is None
    if registry is None:
        registry = EmbeddedRegistry()
        for node in nodes:
            await registry.register(node)
    peers = Peers(registry)
    comet = Comet(
        node=me,
        config=config,
        store=store,
        ledger=store,
        registry=registry,
        others=peers,
        proving=proving or (Proving(credentials) if auth else None),
    )
    stop = trio.Event()
    door = FrontDoor([comet.websocket.route])
    ws_sockets, tcp_sockets = open_sockets("127.0.0.1", 0), open_sockets("127.0.0.1", 0)
    world = World(
        comet=comet,
        store=store,
        ws_port=ws_sockets[0].getsockname()[1],
        tcp_port=tcp_sockets[0].getsockname()[1],
        door=door,
        credentials=credentials,
        tls=tls[1] if tls else None,
    )
    server_tls = tls[0] if tls else None
    try:
        async with peers, trio.open_nursery() as nursery:
            await nursery.start(comet.run)
            if not alone:
                await _announce(world, registry, nursery)
            nursery.start_soon(partial(door.serve, ws_sockets, stop=stop, tls=server_tls))
            nursery.start_soon(
                partial(serve_wires, tcp_sockets, comet.tcp.handle, stop=stop, tls=server_tls)
            )
            try:
                yield world
            finally:
                with trio.CancelScope(shield=True):
                    for client in world.clients:
                        await trio.aclose_forcefully(client.stream)
                nursery.cancel_scope.cancel()
    finally:
        for listening in (*ws_sockets, *tcp_sockets):  # those that nobody began to serve
            listening.close()


async def _announce(world: World, registry: EmbeddedRegistry, nursery: trio.Nursery) -> None:
    """Take calls of other comets, and tell the registry where."""
    sockets = open_sockets("127.0.0.1", 0)
    comet, stop = world.comet, trio.Event()
    nursery.start_soon(
        partial(
            serve_rpc,
            sockets,
            comet.handlers,
            secret=None,
            stop=stop,
            tunnels=comet.socketio.tunnels,
        )
    )
    nursery.start_soon(comet.socketio.relay_entrance.run, stop)
    world.comet.node = msgspec.structs.replace(
        world.comet.node,
        rpc=str(bound_to(sockets)),
        ws=(f"127.0.0.1:{world.ws_port}",),
        tcp=(f"127.0.0.1:{world.tcp_port}",),
    )
    await registry.register(world.comet.node)


def changed(config: CometConfig, section: str, **values: object) -> CometConfig:
    """`config` with other values in one of its sections."""
    part = msgspec.structs.replace(getattr(config, section), **values)
    return msgspec.structs.replace(config, **{section: part})


def _deadline() -> AbstractContextManager[object]:
    """For one answer. Under a mock clock, which stands still, pytest's own time-out ends a hang."""
    return trio.fail_after(LIMIT)
