"""One connection between two nodes: frames over a wire, and who notices when it dies.

Both ends share it: `rpc_server` answers calls over a link, `rpc_client` makes them. Frames that are
queued in one round of the event loop leave in one write: a link with 64 calls in flight costs a
write or two, not 64. Nobody waits to queue a frame: whoever queues them knows a bound (`owed`).

Source: ours; "pipeline, do not pool" (research/anchors.md).
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import trio

from appmodel.io.wire import Wire
from appmodel.protocol import rpc


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcLimits:
    """Bounds of node-to-node calls: section [rpc] of the configuration. Times in seconds."""

    max_frame: int = rpc.MAX_FRAME  # bytes
    max_calls: int = 1024  # of one connection at once; no less on servers than on their clients
    max_waiting: int = 64 * 1024 * 1024  # bytes of a connection that wait to be sent or answered
    max_connections: int = 1024  # of one server
    handshakes_per_address: int = 64  # at once: peers that have not proved themselves
    connect_timeout: float = 2.0  # from dialling to the end of the handshake
    write_timeout: float = 30.0  # a peer that does not take one write by then is cut
    ping_interval: float = 5.0  # a peer that is silent for twice as long is cut
    call_timeout: float = 5.0  # of a call, unless its caller asks for another
    hedge: float = 0.3  # for a message node alone; then another one is asked the same
    max_call_time: float = 60.0  # of a call, whatever its caller asks for
    drain_timeout: float = 5.0  # for calls in progress when a server stops
    retry_pause: float = 0.1  # bound of the random pause before the first redial; doubles
    max_retry_pause: float = 5.0  # up to here


DEFAULT_LIMITS = RpcLimits()


class RpcLink:
    """Frames in and out. One task reads; `write` and `watch` run beside it until it has ended.

    `fill` is called before each write: the place to `send` what waited for its turn.
    """

    def __init__(
        self,
        wire: Wire,
        role: rpc.Role,
        *,
        secret: bytes,
        limits: RpcLimits,
        fill: Callable[[], None] = lambda: None,
        purpose: str = "",
    ) -> None:
        self._wire = wire
        self._connection = rpc.Connection(
            role,
            secret=secret,
            nonce=secrets.token_bytes(rpc.NONCE),
            max_frame=limits.max_frame,
            purpose=purpose,
        )
        self._limits = limits
        self._fill = fill
        self._early: list[rpc.Frame] = []  # came in the same read as the end of the handshake
        self._writing = 0  # bytes that the kernel has not taken yet
        self._due = False
        self._writer = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()
        self._reads = 0
        self._listening = False
        self.end: str | None = None  # why it is over
        self.fault: rpc.Fault | None = None  # the peer's, if that is why

    @property
    def owed(self) -> int:
        """Bytes that were queued and that the kernel has not taken yet."""
        return self._connection.owed + self._writing

    @property
    def purpose(self) -> str:
        """What the client wants the connection for, once both have proved themselves; "" is calls."""
        return self._connection.purpose

    def surrender(self) -> Wire:
        """Behind the handshake: the wire, for what its purpose is. This link does nothing more."""
        self.end = "it serves another purpose"
        return self._wire

    async def shake_hands(self) -> None:
        """Prove the secret to each other. The deadline is the caller's.

        Raises:
            RpcProtocolError: a stranger.
            trio.BrokenResourceError: the connection broke.
        """
        while True:
            await self._wire.send_all(self._connection.data_to_send())
            if self._connection.is_open:
                return
            self._early += self._connection.receive_data(await self._wire.receive_some())

    def send(self, frame: rpc.Call | rpc.Answer | rpc.Error | rpc.Ping | rpc.GoAway) -> None:
        """Queue a frame for the write of this round; lost if the link has ended.

        Raises:
            TooLarge: over the limit of a frame; nothing was queued.
        """
        if self.end is None:
            self._connection.send(frame)
            self.wake()

    def wake(self) -> None:
        """Have `fill` called and what is queued written, after this round."""
        if not self._due:
            self._due = True
            self._writer.unpark()

    async def receive(self) -> list[rpc.Frame]:
        """The frames of one read, at least one; none when the link has ended: `end` says why.

        Cancelling it loses nothing.
        """
        frames, self._early = self._early, []
        while not frames and self.end is None:
            self._listening = True
            try:
                data = await self._wire.receive_some()
                frames = self._connection.receive_data(data)
            except trio.ClosedResourceError:
                return []  # `close` has said why
            except trio.BrokenResourceError as error:
                self.close(reason(error))
                return []
            except rpc.RpcProtocolError as error:
                self.fault = error.fault
                self.close(str(error))
                return []
            finally:
                self._listening = False
            self._reads += 1
            if not data:
                self.close("it hung up")
            elif self._connection.owed:
                self.wake()  # a pong
        return frames

    async def write(self) -> None:
        """Write what is due, round by round, until the link has ended."""
        while self.end is None:
            if not self._due:
                await self._writer.park()
                continue
            self._due = False
            self._fill()
            data = self._connection.data_to_send()
            if not data:
                continue
            self._writing = len(data)
            try:
                with trio.fail_after(self._limits.write_timeout):
                    await self._wire.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self.close(reason(error))
            except trio.TooSlowError:
                self.close(f"it did not read for {self._limits.write_timeout:g} s")
            self._writing = 0
            self._drained.unpark_all()

    async def watch(self) -> None:
        """Ask a silent peer for a sign of life; end the link if none comes.

        A half-open connection (a host that lost its power, a frozen process) shows no other way.
        """
        interval = self._limits.ping_interval
        while self.end is None:
            seen = self._reads
            await trio.sleep(interval)
            if self._is_silent_since(seen):
                self.send(rpc.Ping())
                await trio.sleep(interval)
                await trio.lowlevel.checkpoint()  # if we were frozen, its answer may be here unread
                if self._is_silent_since(seen):
                    self.close(f"no sign of life for {2 * interval:g} s")

    def _is_silent_since(self, seen: int) -> bool:
        """Nothing came although somebody listened: a server that is full does not read."""
        return self._reads == seen and self._listening

    async def drained(self) -> None:
        """Return once less than `max_waiting` bytes are owed, or the link has ended."""
        while self.end is None and self.owed > self._limits.max_waiting:
            await self._drained.park()

    def close(self, why: str) -> None:
        """Cut the connection now. The first reason stays."""
        if self.end is None:
            self.end = why
            self._wire.close()
            self.wake()
            self._drained.unpark_all()


def reason(error: BaseException) -> str:
    """The cause of a broken connection in the words of the system that saw it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()  # trio and the resolver put more words around it
    return str(error) or type(error).__name__
