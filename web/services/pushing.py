"""From keys to their owners and back: the one way by which this node pushes.

    pushes -> by owner, with the ring of the view -> one call per owner, all at once -> outcomes

A batch is one call per owner however many pushes and keys it has, and the owner saves it as one. What
an owner did not do is tried again with the same push id, so it happens once:

    NotOwner              take a newer view, ask the owner that it names
    Unavailable           nothing was done: try again after a pause that grows
    OutcomeUnknown        it may be done: try again if it is stored, because then the store knows it
    NotStored and others  final

At the deadline a key that may have got its push answers OutcomeUnknown; one that surely did not,
its last error (law 7 of the cluster: a refusal is the truth).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import trio

from appmodel.core.cluster import ClusterView, Node
from appmodel.core.interfaces import Pusher, Registry
from appmodel.core.message import Delivery, Push
from appmodel.core.names import Key
from appmodel.errors import (
    NoNode,
    NotOwner,
    NotStored,
    OutcomeUnknown,
    PushError,
    Unavailable,
)
from web.core.orders import Outcome

FIRST_PAUSE = 0.02  # seconds before the second try; doubles
LONGEST_PAUSE = 1.0  # seconds


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


@dataclass(slots=True)
class _Part:
    """The keys of a push that one owner has, and why they have not got it yet."""

    outcome: Outcome
    push: Push
    trouble: PushError | None = None

    def note(self, error: PushError) -> None:
        """Remember why. A doubt stays: that a later try was refused does not undo the first."""
        if not isinstance(self.trouble, OutcomeUnknown):
            self.trouble = error

    def give_up(self, error: PushError) -> None:
        """`error` is the verdict, unless an earlier try is in doubt."""
        self.note(error)
        assert self.trouble is not None
        for key in self.push.keys:
            self.outcome.failed[key] = self.trouble


class Pushing:
    """Pushes to keys, wherever their owners are."""

    def __init__(self, registry: Registry, owners: Owners, *, timeout: float) -> None:
        """`timeout`: seconds for a batch with all its retries."""
        self._registry = registry
        self._owners = owners
        self._timeout = timeout
        self.counts = Counts()

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        """One outcome per push, in their order; never raises a PushError.

        Pushes of one batch to one key stay in their order. Cancelling leaves what was sent on its way.
        """
        outcomes = [Outcome(push) for push in pushes]
        left = [_Part(outcome, outcome.push) for outcome in outcomes]
        with trio.move_on_after(self._timeout):
            await self._run(left)
        for part in left:
            part.give_up(part.trouble or OutcomeUnknown(f"no answer within {self._timeout:g} s"))
        self._count(outcomes)
        return outcomes

    async def _run(self, left: list[_Part]) -> None:
        """Until nothing is `left`. Whenever it is cancelled, `left` is what has no verdict."""
        view = self._registry.view
        for attempt in count():
            batches = _by_owner(view, left)
            if len(batches) == 1:
                await self._send(view, *batches.popitem(), left)
            else:
                async with trio.open_nursery() as nursery:
                    for owner, batch in batches.items():
                        nursery.start_soon(self._send, view, owner, batch, left)
            if not left:
                return
            view = await self._newer_view(view, attempt)
            self.counts.retries += 1

    async def _send(
        self, view: ClusterView, owner: str, batch: list[_Part], left: list[_Part]
    ) -> None:
        """One call. What it answers goes to the outcomes; what can be tried again is `left`."""
        try:
            pusher = self._owners.pusher(view.comets[owner])
            answers = await pusher.push([part.push for part in batch])
        except PushError as error:
            answers = [error] * len(batch)
        except trio.Cancelled:
            for part in batch:
                part.note(OutcomeUnknown(f"comet {owner!r} did not answer in time"))
                left.append(part)
            raise
        for part, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Delivery):
                part.outcome.add(part.push.keys, answer)
            elif _may_retry(answer, part.push):
                part.note(answer)
                left.append(part)
            else:
                part.give_up(answer)

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


def _by_owner(view: ClusterView, left: list[_Part]) -> dict[str, list[_Part]]:
    """Take what is `left` apart by owner, and leave nothing. A key without an owner fails."""
    parts = left.copy()
    left.clear()
    batches: dict[str, list[_Part]] = {}
    for part in parts:
        push = part.push
        for owner, keys in view.by_owner(push.keys).items():
            if len(keys) < len(push.keys):
                part = _Part(part.outcome, _with_keys(push, keys), part.trouble)
            if owner is None:
                part.give_up(NoNode("no comet is registered"))
            else:
                batches.setdefault(owner, []).append(part)
    return batches


def _with_keys(push: Push, keys: list[Key]) -> Push:
    return Push(push.push_id, tuple(keys), push.body, push.expires_at)


def _may_retry(error: PushError, push: Push) -> bool:
    if isinstance(error, NotStored):
        return False
    if isinstance(error, OutcomeUnknown):
        return push.expires_at > 0
    return isinstance(error, NotOwner | Unavailable)
