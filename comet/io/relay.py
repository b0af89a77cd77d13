"""Requests of Engine.IO that landed here, and belong to sessions of other comets.

    client -> this comet -> tunnel -> the session's comet       its id says which (core/relaying.py)
    a poll, a post    one request and its answer; the tunnel then serves another one
    too long a post   its beginning, a byte over the limit: the session's comet ends it, as with any other
    an upgrade        101, then both sockets are one (splice.py)

A balancer that knows nothing spreads the requests of one session over all comets, and over the workers
behind one port: so most polls land on another comet than the first one did. Each is forwarded as it is:
tunnels are connections between comets that carry HTTP (rpc_tunnel.py), a few are kept, and while an
answer is waited for there is an object in the poller and no task. Handing the client's socket to the other
worker would be cheaper on one machine; it can do neither TLS nor another machine, nor a balancer that puts
several clients on one connection. So there is one way for all of them.

Who asks is told beside the request, and only those are believed who have proved the cluster's secret.
"""

from collections.abc import Callable
from functools import partial

import structlog
import trio

from appmodel.core.cluster import ClusterView, Node
from appmodel.errors import PushError, RemoteProtocolError, TooLarge
from appmodel.io.http_held import Held
from appmodel.io.wire import Wire
from appmodel.protocol.http import Request, Response, plain
from appmodel.protocol.http1_answers import has_no_body
from comet.core.relaying import home_of
from comet.io.engine_bodies import Bodies
from comet.io.line import set_buffers
from comet.io.live import Live
from comet.io.relay_tunnels import GONE, OpenTunnel, RelayTunnels
from comet.io.splice import SpliceEnd
from comet.protocol.relaying import AnswerReader, encode_request

log = structlog.get_logger("comet")

READ = 64 * 1024  # bytes of an answer at once
ANSWER = 5.0  # seconds beyond what a poll may take, and for the answer to an upgrade
ANSWER_MORE = 64 * 1024  # bytes of an answer beside what a session may owe, doubled for base64


