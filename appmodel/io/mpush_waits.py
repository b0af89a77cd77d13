"""Waiting for acknowledgements over RPC, and finding the comets that know of them.

    mpush.wait     web -> owner      until all have come, or the time is over
    mpush.acked    comet -> owner    a device of that comet has acknowledged
    mpush.note     web -> owner -> holders    acknowledged elsewhere: sockets get it no more

A comet in this process is asked without a call (peers.py). Whoever waits takes one of the places that there are for an
owner, half of the calls that a connection carries, so that pushes always find theirs; who finds none waits for one,
in the same time.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
import trio

from appmodel.core.cluster import Node
from appmodel.core.interfaces import Registry
from appmodel.core.mpush_waits import MAX_AWAITED, MAX_WAIT, Awaited, Batch, MpushWaits, Seconds
from appmodel.core.names import check_keys
from appmodel.errors import PushError
from appmodel.io.calls import Call, Caller
from appmodel.io.rpc_server import Handlers

log = structlog.get_logger(__name__)

PLACES = 512  # calls at once that wait at one owner: half of `RpcLimits.max_calls`
CALL = 2.0  # seconds for the way there and back

WAIT = Call[tuple[Batch, Seconds], tuple[bool, ...]]("mpush.wait")
ACKED = Call[Batch, None]("mpush.acked")
NOTE = Call[Batch, None]("mpush.note")


class WaitsHost(MpushWaits, Protocol):
    """One comet."""

    async def hear(self, acked: Sequence[Awaited]) -> None:
        """Its devices have acknowledged, says another comet: who waits here is told. Never raises a PushError."""


class ClusterWaits:
    """The `MpushWaits` of a node that owns no keys: web."""

    def __init__(self, registry: Registry, host: Callable[[Node], MpushWaits]) -> None:
        """`host(node)`: raises PushError if that comet cannot be asked."""
        self._registry, self._host = registry, host
        self._places: dict[str, trio.CapacityLimiter] = {}

    async def wait(self, awaited: Sequence[Awaited], seconds: float) -> tuple[bool, ...]:
        """See `MpushWaits`."""
        found: dict[Awaited, bool] = {}
        parts = self._by_owner(awaited)

        async def ask(owner: Node, part: list[Awaited]) -> None:
            found.update(zip(part, await self._ask(owner, part, seconds), strict=True))

        if len(parts) == 1:  # nearly always
            await ask(*parts[0])
        else:
            async with trio.open_nursery() as nursery:
                for owner, part in parts:
                    nursery.start_soon(ask, owner, part)
        return tuple(found.get(one, False) for one in awaited)

    async def note(self, acked: Sequence[Awaited]) -> None:
        """See `MpushWaits`."""
        async with trio.open_nursery() as nursery:
            for owner, part in self._by_owner(acked):
                nursery.start_soon(self._tell, owner, part)

    async def _ask(self, owner: Node, part: list[Awaited], seconds: float) -> Sequence[bool]:
        unknown = (False,) * len(part)
        try:
            host = self._host(owner)
            if not isinstance(host, RemoteWaits):
                return await host.wait(part, seconds)
            ends = trio.current_time() + seconds
            places = self._places.setdefault(owner.name, trio.CapacityLimiter(PLACES))
            if not await _taken(places, ends):
                return unknown
            try:
                return await host.wait(part, max(0.0, ends - trio.current_time()))
            finally:
                places.release()
        except PushError as error:
            log.warning("acknowledgements not asked for", owner=owner.name, error=str(error))
            return unknown

    async def _tell(self, owner: Node, part: list[Awaited]) -> None:
        try:
            await self._host(owner).note(part)
        except PushError as error:
            log.warning("acknowledgement not heard", owner=owner.name, error=str(error))

    def _by_owner(self, awaited: Sequence[Awaited]) -> list[tuple[Node, list[Awaited]]]:
        """Those that have an owner."""
        view = self._registry.view
        parts: dict[str, list[Awaited]] = {}
        for one in awaited:
            owner = view.owner(one.key)
            if owner is not None:
                parts.setdefault(owner.name, []).append(one)
        return [
            (view.comets[name], part[start : start + MAX_AWAITED])
            for name, part in parts.items()
            for start in range(0, len(part), MAX_AWAITED)
        ]


async def _taken(places: trio.CapacityLimiter, until: float) -> bool:
    """Whether there was one in time; who has no time to wait (0 s) may have one that is free."""
    try:
        places.acquire_nowait()
    except trio.WouldBlock:
        with trio.move_on_at(until) as queueing:
            await places.acquire()
        return not queueing.cancelled_caught
    return True


class RemoteWaits:
    """A `WaitsHost` at the other end of a connection. Raises PushErrors of the call."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def wait(self, awaited: Sequence[Awaited], seconds: float) -> tuple[bool, ...]:
        """See `MpushWaits`."""
        seconds = min(seconds, MAX_WAIT)
        asked = (tuple(awaited), seconds)
        answer = await self._caller.call(WAIT, asked, timeout=seconds + CALL)
        if len(answer) != len(awaited):
            return (False,) * len(awaited)
        return answer

    async def note(self, acked: Sequence[Awaited]) -> None:
        """See `MpushWaits`."""
        await self._caller.call(NOTE, tuple(acked), timeout=CALL)

    async def hear(self, acked: Sequence[Awaited]) -> None:
        """See `WaitsHost`."""
        await self._caller.call(ACKED, tuple(acked), timeout=CALL)


def waits_handlers(host: WaitsHost) -> Handlers:
    """The table of a server that answers for `host`."""

    async def wait(asked: tuple[Batch, float]) -> tuple[bool, ...]:
        awaited, seconds = asked
        check_keys([one.key for one in awaited])
        return await host.wait(awaited, seconds)

    async def note(acked: Batch) -> None:
        check_keys([one.key for one in acked])
        await host.note(acked)

    async def hear(acked: Batch) -> None:
        check_keys([one.key for one in acked])
        await host.hear(acked)

    return dict([WAIT.answered_by(wait), NOTE.answered_by(note), ACKED.answered_by(hear)])
