"""A comet as web and other comets see it: what it owns it does itself, the rest it passes on, once.

Web need not know the newest view, and neither need we: the next comet may see that it is not the owner
either and says so, then the caller asks again. Keys of one push that have several owners are put together
in one answer. If some of them were reached and others not, or may have been, the answer is OutcomeUnknown:
a refusal says that the push is nowhere. What is stored is asked for again then, under its push id; what is
not would be delivered twice.

What is not stored is refused for a moment after this process stood still: see `Standstill`.
"""

from collections.abc import Callable, Sequence

import trio

from appmodel.core.cluster import Node
from appmodel.core.interfaces import Pusher
from appmodel.core.message import Delivery, Presence, Push
from appmodel.core.names import Key
from appmodel.errors import NotOwner, OutcomeUnknown, PushError, Unavailable
from comet.core.standing import Standing
from comet.core.standstill import Standstill
from comet.io.live import Counts
from comet.io.pushing import Outcome, OwnerPusher


class _Task:
    """One push, and what became of its keys so far."""

    __slots__ = ("errors", "ids", "online", "push", "stored")

    def __init__(self, push: Push) -> None:
        self.push = push
        self.errors: list[PushError] = []
        self.ids: dict[Key, int] = {}
        self.online: dict[Key, int] = {}
        self.stored = False

    def part(self, keys: Sequence[Key]) -> Push:
        """The push for some of its keys."""
        return self.push.part(keys)

    def note(self, keys: Sequence[Key], outcome: Outcome) -> None:
        """What an owner has answered for `keys`."""
        if isinstance(outcome, PushError):
            self.errors.append(outcome)
        else:
            self.ids.update(zip(keys, outcome.ids, strict=True))
            self.online.update(zip(keys, outcome.online, strict=True))
            self.stored = outcome.stored

    @property
    def outcome(self) -> Outcome:
        """For the whole of it."""
        keys = self.push.keys
        if not self.errors:
            ids = tuple(self.ids[key] for key in keys)
            return Delivery(ids, tuple(self.online[key] for key in keys), self.stored)
        if self.ids:
            return OutcomeUnknown(f"{len(self.ids)} of {len(keys)} keys got it: {self.errors[0]}")
        doubts = [error for error in self.errors if isinstance(error, OutcomeUnknown)]
        return (doubts or self.errors)[0]


class CometPusher:
    """Implements `Pusher` for every key of the cluster."""

    def __init__(
        self,
        own: OwnerPusher,
        *,
        standing: Callable[[], Standing],
        others: Callable[[Node], Pusher],
        standstill: Standstill,
        counts: Counts,
    ) -> None:
        """`others(node)`: another comet; raises PushError if it cannot be called."""
        self._own, self._standing, self._others = own, standing, others
        self._standstill, self._counts = standstill, counts

    async def push(self, pushes: Sequence[Push], *, passed_on: bool = False) -> list[Outcome]:
        """See `Pusher.push`. Cancelling leaves what was accepted on its way."""
        standing = self._standing()
        if standing.alone:
            return await self._own.push(pushes)
        tasks = [_Task(push) for push in pushes]
        mine: list[tuple[_Task, Push]] = []
        others: dict[str, list[tuple[_Task, Push]]] = {}
        for task in tasks:
            self._divide(task, standing, mine, others, passed_on=passed_on)
        if not others:  # nearly always: a nursery costs as much as the push
            await self._push_own(mine)
        else:
            async with trio.open_nursery() as nursery:
                for name, parts in others.items():
                    nursery.start_soon(self._pass_on, standing.view.comets[name], parts)
                await self._push_own(mine)
        return [task.outcome for task in tasks]

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        """See `Pusher.presence`: of keys that are not ours, what we know of them."""
        await trio.lowlevel.checkpoint()
        return [self._own.presence(key) for key in keys]

    def _divide(
        self,
        task: _Task,
        standing: Standing,
        mine: list[tuple[_Task, Push]],
        others: dict[str, list[tuple[_Task, Push]]],
        *,
        passed_on: bool,
    ) -> None:
        """Give the keys of a push to those who own them; none of them if some cannot be given."""
        own, elsewhere, orphans = standing.split(task.push.keys)
        if orphans:
            task.errors.append(NotOwner(orphans[0], None))
        elif elsewhere and passed_on:
            name, keys = next(iter(elsewhere.items()))
            task.errors.append(NotOwner(keys[0], name))
        elif own and not task.push.expires_at and self._standstill.is_recent(trio.current_time()):
            task.errors.append(
                Unavailable("this comet stood still, and may not be the owner any more")
            )
        else:
            if own:
                mine.append((task, task.part(own) if elsewhere else task.push))
            for name, keys in elsewhere.items():
                others.setdefault(name, []).append((task, task.part(keys)))

    async def _push_own(self, parts: list[tuple[_Task, Push]]) -> None:
        answers = await self._own.push([part for _, part in parts])
        for (task, part), answer in zip(parts, answers, strict=True):
            task.note(part.keys, answer)

    async def _pass_on(self, owner: Node, parts: list[tuple[_Task, Push]]) -> None:
        self._counts.passed_on += len(parts)
        answers: Sequence[Outcome]
        try:
            answers = await self._others(owner).push([part for _, part in parts], passed_on=True)
        except PushError as error:
            answers = [error] * len(parts)
        for (task, part), answer in zip(parts, answers, strict=True):
            task.note(part.keys, answer)
