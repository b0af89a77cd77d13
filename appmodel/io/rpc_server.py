"""Answers the calls of other nodes.

A connection proves the cluster secret first, then carries many calls at once: each runs in its own
task and under the deadline that its caller gave it, and is answered when it is done. What bounds
them is `RpcLimits`: with too many calls or bytes in progress a connection is simply not read, and
TCP makes its client wait.

A call outlives the connection that brought it: a push that is half done helps nobody. When the
server stops it tells its clients, refuses what they send later, and finishes what it has begun.

Source: ours. The original's calls know no deadline and hang together (spec/gopush.md S2, C8).
"""

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog
import trio

from appmodel.errors import (
    BadInput,
    ConfigError,
    LimitReached,
    OutcomeUnknown,
    PushError,
    TooLarge,
    Unavailable,
)
from appmodel.io.listener import is_loopback, serve_wires
from appmodel.io.rpc_link import DEFAULT_LIMITS, RpcLimits, RpcLink, reason
from appmodel.io.rpc_strangers import RpcCounts, Strangers
from appmodel.io.wire import Wire
from appmodel.protocol import rpc

Handler = Callable[[msgspec.Raw], Awaitable[bytes]]
"""Takes the argument and returns the result, both in msgpack; raises PushError to refuse.
It is cancelled at its caller's deadline, wherever it waits."""

Handlers = Mapping[str, Handler]  # by method

Tunnels = Mapping[str, Callable[[Wire], Awaitable[None]]]
"""By purpose: what serves a connection that carries something else than calls, to its end."""

MAX_MESSAGE = 1000  # characters of an error: it must fit where no answer does
MAX_METHOD = 100  # characters of a method's name in the log

log = structlog.get_logger(__name__)


async def serve_rpc(
    sockets: Sequence[socket.socket],
    handlers: Handlers,
    *,
    secret: bytes | None,
    stop: trio.Event,
    limits: RpcLimits = DEFAULT_LIMITS,
    counts: RpcCounts | None = None,
    tunnels: Tunnels | None = None,
) -> None:
    """Serve until `stop` is set and what had begun has ended.

    When `stop` is set the sockets are closed at once; calls in progress have `limits.drain_timeout`
    before they are cancelled. Cancelling this cancels them at once.

    Args:
        sockets: listening ones from `open_sockets`; owned by this call.
        secret: of the cluster; None or empty lets everybody in, on loopback only.
        counts: of the process.
        tunnels: for connections of other nodes that are not for calls.

    Raises:
        ConfigError: no secret, and a socket that other machines can reach.
    """
    if not secret and not is_loopback(sockets):
        where = ", ".join(str(sock.getsockname()[0]) for sock in sockets)
        for sock in sockets:
            sock.close()
        raise ConfigError("rpc.secret", "", f"the cluster's secret, to listen on {where}")

    counts = counts or RpcCounts()
    strangers = Strangers(counts, at_once=limits.handshakes_per_address)

    async def serve(wire: Wire) -> None:
        connection = _Connection(wire, handlers, secret or b"", stop, limits, strangers)
        if await connection.is_one_of_us():
            counts.connections += 1
            try:
                await connection.serve_as(tunnels or {})
            finally:
                counts.connections -= 1

    await serve_wires(
        sockets,
        serve,
        stop=stop,
        max_connections=limits.max_connections,
        grace=limits.drain_timeout,
        on_trouble=lambda why, _: counts.refused.update([why]),
    )


