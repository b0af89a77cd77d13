"""Calls another node: one connection, many calls at once, and an answer or an error for each in time.

    a call is    at its deadline    when the connection breaks    when the client is closed
    waiting      Unavailable        Unavailable                   Unavailable
    sent         OutcomeUnknown     OutcomeUnknown                OutcomeUnknown

So `Unavailable` is a promise that the other node has done nothing: the call may be made again,
here or elsewhere. Nobody waits for a node that cannot be reached: its calls fail at once and say
why, while the client dials again after a random pause whose bound doubles (full jitter), so that a
node that comes back is not run over by all the others.

Source: ours. The original's pool dials its addresses one after the other, and keeps calling through
dead connections (spec/gopush.md section 3.6, C1, C8).
"""

import ipaddress
import random
import socket
from collections.abc import Callable
from itertools import islice
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import msgspec
import structlog
import trio

from appmodel.errors import (
    ConfigError,
    OutcomeUnknown,
    PushError,
    TooLarge,
    Unavailable,
)
from appmodel.io.calls import Call
from appmodel.io.rpc_link import DEFAULT_LIMITS, RpcLimits, RpcLink, reason
from appmodel.io.rpc_strangers import RpcCounts
from appmodel.io.wire import Wire
from appmodel.protocol import rpc

ROUND = 1024 * 1024  # bytes of one write; what waits behind them can still be called back
ENVELOPE = 64  # bytes of a call's frame besides its method and argument, at most

