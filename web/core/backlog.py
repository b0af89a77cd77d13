"""What waits to be done, in lanes: bounded as a whole, and no lane takes the place of the others.

put     into its lane. If all lanes together are over the limit, the longest loses its oldest
take    lanes in turn: who waits for much delays nobody who waits for little
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Backlog(Generic[K, T]):
    """Items of any size; the limit counts sizes."""

    def __init__(self, limit: int) -> None:
        """`limit`: of all sizes together; an item that is larger alone waits only if nothing else does."""
        self._limit = limit
        self._lanes: dict[K, deque[tuple[int, T]]] = {}  # in the order of their turns
        self._sizes: dict[K, int] = {}
        self._count = 0
        self.size = 0  # of all that waits

    def __len__(self) -> int:
        return self._count

    def put(self, lane: K, item: T, size: int = 1) -> list[T]:
        """Add an item; what was dropped for it. `size` is 1 or more."""
        self._lanes.setdefault(lane, deque()).append((size, item))
        self._weigh(lane, size)
        self._count += 1
        dropped = []
        while self.size > self._limit and self._count > 1:
            dropped.append(self._pop(max(self._sizes, key=self._sizes.__getitem__)))
        return dropped

    def take(self) -> tuple[K, T] | None:
        """The oldest of the lane whose turn it is, with its lane; None if nothing waits."""
        for lane in self._lanes:
            item = self._pop(lane)
            if lane in self._lanes:  # to the end of the line
                self._lanes[lane] = self._lanes.pop(lane)
            return lane, item
        return None

    def take_from(self, lane: K) -> T | None:
        """The oldest of `lane`; None if nothing waits there."""
        return self._pop(lane) if lane in self._lanes else None

    def _pop(self, lane: K) -> T:
        size, item = self._lanes[lane].popleft()
        self._weigh(lane, -size)
        self._count -= 1
        if not self._lanes[lane]:
            del self._lanes[lane], self._sizes[lane]
        return item

    def _weigh(self, lane: K, size: int) -> None:
        self._sizes[lane] = self._sizes.get(lane, 0) + size
        self.size += size
