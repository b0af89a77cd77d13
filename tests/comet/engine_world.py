r"""An Engine.IO listener on real sockets, and clients of it, byte for byte.

async with open_engine() as world:
    client = await world.connect()
    reply = await client.get("EIO=4&transport=polling")
    assert reply.body.startswith(b"0{")

What clients say comes back: `Echo` is the speaker, as the official protocol suite wants it.
"""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import trio

from appmodel.core.origins import Origins
from appmodel.core.units import Duration
from appmodel.io.http import FrontDoor, HttpLimits
from appmodel.io.listener import bound_to, open_sockets
from comet.config import CometConfig
from comet.core.transport import Transport
from comet.io.engine import Engine
from comet.io.engine_door import EngineDoor
from comet.protocol.engineio import framed
from tests.comet.world import Client, World, changed, client_frame, open_comet

QUICK = changed(CometConfig(), "socketio", ping_interval=Duration(0.3), ping_timeout=Duration(0.2))
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Echo:
    """A speaker that says what it hears."""

    def __init__(self, transport: Transport, heard: "list[Echo]") -> None:
        self.transport = transport
        self.messages: list[str | bytes] = []
        self.framings = [transport.framing]
        self.ends: list[str] = []
        heard.append(self)

    def opened(self) -> bytes:
        return b""

    def receive(self, message: str | bytes) -> None:
        self.messages.append(message)
        self.transport.offer(framed(self.transport.framing, message))

    def reframed(self) -> None:
        self.framings.append(self.transport.framing)

    def closed(self, reason: str) -> None:
        self.ends.append(reason)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class EngineClient(Client):
    """Speaks HTTP, and after `upgrade` frames."""

    path: ClassVar[str] = "/engine.io/"

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> None:
        """Send a request and do not wait."""
        lines = [f"{method} {self.path}?{target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def reply(self) -> Reply:
        """The next answer."""
        head = (await self.read_until(b"\r\n\r\n")).decode("latin-1")
        assert head, "the server hung up"
        status, *lines = head.rstrip().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        size = int(headers.get("content-length", 0))
        return Reply(int(status.split()[1]), headers, await self.read(size))

    async def get(self, target: str, **headers: str) -> Reply:
        """A GET and its answer."""
        await self.ask("GET", target, b"", **headers)
        return await self.reply()

    async def post(self, target: str, body: bytes, **headers: str) -> Reply:
        """A POST and its answer."""
        await self.ask("POST", target, body, **headers)
        return await self.reply()

    async def upgrade(self, target: str, **headers: str) -> None:
        """Become a WebSocket."""
        await self.ask(
            "GET",
            target,
            b"",
            Upgrade="websocket",
            Connection="Upgrade",
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Key=KEY,
            **headers,
        )
        reply = await self.reply()
        assert reply.status == 101, reply

    async def say(self, packet: str | bytes) -> None:
        """A packet in a frame; text or binary."""
        if isinstance(packet, str):
            await self.send(client_frame(packet.encode()))
        else:
            await self.send(client_frame(packet, 0x82))

    async def hear(self) -> str | bytes:
        """The next packet; a close frame as its code, in text after `close `."""
        head = await self.read(2)
        if len(head) < 2:
            return "end"
        size = head[1]
        if size == 126:
            size = int.from_bytes(await self.read(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.read(8), "big")
        data = await self.read(size)
        match head[0]:
            case 0x81:
                return data.decode()
            case 0x82:
                return data
            case 0x88:
                return f"close {int.from_bytes(data[:2], 'big')}"
            case first:
                return f"control {first:#x} {data!r}"


@dataclass
class EngineWorld:
    """A running listener."""

    engine: Engine
    door: FrontDoor
    port: int
    comet: World
    heard: list[Echo] = field(default_factory=list)

    @property
    def speaker(self) -> Echo:
        """Of the last session."""
        return self.heard[-1]

    async def connect(self) -> EngineClient:
        """A bare connection."""
        client = EngineClient(await trio.open_tcp_stream("127.0.0.1", self.port))
        self.comet.clients.append(client)
        return client

    async def begin(self, revision: int = 4, more: str = "") -> tuple[EngineClient, str]:
        """A polling session: its connection, and the target of its requests."""
        client = await self.connect()
        reply = await client.get(f"EIO={revision}&transport=polling{more}")
        assert reply.status == 200, reply
        sid = self.speaker.transport.sid
        assert sid in reply.body.decode()
        return client, f"EIO={revision}&transport=polling{more}&sid={sid}"

    async def websocket(self, revision: int = 4) -> EngineClient:
        """A session on a WebSocket, behind its open packet."""
        client = await self.connect()
        await client.upgrade(f"EIO={revision}&transport=websocket")
        opened(await client.hear())
        return client


def opened(packet: str | bytes) -> dict[str, Any]:
    """What an open packet says."""
    assert isinstance(packet, str)
    assert packet.startswith("0"), packet
    said: dict[str, Any] = json.loads(packet[1:])
    return said


@asynccontextmanager
async def open_engine(
    config: CometConfig | None = None,
    *,
    speaker: Any = Echo,
    tls: ssl.SSLContext | None = None,
    **limits: Any,
) -> AsyncIterator[EngineWorld]:
    """A listener until the block ends; `limits` are those of its front door."""
    config = config or CometConfig()
    config = changed(config, "socketio", path="/engine.io/")
    heard: list[Echo] = []
    async with open_comet(config) as comet, trio.open_nursery() as nursery:
        engine = comet.comet.socketio.engine
        engine.open = lambda transport: speaker(transport, heard)
        door = EngineDoor(engine, origins=Origins(config.socketio.origins))
        front = FrontDoor(door.routes, limits=HttpLimits(**limits), render_error=door.render)
        sockets = open_sockets("127.0.0.1", 0)
        world = EngineWorld(engine, front, bound_to(sockets).port, comet, heard)
        nursery.start_soon(partial(front.serve, sockets, stop=trio.Event(), tls=tls))
        yield world
        nursery.cancel_scope.cancel()
