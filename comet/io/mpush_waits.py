"""A comet's part in waiting for acknowledgements: it hears them for its keys, and tells other owners of its devices'.

    a device here acknowledges     who waits here is told at once, or the owner of its key elsewhere: one call under
                                   way for each, what comes meanwhile is the next one
    web notes one                  the same, and the device's socket, here or at the holders, gets it no more

Source: spec/mpush.md section 13: the web node waits, the comet reports.
"""

from collections.abc import Callable, Sequence

import structlog
import trio

from appmodel.core.cluster import Node
from appmodel.core.mpush_waits import MAX_AWAITED, Awaited
from appmodel.errors import PushError
from appmodel.io.calls import Call, Caller
from appmodel.io.mpush_waits import RemoteWaits, waits_handlers
from appmodel.io.rpc_server import Handlers
from comet.config import MpushConfig
from comet.core.holders import Holders
from comet.core.mpush_waiting import Waiter, Waiting
from comet.core.standing import Standing

log = structlog.get_logger("comet")

TELL = 2.0  # seconds for a holder to hear
SETTLE = Call[tuple[Awaited, ...], None](
    "mpush.settle"
)  # owner -> holder: need not be sent any more

Process = tuple[str, int]  # name and incarnation of a comet


class CometWaits:
    """Implements `WaitsHost`."""

    def __init__(
        self,
        *,
        standing: Callable[[], Standing],
        holders: Holders,
        caller: Callable[[Node], Caller],
        spawn: Callable[..., None],
        config: MpushConfig,
    ) -> None:
        """`caller(node)`: raises PushError if it cannot be called. `spawn`: runs a task while the comet lives."""
        self._standing, self._holders = standing, holders
        self._caller, self._spawn, self._limit = caller, spawn, config.waiting
        self._waiting = Waiting(memory=config.ack_memory, limit=config.waiting)
        self._outbound: dict[Process, dict[Awaited, None]] = {}
        # told of what devices here need not get any more: whoever has their sockets
        self.on_settled: Callable[[Sequence[Awaited]], None] = lambda acked: None
        self.dropped = 0  # acknowledgements that an owner elsewhere never heard of

    def __len__(self) -> int:
        """Messages that somebody waits for here."""
        return len(self._waiting)

    @property
    def handlers(self) -> Handlers:
        """The table of the listener for other nodes."""

        async def settle(acked: tuple[Awaited, ...]) -> None:
            await trio.lowlevel.checkpoint()
            self.on_settled(acked)

        return {**waits_handlers(self), **dict([SETTLE.answered_by(settle)])}

    async def wait(self, awaited: Sequence[Awaited], seconds: float) -> tuple[bool, ...]:
        """See `MpushWaits`. Of keys that are not ours nothing is heard."""
        done = trio.Event()
        waiter = Waiter(awaited, done.set)
        if self._waiting.begin(waiter, trio.current_time()):
            try:
                with trio.move_on_after(seconds):
                    await done.wait()
            finally:
                self._waiting.end(waiter)
        return waiter.answer

    async def note(self, acked: Sequence[Awaited]) -> None:
        """See `MpushWaits`."""
        await self.hear(acked)
        self.on_settled(acked)
        by_holder: dict[Process, tuple[Node, list[Awaited]]] = {}
        for one in acked:
            remote = self._holders.get(one.key)
            for seat in remote.seats if remote is not None else ():
                node = seat.holder.node
                by_holder.setdefault((node.name, node.incarnation), (node, []))[1].append(one)
        for node, part in by_holder.values():
            try:
                await self._caller(node).call(SETTLE, tuple(part), timeout=TELL)
            except PushError as error:  # its device gets them once more, and acknowledges
                log.warning("acknowledgement not heard", holder=node.name, error=str(error))

    async def hear(self, acked: Sequence[Awaited]) -> None:
        """See `WaitsHost`."""
        await trio.lowlevel.checkpoint()
        self._waiting.hear(acked, trio.current_time())

    def acknowledged(self, acked: Sequence[Awaited]) -> None:
        """Devices here have acknowledged: let those hear who wait, wherever they do."""
        standing = self._standing()
        ours: list[Awaited] = []
        for one in acked:
            owner = standing.elsewhere(one.key)
            if owner is None:
                ours.append(one)
            else:
                self._tell(owner, one)
        if ours:
            self._waiting.hear(ours, trio.current_time())

    def _tell(self, owner: Node, one: Awaited) -> None:
        process = owner.name, owner.incarnation
        outbound = self._outbound.get(process)
        if outbound is None:
            outbound = self._outbound[process] = {}
            self._spawn(self._tell_all, owner, outbound)
        if len(outbound) < self._limit:
            outbound[one] = None
        else:
            self.dropped += 1

    async def _tell_all(self, owner: Node, outbound: dict[Awaited, None]) -> None:
        """All that there is to tell; then this task ends."""
        try:
            while outbound:
                part = list(outbound)[:MAX_AWAITED]
                try:
                    await RemoteWaits(self._caller(owner)).hear(part)
                except PushError as error:  # whoever waits hears `online`
                    log.warning("acknowledgements not told", owner=owner.name, error=str(error))
                    self.dropped += len(part)
                for one in part:
                    del outbound[one]
        finally:
            del self._outbound[owner.name, owner.incarnation]
