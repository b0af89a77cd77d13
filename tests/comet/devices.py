r"""Mpush on real comets over a real database, and devices that speak it, byte for byte.

async with open_mpush(database) as place:
    phone = await place.phone()
    await phone.say("mpush")
    assert await phone.hears() == AUTHENTICATED
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import trio

from appmodel.core.addresses import Addresses
from appmodel.core.message import Delivery
from appmodel.core.mpush import device_key, mid_of
from appmodel.core.mpush_auth import MpushAuth
from appmodel.core.mpush_keys import PublicKeys
from appmodel.core.mpush_registering import Registering
from appmodel.core.mpush_tokens import MpushGate
from appmodel.core.mpush_tries import TokenTries
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.core.origins import Origins
from appmodel.core.outward import Outward
from appmodel.core.sealing import Sealing
from appmodel.core.throttle import Throttle
from appmodel.core.units import Duration
from appmodel.io.database import Database
from appmodel.io.http import FrontDoor
from appmodel.io.listener import open_sockets
from appmodel.io.mpush_books import MpushBounds, SqlAckBook, SqlDevices, SqlReceivers
from appmodel.io.mpush_keys import SqlKeys
from appmodel.io.mpush_waits import ClusterWaits, RemoteWaits
from comet.config import AcksConfig, CometConfig, MpushConfig
from comet.io.mpush import Books, Mpush
from comet.io.mpush_door import MpushDoor
from tests.comet.several import FAST, Cluster, open_cluster
from tests.comet.world import LIMIT, Client, World

TOKEN = "mpush"
AUTH_KEY = b"k" * 32
AUTHENTICATED = '{"cmd":"AUTH","data":{"code":200,"msg":"Successful authentication"}}'
TOKEN_INVALID = '{"cmd":"AUTH","data":{"code":403,"msg":"Token invalid"}}'
NEED_AUTH = '{"cmd":"AUTH","data":{"code":401,"msg":"Need Auth"}}'
QUICK = MpushConfig(
    acks=AcksConfig(gather=Duration(0.01)),
    resend_after=Duration(30),  # a busy machine must not make a copy
)
PACED = msgspec.structs.replace(QUICK, resend_after=Duration(2))  # as it is in life
HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


def client_frame(text: str | bytes, *, opcode: int = 0x1) -> bytes:
    """A frame as clients send it, masked with zeros; bytes as they are."""
    payload = text.encode() if isinstance(text, str) else text
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, 0x80 | size])
    else:
        head = bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class Phone(Client):
    """A device's end of a WebSocket."""

    async def say(self, text: str | bytes, *, opcode: int = 0x1) -> None:
        """One frame; bytes as they are."""
        await self.send(client_frame(text, opcode=opcode))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload; (0, b"") at the end."""
        head = await self.read(2)
        if len(head) < 2:
            return 0, b""
        size = head[1]
        if size == 126:
            size = int.from_bytes(await self.read(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.read(8), "big")
        return head[0] & 0x0F, await self.read(size)

    async def hears(self) -> str:
        """The next text; pings of the server are skipped."""
        while True:
            opcode, payload = await self.frame()
            if opcode != 0x9:
                assert opcode == 0x1, (opcode, payload)
                return payload.decode()

    async def packet(self, cmd: str) -> Any:
        """The `data` of the next text, which must be that command."""
        found = json.loads(await self.hears())
        assert found["cmd"] == cmd, found
        return found["data"]

    async def messages(self) -> list[dict[str, Any]]:
        """The list of the next MESSAGE frame."""
        found: list[dict[str, Any]] = (await self.packet("MESSAGE"))["msgList"]
        return found

    async def mids(self, count: int) -> list[str]:
        """The mids of the next so many messages, in however many frames."""
        found: list[str] = []
        while len(found) < count:
            found += [message["mid"] for message in await self.messages()]
        return found

    async def ends(self) -> bytes:
        """The server's close frame, then its end; the payload of the frame."""
        while True:
            opcode, payload = await self.frame()
            if opcode == 0x8:
                assert await self.read(1) == b""
                return payload
            assert opcode in (0x1, 0x9), "the connection ended without a close frame"

    async def log_in(self, name: str, token: str = TOKEN) -> "Phone":
        """As the seed's example does."""
        await self.say(token)
        await self.say(name)
        assert await self.hears() == AUTHENTICATED
        assert await self.packet("LOGIN") == {"name": name}
        return self

    async def acks(self, *mids: object) -> None:
        """One acknowledgement for all of them."""
        await self.say(json.dumps({"cmd": "SENDMSG_CB", "data": {"midList": list(mids)}}))

    async def auth(self, name: str, group: str = "", token: str = TOKEN) -> Any:
        """Log in by version 2.2; the data of the answer."""
        await self.tell("AUTH", token=token, name=name, group=group)
        return await self.packet("AUTH")

    async def tell(self, cmd: str, **data: object) -> None:
        """A command of version 2.2."""
        await self.say(json.dumps({"cmd": cmd, "data": data}))


