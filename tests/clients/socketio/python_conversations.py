"""What python-socketio's client says to a comet, and must hear: as conversations.mjs.

python -m tests.clients.socketio.python_conversations URL HASTY_URL
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, cast

import socketio

URL, HASTY_URL = sys.argv[1:]
DEADLINE = 30.0  # seconds: for one conversation, on a busy machine
MEGABYTE = 1_000_000  # the server's max_payload
MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}

Arguments = tuple[Any, ...]


class Guest:
    """A connected client, and what it hears."""

    def __init__(self, *namespaces: str) -> None:
        self.namespaces = namespaces or ("/",)
        self.client = socketio.AsyncClient(reconnection=False)
        self._heard: dict[tuple[str, str], asyncio.Queue[Arguments]] = {}
        for namespace in self.namespaces:
            for event in ("auth", "message-back", "answered", "connect_error", "disconnect"):
                self._listen(event, namespace)
            self.client.on("question", self._answer, namespace=namespace)

    async def come(self, mode: str = "upgrade", url: str = URL, auth: Any = None) -> "Guest":
        """Connect, and upgrade."""
        await self.client.connect(
            url, transports=MODES[mode], namespaces=list(self.namespaces), auth=auth
        )
        assert self.client.transport() == ("polling" if mode == "polling" else "websocket")
        return self

    async def hears(self, event: str, namespace: str = "/") -> Arguments:
        """The next event of that name."""
        return await self._heard[event, namespace].get()

    async def echo(self, *arguments: Any, namespace: str = "/") -> Arguments:
        """What comes back."""
        await self.client.emit("message", arguments, namespace=namespace)
        return await self.hears("message-back", namespace)

    async def engine_says(self, message: str | bytes) -> None:
        """A message without Socket.IO."""
        await self.client.eio.send(message)

    def _listen(self, event: str, namespace: str) -> None:
        queue = self._heard[event, namespace] = asyncio.Queue()
        self.client.on(event, lambda *arguments: queue.put_nowait(arguments), namespace=namespace)

    @staticmethod
    def _answer(*arguments: Any) -> Arguments:
        return ("because", *arguments, b"\1")


async def refused() -> None:
    """Without a token it is refused, with its reason; with it, admitted."""
    stranger = Guest("/secret")
    try:
        await stranger.come()
    except socketio.exceptions.ConnectionError:
        pass
    else:
        raise AssertionError("admitted")
    error = {"message": "token missing", "data": {"field": "token"}}
    assert await stranger.hears("connect_error", "/secret") == (error,)

    friend = await Guest("/secret").come(auth={"token": "123"})
    assert await friend.hears("auth", "/secret") == ({"token": "123"},)


async def namespaces() -> None:
    """Two on one transport; one closes, the other stays."""
    guest = await Guest("/", "/custom").come()
    assert guest.client.get_sid("/") != guest.client.get_sid("/custom")
    assert await guest.echo("one", namespace="/custom") == ("one",)
    await guest.client.emit("leave", namespace="/custom")
    assert await guest.hears("disconnect", "/custom") == ("server disconnect",)
    assert await guest.echo("two") == ("two",)


async def reconnects() -> None:
    """After the loss of its transport it comes back as another client."""
    guest = Guest()
    guest.client = socketio.AsyncClient(reconnection_delay=0.01, randomization_factor=0)
    welcomes: asyncio.Queue[str] = asyncio.Queue()
    guest.client.on("connect", lambda: welcomes.put_nowait(cast("str", guest.client.get_sid())))
    guest._listen("message-back", "/")
    await guest.come("websocket")
    first = await welcomes.get()
    await guest.client.eio.ws.close()
    assert await welcomes.get() != first
    assert await guest.echo("again") == ("again",)


async def struck_dumb() -> None:
    """Who does not answer pings is hung up on."""
    guest = await Guest().come("websocket", HASTY_URL)

    async def nothing(*_: object) -> None: ...

    guest.client.eio._send_packet = nothing
    assert await guest.hears("disconnect") == ("transport error",)


async def stays() -> None:
    """Who answers pings stays."""
    guests = [await Guest().come(mode, HASTY_URL) for mode in ("polling", "websocket")]
    await asyncio.sleep(1)  # three pings: it does not tell of them
    for guest in guests:
        assert await guest.echo("still here") == ("still here",)


async def nonsense() -> None:
    """What is no packet ends it."""
    for message in ("abc", "2{}", b"\1"):
        guest = await Guest().come("websocket")
        await guest.engine_says(message)
        assert await guest.hears("disconnect") == ("transport error",)


async def order(mode: str) -> None:
    """Events come back in their order. No more than 16 at once: it takes no more in an answer to a poll."""
    guest = await Guest().come(mode)
    for first in range(0, 100, 10):
        for number in range(first, first + 10):
            await guest.client.emit("message", number)
        for number in range(first, first + 10):
            assert await guest.hears("message-back") == (number,)


async def any_value(mode: str) -> None:
    """Any text, and bytes anywhere in an event."""
    guest = await Guest().come(mode)
    text = 'é € 😀 \u2028 \u2029 \x1e \0 \\n \n " 中文 \U0010ffff'
    arguments = (text, {text: [text]}, b"\1\2\3", {"a": [b"", {"b": b"\xff"}]})
    assert await guest.echo(*arguments) == arguments


async def acknowledgements(mode: str) -> None:
    """Both ways, with bytes."""
    guest = await Guest().come(mode)
    arguments = (1, "2", {"3": [False, b"\1"]})
    assert await guest.client.call("message-with-ack", arguments) == arguments
    await guest.client.emit("ask", "why")
    assert await guest.hears("answered") == ("because", "why", b"\1")


async def megabyte(mode: str) -> None:
    """A message of a megabyte comes back; more than that ends the connection."""
    guest = await Guest().come(mode)
    text = (MEGABYTE - 100) * "x"
    assert await guest.echo(text) == (text,)
    await guest.client.emit("message", MEGABYTE * "x")
    [why] = await guest.hears("disconnect")  # of a poll: by the answer to the post, or to the poll
    assert why == "transport error" or (mode == "polling" and why == "server disconnect"), why


async def one(name: str, converse: Callable[[], Awaitable[None]]) -> None:
    """Have one, and print what came of it."""
    error = ""
    try:
        async with asyncio.timeout(DEADLINE):
            await converse()
    except Exception:
        error = traceback.format_exc()
    print(json.dumps({"name": name, "error": error}), flush=True)  # noqa: T201


async def main() -> None:
    """All at the same time."""
    alone = (refused, namespaces, reconnects, struck_dumb, stays, nonsense)
    all_ = [one(converse.__name__, converse) for converse in alone]
    for converse in (order, any_value, acknowledgements, megabyte):
        for mode in MODES:

            def in_mode(converse: Any = converse, mode: str = mode) -> Awaitable[None]:
                return cast("Awaitable[None]", converse(mode))

            all_.append(one(f"{mode}: {converse.__name__}", in_mode))
    await asyncio.gather(*all_)
    os._exit(0)  # whatever a client still waits for


asyncio.run(main())