class _Connection:
    """One client, and its calls in progress."""

    def __init__(
        self,
        wire: Wire,
        handlers: Handlers,
        secret: bytes,
        stop: trio.Event,
        limits: RpcLimits,
        strangers: Strangers,
    ) -> None:
        self._peer = wire.peer
        self._link = RpcLink(wire, rpc.Role.SERVER, secret=secret, limits=limits)
        self._handlers = handlers
        self._stop = stop
        self._limits = limits
        self._strangers = strangers
        self._running = 0  # calls
        self._held = 0  # bytes of their arguments
        self._ended = trio.lowlevel.ParkingLot()  # where the reader waits for calls to end

    async def is_one_of_us(self) -> bool:
        """The handshake."""
        host, strangers = self._peer.host, self._strangers
        if not strangers.come(host):
            strangers.refuse(host, "address", "too many of its address are in their handshake")
            return False
        try:
            with trio.fail_after(self._limits.connect_timeout):
                await self._link.shake_hands()
        except rpc.RpcProtocolError as error:
            strangers.refuse(host, error.fault, str(error))
        except trio.BrokenResourceError as error:
            strangers.refuse(host, rpc.Fault.HANGUP, reason(error))
        except trio.TooSlowError:
            strangers.refuse(host, "silence", "no handshake in time")
        else:
            return True
        finally:
            strangers.go(host)
        return False

    async def serve_as(self, tunnels: Tunnels) -> None:
        """What the client wants the connection for: calls, or one of `tunnels`."""
        purpose = self._link.purpose
        if not purpose:
            await self.serve()
        elif purpose in tunnels:
            await tunnels[purpose](self._link.surrender())
        else:
            why = f"purpose: got {purpose!r}, expected one of {', '.join(tunnels)}"
            self._strangers.refuse(self._peer.host, "nonsense", why)

    async def serve(self) -> None:
        """From the first call to the end of the last one."""
        log.info("rpc connection opened", peer=str(self._peer))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._link.write)
            nursery.start_soon(self._link.watch)
            nursery.start_soon(self._tell_of_stop)
            async with trio.open_nursery() as calls:
                await self._read(calls)
            nursery.cancel_scope.cancel()
        if self._link.fault is not None:
            self._strangers.refuse(self._peer.host, self._link.fault, self._link.end or "")
        log.info("rpc connection closed", peer=str(self._peer), why=self._link.end)

    async def _tell_of_stop(self) -> None:
        await self._stop.wait()
        self._link.send(rpc.GoAway("this node stops"))

    async def _read(self, calls: trio.Nursery) -> None:
        while frames := await self._link.receive():
            for frame in frames:
                if isinstance(frame, rpc.Call):
                    await self._has_room()
                    if self._link.end is not None:
                        return  # whoever called does not wait any more
                    self._begin(frame, calls)

    async def _has_room(self) -> None:
        """Return once another call may begin. Until then nothing more is read."""
        while self._running >= self._limits.max_calls or self._held > self._limits.max_waiting:
            await self._ended.park()
        await self._link.drained()

    def _begin(self, call: rpc.Call, calls: trio.Nursery) -> None:
        if self._stop.is_set():
            error = Unavailable(f"{call.method}: the node stops; this was not begun")
            self._link.send(_refusal(call, error))
            return
        self._running += 1
        self._held += len(memoryview(call.argument))
        calls.start_soon(self._carry_out, call)

    async def _carry_out(self, call: rpc.Call) -> None:
        try:
            self._answer(call, await self._result(call))
        finally:
            self._running -= 1
            self._held -= len(memoryview(call.argument))
            self._ended.unpark()

    async def _result(self, call: rpc.Call) -> rpc.Answer | rpc.Error:
        handler = self._handlers.get(call.method)
        if handler is None:
            known = ", ".join(self._handlers)
            return self._refuse(call, BadInput("method", call.method, f"one of {known}"))
        timeout = min(call.timeout_ms / 1000, self._limits.max_call_time)
        try:
            with trio.move_on_after(timeout):
                return rpc.Answer(call.id, msgspec.Raw(await handler(call.argument)))
        except BadInput as error:
            return self._refuse(call, error)
        except LimitReached as error:
            self._strangers.refuse(
                self._peer.host, "limit", f"{call.method}: {error}", event="rpc call refused"
            )
            return _refusal(call, error)
        except PushError as error:
            return _refusal(call, error)
        except Exception:  # a bug of ours is no reason to fail the other calls of the connection
            log.exception("rpc handler failed", method=call.method)
            self._strangers.count("bug")
            return _refusal(call, PushError(f"{call.method} failed; the log of its node says why"))
        return _refusal(call, OutcomeUnknown(f"{call.method}: not done within {timeout:g} s"))

    def _refuse(self, call: rpc.Call, error: BadInput) -> rpc.Error:
        """What none of our nodes would ask."""
        why = f"{call.method[:MAX_METHOD]}: {error}"
        self._strangers.refuse(self._peer.host, "nonsense", why, event="rpc call refused")
        return _refusal(call, error)

    def _answer(self, call: rpc.Call, answer: rpc.Answer | rpc.Error) -> None:
        try:
            self._link.send(answer)
        except TooLarge as error:
            self._link.send(_refusal(call, TooLarge(f"the answer of {call.method} is {error}")))


def _refusal(call: rpc.Call, error: PushError) -> rpc.Error:
    return rpc.Error(call.id, error.code, str(error)[:MAX_MESSAGE])
