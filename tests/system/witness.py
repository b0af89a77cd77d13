r"""A version-2 TCP client that hides nothing: what each of its connections was sent, message by message.

The Python client drops what it had before, so it cannot see that a server repeats itself. A witness
keeps every message, comes back with the last id that it saw, and says whether anything came twice. What
it is sent was pushed with a ttl, so nothing may be marked `live`.
"""

import json
from collections.abc import Set
from urllib.parse import urlsplit

import trio

from tests.comet.world import BEAT, request

PAUSE = 0.05  # seconds before it comes back
HEARTBEAT = "86400"  # seconds: it never has to beat


class Witness:
    """Listens to one key, over all its connections."""

    def __init__(self, key: str, address: str) -> None:
        """`address`: tcp://host:port"""
        self._key = key
        self._host, self._port = urlsplit(address).hostname, urlsplit(address).port
        self._last_id = 0
        self.connections: list[list[int]] = []  # the ids that each of them brought
        self.numbers: set[int] = set()  # the bodies, as the storm numbers its messages
        self._progress = trio.Event()

    async def listen(self) -> None:
        """Subscribe, keep what comes, and come back when the connection breaks. Until cancelled."""
        while True:
            try:
                await self._listen_once()
            except (OSError, trio.BrokenResourceError, EOFError):
                await trio.sleep(PAUSE)

    async def until_seen(self, numbers: Set[int]) -> None:
        """Until all of them have come."""
        while not numbers <= self.numbers:
            await self._progress.wait()

    def check(self) -> None:
        """Ids rose on every connection, and none came twice on any two."""
        for ids in self.connections:
            assert ids == sorted(set(ids)), f"{self._key}: ids did not rise on a connection"
        everything = [message_id for ids in self.connections for message_id in ids]
        assert everything == sorted(set(everything)), f"{self._key}: came again after a resume"
        assert len(everything) == len(self.numbers), f"{self._key}: came under two ids"

    async def _listen_once(self) -> None:
        assert self._host is not None
        assert self._port is not None
        async with await trio.open_tcp_stream(self._host, self._port) as stream:
            asked = request("sub", self._key, HEARTBEAT, "", "2", str(self._last_id))
            await stream.send_all(asked)
            lines = _Lines(stream)
            if await lines.next() != BEAT:
                raise EOFError
            self.connections.append([])
            while True:
                size = await lines.next()
                if not size.startswith(b"$"):  # a goodbye
                    raise EOFError
                message = json.loads(await lines.next())
                assert "live" not in message, (
                    f"{self._key}: a stored message came as live: {message}"
                )
                self._last_id = message["mid"]
                self.connections[-1].append(message["mid"])
                self.numbers.add(message["msg"])
                self._progress.set()
                self._progress = trio.Event()


class _Lines:
    r"""What a server sends is all lines, for JSON of the storm holds no \r\n."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._rest = b""

    async def next(self) -> bytes:
        r"""The next line with its \r\n. Raises EOFError at the end, also inside a line."""
        while b"\r\n" not in self._rest:
            data = await self._stream.receive_some()
            if not data:
                raise EOFError
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line + b"\r\n"
