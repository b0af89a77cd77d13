"""One round: a load that goes on while something breaks, and what all saw of it, checked.

    async with storm(cluster, seed) as load:
        await load.until_accepted(100)
        with load.broken("comet c1 is killed"):
            cluster["c1"].kill()
            await load.until_accepted(100)
            await in_thread(cluster["c1"].start)
        await load.until_accepted(100)

When the block ends callers finish, clients catch up, the store is read back, and the seven laws are
checked over the history; one that breaks a law is kept in the cluster's folder. Every round has keys
of its own, in two realms that use the same names.
"""

import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx
import trio

from appmodel.core.credentials import SCOPES
from appmodel.core.names import Key
from tests.cluster.callers import LINE, LONG, Caller
from tests.cluster.checker import check
from tests.cluster.clients import HUNG_UP, Habits, Legacy, Library, Native, Place
from tests.cluster.cluster import Cluster
from tests.cluster.history import (
    Asked,
    Broken,
    Doubtful,
    Ended,
    History,
    Kept,
    Mended,
    Refused,
    Settled,
    Welcomed,
)
from tests.cluster.report import report

REALMS = (
    "",
    "shop",
)  # clients live in the default one; to the other one is pushed, and nobody may see it
PATIENCE = 90.0  # seconds for anything that has to happen
GRACE = 5.0  # seconds for what is on its way, and for nobody who is away
CALL = 5.0  # seconds for a question of a client to web
SLACK = (
    7200.0  # seconds for which a ticket is good before and after now: clocks are stepped by an hour
)
PAGE = 1000  # messages of one page when the store is read back

Client = Native | Library
Told = defaultdict[str, dict[int, int]]  # by key: orders, and the id of each


@dataclass(frozen=True, slots=True)
class Size:
    """How much goes on. A round takes about so many seconds as it is told to."""

    keys: int = 8  # of each realm
    clients: int = 3  # native ones of each key
    legacy: int = 4
    library: int = 1
    pushing: int = 3  # callers
    streaming: int = 1
    strangers: int = 1  # callers of the other realm
    pace: float = 0.03  # seconds between two orders of a caller
    most: int = 8  # keys of one order
    looks_up: float = 0.5  # share of the clients that ask web; the others go to any comet
    at: str = ""  # the comet that the others go to, while it is up; any, if empty
    waiting: float = 0.3  # share of the native ones that begin with what comes


