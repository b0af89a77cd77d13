"""A comet for the official protocol suites of Engine.IO and Socket.IO, and for others' clients.

    python -m tests.conformance.socketio_echo [--port N] [--ping-interval SECONDS] [--ping-timeout SECONDS]

    http://localhost:3000/engine.io/    every message comes back: what the Engine.IO suites expect
    http://localhost:3000/socket.io/    rules that echo (echo_rules.py): what the Socket.IO suites expect

On 127.0.0.1 and ::1. pingInterval 300 ms, pingTimeout 200 ms, maxPayload 1,000,000, connectTimeout 1,000 ms,
as the suites want. The one of revision 4 asks that a request without EIO is refused; so it is by default
on /engine.io/, and 2.x clients say EIO=3 anyway.

Source: docs/engine.io-protocol and docs/socket.io-protocol of github.com/socketio/socket.io, test suites.
"""

import argparse
import logging
from dataclasses import replace
from functools import partial

import msgspec
import structlog
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.origins import Origins
from appmodel.core.units import Duration
from appmodel.io.http import FrontDoor
from appmodel.io.listener import bound_to, open_sockets
from appmodel.io.peers import Peers
from appmodel.io.registry_embedded import EmbeddedRegistry
from appmodel.io.wire import Wire
from comet.config import CometConfig, NamespacesConfig, SocketioConfig
from comet.core.transport import Handshake, Speaker, Transport
from comet.io.comet import Comet
from comet.io.engine_door import EngineDoor
from comet.protocol.engineio import framed
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.conformance.echo_rules import serve_echo

PING_INTERVAL, PING_TIMEOUT = 0.3, 0.2  # seconds
PATIENCE = 0.01  # seconds


class Echo:
    """Says what it hears, in the framing of the moment."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def opened(self) -> bytes:
        return b""

    def receive(self, message: str | bytes) -> None:
        self._transport.offer(framed(self._transport.framing, message))

    def reframed(self) -> None:
        pass

    def closed(self, reason: str) -> None:
        pass


def echo(transport: Transport) -> Speaker:
    """Who speaks over /engine.io/."""
    return Echo(transport)


class PatientDoor(EngineDoor):
    """Lets a client see that its WebSocket is open before it hears the first packet.

    The suite of revision 3 loses a packet that its client reads together with the 101.
    """

    async def _carry(self, handshake: Handshake, wire: Wire, rest: bytes) -> None:
        await trio.sleep(PATIENCE)
        await super()._carry(handshake, wire, rest)


def raw_door(comet: Comet) -> EngineDoor:
    """/engine.io/ beside the comet's own: its sessions are in a table of their own."""
    engine = comet.socketio.engine
    config = msgspec.structs.replace(engine.config, path="/engine.io/")
    own = replace(engine, config=config, open=echo, sessions={})
    return PatientDoor(own, origins=Origins(["*"]))


def configured(ping_interval: float, ping_timeout: float) -> CometConfig:
    """As the suites want it, but for the pings."""
    socketio = SocketioConfig(
        ping_interval=Duration(ping_interval),
        ping_timeout=Duration(ping_timeout),
        revision_required=True,
    )
    return CometConfig(socketio=socketio, namespaces=NamespacesConfig(connect_timeout=Duration(1)))


async def main(port: int, config: CometConfig) -> None:
    """Serve until cancelled."""
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
    raw = raw_door(comet)
    front = FrontDoor([*raw.routes, *comet.socketio.door.routes], render_error=raw.render)
    sockets = open_sockets("localhost", port)
    async with trio.open_nursery() as nursery:
        serve_echo(comet.socketio.rules, nursery)
        await nursery.start(comet.run)
        nursery.start_soon(partial(front.serve, sockets, stop=trio.Event()))
        print(f"http://localhost:{bound_to(sockets).port}/", flush=True)  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval", type=float, default=PING_INTERVAL)
    parser.add_argument("--ping-timeout", type=float, default=PING_TIMEOUT)
    asked = parser.parse_args()
    warnings_only = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=warnings_only)  # nobody reads of each client
    trio.run(main, asked.port, configured(asked.ping_interval, asked.ping_timeout))
