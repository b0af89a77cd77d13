"""A web node on real sockets, with an honest comet and the memory store behind it.

async with open_world(auth="on") as world:
    token = world.token("push")
    answer = await world.admin.ask("POST", "/1/admin/push/private?key=u1&expire=60", b"{}", bearer=token)
"""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import msgspec
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.cluster import Node, Role
from appmodel.core.message import Delivery, Presence, Push, Save
from appmodel.core.names import Key, parse_key
from appmodel.core.realms import Transfer
from appmodel.core.units import Size
from appmodel.errors import PushError
from appmodel.io.http_limits import HttpLimits
from appmodel.runtime.config import AuthConfig, DatabaseConfig, Password, Secret
from appmodel.runtime.service import Address, Context, open_context
from appmodel.runtime.settings import Settings
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.databases import an_empty_database
from web.app import serve
from web.config import (
    AdminConfig,
    ApiConfig,
    AppConfig,
    FilesConfig,
    LightpushConfig,
    MpushConfig,
    PublicConfig,
    WebConfig,
)

SECRET = "a secret of the tests, long enough to sign with"
LIMIT = 30.0  # seconds for one answer: a test that hangs says where


class HonestComet:
    """A `Pusher` that keeps its promises, with subscribers that are numbers; a `RealmHost` without clients."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._clock = MessageClock()
        self.subscribers: Counter[Key] = Counter()
        self.calls: list[list[Push]] = []
        self.orders: list[Transfer | tuple[str, str]] = []  # of realms, that it was given
        self.trouble: PushError | None = None  # raised by the next calls
        self.refused = 0  # calls that it was raised by

    async def push(
        self, pushes: Sequence[Push], *, passed_on: bool = False
    ) -> list[Delivery | PushError]:
        trouble = self.trouble
        if trouble is not None:
            self.refused += 1
            await trio.lowlevel.checkpoint()
            raise trouble
        self.calls.append(list(pushes))
        now_us = time.time_ns() // 1000
        stored = [p for p in pushes if p.expires_at]
        saves = [
            Save(p.push_id, self._clock.next_id(now_us), p.keys, p.body, p.expires_at, p.tails)
            for p in stored
        ]
        saved = iter(await self._store.save(saves))
        return [self._deliver(p, next(saved).ids if p.expires_at else None) for p in pushes]

    def _deliver(self, push: Push, ids: tuple[int, ...] | None) -> Delivery:
        online = tuple(self.subscribers[key] for key in push.keys)
        if ids is not None:
            return Delivery(ids, online, stored=True)
        unsaved = self._clock.next_id(time.time_ns() // 1000)
        return Delivery((unsaved,) * len(push.keys), online, stored=False)

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        await trio.lowlevel.checkpoint()
        if self.trouble is not None:
            raise self.trouble
        return [Presence(self.subscribers[key], 0) for key in keys]

    async def transfer(self, order: Transfer) -> int:
        await trio.lowlevel.checkpoint()
        self.orders.append(order)
        return 0

    async def dismiss(self, realm: str, reason: str) -> int:
        await trio.lowlevel.checkpoint()
        self.orders.append((realm, reason))
        return 0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Door:
    """One listener of the node, seen from outside."""

    host: str
    port: int

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        bearer: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        fields = {"Host": f"{self.host}:{self.port}", "Connection": "close"}
        fields |= {"Content-Length": str(len(body))} if body or method != "GET" else {}
        fields |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
        fields |= headers or {}
        head = f"{method} {target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        return parse_answer(await self.exchange(head.encode() + b"\r\n" + body))

    async def exchange(self, request: bytes) -> bytes:
        """These bytes, and all that comes back until the node hangs up."""
        with trio.fail_after(LIMIT):
            async with await trio.open_tcp_stream(self.host, self.port) as stream:
                await stream.send_all(request)
                return b"".join([piece async for piece in stream])


def parse_answer(raw: bytes) -> Answer:
    """One answer, chunked or not."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = _dechunked(body)
    return Answer(int(status.split()[1]), headers, body)


def _dechunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        if not count:
            return whole
        whole, body = whole + rest[:count], rest[count + 2 :]
    raise AssertionError("the answer was cut short")