@dataclass
class Load:
    """What runs, and what it saw."""

    cluster: Cluster
    chance: random.Random
    history: History
    size: Size
    name: str  # of the round: its keys begin with it
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    clients: list[Client] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    owed: Told = field(default_factory=lambda: defaultdict(dict))
    hoped: Told = field(default_factory=lambda: defaultdict(dict))  # not for long
    accepted: int = 0  # keys of orders, so far

    def comets(self, transport: str) -> list[str]:
        """Where clients go that do not ask web."""
        first = self.cluster.nodes.get(self.size.at)
        if first is not None and first.is_up:
            return [first.address(transport)]
        return self.cluster.comets(transport)

    async def until_accepted(self, more: int) -> None:
        """Until so many more keys of orders have got their id."""
        goal = self.accepted + more
        await self._until(lambda: self.accepted >= goal, f"{more} more orders are accepted")

    async def until_refused(self) -> None:
        """Until a caller notices."""
        before = len(self.refusals())
        await self._until(lambda: len(self.refusals()) > before, "somebody is refused")

    async def until_connected(self) -> None:
        """Until every client is subscribed."""
        await self._until(lambda: self._are_connected(0.0), "all are connected")

    async def until_back(self) -> None:
        """Until every client is subscribed anew: all of them have lost their connection."""
        last = [event.at for event in self.history if isinstance(event, Broken)][-1]
        await self._until(lambda: self._are_connected(last), "all are back")

    @contextmanager
    def broken(self, what: str) -> Iterator[None]:
        """Something is broken inside the block, and mended at its end."""
        self.history.add(Broken(what=what))
        yield
        self.history.add(Mended(what=what))

    def refusals(self, *, stored: bool = False, lines: bool = True) -> list[str]:
        """How callers were turned away, or left in doubt.

        `stored`: only where a ttl was given; not `lines`: only by an answer, not by a broken line.
        """
        lasting = {event.call for event in self.history if isinstance(event, Asked) and event.ttl}
        return [
            event.how
            for event in self.history
            if isinstance(event, Refused | Doubtful)
            and (event.call in lasting or not stored)
            and (lines or not event.how.startswith(LINE))
        ]

    def endings(self) -> list[str]:
        """Why connections of version 2 ended that their clients had not given up themselves."""
        native = {e.connection for e in self.history if isinstance(e, Welcomed) and e.native}
        ended = (event for event in self.history if isinstance(event, Ended))
        return [e.why for e in ended if e.connection in native and e.why != HUNG_UP]

    def hush(self) -> None:
        """Callers end what they are at, and no more: now no later message betrays a lost one."""
        for caller in self.callers:
            caller.stopping = True

    async def until_arrived(self) -> None:
        """Until everything that was accepted has come, or had the time to: the checker judges."""
        with trio.move_on_after(PATIENCE):
            await self.history.until(lambda: self._has_arrived(self.owed))
        if not any(isinstance(event, Broken) for event in self.history):
            with trio.move_on_after(GRACE):
                await self.history.until(lambda: self._has_arrived(self.hoped))

    def note_accepted(self, order: int, key: str, ttl: float, message_id: int) -> None:
        """A caller was told an id."""
        self.accepted += 1
        (self.owed if ttl == LONG else self.hoped)[key][order] = message_id

    def _are_connected(self, since: float) -> bool:
        return all(c.connection and c.welcomed_at > since for c in self.clients)

    def _has_arrived(self, orders: Told) -> bool:
        for i, client in enumerate(self.clients):
            if not self._has_caught_up(client, orders):
                self.clients.insert(0, self.clients.pop(i))  # next time it is looked at first
                return False
        return True

    def _has_caught_up(self, client: Client, orders: Told) -> bool:
        return bool(client.connection) and all(
            order in client.received or order < client.since or message_id <= client.passed
            for order, message_id in orders[client.key.stored].items()
        )

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        with trio.move_on_after(PATIENCE) as waiting:
            await self.history.until(holds)
        assert not waiting.cancelled_caught, f"not within {PATIENCE:g} s: {what}; {self._away()}"

    def _away(self) -> str:
        away = {client.name: [""] for client in self.clients if not client.connection}
        for event in self.history:
            if isinstance(event, Welcomed) and event.client in away:
                away[event.client].append(str(event))
        examples = [lines[-1] for lines in away.values()][:3]
        return f"{len(away)} of {len(self.clients)} clients are away, last seen: {examples}"


@asynccontextmanager
async def storm(cluster: Cluster, seed: int, size: Size = Size()) -> AsyncIterator[Load]:
    """A load that runs while the block does, and is judged at its end."""
    name = f"r{seed}-{random.getrandbits(32):x}"
    load = Load(cluster, random.Random(seed), History(), size, name)
    limits = httpx.Limits(max_keepalive_connections=20)
    async with httpx.AsyncClient(trust_env=False, timeout=CALL, limits=limits) as http:
        async with trio.open_nursery() as clients:
            _make_clients(load, http)
            for client in load.clients:
                clients.start_soon(client.run)
            await load.until_connected()
            async with trio.open_nursery() as callers:
                _start_callers(load, http, callers)
                yield load
                load.hush()
            await load.until_arrived()
            load.history.add(Settled())
            clients.cancel_scope.cancel()
        await _read_back(load, http)
    violations = check(load.history)
    if violations:
        load.history.write(cluster.folder / f"{load.name}.jsonl")
    assert not violations, f"seed {seed}\n{report(load.history, violations)}"
    assert not cluster.bugs(), "\n".join(cluster.bugs())


