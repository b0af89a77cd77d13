"""What came to a device, for who reads it over HTTP, and what became of one message.

    stream     stored messages above a cursor ─> nothing more: wait for the mark to rise ─> on
    Tail       one task that reads the marks of all keys that are waited for; asleep while none is

A reader costs its connection's tasks, a place of a bounded number, and nothing while nothing comes but a line now and
then. Reading changes nothing: what a reader saw is not acknowledged.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager

import trio

from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Page, Stored
from appmodel.core.mpush import device_key, id_of
from appmodel.core.mpush_stores import AckBook
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.core.names import Key
from appmodel.errors import BadInput, LimitReached, NotFound, PushError
from web.core.mpush_reading import Edge, Since
from web.core.mpush_states import State
from web.services.deadlines import answered_within
from web.services.reading import Reading


class Tail:
    """Tells readers when more is stored for their key. `run` must be running.

    A mark is read after everything up to it is stored, so a reader that has read up to it has missed nothing.
    """

    def __init__(
        self,
        store: Callable[[], OfflineStore],
        *,
        every: float,
        timeout: float,
        limit: int,
        limit_of_one: int,
        revoked: Callable[[], int],
    ) -> None:
        """
        Args:
            every: seconds between two reads of the marks.
            timeout: seconds for one.
            limit: readers at once.
            limit_of_one: the same of one key.
            revoked: a number that rises when a credential is revoked: readers have a look at theirs then.
        """
        self.revoked, self._revoked = revoked, revoked()
        self._store, self._every, self._timeout, self._limit = store, every, timeout, limit
        self._limit_of_one = limit_of_one
        self._readers: Counter[Key] = Counter()
        self._waiting: Counter[Key] = Counter()
        self._marks: dict[Key, int] = {}  # of keys that are waited for
        self._wanted, self._news = trio.Event(), trio.Event()
        self._is_over = False

    @property
    def readers(self) -> int:
        """That are here now."""
        return self._readers.total()

    def check_room(self, key: Key) -> None:
        """Whether one more may come. Raises LimitReached."""
        open_, of_one = self.readers, self._readers[key]
        if open_ >= self._limit:
            raise LimitReached(f"readers: {open_} streams are open, at most {self._limit}")
        if of_one >= self._limit_of_one:
            raise LimitReached(
                f"readers_of_one: {of_one} streams of this device are open, at most {self._limit_of_one}"
            )

    @contextmanager
    def place(self, key: Key) -> Iterator[None]:
        """For one reader.

        Raises:
            LimitReached: there are as many as may be.
        """
        self.check_room(key)
        self._readers[key] += 1
        try:
            yield
        finally:
            self._readers[key] -= 1
            if not self._readers[key]:
                del self._readers[key]

    async def run(self) -> None:
        """Read marks while anybody waits, until cancelled. While the store is away readers wait."""
        while True:
            await self._wanted.wait()
            await self._read()
            await trio.sleep(self._every)

    def close(self) -> None:
        """The node stops: readers are let go, and none waits any more."""
        self._is_over = True
        self._tell()

    def note_all(self, ids: Mapping[str, int]) -> None:
        """These were stored just now for these devices, as we know ourselves: nobody needs to ask."""
        if self._waiting:
            news = {key: ids[name] for name in ids if (key := device_key(name)) in self._waiting}
            self._learn(news)

    async def beyond(self, key: Key, cursor: int, revoked: int) -> int | None:
        """The mark of `key`, once it is above `cursor`; `cursor`: something was revoked; None: no more is told.

        `revoked`: the number of then. Cancelling is safe.
        """
        self._waiting[key] += 1
        self._wanted.set()
        try:
            while not self._is_over:
                mark = self._marks.get(key, 0)
                if mark > cursor:
                    return mark
                if self.revoked() != revoked:
                    return cursor
                await self._news.wait()
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                self._marks.pop(key, None)
        return None

    async def _read(self) -> None:
        if self._revoked != self.revoked():
            self._revoked = self.revoked()
            self._tell()
        keys = tuple(self._waiting)
        if not keys:
            self._wanted = trio.Event()
            return
        try:
            with answered_within(self._timeout):
                marks = await self._store().marks(keys)
        except PushError:
            return
        self._learn(dict(zip(keys, marks, strict=True)))

    def _learn(self, marks: Mapping[Key, int]) -> None:
        higher = {key: mark for key, mark in marks.items() if mark > self._marks.get(key, 0)}
        if higher:
            self._marks.update((key, mark) for key, mark in higher.items() if key in self._waiting)
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


class MpushReading:
    """Reads for callers. Every call raises Unavailable and OutcomeUnknown: a store or the database is away."""

    def __init__(
        self,
        reading: Reading,
        store: Callable[[], OfflineStore],
        acks: AckBook,
        waits: MpushWaits,
        tail: Tail,
        *,
        timeout: float,
        beat: float,
        hooks: Collection[str] = (),
    ) -> None:
        """
        Args:
            timeout: seconds for one question.
            beat: seconds of silence after which an idle stream says that it lives.
            hooks: devices that are web hooks, and always there.
        """
        self._reading, self._store, self._acks, self._waits = reading, store, acks, waits
        self._tail, self._timeout, self._beat, self._hooks = tail, timeout, beat, hooks

    def check_room(self, name: str) -> None:
        """Raises LimitReached: there are as many readers as may be."""
        self._tail.check_room(device_key(name))

    async def first(self, name: str, cursor: int) -> Page:
        """What is stored for a device above `cursor`, or the beginning of it."""
        return await self._reading.first_page(device_key(name), cursor)

    async def kept(self, name: str, page: Page) -> AsyncGenerator[Sequence[Stored], None]:
        """`page`, and all that is stored behind it."""
        yield page.messages
        if page.more:
            cursor = page.messages[-1].id
            async with aclosing(self._reading.pages(device_key(name), cursor)) as pages:
                async for more in pages:
                    yield more.messages

    async def stream(
        self, name: str, cursor: int, page: Page
    ) -> AsyncGenerator[Sequence[Stored], None]:
        """`page`, which was read above `cursor`, and what comes, until the node stops; nothing is a beat.

        It is a beat, too, when something was revoked: look then whether the reader may go on.

        Raises:
            LimitReached: there are as many readers as may be.
        """
        key, mark = device_key(name), cursor
        with self._tail.place(key):
            revoked = self._tail.revoked()
            yield page.messages
            while True:
                if page.messages:
                    cursor = page.messages[-1].id
                if not page.more:
                    cursor = max(cursor, mark)  # what was promised and is not there has gone
                    news: int | None = None
                    with trio.move_on_after(self._beat) as patience:
                        news = await self._tail.beyond(key, cursor, revoked)
                    if patience.cancelled_caught or news == cursor:
                        revoked = self._tail.revoked()
                        yield ()
                    elif news is None:
                        return
                    else:
                        mark = news
                page = await self._reading.first_page(key, cursor)
                if page.messages:
                    yield page.messages

    async def cursor(self, name: str, since: Since) -> int:
        """The id above which a reader reads."""
        if not isinstance(since, Edge):
            return since
        with answered_within(self._timeout):
            [mark] = await self._store().marks([device_key(name)])
        return mark if since is Edge.END else max(0, mark - 1)

    async def state(self, name: str, mid: str) -> State:
        """What became of a message.

        Raises:
            BadInput: `mid` is none.
            NotFound: nothing of that mid is kept.
        """
        message_id, key = id_of(mid), device_key(name)
        if not message_id:
            raise BadInput("mid", mid, "13 digits, as X-Mpush-Mid and JSON answers have them")
        acked = (await self._acks.states([name]))[name]
        page = await self._reading.page(key, message_id - 1, 1)
        if not any(stored.id == message_id for stored in page.messages):
            raise NotFound(f"mid: there is no message {mid!r}, or not any more")
        if acked.has(message_id) or (await self._waits.wait((Awaited(key, message_id),), 0))[0]:
            return State.OK
        if name in self._hooks:
            return State.ONLINE
        presence = (await self._reading.presence([key]))[key]
        if isinstance(presence, PushError):
            raise presence
        return State.ONLINE if presence.online else State.OFFLINE