Argument = TypeVar("Argument")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class RpcClient:
    """All calls to one address. Its owner keeps `run` running in a nursery."""

    def __init__(
        self,
        address: str,
        *,
        secret: bytes | None,
        limits: RpcLimits = DEFAULT_LIMITS,
        counts: RpcCounts | None = None,
    ) -> None:
        """For `address`, a "host:port"; of IPv6 "[::1]:6970". `counts` are those of the process.

        Raises:
            ConfigError: it is none, or is not on loopback and there is no secret.
        """
        self.address = address
        self._host, self._port = dialled(address, secret)
        self._secret = secret or b""
        self._limits = limits
        self._counts = counts or RpcCounts()
        self._last_id = 0
        self._waiting: dict[int, Pending[Any]] = {}  # by id, in order
        self._waiting_bytes = 0
        self._sent: dict[int, Pending[Any]] = {}
        self._link: RpcLink | None = None
        self._away: str | None = None  # why a call fails now
        self._said: str | None = None  # the reason that was logged for it
        self._wanted = trio.Event()
        self._scope = trio.CancelScope()
        self._when_idle: Callable[[], object] | None = None  # leaving: what is left to do

    async def call(
        self,
        call: Call[Argument, Result],
        argument: Argument,
        *,
        timeout: float,  # noqa: ASYNC109  it travels with the call, and decides its error
    ) -> Result:
        """Ask, and wait at most `timeout` seconds (and never above `max_call_time`).

        The first call dials. Cancelling is safe; what was sent is still carried out.

        Raises:
            Unavailable: not sent: the node cannot be reached, or too much waits.
            OutcomeUnknown: sent, and no answer came.
            TooLarge: the argument is over `max_frame`; not sent.
            PushError: what the node answered.
        """
        with self.begin(call, argument, timeout=timeout) as pending:
            with trio.move_on_after(pending.seconds):
                await pending.lot.park()
        return pending.result()

    def begin(
        self,
        call: Call[Argument, Result],
        argument: Argument,
        *,
        timeout: float,
        lot: trio.lowlevel.ParkingLot | None = None,
    ) -> "Pending[Result]":
        """Put a call on its way, for whoever has more to wait for than this one; otherwise as `call`.

        All who are parked in `lot` are woken when it is done. At the end of its `with` block nobody
        waits for it any more.
        """
        encoded = call.encode(argument)
        self._check_room(call.method, encoded)
        self._last_id += 1
        seconds = min(timeout, self._limits.max_call_time)
        pending = Pending(self, self._last_id, call, encoded, seconds, lot)
        self._waiting[pending.number] = pending
        self._waiting_bytes += len(encoded)
        self._wanted.set()
        if self._link is not None:
            self._link.wake()
        return pending

    async def run(self) -> None:
        """Keep connected, from the first call on, until cancelled or retired."""
        failures = 0
        try:
            with self._scope:
                await self._wanted.wait()
                while True:
                    link, failure = await self._connect()
                    if link is not None:
                        failures, failure = 0, await self._converse(link)
                    self._note(failure)
                    self._lose(failure.why)
                    pause = self._limits.retry_pause * 2.0 ** min(failures, 30)
                    pause = min(pause, self._limits.max_retry_pause)
                    failures += 1
                    await trio.sleep(random.uniform(0, pause))  # noqa: S311  jitter is no secret
        finally:
            self._lose("its client is closed")

    def retire(self) -> None:
        """Take no more calls, and end `run` when those that were sent are answered."""
        self._leave("it has left the cluster", self._scope.cancel)

    def _check_room(self, method: str, argument: bytes) -> None:
        if self._away is not None:
            raise Unavailable(f"{method}: {self.address} is away: {self._away}")
        size, limit = len(argument) + len(method) + ENVELOPE, self._limits.max_frame
        if size > limit:
            raise TooLarge(f"{method}: a call of {size} bytes, expected at most {limit}")
        waiting, limit = self._waiting_bytes + size, self._limits.max_waiting
        if waiting > limit:
            raise Unavailable(f"{method}: {waiting} bytes wait for {self.address}, limit {limit}")

    def give_up(self, pending: "Pending[Any]") -> PushError:
        """Forget a call that is not done; what is true of it now."""
        where = f"{pending.call.method}: no answer from {self.address} within {pending.seconds:g} s"
        sent = pending.number in self._sent
        self._forget(pending.number)
        if sent:
            return OutcomeUnknown(f"{where}; it may have happened")
        return Unavailable(f"{where}; it was not sent")

    def _note(self, failure: "_Failure") -> None:
        """Count it, and log it unless the last one was the same."""
        if self._when_idle is not None:
            return  # it left in peace
        self._counts.failures[failure.reason] += 1
        if failure.reason != self._said:
            self._said = failure.reason
            log.warning("rpc connection lost", address=self.address, **failure._asdict())

    async def _connect(self) -> tuple[RpcLink | None, "_Failure"]:
        """A link that has proved itself, or why there is none."""
        wire: Wire | None = None
        link: RpcLink | None = None
        timeout = self._limits.connect_timeout
        failure = _Failure("silence", f"no connection within {timeout:g} s")
        try:
            with trio.move_on_after(timeout):
                wire = await dial(self._host, self._port)
                made = RpcLink(
                    wire,
                    rpc.Role.CLIENT,
                    secret=self._secret,
                    limits=self._limits,
                    fill=self._send_waiting,
                )
                await made.shake_hands()
                link = made
        except rpc.RpcProtocolError as error:
            failure = _Failure(error.fault, str(error))
        except (OSError, UnicodeError, trio.BrokenResourceError) as error:
            failure = _Failure("unreachable" if wire is None else "hangup", reason(error))
        finally:
            if wire is not None and link is None:
                wire.close()
        return link, failure

    async def _converse(self, link: RpcLink) -> "_Failure":
        """Carry calls over `link` until it ends; why it has."""
        log.info("rpc connected", address=self.address)
        self._link, self._away, self._said = link, None, None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.write)
                nursery.start_soon(link.watch)
                link.wake()
                while frames := await link.receive():
                    for frame in frames:
                        self._settle(frame)
                nursery.cancel_scope.cancel()
        finally:
            link.close("it was closed here")
        return _Failure(link.fault or "lost", link.end or "")

    def _send_waiting(self) -> None:
        """Hand what waits to the link, which is about to write."""
        link = self._link
        if link is None:
            return
        now = trio.current_time()
        room = self._limits.max_calls - len(self._sent)
        for call_id, pending in list(islice(self._waiting.items(), room)):
            if link.owed > ROUND:
                link.wake()
                return
            if pending.deadline <= now:
                pending.leave()
                continue
            self._forget(call_id)
            self._sent[call_id] = pending
            left_ms = max(1, int((pending.deadline - now) * 1000))
            argument = msgspec.Raw(pending.argument)
            link.send(rpc.Call(call_id, pending.call.method, left_ms, argument))

    def _settle(self, frame: rpc.Frame) -> None:
        match frame:
            case rpc.Answer(id=call_id, result=result):
                self._finish(call_id, result, None)
            case rpc.Error(id=call_id, code=code, message=message):
                self._finish(call_id, None, PushError.from_wire(code, message))
            case rpc.GoAway(reason=why) if self._when_idle is None:
                self._leave(f"it goes away: {why}", self._hang_up)

    def _finish(self, call_id: int, answer: msgspec.Raw | None, error: PushError | None) -> None:
        pending = self._sent.get(call_id)
        if pending is not None:  # else its caller has given up
            self._forget(call_id)
            pending.finish(answer, error)

    def _forget(self, call_id: int) -> None:
        """It waits no more, or is sent no more: there is room for another."""
        if call_id in self._waiting:
            self._waiting_bytes -= len(self._waiting.pop(call_id).argument)
            return
        del self._sent[call_id]
        if self._waiting and self._link is not None:
            self._link.wake()
        if self._when_idle is not None and not self._sent:
            self._when_idle()

    def _leave(self, why: str, when_idle: Callable[[], object]) -> None:
        """Send no more; call `when_idle` once nothing is to be answered."""
        self._away = why
        self._when_idle = when_idle
        self._fail_waiting(why)
        if not self._sent:
            when_idle()

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close("it went away")

    def _lose(self, why: str) -> None:
        """There is no connection now."""
        self._link, self._away = None, why
        self._fail_waiting(why)
        sent, self._sent = self._sent, {}
        for pending in sent.values():
            text = f"{pending.call.method}: {self.address} was lost: {why}; it may have happened"
            pending.finish(None, OutcomeUnknown(text))
        left, self._when_idle = self._when_idle, None
        if left is not None:
            left()

    def _fail_waiting(self, why: str) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        for pending in waiting.values():
            pending.finish(
                None, Unavailable(f"{pending.call.method}: {self.address} is away: {why}")
            )


