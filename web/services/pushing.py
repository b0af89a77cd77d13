"""From keys to their owners and back: the one way by which this node pushes.

    pushes -> by owner, with the ring of the view -> one call per owner, all at once -> outcomes

A batch is one call per owner however many pushes and keys it has, and the owner saves it as one. What
an owner did not do is tried again with the same push id, so it happens once; what it says decides
how it goes on (web/core/parts.py). Owners do not wait for one another.

    0 s              ask the owners, again and again
    fallback_after   save what has a ttl and no verdict; if that fails, ask and save in turns.
                     What has no ttl goes on being asked for, but one that waits in a call with
                     such pushes is unknown now: it may not be repeated
    timeout          give up

A push that was saved here is stored, and nobody was online as far as we know: its subscribers get it
by the position check of their comets. If the owner had it after all, the store knows its push id and
answers the first id again. While the registry is in trouble an owner that cannot be reached may be
gone for long, and nobody would say so: then its pushes are saved at once.
"""

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import trio

from appmodel.core.clock import MessageClock
from appmodel.core.cluster import ClusterView, Node
from appmodel.core.interfaces import OfflineStore, Pusher, Registry
from appmodel.core.message import Delivery, Push, Save
from appmodel.core.names import MAX_KEY, Key
from appmodel.errors import ConfigError, OutcomeUnknown, PushError, Unavailable
from web.core.orders import Outcome
from web.core.parts import Part, by_owner, in_order

FIRST_PAUSE = 0.02  # seconds before the second try; doubles
LONGEST_PAUSE = 1.0  # seconds
AHEAD = 4.0  # seconds on top of our time in ids that we propose: twice the skew of clocks. What an
# owner sends unstored meanwhile shall not be above it: an old client would drop the stored one then
SAVE_SIZE = 4 * 1024 * 1024  # bytes of one save, or a single push: well below a frame between nodes


class Owners(Protocol):
    """Where comets are called: `Peers`."""

    def pusher(self, node: Node) -> Pusher:
        """The comet itself, or what calls it."""


@dataclass(slots=True)
class Counts:
    """Plain ints of the hot path, read by the metrics."""

    pushes: int = 0  # accepted from callers
    keys: int = 0  # they went to
    failed: int = 0  # keys that were refused or unknown in the end
    retries: int = 0  # calls of owners that were repeated
    fallbacks: int = 0  # keys whose push was saved here, for their owner did not answer