@dataclass
class World:
    """The node, and what is behind it."""

    context: Context
    store: MemoryStore
    comet: HonestComet
    stop: trio.Event  # set: the node drains
    doors: dict[str, Door] = field(default_factory=dict)

    @property
    def public(self) -> Door:
        """8090"""
        return self.doors["web.public"]

    @property
    def admin(self) -> Door:
        """8091"""
        return self.doors["web.admin"]

    @property
    def app(self) -> Door:
        """8093"""
        return self.doors["web.app"]

    @property
    def api(self) -> Door:
        """8094"""
        return self.doors["web.api"]

    @property
    def lightpush(self) -> Door:
        """10002"""
        return self.doors["web.lightpush"]

    @property
    def mpush(self) -> Door:
        """2246"""
        return self.doors["web.mpush"]

    def token(self, *scopes: str, realm: str = "", ttl: float = 60.0, ago: float = 0.0) -> str:
        """An access token, issued `ago` seconds ago."""
        now = time.time() - ago
        return self.context.credentials.issue_token(scopes, realm=realm, now=now, ttl=ttl)

    def ticket(self, key: str, *, realm: str = "", ttl: float = 60.0, ago: float = 0.0) -> str:
        """A ticket of `key`, issued `ago` seconds ago."""
        now = time.time() - ago
        return self.context.credentials.issue_ticket(parse_key(key, realm), now=now, ttl=ttl)

    async def revoke(self, subject: str) -> None:
        """Void the credentials of `subject`, and let the node know at once."""
        now = time.time()
        await self.store.revoke(subject, issued_before=now, kept_until=now + 600)
        for revocation in await self.store.revocations(0):
            self.context.revocations.add(revocation)

    async def kept(self, key: str, realm: str = "") -> list[bytes]:
        """The bodies that the store has for `key`."""
        page = await self.store.fetch(parse_key(key, realm), 0, limit=10_000)
        return [message.body for message in page.messages]

    async def keep(self, key: str, *bodies: bytes, first_id: int = 1, realm: str = "") -> None:
        """Store messages, ids from `first_id` on."""
        until = time.time() + 600
        for at, body in enumerate(bodies, first_id):
            push_id = f"{key}/{at}".encode()
            await self.store.save([Save(push_id, at, (parse_key(key, realm),), body, until)])


def web_config(**changes: Any) -> WebConfig:
    """Free ports, and what the test wants otherwise."""
    listeners: dict[str, Any] = {
        "public": PublicConfig(port=0),
        "admin": AdminConfig(port=0),
        "app": AppConfig(port=0),
        "api": ApiConfig(port=0),
        "lightpush": LightpushConfig(port=0),
        "mpush": MpushConfig(port=0),
    }
    return WebConfig(**(listeners | changes))


def small_bodies() -> WebConfig:
    """At most 1,000 bytes in a request of 8094."""
    return web_config(api=ApiConfig(port=0, http=HttpLimits(max_body=Size(1000))))


@asynccontextmanager
async def open_world(
    *,
    auth: str = "off",
    config: WebConfig | None = None,
    comets: bool = True,
    tcp: tuple[str, ...] = ("c1.example:6969",),
    database: str = "",
    shared: Mapping[str, msgspec.Struct] | None = None,
) -> AsyncIterator[World]:
    """A running node; stopped and drained when the block ends.

    Args:
        database: the URL of one with all tables; empty = a fresh SQLite file.
        shared: other sections, by name.
    """
    mode = AuthConfig(mode="on" if auth == "on" else "off", secret=Secret(SECRET))
    with ExitStack() as stack:
        url = database or stack.enter_context(an_empty_database("sqlite"))
        web = config or web_config()
        if web.files.folder == FilesConfig().folder:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            web = msgspec.structs.replace(
                web, files=msgspec.structs.replace(web.files, folder=folder)
            )
        settings = Settings.of(web=web).replacing(
            auth=mode, database=DatabaseConfig(url=Password(url)), **(shared or {})
        )
        async with _running(settings, comets=comets, tcp=tcp) as world:
            yield world


@asynccontextmanager
async def _running(
    settings: Settings, *, comets: bool, tcp: tuple[str, ...]
) -> AsyncIterator[World]:
    async with open_context(settings, ["web"]) as context, trio.open_nursery() as nursery:
        store = MemoryStore(MessageConfig(store="memory"))
        comet = HonestComet(store)
        context.peers.provide_store(store, store)
        context.peers.provide_pusher(Node(Role.COMET, "c1"), comet)
        context.peers.provide_host(Node(Role.COMET, "c1"), comet)
        if comets:
            ws = ("c1.example:6968", "c2.example:6968")
            await context.registry.register(Node(Role.COMET, "c1", ws=ws, tcp=tcp))
        stop = trio.Event()
        addresses: list[Address] = await nursery.start(serve, context, stop)
        yield World(context, store, comet, stop, {a.name: _door(a) for a in addresses})
        stop.set()


def _door(address: Address) -> Door:
    url = urlsplit(address.url)
    assert url.hostname is not None
    assert url.port is not None
    return Door(url.hostname, url.port)
