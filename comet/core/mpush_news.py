"""What devices here have acknowledged and the AckBook does not know yet.

News of one device are one entry, however many there are: the highest floor, and the ids above it. What is being
written stays until it is written. Bounded in ids: of too many the device that was silent for longest loses its
news, and gets those messages once more.
"""

from collections.abc import Iterable, Sequence

from appmodel.core.mpush_stores import MAX_DONE, AckNews, AckState


class _News:
    __slots__ = ("done", "floor")

    def __init__(self) -> None:
        self.floor = 0
        self.done: set[int] = set()

    def add(self, floor: int, done: Iterable[int]) -> None:
        self.floor = max(self.floor, floor)
        self.done.update(done)
        self.done = {one for one in self.done if one > self.floor}


class AckNewsBook:
    """Of one comet."""

    def __init__(self, limit: int) -> None:
        """`limit`: ids, and devices, that are kept."""
        self._limit = limit
        self._waiting: dict[str, _News] = {}
        self._writing: dict[str, _News] = {}
        self._size = 0  # of `_waiting`: devices and ids
        self.dropped = 0

    def __len__(self) -> int:
        """Devices with news."""
        return len(self._waiting | self._writing)

    def add(self, name: str, floor: int, done: Iterable[int]) -> None:
        """It has acknowledged all up to `floor`, and `done`."""
        news = self._waiting.pop(name, None) or _News()
        self._size -= len(news.done)
        news.add(floor, done)
        self._waiting[name] = news
        self._size += len(news.done)
        while self._size + len(self._waiting) > self._limit and len(self._waiting) > 1:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            self._size -= len(oldest.done)
            self.dropped += 1

    def take(self, limit: int) -> Sequence[AckNews]:
        """The news of up to `limit` devices, to be written now: `written` or `failed` must follow."""
        names = list(self._waiting)[:limit]
        self._writing = {name: self._waiting.pop(name) for name in names}
        self._size -= sum(len(news.done) for news in self._writing.values())
        return [
            AckNews(name, news.floor, tuple(sorted(news.done)[:MAX_DONE]))
            for name, news in self._writing.items()
        ]

    def written(self) -> None:
        """What was taken is in the book."""
        self._writing = {}

    def failed(self) -> None:
        """What was taken may not be there: it waits again."""
        writing, self._writing = self._writing, {}
        for name, news in writing.items():
            self.add(name, news.floor, news.done)

    def merged(self, name: str, state: AckState) -> AckState:
        """What the AckBook says of a device, and what it does not know yet."""
        floor, done = state.floor, set(state.done)
        for news in (self._waiting.get(name), self._writing.get(name)):
            if news is not None:
                floor = max(floor, news.floor)
                done |= news.done
        return AckState(floor, frozenset(one for one in done if one > floor))