class Pushing:
    """Pushes to keys, wherever their owners are."""

    def __init__(
        self,
        registry: Registry,
        owners: Owners,
        store: Callable[[], OfflineStore],
        *,
        timeout: float,
        fallback_after: float,
        now: Callable[[], float],
    ) -> None:
        """Times in seconds; `now` is Unix time for ids that are proposed here.

        Args:
            timeout: for a batch with all its retries.
            fallback_after: for the owners alone.

        Raises:
            ConfigError: then there is no time left.
        """
        if fallback_after >= timeout:
            expected = f"less than web.push_timeout ({timeout:g} s), to leave time for saving"
            raise ConfigError("web.push.fallback_after", f"{fallback_after:g}s", expected)
        self._registry = registry
        self._owners = owners
        self._store = store
        self._timeout = timeout
        self._fallback_after = fallback_after
        self._now = now
        self._clock = MessageClock()
        # told what was stored for queues (devices of Mpush), before the answer; raises no PushError
        self.on_queued: Callable[[Mapping[Key, int]], Awaitable[None]] | None = None
        self.counts = Counts()

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        """One outcome per push, in their order; never raises a PushError.

        Pushes of one batch to one key stay in their order. Cancelling leaves what was sent on its way.
        """
        outcomes = [Outcome(push) for push in pushes]
        under_way: set[Part] = set()
        parts = [Part(n, each, each.push, under_way) for n, each in enumerate(outcomes)]
        under_way.update(parts)
        began = trio.current_time()
        stored = any(push.expires_at for push in pushes)
        patience = self._fallback_after if stored else self._timeout
        with trio.CancelScope(deadline=began + patience):
            await self._ask_owners(parts)
        if stored and under_way:
            # not began + timeout: if this process stood still, there would be no time left to save
            with trio.move_on_after(self._timeout - self._fallback_after):
                await self._fall_back(under_way)
        for part in in_order(under_way) if under_way else ():
            unknown = OutcomeUnknown(f"no answer within {self._timeout:g} s")
            part.give_up(part.trouble or unknown)
        self._count(outcomes)
        if self.on_queued is not None and (queued := _queued(outcomes)):
            await self.on_queued(queued)
        return outcomes

    async def _fall_back(self, under_way: set[Part]) -> None:
        """The owners had their time."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._save_or_ask, under_way)
            unstored = [part for part in in_order(under_way) if not part.is_stored]
            nursery.start_soon(self._ask_owners, unstored)

    async def _save_or_ask(self, under_way: set[Part]) -> None:
        while parts := _left(in_order(under_way)):
            await self._save(parts)
            with trio.move_on_after(self._fallback_after):
                await self._ask_owners(_left(parts))

    async def _ask_owners(self, parts: Sequence[Part]) -> None:
        """Return when each part has a verdict."""
        view = self._registry.view
        batches = by_owner(view, parts)
        if len(batches) == 1:
            await self._ask_owner(view, *batches.popitem())
            return
        async with trio.open_nursery() as nursery:
            for owner, batch in batches.items():
                nursery.start_soon(self._ask_owner, view, owner, batch)

    async def _ask_owner(self, view: ClusterView, owner: str, batch: list[Part]) -> None:
        """The same for parts of one owner; when the view changes they may have others."""
        for attempt in count():
            is_there = await self._send(view.comets[owner], batch)
            if not is_there and self._registry.trouble is not None:
                await self._save(_left(batch))
            batch = [part for part in batch if part.is_under_way]
            if not batch:
                return
            self.counts.retries += 1
            newer = await self._newer_view(view, attempt)
            if newer.version != view.version:
                await self._ask_owners(batch)
                return

    async def _send(self, owner: Node, batch: list[Part]) -> bool:
        """One call, or a few if it is much; whether the owner could be reached."""
        for some in _slices(batch):
            try:
                pusher = self._owners.pusher(owner)
                answers = await pusher.push([part.push for part in some])
            except PushError as error:
                _hear_all(some, error)
                return not isinstance(error, Unavailable)
            except trio.Cancelled:
                _hear_all(some, OutcomeUnknown(f"comet {owner.name!r} did not answer in time"))
                raise
            for part, answer in zip(some, answers, strict=True):
                part.hear(answer)
        return True

    async def _save(self, parts: Sequence[Part]) -> None:
        """Without their owners. What is not saved is under way still."""
        for some in _slices(parts):
            saves = [self._save_of(part.push) for part in some]
            try:
                saved = await self._store().save(saves)
            except PushError as error:
                for part in some:
                    part.note(error)  # even NotStored: an owner may be there in time
                return
            except trio.Cancelled:
                _hear_all(some, OutcomeUnknown("the store did not answer in time"))
                raise
            for part, one in zip(some, saved, strict=True):
                part.hear(Delivery(one.ids, (0,) * len(one.ids), stored=True))
                self.counts.fallbacks += len(one.ids)

    def _save_of(self, push: Push) -> Save:
        proposed = self._clock.next_id(int((self._now() + AHEAD) * 1e6))
        return Save(push.push_id, proposed, push.keys, push.body, push.expires_at, push.tails)

    async def _newer_view(self, view: ClusterView, attempt: int) -> ClusterView:
        """The next view as soon as there is one, else the same after a pause."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        with trio.move_on_after(random.uniform(pause / 2, pause)):  # noqa: S311  jitter is no secret
            return await self._registry.wait_newer(view.version)
        return self._registry.view

    def _count(self, outcomes: list[Outcome]) -> None:
        counts = self.counts
        counts.pushes += len(outcomes)
        for outcome in outcomes:
            counts.keys += len(outcome.push.keys)
            counts.failed += len(outcome.failed)


def _queued(outcomes: Sequence[Outcome]) -> dict[Key, int]:
    """Ids of what is stored now in queues."""
    return {
        key: sent.id
        for outcome in outcomes
        if outcome.push.expires_at
        for key, sent in outcome.sent.items()
        if key.is_queue
    }


def _left(parts: Sequence[Part]) -> list[Part]:
    """Those that can be saved, and have no verdict."""
    return [part for part in parts if part.is_under_way and part.is_stored]


def _hear_all(parts: Sequence[Part], error: PushError) -> None:
    for part in parts:
        part.hear(error)


def _slices(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """All of them, in order, as many at once as fit into a save."""
    some: list[Part] = []
    size = 0
    for part in parts:
        push = part.push
        weight = len(push.body) + MAX_KEY * len(push.keys) + sum(map(len, push.tails))
        if some and size + weight > SAVE_SIZE:
            yield some
            some, size = [], 0
        some.append(part)
        size += weight
    if some:
        yield some
