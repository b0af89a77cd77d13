"""The own back end of a namespace: an HTTP server on loopback that answers what it is told to.

async with serving(BackEnd()) as back_end:
    namespace = Namespace("/demo", connect_callback=back_end.url("/in"))
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h11
import msgspec
import trio

from comet.core.lightpush_calling import Reply

LIMIT = 40.0  # seconds for one request: a test that hangs says where


@dataclass(frozen=True)
class Heard:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return msgspec.json.decode(self.body)


def _fine(heard: Heard) -> Reply | None:
    return Reply(200, b"{}")


@dataclass
class BackEnd:
    """`answer(heard)`: what it says; None: it hangs up without a word."""

    answer: Callable[[Heard], Reply | None] = _fine
    port: int = 0
    requests: list[Heard] = field(default_factory=list)
    gate: trio.Event | None = None  # answers wait for it
    _news: trio.Event = field(default_factory=trio.Event)

    def url(self, path: str) -> str:
        """Where `path` is."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def hears(self, count: int) -> list[Heard]:
        """The requests, once there are so many."""
        with trio.fail_after(LIMIT):
            while len(self.requests) < count:
                await self._news.wait()
        return self.requests

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        wire = h11.Connection(h11.SERVER)
        try:
            while heard := await _read(wire, stream):
                self.requests.append(heard)
                self._news.set()
                self._news = trio.Event()
                if self.gate is not None:
                    await self.gate.wait()
                reply = self.answer(heard)
                if reply is None:
                    return
                size = [("content-length", str(len(reply.body)))]
                data = wire.send(h11.Response(status_code=reply.status, headers=size)) or b""
                data += wire.send(h11.Data(data=reply.body)) or b""
                data += wire.send(h11.EndOfMessage()) or b""
                await stream.send_all(data)
                wire.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            return


async def _read(wire: h11.Connection, stream: trio.SocketStream) -> Heard | None:
    request, body = None, b""
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            headers = {name.decode(): value.decode() for name, value in request.headers}
            return Heard(request.method.decode(), request.target.decode(), headers, body)
        else:
            return None


@asynccontextmanager
async def serving(back_end: BackEnd) -> AsyncIterator[BackEnd]:
    """It listens until the block ends."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        back_end.port = listener.socket.getsockname()[1]
        nursery.start_soon(partial(trio.serve_listeners, back_end.serve, [listener]))
        yield back_end
        nursery.cancel_scope.cancel()
