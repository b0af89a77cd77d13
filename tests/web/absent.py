"""Clients of light-push that are away, the books in which they stand, and Apple on loopback.

async with opened(database, tmp_path) as absent:
    ann = await absent.phone("ann", 1)               an iOS client in room r1, with Apple's token number 1
    push_id = await absent.push(pushData={"a": 1})   to r1, with leaveMessage, of namespace /demo
    assert await absent.work() == ["done"]           what is due 5 s later

Time stands still but for `absent.clock`, so nothing has to be waited for.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from appmodel.core.lightpush import Platform, client_id
from appmodel.core.lightpush_push import PushLimits, check_push
from appmodel.core.lightpush_records import (
    Ack,
    ApnsChange,
    Arrival,
    ClientChange,
    Enrolment,
    Hidden,
    Namespace,
    NamespaceChange,
    StoredPush,
)
from appmodel.core.lightpush_stores import PushBook
from appmodel.core.sealing import Sealing
from appmodel.io.database import Database
from appmodel.io.lightpush_clients import SqlClients
from appmodel.io.lightpush_namespaces import SqlNamespaces
from appmodel.io.lightpush_pushes import SqlPushBook
from appmodel.io.outbound_limits import OutboundLimits
from tests.web.gateways.apple import KEY_ID, TEAM_ID, TOPIC, Apple, device_token
from tests.web.gateways.authority import Authority, pem
from tests.web.gateways.h2_server import Asked, serving
from web.core.texts import Text, Texts
from web.gateways.config import ApnsConfig, NotificationsConfig
from web.gateways.island import Island
from web.gateways.lightpush_apns import Ways
from web.gateways.opening import Factory
from web.services.lightpush_apple import Apple as AppleStage
from web.services.lightpush_apple import AppleLimits
from web.services.lightpush_offline import Offline
from web.services.lightpush_offline_loop import OfflineQueue, QueueLimits
from web.services.lightpush_recipients import Recipients
from web.services.lightpush_telling import Telling

START = 4_102_444_800_000  # ms: 2100
AFTER = 5000  # ms until a job is due
HOUR = 3_600_000  # ms
LEASE = 60.0  # seconds
PATIENCE = 60.0  # seconds after which a test has failed
AUTHORITY = Authority()


@dataclass
class Clock:
    """Unix milliseconds."""

    ms: int = START

    def now(self) -> int:
        """This moment."""
        return self.ms


@dataclass
class Worker:
    """A web node's share of the queue."""

    offline: Offline
    telling: Telling
    queue: OfflineQueue


