"""Tunnels to other comets: opened a few at a time, and kept for a while once they have served.

    take      one that is idle, or a new one; whoever takes it closes it, or gives it back by `keep`
    keep      it can serve another request: MOST_KEPT to one comet, for KEPT seconds

All polls that one push has answered come back together. Tunnels for all of them at once would be refused:
another comet hears only so many peers of one address that have not proved themselves yet.
"""

import math
from collections import defaultdict
from typing import Protocol

import trio

from appmodel.core.cluster import Node
from appmodel.io.wire import Wire
from comet.core.claiming import Process, process

PURPOSE = "engine.io"
KEPT = (
    30.0  # seconds that an idle tunnel is kept: less than the other comet keeps it (idle_timeout)
)
MOST_KEPT = 64  # idle tunnels to one comet
OPENING = 8  # to one comet at once: it hears 64 of an address, and we may be several processes

GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class OpenTunnel(Protocol):
    """A connection to another comet: `Peers.tunnel`."""

    async def __call__(self, node: Node, purpose: str, /) -> Wire:
        """Raises Unavailable."""


class RelayTunnels:
    """Those of one comet. `run` must be running."""

    def __init__(self, open_tunnel: OpenTunnel, *, patience: float) -> None:
        """`patience`: seconds to wait for a new one."""
        self._open_tunnel, self._patience = open_tunnel, patience
        self._idle: defaultdict[Process, list[tuple[Wire, float]]] = defaultdict(list)
        self._turns: dict[Process, trio.CapacityLimiter] = {}  # while anybody wants a new one

    def idle(self, node: Node) -> int:
        """How many to `node` are kept."""
        return len(self._idle.get(process(node), []))

    async def take(self, node: Node) -> Wire:
        """The one that was used last, if it is still good, or a new one. Cancelling is safe.

        Raises:
            Unavailable: `node` cannot be reached.
            trio.TooSlowError: too many others wanted one before.
        """
        return self._kept(node) or await self._open(node)

    def keep(self, node: Node, wire: Wire) -> None:
        """It can serve another request."""
        idle = self._idle[process(node)]
        if len(idle) < MOST_KEPT:
            idle.append((wire, trio.current_time()))
        else:
            wire.close()

    async def run(self) -> None:
        """Close what nobody needs, until cancelled; then all of them."""
        try:
            while True:
                await trio.sleep(KEPT / 2)
                self._close_idle(trio.current_time() - KEPT)
        finally:
            self._close_idle(math.inf)

    async def _open(self, node: Node) -> Wire:
        name = process(node)
        turns = self._turns.setdefault(name, trio.CapacityLimiter(OPENING))
        try:
            with trio.fail_after(self._patience):
                async with turns:  # meanwhile one may have become free
                    return self._kept(node) or await self._open_tunnel(node, PURPOSE)
        finally:
            statistics = turns.statistics()
            if not (statistics.borrowed_tokens or statistics.tasks_waiting):
                self._turns.pop(name, None)

    def _kept(self, node: Node) -> Wire | None:
        idle = self._idle.get(process(node), [])
        while idle:
            wire, since = idle.pop()
            if since > trio.current_time() - KEPT and _is_silent(wire):
                return wire
            wire.close()
        return None

    def _close_idle(self, before: float) -> None:
        for name, idle in list(self._idle.items()):
            while idle and idle[0][1] < before:
                idle.pop(0)[0].close()
            if not idle:
                del self._idle[name]


def _is_silent(wire: Wire) -> bool:
    """Neither closed by the other comet, nor did it say anything that nobody asked for."""
    try:
        return wire.receive_nowait(1) is None
    except GONE:
        return False