@dataclass
class Place:
    """Comets with Mpush."""

    cluster: Cluster
    books: Books
    database: Database
    served: dict[str, Mpush] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    waits: dict[str, MpushWaits] = field(default_factory=dict)

    def world(self, comet: str = "a") -> World:
        return self.cluster.worlds[comet]

    def owner(self, name: str) -> str:
        """The comet that owns a device's key."""
        node = self.cluster.registry.view.owner(device_key(name))
        assert node is not None
        return node.name

    async def connect(self, comet: str = "a") -> Phone:
        """A bare connection."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.ports[comet])
        phone = Phone(stream)
        self.world(comet).clients.append(phone)
        return phone

    async def phone(
        self, comet: str = "a", target: str = "/", version: int = 13, more: str = ""
    ) -> Phone:
        """A WebSocket that was accepted."""
        phone = await self.connect(comet)
        await phone.send(HANDSHAKE.format(target=target, version=version, more=more).encode())
        head = await phone.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return phone

    async def device(self, name: str, comet: str = "a") -> Phone:
        """One that is logged in, by the seed version."""
        return await (await self.phone(comet)).log_in(name)

    async def push(self, *names: str, comet: str = "a", ttl: float = 60, **body: object) -> str:
        """The mid of a message for these devices."""
        return mid_of((await self.delivery(*names, comet=comet, ttl=ttl, **body)).ids[0])

    async def delivery(
        self, *names: str, comet: str = "a", ttl: float = 60, **body: object
    ) -> Delivery:
        """What the owner says of it."""
        text = msgspec.json.encode({"content": "c", **body})
        keys = [str(device_key(name)) for name in names]
        return await self.world(comet).push(*keys, body=text, ttl=ttl)

    async def is_acked(self, name: str, mid: str, *, comet: str = "a", seconds: float = 5) -> bool:
        """Wait as a web node would."""
        awaited = Awaited(device_key(name), int(mid) * 1000)
        [found] = await self.waits[comet].wait([awaited], seconds)
        return found

    async def written(self) -> None:
        """Wait until every acknowledgement is in the book."""
        for name, mpush in self.served.items():
            await self.world(name).until(lambda m=mpush: not m.acks.pending)  # type: ignore[misc]


@asynccontextmanager
async def open_mpush(
    database: Database, *names: str, config: MpushConfig = QUICK, comet: CometConfig = FAST
) -> AsyncIterator[Place]:
    """Comets of these names ("a" alone if there are none), each with a listener of Mpush."""
    bounds = MpushBounds(100, 10, 100, 100)
    sealing = Sealing(b"s" * 32)
    receivers = SqlReceivers(database, sealing, bounds)
    keys = SqlKeys(database, sealing, PublicKeys(), webpush=True)
    books = Books(
        SqlDevices(database, bounds),
        SqlAckBook(database),
        receivers,
        keys,
        Registering(receivers, keys, Outward()),
    )
    settings = msgspec.structs.replace(comet, mpush=config)
    async with open_cluster(*(names or ("a",)), config=settings) as cluster:
        place = Place(cluster, books, database)
        async with trio.open_nursery() as nursery:
            for name in cluster.worlds:
                await serve(place, name, nursery)
            try:
                yield place
            finally:
                with trio.CancelScope(shield=True):
                    for world in cluster.worlds.values():
                        for client in world.clients:
                            await trio.aclose_forcefully(client.stream)
                nursery.cancel_scope.cancel()


async def serve(place: Place, name: str, nursery: trio.Nursery) -> None:
    """Mpush on one more comet of the cluster."""
    world = place.cluster.worlds[name]
    comet = world.comet

    def waits(node: Any) -> MpushWaits:
        return comet.waits if node.name == name else RemoteWaits(comet.waits._caller(node))

    place.waits[name] = ClusterWaits(place.cluster.registry, waits)
    gate = MpushGate(TOKEN, world.credentials, comet.revocations, now=world.now)
    mpush = place.served[name] = Mpush(
        comet=comet,
        books=place.books,
        tries=TokenTries(gate, Throttle(30, 60, capacity=100), remembered=100),
        auth=MpushAuth(AUTH_KEY, ttl=3600),
        waits=place.waits[name],
        ttl=60,
        now=world.now,
    )
    await nursery.start(mpush.run)
    sockets = open_sockets("127.0.0.1", 0)
    place.ports[name] = sockets[0].getsockname()[1]
    door = MpushDoor(mpush, origins=Origins(["*"], home=True), addresses=Addresses(["127.0.0.1"]))
    front = FrontDoor([], otherwise=door.handle)
    nursery.start_soon(partial(front.serve, sockets, stop=trio.Event()))


def patience() -> trio.CancelScope:
    """For what takes long only if it never comes."""
    return trio.move_on_after(LIMIT)
