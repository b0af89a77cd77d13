"""An echo server for the Autobahn cases, on the comet's own live path.

    python -m tests.conformance.websocket_echo [PORT]      ws://127.0.0.1:PORT/ (default 9001)

Everything between the socket and the dialect is the comet's: front door, poller, outbox, frames. Only
the dialect differs: it answers every message with the same message.
"""

import sys
from collections.abc import Iterator
from functools import partial

import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.units import Size
from appmodel.io.http import FrontDoor
from appmodel.io.listener import open_sockets
from appmodel.io.peers import Peers
from appmodel.io.registry_embedded import EmbeddedRegistry
from appmodel.io.wire import Wire
from appmodel.protocol.http import Request, Response, Route
from comet.config import CometConfig, LimitsConfig, LiveConfig
from comet.io.comet import Comet
from comet.io.reception import Asked
from comet.protocol.dialect import Answer, Event, Farewell, Violation
from comet.protocol.gopush_ws import WsDialect, upgrade
from comet.protocol.websocket import (
    BINARY,
    PONG,
    TEXT,
    Close,
    FrameError,
    FrameReader,
    Ping,
    Pong,
    Text,
    close_frame,
    frame,
)
from message.config import MessageConfig
from message.stores.memory import MemoryStore

MAX_MESSAGE = 64 * 1024**2  # bytes: the largest message of the suite has 16 MiB


class EchoReader:
    """Every message is its own answer."""

    def __init__(self) -> None:
        self._frames = FrameReader(MAX_MESSAGE)

    @property
    def idle(self) -> bool:
        return self._frames.idle

    def receive_data(self, data: bytes) -> Iterator[Event]:
        try:
            for event in self._frames.receive_data(data):
                match event:
                    case Text(text):
                        yield Answer(frame(TEXT, text.encode()))
                    case Ping(payload):
                        yield Answer(frame(PONG, payload))
                    case Close(code, _):
                        yield Farewell(close_frame(code))
                    case Pong():
                        pass
                    case _:
                        yield Answer(frame(BINARY, event.data))
        except FrameError as error:
            raise Violation(str(error), close_frame(error.close_code)) from None


class EchoDialect(WsDialect):
    """Welcomes nobody with `+h`, and takes no byte for a heartbeat."""

    beat = b""

    def is_beat(self, data: bytes) -> bool:
        return False

    def reader(self) -> EchoReader:  # type: ignore[override]  # it reads, but not gopush
        return EchoReader()


async def main(port: int) -> None:
    """Serve until cancelled."""
    config = CometConfig(
        live=LiveConfig(outbox_limit=Size(4 * MAX_MESSAGE)), limits=LimitsConfig(per_key=1000)
    )
    store = MemoryStore(MessageConfig())
    node = Node(Role.COMET, "node1")
    registry = EmbeddedRegistry()
    await registry.register(node)
    comet = Comet(
        node=node,
        config=config,
        store=store,
        ledger=store,
        registry=registry,
        others=Peers(registry),
    )
    dialect = EchoDialect(version="", limit=MAX_MESSAGE)

    async def take(wire: Wire, rest: bytes) -> None:
        await comet.reception.receive(wire, Asked(key="echo", heartbeat="600"), dialect, rest)

    async def handle(request: Request) -> Response:
        response = upgrade(request)
        if response.status == 101:
            response.takeover = take
        return response

    door = FrontDoor([Route(method="GET", path="/", handler=handle)])
    sockets = open_sockets("127.0.0.1", port)
    async with trio.open_nursery() as nursery:
        await nursery.start(comet.run)
        nursery.start_soon(partial(door.serve, sockets, stop=trio.Event()))
        print(f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/", flush=True)  # noqa: T201


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 9001)