class _Failure(NamedTuple):
    """Of a connection: its reason (rpc_strangers.py), and in more words."""

    reason: str
    why: str


class Pending(Generic[Result]):
    """A call on its way: `with` it until it is done, or until nobody wants its result."""

    __slots__ = (
        *("_answer", "_client", "_error", "argument"),
        *("call", "deadline", "lot", "number", "seconds"),
    )

    def __init__(
        self,
        client: RpcClient,
        number: int,
        call: Call[Any, Result],
        argument: bytes,
        seconds: float,
        lot: trio.lowlevel.ParkingLot | None,
    ) -> None:
        self._client = client
        self.number = number
        self.call = call
        self.argument = argument
        self.seconds = seconds  # that it may take
        now = trio.current_time()
        # On trio's clock: what the other node is told. In a scope that is cancelled it is -inf.
        self.deadline = max(now, min(now + seconds, trio.current_effective_deadline()))
        self.lot = trio.lowlevel.ParkingLot() if lot is None else lot  # an empty one is false
        self._answer: msgspec.Raw | None = None
        self._error: PushError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    @property
    def is_done(self) -> bool:
        """It has a result, if only an error."""
        return self._answer is not None or self._error is not None

    def result(self) -> Result:
        """What `RpcClient.call` returns or raises. It must be done."""
        if self._answer is not None:
            return self.call.decode(self._answer)
        assert self._error is not None
        raise self._error

    def leave(self) -> None:
        """Wait no more for it; what was sent is still carried out."""
        if not self.is_done:
            self.finish(None, self._client.give_up(self))

    def finish(self, answer: msgspec.Raw | None, error: PushError | None) -> None:
        """One of the two. Once only."""
        self._answer, self._error = answer, error
        self.lot.unpark_all()


async def dial(host: str, port: int) -> Wire:
    """A plain connection. Raises OSError, or UnicodeError for a name that can be none."""
    stream = await trio.open_tcp_stream(host, port)
    connected = socket.socket(fileno=stream.socket.detach())
    try:
        return Wire(connected)
    except OSError:
        connected.close()
        raise


def dialled(address: str, secret: bytes | None) -> tuple[str, int]:
    """Host and port of a "host:port" that may be dialled with this secret.

    Raises:
        ConfigError: it is none, or is not on loopback and there is no secret.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError("rpc address", address, 'expected "host:port"')
    if not secret and not _is_loopback(host):
        raise ConfigError("rpc.secret", "", f"the cluster's secret, to call {address}")
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
