r"""Devices and callers of an installation of Mpush.

async with open_world(place) as world:
    phone = await world.device("d1")                     on a comet that does not own its key, if there is one
    asked = world.asks("GET", "/d1?title=hello")         at whichever web node; it is under way
    [message] = await phone.messages()
    await phone.acks(message["mid"])
    assert await asked.word() == "ok"
"""

import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from tests.comet.devices import HANDSHAKE, TOKEN, Phone
from tests.mpush.installation import WAIT, Installation
from tests.web.world import Answer, Door

PATIENCE = 60.0  # seconds after which a test has failed
PROMPT = 0.75 * WAIT  # what is answered at once, however busy the machine is
PAUSE = 0.05  # seconds between two looks
HOST = "127.0.0.1"
JSON = {"Content-Type": "application/json"}

_numbers = itertools.count(1)


class Handset(Phone):
    """A device's end of a WebSocket, which has patience."""

    async def read(self, count: int) -> bytes:
        """See `Client.read`."""
        with trio.fail_after(PATIENCE):
            while len(self._received) < count:
                if not (data := await self.stream.receive_some()):
                    break
                self._received += data
        found, self._received = self._received[:count], self._received[count:]
        return found

    async def says_pong(self, payload: bytes = b"") -> None:
        """All that it said before was heard; nothing came meanwhile."""
        await self.say(payload, opcode=0x9)
        assert await self.frame() == (0xA, payload)

    async def message(self) -> dict[str, Any]:
        """The next message, in version 2.2."""
        found: dict[str, Any] = await self.packet("MESSAGE")
        return found

    async def takes(self, *mids: str) -> None:
        """Acknowledge these, by version 2.2."""
        for mid in mids:
            await self.tell("MESSAGE_CALLBACK", mid=mid)


class Asked:
    """A call that is under way."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self._answer: Answer | None = None

    async def run(self, door: Door, method: str, target: str, body: bytes, **headers: str) -> None:
        """Until it is answered."""
        self._answer = await door.ask(method, target, body, headers=headers)
        self.done.set()

    async def answer(self) -> Answer:
        """What it was answered."""
        with trio.fail_after(PATIENCE):
            await self.done.wait()
        assert self._answer is not None
        return self._answer

    async def word(self) -> str:
        """The same, as text."""
        return (await self.answer()).body.decode()

    async def states(self) -> dict[str, str]:
        """What a MESSAGE_REPLY says of each device."""
        found = (await self.answer()).json()
        assert found["cmd"] == "MESSAGE_REPLY", found
        status: dict[str, str] = found["data"]["status"]
        return status


@dataclass
class World:
    """An installation, as one test sees it."""

    place: Installation
    nursery: trio.Nursery
    doors: Iterator[Door]
    phones: list[Handset] = field(default_factory=list)

    def name(self) -> str:
        """A name that nobody has."""
        return f"device{next(_numbers)}"

    def names(self, count: int) -> list[str]:
        """So many of them."""
        return [self.name() for _ in range(count)]

    def word(self, word: str) -> bytes:
        """As it is answered here."""
        return word.encode() + self.place.end

    # Devices

    async def phone(self, comet: str = "", target: str = "/") -> Handset:
        """A WebSocket that was accepted; by whichever comet."""
        port = self.place.comets[comet or next(iter(self.place.comets))]
        phone = Handset(await trio.open_tcp_stream(HOST, port))
        self.phones.append(phone)
        await phone.send(HANDSHAKE.format(target=target, version=13, more="").encode())
        assert (await phone.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return phone

    async def device(self, name: str, comet: str = "") -> Handset:
        """Logged in by the seed version; at a comet that does not own its key, unless it says at which."""
        phone = await self.phone(comet or self.place.others(name)[0])
        await phone.log_in(name)
        return phone

    async def device_2(self, name: str, group: str = "", comet: str = "") -> Handset:
        """Logged in by version 2.2, where `device` is."""
        phone = await self.phone(comet or self.place.others(name)[0])
        assert (await phone.auth(name, group))["code"] == 200
        return phone

    async def absent(self, name: str = "", group: str = "") -> str:
        """The name of a device that exists and is not there: it logged in over HTTP."""
        name = name or self.name()
        data = {"token": TOKEN, "name": name, "group": group}
        answer = await self.command("AUTH", **data)
        assert answer["data"]["code"] == 200, answer
        return name

    # Callers

    def asks(self, method: str, target: str, body: bytes = b"", **headers: str) -> Asked:
        """A call at the next web node."""
        asked = Asked()
        headers = {"Authorization": TOKEN, **headers}

        async def run() -> None:
            await asked.run(next(self.doors), method, target, body, **headers)

        self.nursery.start_soon(run)
        return asked

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """The same, answered at once."""
        with trio.fail_after(PROMPT):
            return await self.asks(method, target, body, **headers).answer()

    async def command(self, cmd: str, *, auth: object = None, **data: object) -> Any:
        """A command of version 2.2 over HTTP: what it was answered."""
        fields = {"cmd": cmd, "data": data} | ({"auth": auth} if auth is not None else {})
        body = json.dumps(fields).encode()
        return (await self.ask("POST", "/", body, **JSON)).json()

    async def push(self, target: str, body: bytes = b"", **headers: str) -> str:
        """The mid of a message for somebody who is not there; a GET unless there is a body."""
        answer = await self.ask("POST" if body else "GET", target, body, **headers)
        assert answer.body == self.word("offline"), answer
        return answer.headers["x-mpush-mid"]

    async def reaches(self, path: str, phone: Handset) -> str:
        """A push to that path comes to this phone, which acknowledges it, and its caller hears `ok`; its mid.

        What the device acknowledged elsewhere a moment ago may come once more before it.
        """
        title = f"push{next(_numbers)}"
        asked = self.asks("GET", f"{path}?title={title}")
        while True:
            messages = await phone.messages()
            assert not asked.done.is_set(), await asked.word()
            await phone.acks(*(message["mid"] for message in messages))
            if messages[-1]["title"] == title:
                break
        answer = await asked.answer()
        mid: str = messages[-1]["mid"]
        assert (answer.body, answer.headers["x-mpush-mid"]) == (self.word("ok"), mid)
        return mid

    async def until_word(self, target: str, word: str) -> None:
        """Wait until every web node answers this."""
        await self.until(target, lambda answer: answer.body == self.word(word))

    async def until(self, target: str, is_so: Callable[[Answer], bool]) -> None:
        """Wait until the answers of all web nodes, one after the other, are so: what is written behind comes soon."""
        left = len(self.place.webs)
        with trio.fail_after(PATIENCE):
            while left:
                if is_so(await self.ask("GET", target)):
                    left -= 1
                else:
                    left = len(self.place.webs)
                    await trio.sleep(PAUSE)


@asynccontextmanager
async def open_world(place: Installation) -> AsyncIterator[World]:
    """Until the block ends; then all its devices are gone."""
    doors = itertools.cycle([Door(HOST, port) for port in place.webs])
    async with trio.open_nursery() as nursery:
        world = World(place, nursery, doors)
        try:
            yield world
        finally:
            with trio.CancelScope(shield=True):
                for phone in world.phones:
                    await trio.aclose_forcefully(phone.stream)
            nursery.cancel_scope.cancel()
