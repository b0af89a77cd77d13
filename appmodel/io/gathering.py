"""Questions that wait together are one call.

    account = await gathering.get(digest)       10,000 of them at once: twenty calls of `load`, 500 keys each

Who waits may be cancelled at once: the call is made by `run`, which is one task of its owner's nursery.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

import trio

from appmodel.errors import LimitReached

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_WAITING = 20_000  # keys: more than clients that can ask at once; beyond, callers are refused
MANY = 500  # keys of one call


class Gathering(Generic[K, V]):
    """Asks for values by their keys. `run` must be running."""

    def __init__(
        self,
        load: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        waiting: int = MAX_WAITING,
    ) -> None:
        """
        Args:
            load: what there is of some keys; its error is the error of all who asked for them.
            waiting: keys that may wait.
        """
        self._most = waiting
        self._load = load
        self._waiting: dict[K, _Answer[V]] = {}
        self._wanted = trio.Event()

    async def get(self, key: K) -> V | None:
        """The value, as it was at some time after this call. Cancelling is safe.

        Raises:
            LimitReached: too many wait already.
        """
        answer = self._waiting.get(key)
        if answer is None:
            if len(self._waiting) >= self._most:
                raise LimitReached(f"{self._most} others wait for the same; try again")
            answer = self._waiting[key] = _Answer()
            self._wanted.set()
        await answer.is_there.wait()
        if answer.error is not None:
            raise answer.error
        return answer.value

    async def run(self) -> None:
        """Answer until cancelled. One call at a time: what comes meanwhile is the next one."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            while self._waiting:
                await self._answer(
                    [key for key, _ in zip(self._waiting, range(MANY), strict=False)]
                )

    async def _answer(self, keys: Sequence[K]) -> None:
        asked = {key: self._waiting.pop(key) for key in keys}
        found: Mapping[K, V] = {}
        error: Exception | None = None
        try:
            found = await self._load(keys)
        except Exception as fault:  # a bug, too, is theirs who asked, not the end of the node
            error = fault
        for key, answer in asked.items():
            answer.value, answer.error = found.get(key), error
            answer.is_there.set()


class _Answer(Generic[V]):
    __slots__ = ("error", "is_there", "value")

    def __init__(self) -> None:
        self.is_there = trio.Event()
        self.value: V | None = None
        self.error: Exception | None = None
