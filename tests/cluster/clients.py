"""Clients as they should be: they find their comet, subscribe, come back after a pause, and miss nothing.

    Native    version 2, over WebSocket or TCP: resumes from the last stored id, goes where it is told
    Legacy    gopush: is welcomed, then fetches what is kept above the last id that it had
    Library   the Python client, which hides its connections and their repetitions

Each keeps what it saw in the history. Some are restless and hang up by themselves, some acknowledge.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import appmsg_client
import httpx
import trio
from appmsg_client import Connected, Disconnected

from appmodel.core.names import Key
from tests.cluster.history import (
    Acknowledged,
    Ended,
    Fetched,
    History,
    Received,
    Welcomed,
)
from tests.cluster.lines import Goodbye, Line, Message, Subscription, connect

WITHIN = 10.0  # seconds to be welcomed
PAUSE_STEP, PAUSE_LIMIT = 0.1, 1.0  # seconds; as docs/protocol.md says, but a test has less time
MOVED, SAME_SERVER = 4000, {4001, 4002, 4003, 4004}
FOR_EVER_REFUSED = 4400
HUNG_UP = "hung up"  # why a connection ended: its client wanted it so


@dataclass(frozen=True, slots=True)
class Place:
    """The cluster from outside: where its nodes are now."""

    webs: Callable[[], list[str]]  # URLs of their public listeners
    comets: Callable[[str], list[str]]  # host:port by transport
    http: httpx.AsyncClient


@dataclass(slots=True)
class Habits:
    """How a client behaves, by chance."""

    chance: random.Random
    looks_up: bool = True  # else it goes to any comet
    hangs_up: float = 0.0  # share of messages after which it does
    acknowledges: float = 0.0  # share of messages


@dataclass(slots=True)
class Native:
    """A version 2 client. `run` until cancelled."""

    name: str
    key: Key
    token: str
    transport: str  # ws or tcp
    habits: Habits
    place: Place
    history: History
    numbers: "count[int]"
    cursor: int | None = 0
    received: set[int] = field(default_factory=set)  # orders
    connection: int = 0  # the one that is open; 0: none
    welcomed_at: float = 0.0  # when that was
    since: int = 0  # orders above this are owed to a client that began with what comes
    passed: int = 0  # ids up to this are fetched no more: nobody need wait for them
    native: bool = True
    _began: int = 0  # the cluster's time before it subscribed, as an id

    async def run(self) -> None:
        """Subscribe, keep what comes, and come back. Until cancelled."""
        server: str | None = None
        tries = 0
        while True:
            self.connection = 0
            proved, goodbye = False, Goodbye(1006, "")
            try:
                server = server or await self._find()
                if self.cursor is None:
                    self._began = await self._time()
                proved, goodbye = await self._visit(server)
            except (OSError, EOFError, httpx.HTTPError, trio.TooSlowError):
                server = None
            else:
                assert goodbye.code < FOR_EVER_REFUSED, f"{self.name}: {goodbye}"
                stays = goodbye.code in SAME_SERVER
                server = goodbye.moved_to or (server if stays else None)
            tries = 0 if proved else tries + 1
            if goodbye.code != MOVED or tries > 1:
                await self._pause(tries)

    async def _find(self) -> str:
        chance = self.habits.chance
        if not self.habits.looks_up:
            comets = self.place.comets(self.transport)
            if not comets:
                raise EOFError("no comet is up")
            return chance.choice(comets)
        protocol = 1 if self.transport == "ws" else 2
        answer = await self.place.http.get(
            chance.choice(self.place.webs()) + "/1/server/get",
            params={"k": str(self.key), "p": protocol},
        )
        fields = answer.json()
        if fields["ret"]:
            raise EOFError(f"no comet: {fields}")
        server: str = fields["data"]["server"]
        return server

    async def _time(self) -> int:
        url = self.habits.chance.choice(self.place.webs()) + "/1/time/get"
        time_id: int = (await self.place.http.get(url)).json()["data"]["timeid"]
        return time_id

    async def _visit(self, server: str) -> tuple[bool, Goodbye]:
        """Whether the comet proved that it is well, and how the connection ended."""
        asked = Subscription(str(self.key), self.cursor, self.native, self.token)
        with trio.fail_after(WITHIN):
            line = await connect(self.transport, server, asked)
        try:
            with trio.fail_after(WITHIN):
                heard = await line.hear()
            if heard is not None:
                assert isinstance(heard, Goodbye), f"{self.name}: a message before the welcome"
                return False, heard
            return await self._stay(line, server)
        finally:
            await line.hang_up()

    async def _stay(self, line: Line, server: str) -> tuple[bool, Goodbye]:
        number = next(self.numbers)
        welcomed = Welcomed(
            connection=number,
            client=self.name,
            key=self.key.stored,
            cursor=self.cursor,
            native=self.native,
            server=server,
        )
        self.history.add(welcomed)
        proved, why = False, HUNG_UP
        try:
            if self.cursor is None:
                self.since = next(self.numbers)
            await self.begin()
            self.connection, self.welcomed_at = number, welcomed.at
            while True:
                heard = await line.hear()
                if isinstance(heard, Goodbye):
                    why = f"{heard.code} {heard.reason}"
                    return proved, heard
                proved = True
                if heard is not None and await self._take(line, number, heard):
                    return proved, Goodbye(1000, HUNG_UP)
        except (OSError, EOFError):
            why = "broken"
            return proved, Goodbye(1006, "broken")
        finally:
            self.history.add(Ended(connection=number, why=why))
            if self.cursor is None:
                self.cursor = self._began  # what comes in the pause is newer than this

    async def begin(self) -> None:
        """What is to be done after the welcome."""

    async def _take(self, line: Line, number: int, message: Message) -> bool:
        """Handle it; whether the client has had enough of this connection."""
        self.received.add(message.order)
        if not message.live:
            self.cursor = max(self.cursor or 0, message.id)
        self.history.add(Received(connection=number, id=message.id, order=message.order))
        chance = self.habits.chance
        if self.native and chance.random() < self.habits.acknowledges:
            await line.acknowledge(message.id)
            self.history.add(Acknowledged(connection=number, id=message.id))
        return chance.random() < self.habits.hangs_up

    async def _pause(self, tries: int) -> None:
        limit = min(PAUSE_LIMIT, PAUSE_STEP * 2.0 ** min(tries, 16))
        await trio.sleep(self.habits.chance.uniform(0, limit))


@dataclass(slots=True)
class Legacy(Native):
    """A client of gopush: it fetches after each welcome, from any web node, until it has succeeded.

    It keeps the highest id that it saw, of whatever message: it cannot know what is stored, nor that a copy
    of its inbox has an id of another key. What comes below that, and only after the line broke, it never reads.
    """

    native: bool = False

    async def begin(self) -> None:
        """Read what is kept above the last id."""
        assert self.cursor is not None
        self.passed = self.cursor
        tries = 0
        while (messages := await self._fetch()) is None:
            tries += 1
            await self._pause(tries)
        self.history.add(Fetched(client=self.name, after=self.cursor, messages=tuple(messages)))
        self.received |= {order for _, order in messages}
        self.cursor = max([self.cursor, *(message_id for message_id, _ in messages)])

    async def _fetch(self) -> list[tuple[int, int]] | None:
        url = self.habits.chance.choice(self.place.webs()) + "/1/msg/get"
        asked = {"k": str(self.key), "m": self.cursor, "token": self.token}
        try:
            answer = (await self.place.http.get(url, params=asked)).json()
        except httpx.HTTPError:
            return None
        if answer["ret"]:
            return None
        found = answer.get("data", {}).get("msgs", [])
        return [(message["mid"], message["msg"]) for message in found]


@dataclass(slots=True)
class Library:
    """The Python client, by look-up through one web node.

    It hides its connections, so the history has one that lasts for ever: what it promises is that all
    messages come once and stored ones in order, whatever happens below.
    """

    name: str
    key: Key
    token: str
    web: str
    history: History
    numbers: "count[int]"
    received: set[int] = field(default_factory=set)
    connection: int = 0
    welcomed_at: float = 0.0
    since: int = 0
    passed: int = 0

    async def run(self) -> None:
        """Until cancelled. Raises `Refused` if it is, for good."""
        number = next(self.numbers)

        def note(event: Connected | Disconnected) -> None:
            self.connection = number if isinstance(event, Connected) else 0
            self.welcomed_at = time.monotonic()
            self.history.touch()

        key = self.key.stored
        self.history.add(Welcomed(connection=number, client=self.name, key=key, cursor=0))
        async with appmsg_client.subscribe(
            str(self.key),
            web=self.web,
            token=self.token,
            mid=0,
            acknowledge=True,
            within=WITHIN,
            on_event=note,
        ) as messages:
            async for message in messages:
                assert isinstance(message.msg, int)
                self.received.add(message.msg)
                event = Received(connection=number, id=message.mid, order=message.msg)
                self.history.add(event)