@dataclass
class Absent:
    """The books, Apple, and as many workers as a test wants."""

    database: Database
    folder: Path
    island: Island
    apple: Apple = field(default_factory=Apple)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.namespaces = SqlNamespaces(self.database, Sealing(b""))
        self.clients = SqlClients(self.database)
        self.pushes: PushBook = SqlPushBook(self.database)
        self.opened: list[Ways] = []  # to be closed

    def notifications(self) -> NotificationsConfig:
        """Apple is here, for both environments."""
        ca_file = self.folder / "ca.pem"
        ca_file.write_text(AUTHORITY.certificate)
        place = f"localhost:{self.apple.server.port}"
        return NotificationsConfig(
            apns=ApnsConfig(production=place, sandbox=place),
            outbound=OutboundLimits(ca_file=str(ca_file)),
        )

    def ways(self) -> Ways:
        """To Apple; closed in the end."""
        factory = Factory(self.notifications(), self.island, None)
        self.opened.append(Ways(self.namespaces, partial(factory.open, "apns"), pause=60))
        return self.opened[-1]

    def worker(
        self,
        ways: Ways | None = None,
        *,
        page: int = 500,
        concurrency: int = 50,
        jobs: int = 16,
        poll: float = 0.2,
    ) -> Worker:
        """It pauses for one second before Apple is asked again, then two, then four."""
        now = self.clock.now
        recipients = Recipients(self.clients, self.pushes, page)
        telling = Telling(self.clients)
        limits = AppleLimits(
            concurrency=concurrency, begin=LEASE / 3, first_pause=1.0, max_pause=4.0
        )
        stage = AppleStage(
            recipients,
            ways or self.ways(),
            telling,
            limits,
            alert=Texts("zh").say(Text.LIGHTPUSH_ALERT),
            now=now,
            jitter=lambda low, high: high,
        )
        offline = Offline(self.pushes, recipients, stage, lease=LEASE, now=now)
        queue = QueueLimits(jobs=jobs, poll=poll, lease=LEASE, pause=1.0)
        return Worker(offline, telling, OfflineQueue(self.pushes, offline, queue, now=now))

    async def work(self, worker: Worker | None = None) -> list[str]:
        """All that is due, one after the other: what became of it."""
        worker = worker or self.worker()
        jobs = await self.pushes.claim_jobs(now=self.clock.ms, lease=round(1000 * LEASE), limit=100)
        return [await worker.offline.work(job, may_go_on=lambda: True) for job in jobs]

    async def configure(self, namespace: str, name: str, **fields: Any) -> None:
        """A way to Apple, with the key that it knows, unless `fields` say otherwise."""
        values = {
            "topic": TOPIC,
            "environment": "production",
            "token_key": Hidden(pem(self.apple.key)),
            "token_key_id": KEY_ID,
            "token_team_id": TEAM_ID,
        } | fields
        change = NamespaceChange(apns=[ApnsChange(name=name, **values)])
        await self.namespaces.save(namespace, change, now=START)

    async def client(
        self,
        userid: str,
        platform: Platform,
        *,
        rooms: Sequence[str] = ("r1",),
        namespace: str = "/demo",
        **fields: Any,
    ) -> str:
        """One that was connected once and is not any more. `fields`: see ClientChange."""
        client = client_id(namespace, userid, platform, "d")
        await self.clients.arrived([Arrival(namespace, client, userid, platform, "d", START)])
        await self.clients.enrolled(
            [Enrolment(namespace, room, client, platform) for room in rooms]
        )
        if fields:
            await self.clients.change(namespace, client, ClientChange(**fields), now=START)
        return client

    async def phone(self, userid: str, number: int, **fields: Any) -> str:
        """An iOS client, and Apple's token number so-and-so."""
        values = {"device_token": device_token(number)} | fields
        return await self.client(userid, Platform.IOS, **values)

    async def push(self, namespace: str = "/demo", **fields: Any) -> int:
        """To room r1; its id. Due in AFTER ms; that is when the clock stands then."""
        asked = {"room": "r1", "pushData": {}, "leaveMessage": True} | fields
        draft = check_push(asked, Namespace(namespace), PushLimits(), now=self.clock.ms)
        push_id = await self.pushes.create(draft, offline_after=AFTER)
        self.clock.ms += AFTER
        return push_id

    async def acknowledge(self, push_id: int, client: str, platform: Platform) -> None:
        """A client has it."""
        namespace = client.partition("#")[0]
        ack = Ack(namespace, push_id, client, platform)
        assert await self.pushes.acknowledge([ack], now=self.clock.ms) == 1

    async def inbox(self, client: str) -> list[int]:
        """The pushes that wait for it; they do not wait any more."""
        namespace = client.partition("#")[0]
        found = await self.pushes.take_inbox(namespace, client, now=self.clock.ms)
        return [push.id for push in found]

    async def report(self, push_id: int, namespace: str = "/demo") -> StoredPush:
        """What became of a push."""
        push = await self.pushes.find(namespace, push_id, now=self.clock.ms)
        assert push is not None
        return push

    async def token(self, client: str) -> str:
        """What is kept of it."""
        record = await self.clients.find(client.partition("#")[0], client)
        assert record is not None
        return record.device_token or ""

    @property
    def notified(self) -> Counter[int]:
        """How often Apple was asked for each token, by their numbers."""
        return Counter(number_of(asked) for asked in self.apple.server.asked)

    @property
    def bodies(self) -> list[Any]:
        """What Apple was sent."""
        return [json.loads(asked.body) for asked in self.apple.server.asked]


def number_of(asked: Asked) -> int:
    """The token's number."""
    return int(asked.path.rpartition("/")[2], 16)


@asynccontextmanager
async def opened(database: Database, folder: Path) -> AsyncIterator[Absent]:
    """Namespace /demo, which has no configuration, and Apple, until the block ends."""
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        island = Island()
        await nursery.start(island.run)
        absent = Absent(database, folder, island)
        tls = AUTHORITY.server_context(ask_client=True)
        await stack.enter_async_context(serving(absent.apple.server, tls))
        await absent.namespaces.save("/demo", NamespaceChange(), now=START)
        with trio.fail_after(PATIENCE):
            yield absent
            for ways in absent.opened:
                await ways.aclose()
        assert island.faults == 0
        nursery.cancel_scope.cancel()
