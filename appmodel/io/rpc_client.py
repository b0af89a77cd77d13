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
from typing import TypeVar

import msgspec
import structlog
import trio

from appmodel.errors import (
    ConfigError,
    OutcomeUnknown,
    PushError,
    RemoteProtocolError,
    TooLarge,
    Unavailable,
)
from appmodel.io.calls import Call
from appmodel.io.rpc_link import DEFAULT_LIMITS, RpcLimits, RpcLink, reason
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
        self, address: str, *, secret: bytes | None, limits: RpcLimits = DEFAULT_LIMITS
    ) -> None:
        """For `address`, a "host:port"; of IPv6 "[::1]:6970".

        Raises:
            ConfigError: it is none, or is not on loopback and there is no secret.
        """
        self.address = address
        self._host, self._port = _split(address)
        if not secret and not _is_loopback(self._host):
            raise ConfigError("rpc.secret", "", f"the cluster's secret, to call {address}")
        self._secret = secret or b""
        self._limits = limits
        self._last_id = 0
        self._waiting: dict[int, _Pending] = {}  # by id, in order
        self._waiting_bytes = 0
        self._sent: dict[int, _Pending] = {}
        self._link: RpcLink | None = None
        self._away: str | None = None  # why a call fails now
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
        result = await self._ask(call.method, call.encode(argument), timeout)
        return call.decode(result)

    async def run(self) -> None:
        """Keep connected, from the first call on, until cancelled or retired."""
        failures = 0
        try:
            with self._scope:
                await self._wanted.wait()
                while True:
                    link, why = await self._connect()
                    if link is not None:
                        failures, why = 0, await self._converse(link)
                    if self._away is None:  # else it has been said
                        log.warning("rpc connection lost", address=self.address, why=why)
                    self._lose(why)
                    pause = self._limits.retry_pause * 2.0 ** min(failures, 30)
                    pause = min(pause, self._limits.max_retry_pause)
                    failures += 1
                    await trio.sleep(random.uniform(0, pause))  # noqa: S311  jitter is no secret
        finally:
            self._lose("its client is closed")

    def retire(self) -> None:
        """Take no more calls, and end `run` when those that were sent are answered."""
        self._leave("it has left the cluster", self._scope.cancel)

    async def _ask(self, method: str, argument: bytes, seconds: float) -> msgspec.Raw:
        """The undecoded answer."""
        self._check_room(method, argument)
        self._last_id += 1
        call_id = self._last_id
        now = trio.current_time()
        deadline = now + min(seconds, self._limits.max_call_time)
        pending = _Pending(method, argument, min(deadline, trio.current_effective_deadline()))
        self._waiting[call_id] = pending
        self._waiting_bytes += len(argument)
        self._wanted.set()
        if self._link is not None:
            self._link.wake()

        def give_up(_: object) -> trio.lowlevel.Abort:
            pending.error = self._too_late(pending, call_id in self._sent, seconds)
            self._forget(call_id)
            return trio.lowlevel.Abort.SUCCEEDED

        with trio.CancelScope(deadline=deadline):
            await trio.lowlevel.wait_task_rescheduled(give_up)
        if pending.answer is None:
            assert pending.error is not None
            raise pending.error
        return pending.answer

    def _check_room(self, method: str, argument: bytes) -> None:
        if self._away is not None:
            raise Unavailable(f"{method}: {self.address} is away: {self._away}")
        size, limit = len(argument) + len(method) + ENVELOPE, self._limits.max_frame
        if size > limit:
            raise TooLarge(f"{method}: a call of {size} bytes, expected at most {limit}")
        waiting, limit = self._waiting_bytes + size, self._limits.max_waiting
        if waiting > limit:
            raise Unavailable(f"{method}: {waiting} bytes wait for {self.address}, limit {limit}")

    def _too_late(self, pending: "_Pending", sent: bool, seconds: float) -> PushError:
        where = f"{pending.method}: no answer from {self.address} within {seconds:g} s"
        if sent:
            return OutcomeUnknown(f"{where}; it may have happened")
        return Unavailable(f"{where}; it was not sent")

    async def _connect(self) -> tuple[RpcLink | None, str]:
        """A link that has proved itself, or why there is none."""
        wire: Wire | None = None
        link: RpcLink | None = None
        timeout = self._limits.connect_timeout
        why = f"no connection within {timeout:g} s"
        try:
            with trio.move_on_after(timeout):
                wire = await _dial(self._host, self._port)
                made = RpcLink(
                    wire,
                    rpc.Role.CLIENT,
                    secret=self._secret,
                    limits=self._limits,
                    fill=self._send_waiting,
                )
                await made.shake_hands()
                link = made
        except (OSError, UnicodeError, trio.BrokenResourceError, RemoteProtocolError) as error:
            why = reason(error)
        finally:
            if wire is not None and link is None:
                wire.close()
        return link, why

    async def _converse(self, link: RpcLink) -> str:
        """Carry calls over `link` until it ends; why it has."""
        log.info("rpc connected", address=self.address)
        self._link, self._away = link, None
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
        return link.end or ""

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
            self._forget(call_id)
            self._sent[call_id] = pending
            left_ms = max(1, int((pending.deadline - now) * 1000))
            argument = msgspec.Raw(pending.argument)
            link.send(rpc.Call(call_id, pending.method, left_ms, argument))

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
            pending.wake(answer, error)

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
            text = f"{pending.method}: {self.address} was lost: {why}; it may have happened"
            pending.wake(None, OutcomeUnknown(text))
        left, self._when_idle = self._when_idle, None
        if left is not None:
            left()

    def _fail_waiting(self, why: str) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        for pending in waiting.values():
            pending.wake(None, Unavailable(f"{pending.method}: {self.address} is away: {why}"))


class _Pending:
    """One call, and the task that waits for it."""

    __slots__ = ("answer", "argument", "deadline", "error", "method", "task")

    def __init__(self, method: str, argument: bytes, deadline: float) -> None:
        self.method = method
        self.argument = argument
        self.deadline = deadline  # on trio's clock
        self.task = trio.lowlevel.current_task()
        self.answer: msgspec.Raw | None = None
        self.error: PushError | None = None

    def wake(self, answer: msgspec.Raw | None, error: PushError | None) -> None:
        """Let its task go on with an answer or an error. Once only."""
        self.answer, self.error = answer, error
        trio.lowlevel.reschedule(self.task)


async def _dial(host: str, port: int) -> Wire:
    stream = await trio.open_tcp_stream(host, port)
    connected = socket.socket(fileno=stream.socket.detach())
    try:
        return Wire(connected)
    except OSError:
        connected.close()
        raise


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError("rpc address", address, 'expected "host:port"')
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
