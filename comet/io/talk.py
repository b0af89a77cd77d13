"""Socket.IO over one transport: packets in, clients of namespaces; and what all of them share.

A client of revision 3 (2.x) is in the namespace / at once; one of revision 4 must connect to some namespace
within a time. Namespaces share the transport: each is a client of its own (client.py). Whoever breaks the
protocol, or says more than the limits allow, loses the transport.

Source: docs/socket.io-protocol of github.com/socketio/socket.io; packages/socket.io/lib/client.ts for what
the reference does where the protocol is silent.
"""

import math
import secrets
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import trio

from appmodel.core.interfaces import Pusher
from comet.core.hub import Hub
from comet.core.rules import FindRules
from comet.core.transport import Transport
from comet.core.wheel import Wheel
from comet.io.client import SocketClient
from comet.io.entrance import Entrance
from comet.io.replay import Reading
from comet.protocol.engineio import framed
from comet.protocol.socketio import (
    ROOT,
    Decoder,
    Limits,
    Packet,
    PacketType,
    SocketError,
    encode,
)

NO_NAMESPACE = "Invalid namespace"  # socket.io/lib/client.ts


class Spawn(Protocol):
    """Runs a task for as long as the comet lives; a bug in it ends that task alone."""

    def __call__(self, function: Callable[..., Awaitable[None]], /, *arguments: object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkLimits:
    """What one connection may do."""

    packet: Limits
    namespaces: int  # at once
    events: int  # packets a second
    backlog: int  # events of a client that wait for an earlier one
    pending_acks: int  # of our events that a client has not acknowledged
    connect_timeout: float  # seconds to connect to a first namespace


class Talks:
    """What all connections share, and where the clients of a namespace are found."""

    def __init__(
        self,
        *,
        hub: Hub,
        entrance: Entrance,
        reading: Reading,
        pusher: Pusher,
        wheel: Wheel,
        spawn: Spawn,
        find_rules: FindRules,
        limits: TalkLimits,
    ) -> None:
        self.hub, self.entrance, self.reading, self.pusher = hub, entrance, reading, pusher
        self.wheel, self.spawn, self.find_rules, self.limits = wheel, spawn, find_rules, limits
        self.clients: defaultdict[str, set[SocketClient]] = defaultdict(set)  # by namespace
        self.json = msgspec.json.Encoder().encode

    def open(self, transport: Transport) -> "Talk":
        """Who speaks over a new transport: see `Open`."""
        return Talk(transport, self)

    def clients_of(self, namespace: str) -> Iterable[SocketClient]:
        """Those that are in it now: a copy."""
        return tuple(self.clients.get(namespace, ()))

    @property
    def online(self) -> int:
        """Clients in all namespaces."""
        return sum(map(len, self.clients.values()))

    def note_open(self, client: SocketClient) -> None:
        """It was accepted."""
        self.clients[client.namespace].add(client)

    def note_gone(self, client: SocketClient) -> None:
        """It has left, or never came in."""
        here = self.clients.get(client.namespace)
        if here is not None:
            here.discard(client)
            if not here:
                del self.clients[client.namespace]

    def new_sid(self) -> str:
        """An id that nobody can guess: 20 characters, as the reference's."""
        return secrets.token_urlsafe(15)


class Talk:
    """Implements `Speaker`; and is watched until its client has connected to a namespace."""

    __slots__ = ("_clients", "_connect_by", "_decoder", "_heard", "_second", "talks", "transport")

    def __init__(self, transport: Transport, talks: Talks) -> None:
        self.transport, self.talks = transport, talks
        self._clients: dict[str, SocketClient] = {}
        self._decoder: Decoder | None = None  # only while attachments are missing
        self._second = self._heard = 0  # packets of this second
        self._connect_by = math.inf

    # What the transport tells

    def opened(self) -> bytes:
        """See `Speaker.opened`."""
        if self.transport.handshake.revision == 4:
            self._connect_by = trio.current_time() + self.talks.limits.connect_timeout
            self.talks.wheel.watch(self)
            return b""
        rules = self.talks.find_rules(ROOT)
        if rules is not None:
            self._add(SocketClient(self, ROOT, rules), self.transport.handshake.query)
            return b""
        return self._frames(Packet(PacketType.CONNECT))

    def receive(self, message: str | bytes) -> None:
        """See `Speaker.receive`."""
        if self._is_too_much():
            self.transport.close("too many packets")
            return
        decoder = self._decoder or Decoder(self.talks.limits.packet)
        try:
            packet = decoder.take(message)
        except SocketError:
            self.transport.close("parse error")
            return
        self._decoder = None if decoder.idle else decoder
        if packet is not None:
            self._take(packet)

    def reframed(self) -> None:
        """See `Speaker.reframed`."""
        for client in self._clients.values():
            client.reframe()

    def closed(self, reason: str) -> None:
        """See `Speaker.closed`."""
        self._connect_by = math.inf
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.end(reason)

    # What clients tell

    def send(self, packet: Packet) -> None:
        """To the client; nothing if the transport is gone. Too much owed ends it."""
        self.transport.offer(self._frames(packet))

    def forget(self, client: SocketClient) -> None:
        """It is not in its namespace any more."""
        if self._clients.get(client.namespace) is client:
            del self._clients[client.namespace]

    # The time to connect: the wheel looks

    def due_at(self) -> float | None:
        """See `Watched.due_at`."""
        return None if self._connect_by == math.inf else self._connect_by

    def expire(self, now: float) -> None:
        """See `Watched.expire`."""
        self._connect_by = math.inf
        self.transport.close("no namespace in time")

    def _is_too_much(self) -> bool:
        second = int(trio.current_time())
        if second != self._second:
            self._second, self._heard = second, 0
        self._heard += 1
        return self._heard > self.talks.limits.events

    def _take(self, packet: Packet) -> None:
        client = self._clients.get(packet.namespace)
        if packet.type is PacketType.CONNECT:
            self._connect(packet, client)
        elif client is None:
            self._complain(f"no client in {packet.namespace}")
        elif packet.type is PacketType.DISCONNECT:
            self.forget(client)
            client.end("client namespace disconnect")
        elif packet.type is PacketType.ERROR:
            self.transport.close("client error")
        else:
            client.take(packet)

    def _connect(self, packet: Packet, client: SocketClient | None) -> None:
        if client is not None:
            self._complain("connected twice")
            return
        if len(self._clients) >= self.talks.limits.namespaces:
            self.transport.close("too many namespaces")
            return
        rules = self.talks.find_rules(packet.namespace)
        if rules is None:
            said = NO_NAMESPACE if self._is_old else {"message": NO_NAMESPACE}
            self.send(Packet(PacketType.ERROR, packet.namespace, said))
            return
        namespace = sys.intern(packet.namespace)  # one text for all of its clients
        self._add(SocketClient(self, namespace, rules), packet.data or {})

    def _add(self, client: SocketClient, asked: Any) -> None:
        self._clients[client.namespace] = client
        self._connect_by = math.inf
        client.connect(asked)

    def _complain(self, reason: str) -> None:
        """The reference hangs up on clients of revision 4, and overlooks it with those of 3."""
        if not self._is_old:
            self.transport.close(reason)

    @property
    def _is_old(self) -> bool:
        return self.transport.handshake.revision == 3

    def _frames(self, packet: Packet) -> bytes:
        framing = self.transport.framing
        return b"".join([framed(framing, part) for part in encode(packet)])
