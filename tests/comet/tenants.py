r"""light-push on real comets over a real database, and its clients without a socket.

async with open_tenants(database) as tenants:
    await tenants.save("/demo")
    device = tenants.device("uuid=d1")
    await device.connects()
    assert await device.asks("joinRoom", ["r1"]) == {"status": 200, "msg": "ok"}
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import trio

from appmodel.core.lightpush_push import PushLimits
from appmodel.core.lightpush_records import NamespaceChange
from appmodel.core.lightpush_stores import PushBounds
from appmodel.core.sealing import Sealing
from appmodel.core.units import Duration
from appmodel.io.database import Database
from appmodel.io.lightpush_attendance import SqlAttendance
from appmodel.io.lightpush_clients import SqlClients
from appmodel.io.lightpush_namespaces import SqlNamespaces
from appmodel.io.lightpush_pushes import SqlPushBook
from appmodel.io.lightpush_pushing import Made
from appmodel.io.outbound_limits import OutboundLimits
from appmodel.runtime.lightpush import Books
from comet.config import CallbacksConfig, CometConfig, LightPushConfig, ReceiptsConfig, RollConfig
from comet.io.lightpush import LightPush
from tests.comet.several import FAST, Cluster, open_cluster
from tests.comet.talking import Phone
from tests.comet.world import LIMIT, World

QUICK = LightPushConfig(
    client_push_interval=Duration(0.01),
    roll=RollConfig(gather=Duration(0.02), check=Duration(0.2), grace=Duration(0.2)),
    receipts=ReceiptsConfig(gather=Duration(0.02)),
    callbacks=CallbacksConfig(outbound=OutboundLimits(allowed=("http://127.0.0.0/8",))),
)
STALENESS = 0.1  # seconds


class Device:
    """A client of one namespace on one comet."""

    def __init__(self, world: World, query: str, namespace: str, revision: int) -> None:
        self.phone = Phone(world.comet.socketio.talks, revision=revision, query=query)
        self.namespace = namespace
        self._next_ack = 0
        self._passed: list[list[Any]] = []  # events that nobody has waited for yet

    async def connects(self, query: str = "") -> dict[str, Any]:
        """Come in; what `ok` says."""
        self.ask_in(query)
        assert await self.hears() == f"0{self.namespace},"
        found = await self.event("ok")
        assert isinstance(found, dict)
        return found

    def ask_in(self, query: str = "") -> None:
        """Send the connect."""
        self.phone.say(f"0{self.namespace}{query},")

    async def hears(self) -> str:
        """The next packet of the namespace."""
        packet = await self.phone.hears()
        return await self.phone.hears() if packet == "0" else packet

    async def event(self, name: str) -> Any:
        """The argument of the next event of that name; others stay for later."""
        for at, (heard, *arguments) in enumerate(self._passed):
            if heard == name:
                del self._passed[at]
                return arguments[0]
        while True:
            heard, *arguments = await self._next_event()
            if heard == name:
                return arguments[0]
            self._passed.append([heard, *arguments])

    async def asks(self, name: str, *arguments: Any) -> Any:
        """Emit an event; its answer. Events that come before it stay for later."""
        self._next_ack += 1
        packet = msgspec.json.encode([name, *arguments]).decode()
        self.phone.say(f"2{self.namespace},{self._next_ack}{packet}")
        head = f"3{self.namespace},{self._next_ack}"
        while True:
            heard = await self.hears()
            if heard.startswith(head):
                return msgspec.json.decode(heard.removeprefix(head))[0]
            self._keep(heard)

    def emits(self, name: str, *arguments: Any) -> None:
        """Emit an event that is not answered."""
        self.phone.say(f"2{self.namespace}," + msgspec.json.encode([name, *arguments]).decode())

    async def _next_event(self) -> list[Any]:
        before = len(self._passed)
        self._keep(await self.hears())
        assert len(self._passed) == before + 1
        return self._passed.pop()

    def _keep(self, packet: str) -> None:
        head = f"2{self.namespace},"
        assert packet.startswith(head), packet
        self._passed.append(msgspec.json.decode(packet.removeprefix(head)))


@dataclass
class Tenants:
    """Comets with light-push."""

    cluster: Cluster
    books: Books
    served: list[LightPush] = field(default_factory=list)

    @property
    def lightpush(self) -> LightPush:
        """Of the first comet."""
        return self.served[0]

    async def save(self, key: str = "/demo", **fields: Any) -> None:
        """Make or change a namespace."""
        await self.books.namespaces.save(key, NamespaceChange(**fields), now=now())

    def device(
        self, query: str, *, comet: str = "a", namespace: str = "/demo", revision: int = 3
    ) -> Device:
        """A client whose transport is open."""
        return Device(self.cluster.worlds[comet], query, namespace, revision)

    async def comes(self, query: str, **where: Any) -> Device:
        """A client that is in."""
        device = self.device(query, **where)
        await device.connects()
        return device

    async def push(self, namespace: str = "/demo", **fields: Any) -> Made:
        """As REST does."""
        found = await self.books.namespaces.find([namespace])
        return await self.lightpush.pushing.push(fields, found.get(namespace))


def now() -> int:
    """Unix ms."""
    return round(time.time() * 1000)


async def until(holds: Callable[[], Any]) -> None:
    """Wait, in real time, until `await holds()` is true."""
    with trio.fail_after(LIMIT):
        while not await holds():  # noqa: ASYNC110  a database tells nobody
            await trio.sleep(0.01)


@asynccontextmanager
async def open_tenants(
    database: Database, names: Sequence[str] = ("a",), lightpush: LightPushConfig = QUICK
) -> AsyncIterator[Tenants]:
    """Comets of these names, until the block ends; then all clients go, and that is written."""
    config: CometConfig = msgspec.structs.replace(FAST, lightpush=lightpush)
    books = Books(
        SqlNamespaces(database, Sealing(b"")),
        SqlClients(database),
        SqlAttendance(database),
        SqlPushBook(database, PushBounds()),
    )
    async with open_cluster(*names, config=config) as cluster, trio.open_nursery() as nursery:
        tenants = Tenants(cluster, books)
        for name in names:
            served = LightPush(
                comet=cluster.worlds[name].comet,
                registry=cluster.registry,
                database=database,
                books=books,
                limits=PushLimits(),
                offline_after=5.0,
                staleness=STALENESS,
                port=lambda: 21314,
                now=time.time,
                are_expected=True,
            )
            await nursery.start(served.run)
            tenants.served.append(served)
        yield tenants
        nursery.cancel_scope.cancel()