def _make_clients(load: Load, http: httpx.AsyncClient) -> None:
    size = load.size
    place = Place(lambda: load.cluster.webs("public"), load.comets, http)
    names = count(1)
    own = _keys(load, REALMS[0])
    for key in own:
        for _ in range(size.clients):
            name = f"n{next(names)}"
            load.clients.append(_native(load, key, place, Native, name))
    keys = load.chance.sample(own, size.legacy + size.library)
    for key in keys[: size.legacy]:
        load.clients.append(_native(load, key, place, Legacy, f"legacy{next(names)}"))
    for key in keys[size.legacy :]:
        web = load.chance.choice(load.cluster.webs("public"))
        name, token = f"library{next(names)}", _ticket(load, key)
        load.clients.append(Library(name, key, token, web, load.history, load.numbers))


def _native(load: Load, key: Key, place: Place, kind: type[Native], name: str) -> Native:
    chance, size = load.chance, load.size
    habits = Habits(
        random.Random(chance.random()),
        looks_up=chance.random() < size.looks_up,
        hangs_up=chance.choice((0.0, 0.0, 0.01)),
        acknowledges=chance.choice((0.0, 0.3)),
    )
    transport = chance.choice(("ws", "tcp"))
    waits = kind is Native and chance.random() < size.waiting
    return kind(
        name,
        key,
        _ticket(load, key),
        transport,
        habits,
        place,
        load.history,
        load.numbers,
        cursor=None if waits else 0,
    )


def _start_callers(load: Load, http: httpx.AsyncClient, nursery: trio.Nursery) -> None:
    size = load.size
    for realm, pushing, streaming in (
        (REALMS[0], size.pushing, size.streaming),
        (REALMS[1], size.strangers, 0),
    ):
        token = load.cluster.credentials.issue_token(
            SCOPES, realm=realm, now=time.time(), ttl=SLACK, subject=load.name
        )
        for number in range(pushing + streaming):
            caller = Caller(
                keys=_keys(load, realm),
                token=token,
                webs=lambda: load.cluster.webs("api"),
                http=http,
                history=load.history,
                numbers=load.numbers,
                chance=random.Random(load.chance.random()),
                pace=size.pace,
                most=size.most,
                on_accepted=load.note_accepted,
            )
            load.callers.append(caller)
            nursery.start_soon(caller.push if number < pushing else caller.stream)


def _keys(load: Load, realm: str) -> list[Key]:
    """Inboxes, sessions of one user, groups, and opaque ones."""
    shapes = (("u", "user"), ("u0_Android-d", "user"), ("g", "qun"), ("device ", ""))
    return [
        Key(realm, f"{load.name}.{shapes[i % 4][0]}{i}", shapes[i % 4][1])
        for i in range(load.size.keys)
    ]


def _ticket(load: Load, key: Key) -> str:
    credentials = load.cluster.credentials
    return credentials.issue_ticket(key, now=time.time() - SLACK, ttl=2 * SLACK)


async def _read_back(load: Load, http: httpx.AsyncClient) -> None:
    """All that the store has for the keys that were pushed to."""
    asked = {key for event in load.history if isinstance(event, Asked) for key in event.keys}
    tokens = {caller.keys[0].realm: caller.token for caller in load.callers}
    for key in map(Key.from_stored, sorted(asked)):
        found: list[tuple[int, int]] = []
        after: int | None = 0
        while after is not None:
            answer = await http.get(
                load.cluster.webs("api")[0] + "/v2/messages",
                params={"key": str(key), "after": after, "limit": PAGE},
                headers={"Authorization": f"Bearer {tokens[key.realm]}"},
            )
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [(message["id"], message["msg"]) for message in page["messages"]]
            after = page["next"]
        load.history.add(Kept(key=key.stored, messages=tuple(found)))