class Relay:
    """One a comet. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        view: Callable[[], ClusterView],
        open_tunnel: OpenTunnel,
        live: Live,
        bodies: Bodies,
        max_payload: int,
        patience: float,
        limit: int,
    ) -> None:
        """`max_payload`: bytes of a post. `patience`: seconds that a poll may take. `limit`: at once."""
        self._me, self._view = me, view
        self.tunnels = RelayTunnels(open_tunnel, patience=patience)
        self.live, self._max_payload, self.patience = live, max_payload, patience
        self._bodies, self._limit = bodies, limit
        self._coming = 0  # requests that have no tunnel yet
        self.exchanges: set[Exchange] = set()
        self._ends: set[SpliceEnd] = set()
        self.relayed = 0  # requests, of them upgrades
        self.upgraded = 0
        self.failed = 0  # requests that got no answer of the other comet

    @property
    def spliced(self) -> int:
        """WebSockets whose sessions live on other comets."""
        return len(self._ends) // 2

    async def elsewhere(self, request: Request, sid: str) -> Response | None:
        """The answer of the comet that has this session; None if there is none, or it is away.

        Raises:
            TooLarge: a post over the limit, which is not read to its end. Its session is closed.
            TooSlow, Full, HttpError: see `Bodies.read`; its session does not hear of it.
        """
        node = home_of(sid, self._view(), self._me())
        if node is None or request.method not in {"GET", "POST"}:
            return None
        if len(self.exchanges) + self.spliced + self._coming >= self._limit:
            self.failed += 1
            return plain(503, "too many requests for other comets")
        self._coming += 1
        try:
            async with self._bodies.read(request) as body:
                response = await self._pass_on(node, request, body)
        finally:
            self._coming -= 1
        if len(body) > self._max_payload:
            raise TooLarge(f"post: over {self._max_payload} bytes")
        return response

    async def run(self) -> None:
        """Close tunnels that nobody needs, until cancelled; then all of them."""
        await self.tunnels.run()

    def close(self) -> None:
        """Nobody is relayed any more: this comet stops."""
        for exchange in tuple(self.exchanges):
            exchange.drop("stopped")
        for end in tuple(self._ends):
            end.drop("stopped")

    # One request, one answer

    async def _pass_on(self, node: Node, request: Request, body: bytes) -> Response | None:
        data = encode_request(request, body)
        self.relayed += 1
        try:
            if "upgrade" in request.headers:
                return await self._upgrade(node, data)
            return await self._exchange(node, data)
        except (*GONE, PushError, trio.TooSlowError) as error:
            self.failed += 1
            log.warning("not relayed", home=node.name, error=str(error))
            return None

    async def _exchange(self, node: Node, data: bytes) -> Response:
        """Held until the answer is here. The tunnel is watched at once: nobody may come to wait for it."""
        wire = await self._send(node, data)
        exchange = Exchange(self, node, wire)
        try:
            self.live.poller.add(wire, exchange)
        except OSError:  # the system watches no more
            wire.close()
            raise
        self.exchanges.add(exchange)
        self.live.wheel.watch(exchange)
        return Response(hold=exchange.keep)

    async def _send(self, node: Node, data: bytes) -> Wire:
        """A tunnel that has taken `data`."""
        wire = await self.tunnels.take(node)
        sent = False
        try:
            with trio.fail_after(ANSWER):
                await wire.send_all(data)
            sent = True
        finally:
            if not sent:
                wire.close()
        return wire

    # A WebSocket

    async def _upgrade(self, node: Node, data: bytes) -> Response:
        """101 and the takeover, or what the other comet says instead."""
        wire = await self._send(node, data)
        response: Response | None = None
        try:
            reader = AnswerReader(self._max_payload)
            with trio.fail_after(ANSWER):
                while (found := reader.response) is None or not (
                    found.status == 101 or reader.is_whole
                ):
                    reader.receive_data(await wire.receive_some())
            response = found
        finally:
            if response is None or response.status != 101:
                wire.close()
        if response.status == 101:
            waiting = _Waiting(wire)
            self.live.wheel.watch(waiting)
            response.takeover = partial(self._splice, waiting, reader.rest)
        return response

    async def _splice(self, waiting: "_Waiting", first: bytes, client: Wire, rest: bytes) -> None:
        """`first` and `rest`: what came behind the answer and behind the request."""
        await trio.lowlevel.checkpoint()
        tunnel = waiting.take()
        if tunnel is None:
            client.close()
            return
        near, far = (
            SpliceEnd(sock, self.live, self._ends.discard)
            for sock in (client.detach(), tunnel.detach())
        )
        try:
            set_buffers(near.socket, self.live.config)
            set_buffers(far.socket, self.live.config)
            near.join(far)
        except OSError as error:
            log.warning("not spliced", error=str(error))
            near.socket.close()
            far.socket.close()
            return
        self._ends |= {near, far}
        self.upgraded += 1
        if first:
            near.offer(first)
        if rest:
            far.offer(rest)


class Exchange:
    """A request that went through a tunnel, and the connection that waits for its answer.

    Polled for the tunnel; watched for how long it takes.
    """

    __slots__ = ("_due", "_held", "_is_watched", "_node", "_reader", "_relay", "_wire")

    def __init__(self, relay: Relay, node: Node, wire: Wire) -> None:
        self._relay, self._node, self._wire = relay, node, wire
        self._reader = AnswerReader(2 * relay.live.config.outbox_limit + ANSWER_MORE)
        self._held: Held | None = None
        self._is_watched = False  # the held connection is in the poller
        self._due: float | None = trio.current_time() + relay.patience + ANSWER

    def keep(self, held: Held) -> None:
        """The connection that waits; the answer may be here already."""
        self._held = held
        if self._due is None:
            self._answer(self._reader.response if self._reader.is_whole else None)
        elif not held.says_more:
            self._watch(held)

    def _watch(self, held: Held) -> None:
        try:
            self._relay.live.poller.add(held, _Waiter(self, held))
        except OSError as error:  # its end is noticed when it is answered
            log.warning("not watched", error=str(error))
        else:
            self._is_watched = True

    def on_readable(self) -> bool:
        """Some of the answer, or the end of the tunnel."""
        try:
            data = self._wire.receive_nowait(READ)
            if data is None:
                return False
            self._reader.receive_data(data)
        except (*GONE, RemoteProtocolError) as error:
            self.drop(str(error))
            return False
        if self._reader.is_whole:
            self._end()
            if self._reader.keep_alive:
                self._relay.tunnels.keep(self._node, self._wire)
            else:
                self._wire.close()
            self._answer(self._reader.response)
        return False

    def on_writable(self) -> None:
        """Never asked for."""

    def due_at(self) -> float | None:
        """See `Watched`."""
        return self._due

    def expire(self, _now: float) -> None:
        """The other comet hangs."""
        self.drop("no answer in time")

    def drop(self, reason: str) -> None:
        """There will be no answer. On one that has ended it does nothing."""
        if self._due is None:
            return
        self._end()
        self._wire.close()
        self._relay.failed += 1
        log.warning("not relayed", home=self._node.name, error=reason)
        self._answer(None)

    def leave(self) -> None:
        """The client hung up: the other comet sees it at the end of the tunnel."""
        held = self._release()
        self._end()
        self._wire.close()
        held.drop()

    def look_away(self) -> None:
        """The client has sent its next request: it is read behind the answer."""
        assert self._held is not None
        self._relay.live.poller.remove(self._held)
        self._is_watched = False

    def _end(self) -> None:
        self._due = None
        self._relay.exchanges.discard(self)
        self._relay.live.poller.remove(self._wire)

    def _answer(self, response: Response | None) -> None:
        """To the client, if it waits already."""
        if self._held is not None:
            if response is None or has_no_body(response.status):
                response = plain(502, "the comet of this session does not answer")
            # who waited here counts in no limit of connections any more: strangers do not go on like that
            response.close = 400 <= response.status < 500
            self._release().answer(response)

    def _release(self) -> Held:
        held, self._held = self._held, None
        assert held is not None
        if self._is_watched:
            self._relay.live.poller.remove(held)
            self._is_watched = False
        return held


class _Waiter:
    """The client's side of an exchange, as the poller sees it."""

    __slots__ = ("_exchange", "_held")

    def __init__(self, exchange: Exchange, held: Held) -> None:
        self._exchange, self._held = exchange, held

    def on_readable(self) -> bool:
        """It hung up, or sent its next request already."""
        if self._held.is_gone():
            self._exchange.leave()
        elif self._held.says_more:
            self._exchange.look_away()
        return False

    def on_writable(self) -> None:
        """Never asked for."""

    def drop(self, reason: str) -> None:
        """See `Polled`."""
        self._exchange.drop(reason)


class _Waiting:
    """A tunnel between the answer of an upgrade and the takeover, which may never come."""

    def __init__(self, wire: Wire) -> None:
        self._wire: Wire | None = wire
        self._due = trio.current_time() + ANSWER

    def take(self) -> Wire | None:
        """It, once; None if it was too late."""
        wire, self._wire = self._wire, None
        return wire

    def due_at(self) -> float | None:
        """See `Watched`."""
        return None if self._wire is None else self._due

    def expire(self, _now: float) -> None:
        """Nobody took it."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
