r"""Clients of light-push, byte for byte: Socket.IO 2 over Engine.IO 3, on a WebSocket or by polling.

    device = await Device.open(port, "uuid=d1", "/demo")
    assert await device.connects() == {"system": ..., "port": 21314, "clientId": "/demo#d1#web-d1"}
    assert await device.asks("joinRoom", ["r1"]) == {"status": 200, "msg": "ok"}
    await device.event("push")

Each request of a polling client is a connection of its own, so behind a balancer each may come to another comet.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from struct import pack
from typing import Any, ClassVar, Protocol

import msgspec
import trio

from tests.comet.engine_world import EngineClient, Reply, opened
from tests.comet.world import client_frame

LIMIT = 40.0  # seconds for one packet: a test that hangs says where
HOST = "127.0.0.1"
PING = "control 0x89 b''"  # of WebSocket; as `EngineClient.hear` shows it


class Wire(EngineClient):
    """A connection to the path of the originals."""

    path: ClassVar[str] = "/socket.io/"

    async def read(self, count: int) -> bytes:
        """As of any client, and for as long as it takes."""
        while len(self._received) < count:
            if not (data := await self.stream.receive_some()):
                break
            self._received += data
        found, self._received = self._received[:count], self._received[count:]
        return found

    async def say(self, packet: str | bytes) -> None:
        """Of any size below 64 KiB."""
        data = packet.encode() if isinstance(packet, str) else packet
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + pack(">H", len(data))
        first = b"\x81" if isinstance(packet, str) else b"\x82"
        await self.send(first + size + bytes(4) + data)


@asynccontextmanager
async def a_wire(port: int) -> AsyncIterator[Wire]:
    """A connection until the block ends."""
    stream = await trio.open_tcp_stream(HOST, port)
    try:
        yield Wire(stream)
    finally:
        await trio.aclose_forcefully(stream)


class Carrier(Protocol):
    """Carries packets of Engine.IO."""

    async def say(self, packet: str) -> None:
        """One to the server."""

    async def hear(self) -> str:
        """The next one from it."""

    async def cut(self) -> None:
        """The client is gone without a word."""


class OnWebSocket:
    """Implements Carrier. `read` must be running: as a browser does, it answers pings of WebSocket at any time."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._heard, self._packets = trio.open_memory_channel[str](1000)

    async def read(self) -> None:
        """Until the connection ends."""
        with self._heard, suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while (packet := await self._wire.hear()) != "end":
                if packet == PING:
                    await self._wire.send(client_frame(b"", 0x8A))
                else:
                    assert isinstance(packet, str)
                    self._heard.send_nowait(packet)

    async def say(self, packet: str) -> None:
        await self._wire.say(packet)

    async def hear(self) -> str:
        return await self._packets.receive()

    async def cut(self) -> None:
        await trio.aclose_forcefully(self._wire.stream)


class Polling:
    """Implements Carrier."""

    def __init__(self, port: int, query: str, cookie: str = "") -> None:
        self._port, self._cookie = port, cookie
        self.target = f"EIO=3&transport=polling&{query}"
        self._heard: list[str] = []

    async def say(self, packet: str) -> None:
        reply = await self._request("POST", f"{len(packet)}:{packet}".encode())
        assert (reply.status, reply.body) == (200, b"ok"), reply

    async def hear(self) -> str:
        while not self._heard:
            reply = await self._request("GET")
            assert reply.status == 200, reply
            self._heard += packets(reply.body)
        return self._heard.pop(0)

    async def cut(self) -> None:
        """Polls no more: nobody notices for a while."""
        await trio.lowlevel.checkpoint()

    async def _request(self, method: str, body: bytes = b"") -> Reply:
        headers = {"Cookie": self._cookie} if self._cookie else {}
        async with a_wire(self._port) as wire:
            await wire.ask(method, self.target, body, **headers)
            return await wire.reply()


def packets(payload: bytes) -> list[str]:
    """Those of a polling payload of revision 3: their length, a colon, they."""
    text, found = payload.decode(), []
    while text:
        size, _, text = text.partition(":")
        found.append(text[: int(size)])
        text = text[int(size) :]
    return found


class Device:
    """A client in one namespace, on a transport that is open."""

    def __init__(self, carrier: Carrier, namespace: str, sid: str) -> None:
        self.carrier, self.namespace, self.sid = carrier, namespace, sid
        self.heard: list[list[Any]] = []  # events that nobody has waited for yet
        self._next_ack = 0

    @classmethod
    async def open(
        cls,
        port: int,
        query: str,
        namespace: str,
        nursery: trio.Nursery,
        *,
        polls: bool = False,
        cookie: str = "",
    ) -> "Device":
        """Its transport, read in `nursery`; it is in no namespace yet, but in `/`."""
        carrier: Carrier
        if polls:
            carrier = polling = Polling(port, query, cookie)
            sid = opened(await carrier.hear())["sid"]
            polling.target += f"&sid={sid}"
        else:
            wire = Wire(await trio.open_tcp_stream(HOST, port))
            headers = {"Cookie": cookie} if cookie else {}
            await wire.upgrade(f"EIO=3&transport=websocket&{query}", **headers)
            carrier = socket = OnWebSocket(wire)
            nursery.start_soon(socket.read)
            sid = opened(await carrier.hear())["sid"]
        assert await carrier.hear() == "40"
        return cls(carrier, namespace, sid)

    async def connects(self, query: str = "") -> dict[str, Any]:
        """Come in; what `ok` says."""
        await self.ask_in(query)
        assert await self.hears() == f"0{self.namespace},"
        found: dict[str, Any] = await self.event("ok")
        return found

    async def ask_in(self, query: str = "") -> None:
        """Send the connect."""
        await self.say(f"0{self.namespace}{query},")

    async def say(self, packet: str) -> None:
        """A packet of Socket.IO."""
        await self.carrier.say(f"4{packet}")

    async def hears(self) -> str:
        """The next packet of Socket.IO."""
        with trio.fail_after(LIMIT):
            packet = await self.carrier.hear()
        assert packet.startswith("4"), packet
        return packet[1:]

    async def event(self, name: str) -> Any:
        """The argument of the next event of that name; others stay for later."""
        for at, (heard, *arguments) in enumerate(self.heard):
            if heard == name:
                del self.heard[at]
                return arguments[0]
        while True:
            heard, *arguments = self._event(await self.hears())
            if heard == name:
                return arguments[0]
            self.heard.append([heard, *arguments])

    async def asks(self, name: str, *arguments: Any) -> Any:
        """Emit an event; its answer. Events that come before it stay for later."""
        self._next_ack += 1
        await self.say(f"2{self.namespace},{self._next_ack}{_json([name, *arguments])}")
        head = f"3{self.namespace},{self._next_ack}["
        while True:
            heard = await self.hears()
            if heard.startswith(head):
                return msgspec.json.decode(heard[len(head) - 1 :])[0]
            self.heard.append(self._event(heard))

    async def emits(self, name: str, *arguments: Any) -> None:
        """Emit an event that is not answered."""
        await self.say(f"2{self.namespace},{_json([name, *arguments])}")

    async def shows_life(self) -> None:
        """Its transport works: a ping is answered. What is heard before stays for later."""
        await self.carrier.say("2")
        with trio.fail_after(LIMIT):
            while (packet := await self.carrier.hear()) != "3":
                self.heard.append(self._event(packet[1:]))

    def _event(self, packet: str) -> list[Any]:
        head = f"2{self.namespace},"
        assert packet.startswith(head), packet
        found: list[Any] = msgspec.json.decode(packet.removeprefix(head))
        return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
