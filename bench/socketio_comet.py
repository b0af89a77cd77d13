"""A comet with rules of ten lines, as a process: Socket.IO on our live path, and no application on it.

Clients of /demo join rooms, and the body of a POST goes to the room `bench`. Beside light-push in the same
tables it shows what the transport costs and what the application. Prints its port; a POST goes to the same.
"""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.message import PUSH_ID, Push
from appmodel.core.names import Key
from appmodel.core.units import Duration
from appmodel.errors import PushError
from appmodel.io.http import FrontDoor
from appmodel.io.listener import open_sockets
from appmodel.io.peers import Peers
from appmodel.io.registry_embedded import EmbeddedRegistry
from appmodel.protocol.http import Request, Response
from bench.socketio_client import NAMESPACE, ROOM
from comet.config import CometConfig, LimitsConfig, SocketioConfig
from comet.core.rules import Accept, Answer, Client, Effects, Emit, Event, Join
from comet.io.comet import Comet
from message.config import MessageConfig
from message.stores.memory import MemoryStore

QUIET = Duration(3600)  # between pings, as the peers have it
CONFIG = CometConfig(
    socketio=SocketioConfig(ping_interval=QUIET),
    # these protect from floods, and we are one
    limits=LimitsConfig(handshakes_per_second=1_000_000),
)
ME = Node(Role.COMET, "bench")
OK = {"status": 200, "msg": "ok"}


class SmallRules:
    """Everybody may come in and join what he likes."""

    async def connect(self, client: Client, asked: Any) -> Effects:
        """See `Rules.connect`."""
        return (Accept(), Emit("ok", ({},)))

    def event(self, client: Client, event: Event) -> Effects:
        """`joinRoom`, and nothing else."""
        rooms: Sequence[str] = event.arguments[0]
        return (*(Join(_room(room)) for room in rooms), Answer((OK,)))

    def gone(self, client: Client, reason: str) -> Effects:
        """See `Rules.gone`."""
        return ()


def _room(name: str) -> Key:
    return Key(NAMESPACE, name, "qun")


async def _push(comet: Comet, request: Request) -> Response:
    body = b'["push",%b]' % request.body
    [outcome] = await comet.pusher.push([Push(os.urandom(PUSH_ID), (_room(ROOM),), body)])
    if isinstance(outcome, PushError):
        raise outcome
    return Response(body=b'{"ret":0}')


async def main() -> None:
    """Serve until killed."""
    registry, store = EmbeddedRegistry(), MemoryStore(MessageConfig())
    await registry.register(ME)
    peers = Peers(registry)
    comet = Comet(
        node=ME,
        config=CONFIG,
        store=store,
        ledger=store,
        registry=registry,
        others=peers,
    )
    comet.socketio.rules.serve(NAMESPACE, SmallRules())
    door = FrontDoor(comet.socketio.door.routes, otherwise=partial(_push, comet))
    sockets = open_sockets("127.0.0.1", 0)
    print(sockets[0].getsockname()[1], flush=True)
    async with peers, trio.open_nursery() as nursery:
        await nursery.start(comet.run)
        await door.serve(sockets, stop=trio.Event())


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    trio.run(main)
