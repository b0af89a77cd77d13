"""The owner's side of attachments, and the wire between comets: who holds our keys, and what they get.

    comet.attach    a holder reports; the answer says whether we are in step
    comet.forward   messages for keys that the other comet holds, in our order

One batch per holder is under way, and what comes meanwhile is the next one, so order needs no more than
that. A batch that may not have arrived is sent again: channels drop what they have had. A holder that
does not answer costs only itself: its queue is bounded, and after some tries it is left to the position
check (cluster.md section 3).
"""

import itertools
import random
from collections.abc import Callable, Sequence

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.cluster import ClusterView, Node
from appmodel.errors import BadInput, PushError
from appmodel.io.calls import Call, Caller, check_copies
from appmodel.io.rpc_server import Handlers
from comet.config import ClusterConfig
from comet.core.attaching import Answer, Report
from comet.core.holders import Holder, Holders, Item
from comet.core.hub import Hub
from comet.core.message import Message
from comet.io.attachments import ATTACH
from comet.io.delivering import Delivering
from comet.io.live import Counts
from comet.io.sweeper import STEP, Sweeper

log = structlog.get_logger("comet")

FORWARD = Call[Sequence[Item], int]("comet.forward")  # how many keys had somebody
BATCH = 1024 * 1024  # bytes of one call
TRIES = 6  # of sending a batch, over about 2 s
LONGEST_PAUSE = 1.0  # seconds between two tries


class Forwarding:
    """What other comets hold of our keys. `run` must be running."""

    def __init__(
        self,
        *,
        hub: Hub,
        sweeper: Sweeper,
        delivering: Delivering,
        counts: Counts,
        clock: MessageClock,
        caller: Callable[[Node], Caller],
        config: ClusterConfig,
        now: Callable[[], float],
    ) -> None:
        """`caller(node)`: raises PushError if it cannot be called."""
        self._hub, self._sweeper, self._delivering = hub, sweeper, delivering
        self._counts, self._clock = counts, clock
        self._caller, self._config, self._now = caller, config, now
        self._nursery: trio.Nursery | None = None
        self.holders = Holders(
            limit=config.forward_queue, most_keys=config.attached_keys, wake=self._begin
        )

    @property
    def handlers(self) -> Handlers:
        """The table of the listener for other comets."""
        return dict([ATTACH.answered_by(self.attach), FORWARD.answered_by(self.take_in)])

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send what waits, and forget who is silent, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                while True:
                    await trio.sleep(self._config.lease / 3)
                    self._forget_the_silent()
            finally:
                self._nursery = None  # others of this comet may still be at work

    def _forget_the_silent(self) -> None:
        oldest = trio.current_time() - self._config.lease
        for holder in self.holders:
            if holder.heard_at < oldest:
                if holder.keys:  # else it has had nothing to say
                    name, keys = holder.node.name, len(holder.keys)
                    log.warning("holder silent", holder=name, keys=keys)
                self.holders.drop(holder)

    async def attach(self, report: Report) -> Answer:
        """Hear a holder. Whether we own those keys is not asked: views differ for moments."""
        await trio.lowlevel.checkpoint()
        now = self._now()
        self._clock.observe_claim(report.clock, int(now * 1e6))
        in_step = self.holders.apply(report, trio.current_time())
        return Answer(in_step, self._clock.last, now)

    async def take_in(self, items: Sequence[Item]) -> int:
        """Deliver what the owner of these keys sends, in its order."""
        found = looked = 0
        for item in items:
            self._check(item)
        for item in items:
            message = Message(
                item.id, item.body, stored=item.stored, without=item.without, tally=item.tally
            )
            tails = item.tails or itertools.repeat(b"")
            for key, prev, tail in zip(item.keys, item.prevs, tails, strict=False):
                online = self._delivering.deliver(
                    key, message, prev, tail=tail, sessions=item.sessions
                )
                found += online > 0
            looked += len(item.keys)
            if looked >= STEP:
                looked = 0
                self._sweeper.wake()
                await trio.lowlevel.checkpoint()
        self._counts.forwards_heard += found
        self._sweeper.wake()
        return found

    def _check(self, item: Item) -> None:
        """Rise above its id, if it can be one: a channel that believed any would be deaf below it."""
        if not self._clock.observe_claim(item.id, int(self._now() * 1e6)):
            raise BadInput("id", item.id, "at most a minute above our time")
        if len(item.prevs) != len(item.keys) or max(item.prevs, default=-1) >= item.id:
            raise BadInput("prevs", item.prevs[:3], "one for each key, below the id")
        check_copies(item)

    def copy_to(self, node: Node) -> Holder:
        """The books of a comet that may not have attached yet."""
        holder = self.holders.at(node)
        holder.heard_at = max(holder.heard_at, trio.current_time())
        return holder

    def forget_the_gone(self, before: ClusterView, after: ClusterView) -> None:
        """Holders that have left hold nothing. Who never was in the registry, or speaks again, may stay."""
        for holder in self.holders:
            if after.find(holder.node) is None and before.find(holder.node) is not None:
                self.holders.drop(holder)

    def _begin(self, holder: Holder) -> None:
        if self._nursery is not None and not holder.is_served:
            holder.is_served = True
            self._nursery.start_soon(self._serve, holder)

    async def _serve(self, holder: Holder) -> None:
        """Send what waits for `holder`, until nothing does."""
        try:
            while items := holder.take(BATCH):
                if await self._send(holder, items):
                    self._counts.forwards += sum(len(item.keys) for item in items)
                else:
                    holder.dropped += len(items)
        finally:
            holder.is_served = False

    async def _send(self, holder: Holder, items: list[Item]) -> bool:
        """One batch, tried a few times."""
        for attempt in range(TRIES):
            try:
                caller = self._caller(holder.node)
                await caller.call(FORWARD, items, timeout=self._config.lease / 3)
            except BadInput as error:  # it would say so again
                log.warning("holder refuses", holder=holder.node.name, error=str(error))
                return False
            except PushError as error:
                if not attempt:
                    log.warning("holder away", holder=holder.node.name, error=str(error))
            else:
                return True
            pause = min(LONGEST_PAUSE, 0.05 * 2.0**attempt)
            await trio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  jitter is no secret
        return False
