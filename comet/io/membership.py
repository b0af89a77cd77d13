"""This comet among the others: it follows the view, and gives and takes keys when the ring changes.

    a view without a comet     its attachments are dropped, nothing is reported to it any more
    another ring               ids rise above our time plus the allowed skew, for another comet may have
                               given some from a clock ahead of ours; every channel finds its home anew;
                               for a moment the comet that owned a key gets copies; clients are moved
    draining, by an operator   nobody new comes in, everybody is moved, then the process leaves

Pushes and subscribers ask `standing()`, which is as new as the registry's view; what has to be done to
channels follows it in steps.
"""

from collections.abc import Awaitable, Callable

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.cluster import Node, State
from appmodel.core.interfaces import Registry
from appmodel.core.names import Key
from comet.config import ClusterConfig
from comet.core.channel import Channel
from comet.core.holders import Holder
from comet.core.hub import Hub
from comet.core.standing import Standing
from comet.io.attachments import Attachments
from comet.io.forwarding import Forwarding
from comet.io.moving import Mover
from comet.io.pushing import OwnerPusher
from comet.io.sweeper import STEP

log = structlog.get_logger("comet")

SETTLING = 0.02  # seconds between two looks whether the channels follow a view
COPIES = 2.0  # seconds after a ring change in which former owners get copies


class Membership:
    """One per comet. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        registry: Registry,
        hub: Hub,
        clock: MessageClock,
        attachments: Attachments,
        forwarding: Forwarding,
        mover: Mover,
        owner: OwnerPusher,
        config: ClusterConfig,
        now: Callable[[], float],
    ) -> None:
        self._me, self._registry, self._hub, self._clock = me, registry, hub, clock
        self._attachments, self._forwarding, self._mover = attachments, forwarding, mover
        self._owner, self._config, self._now = owner, config, now
        self._standing = Standing(me(), registry.view)
        self._rings = 0  # that were seen; one may come back while channels follow another
        self.settled = self._standing.view.version
        """The version of the view to which all channels have been brought."""

    def standing(self) -> Standing:
        """Where we stand in the newest view. What changes with it for ids and copies changes at once."""
        view = self._registry.view
        if self._standing.view is not view:
            before, self._standing = self._standing, Standing(self._me(), view)
            if not self._standing.has_same_ring(before):
                self._rings += 1
                self._take_over(before)
        return self._standing

    async def has_ring(self) -> None:
        """Wait until some comet owns keys: the first of a cluster is not ready at once. Cancelling is safe."""
        while not (view := self._registry.view).comets:
            await self._registry.wait_newer(view.version)

    async def left_ring(self) -> None:
        """Wait until we own nothing any more, and every channel knows its new owner. Cancelling is safe."""
        while True:
            standing = self.standing()
            if not standing.is_on_ring and self.settled >= standing.view.version:
                return
            await trio.sleep(SETTLING)

    def find_home(self, channel: Channel, standing: Standing | None = None) -> bool:
        """Put a channel into the books of its owner; whether it has left us for another comet."""
        owner = (standing or self.standing()).elsewhere(channel.key)
        books = None if owner is None else self._attachments.books(owner)
        before = channel.home
        if before is books:
            return False
        channel.home = books
        for changed in (books, before):
            if changed is not None:
                changed.touch(channel.key)
        return before is None

    async def run(self, on_drain: Callable[[], Awaitable[None]]) -> None:
        """Follow the view, until cancelled. `on_drain` is awaited while an operator wants us to drain."""
        async with trio.open_nursery() as nursery:
            standing, rings = self.standing(), self._rings
            self.settled = standing.view.version  # nobody has come in yet
            draining: trio.CancelScope | None = None
            while True:
                await self._registry.wait_newer(standing.view.version)
                before, standing = standing, self.standing()
                self._forwarding.forget_the_gone(before.view, standing.view)
                if self._rings != rings:
                    rings = self._rings
                    await self._change_ring(standing)
                self._attachments.keep_only(self._registry.view)  # no channel is left with them
                if not self._is_to_drain(standing):
                    if draining is not None:
                        draining.cancel()
                    draining = None
                elif draining is None and self._me().state is not State.DRAINING:
                    draining = trio.CancelScope()
                    nursery.start_soon(self._drain, on_drain, draining)
                self.settled = standing.view.version

    def _is_to_drain(self, standing: Standing) -> bool:
        announced = standing.announced
        return announced is not None and announced.state is State.DRAINING

    def _take_over(self, before: Standing) -> None:
        """Keys may have become ours: no id below those of their owner so far, and copies for it."""
        if not before.view.comets:
            return  # nobody gave ids
        self._clock.observe(int((self._now() + self._config.skew) * 1e6))
        until = trio.current_time() + COPIES

        def predecessor(key: Key) -> Holder | None:
            if trio.current_time() > until:
                self._owner.predecessor = None
                return None
            node = before.elsewhere(key)
            if node is None or self._registry.view.find(node) is None:
                return None
            return self._forwarding.copy_to(node)

        self._owner.predecessor = predecessor

    async def _change_ring(self, after: Standing) -> None:
        """Every channel finds its home anew, in steps; the clients of those that left are moved."""
        left: list[Key] = []
        for number, channel in enumerate(self._hub.channels()):
            if self.find_home(channel, after):
                left.append(channel.key)
            if number % STEP == STEP - 1:
                await trio.lowlevel.checkpoint()
        if len(after.view.comets) > 1 or len(self._hub):  # a first comet alone is no news
            log.info(
                "ring changed",
                comets=sorted(after.view.comets),
                ours=after.is_on_ring,
                keys=len(self._hub),
                left=len(left),
            )
        self._mover.move(left)

    async def _drain(
        self, on_drain: Callable[[], Awaitable[None]], scope: trio.CancelScope
    ) -> None:
        with scope:
            await on_drain()
