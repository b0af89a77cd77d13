"""A memory store whose calls a test can stop half-way, or let fail.

store = GatedStore()
halt = store.hold("marks")          the next call stops before the store is asked
late = store.hold_answer("save")    the next call stops when the store has done it
await halt.reached.wait()
halt.release()
store.away.add("fetch")             every call fails until it is taken out again
store.calls["fetch"]                how many there were
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from appmodel.core.message import Feed, Page, Revocation, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import NotStored
from message.config import MessageConfig
from message.stores.memory import MemoryStore

T = TypeVar("T")


class Halt:
    """One call that waits until the test releases it."""

    def __init__(self) -> None:
        self.reached = trio.Event()
        self._released = trio.Event()

    def release(self) -> None:
        """Let it go on."""
        self._released.set()

    async def stop(self) -> None:
        """Tell the test, and wait for it."""
        self.reached.set()
        await self._released.wait()


class GatedStore(MemoryStore):
    """See the module."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__(MessageConfig(), now)
        self.calls: Counter[str] = Counter()
        self.away: set[str] = set()
        self._before: defaultdict[str, deque[Halt]] = defaultdict(deque)
        self._after: defaultdict[str, deque[Halt]] = defaultdict(deque)

    def hold(self, name: str) -> Halt:
        """Stop the next call of `name` on its way to the store."""
        halt = Halt()
        self._before[name].append(halt)
        return halt

    def hold_answer(self, name: str) -> Halt:
        """Stop the next call of `name` on its way back."""
        halt = Halt()
        self._after[name].append(halt)
        return halt

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        return await self._pass("save", lambda: super(GatedStore, self).save(saves))

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        return await self._pass("marks", lambda: super(GatedStore, self).marks(keys))

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        fetch = super().fetch
        return await self._pass("fetch", lambda: fetch(key, after, limit=limit, until=until))

    async def feed(self, position: int, *, limit: int) -> Feed:
        return await self._pass("feed", lambda: super(GatedStore, self).feed(position, limit=limit))

    async def revocations(self, position: int) -> list[Revocation]:
        return await self._pass(
            "revocations", lambda: super(GatedStore, self).revocations(position)
        )

    async def _pass(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        self.calls[name] += 1
        if self._before[name]:
            await self._before[name].popleft().stop()
        if name in self.away:
            await trio.lowlevel.checkpoint()
            raise NotStored("the store is away")
        answers = self._after[name]
        halt = answers.popleft() if answers else None
        answer = await call()
        if halt is not None:
            await halt.stop()
        return answer
