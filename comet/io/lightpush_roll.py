"""Who is here, written behind the connections: what has happened to clients becomes batches, and nobody waits.

    rules ──came, joined, left, went──> book ──every `gather`──> Clients, Attendance    one task, one batch under way

    a store is away      the news are kept, and tried again at growing intervals
    too many news        they are dropped, and all that is here is written anew
    once a `check`       is as much written as is here? if not: all is written anew
    the end              all of this process go

Who asks about one client waits for its own news (`settled`). What comets that are gone have written is swept:
lightpush_absent.py. The model is comet/io/sessions.py. Source: spec/liutian-push.md 3.5, 7.5, W12, W31 and W34.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import structlog
import trio

from appmodel.core.cluster import Node
from appmodel.core.lightpush_records import Arrival, AttendanceNews, Process
from appmodel.core.lightpush_stores import Attendance, Clients
from appmodel.errors import Unavailable
from comet.config import RollConfig
from comet.core.lightpush_news import Batch, Name, NewsBook
from comet.io.leftovers import FAULTS
from comet.io.lightpush_absent import release, text_of

log = structlog.get_logger("comet")

PAGE = 500  # clients that are read at a time
FIRST_PAUSE = 0.5  # seconds before the second try, at most; doubles up to `max_pause`


class Here(NamedTuple):
    """A client that is here, and its rooms."""

    arrival: Arrival
    rooms: Iterable[str]


class StoredRoll:
    """Implements `Roll` of the rules. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        clients: Clients,
        attendance: Attendance,
        config: RollConfig,
        now: Callable[[], float],
        names: Callable[[], Sequence[Name]],
        look: Callable[[Name], Here | None],
    ) -> None:
        """
        Args:
            me: this comet as it is announced; its name and incarnation stay as they are.
            now: Unix seconds.
            names: of all clients that are here.
            look: one of them; None: it is not here.
        """
        self._me, self._clients, self._attendance = me, clients, attendance
        self._config, self._now, self._names, self._look = config, now, names, look
        self._book = NewsBook(config.backlog)
        self._under_way: Batch | None = None
        self._wanted = trio.Event()
        self._hurry = trio.Event()  # somebody waits for what is in the book
        self._written = trio.Event()  # the batch under way has ended, well or not
        self._check_at = math.inf  # trio time
        self._expected = (0, 0)  # clients and seats that were here when the last news were taken
        self.clients_here = 0
        self.seats_here = 0
        self.is_used = False  # whether a client has ever come
        self.trouble: str | None = None  # why the last batch was not written
        self.written = 0  # entries
        self.failures = 0  # batches that were not written
        self.rewritten = 0  # times that all was written anew

    @property
    def pending(self) -> int:
        """Clients of which something is to be written."""
        return len(self._book)

    @property
    def process(self) -> Process:
        """Under which all is written."""
        me = self._me()
        return Process(me.name, me.incarnation)

    # What the rules note

    def came(self, arrival: Arrival) -> None:
        """See `Roll`."""
        if not self.is_used:
            self.is_used = True
            self._check_at = trio.current_time() + self._config.check
        self.clients_here += 1
        self._book.came(arrival)
        self._wanted.set()

    def went(self, arrival: Arrival, seats: int, *, reason: str) -> None:
        """See `Roll`."""
        self.clients_here -= 1
        self.seats_here -= seats
        self._book.went(arrival, round(self._now() * 1000), reason)
        self._wanted.set()

    def joined(self, arrival: Arrival, room: str) -> None:
        """See `Roll`."""
        self.seats_here += 1
        self._book.joined(arrival, room)
        self._wanted.set()

    def left(self, arrival: Arrival, room: str) -> None:
        """See `Roll`."""
        self.seats_here -= 1
        self._book.left(arrival, room)
        self._wanted.set()

    async def settled(self, arrival: Arrival) -> None:
        """See `Roll`. Cancelling is safe."""
        name = (arrival.namespace, arrival.client)
        with trio.move_on_after(self._config.settle_timeout):
            while self._is_pending(name):
                self._hurry.set()
                await self._written.wait()
            return
        raise Unavailable("what is known of this client cannot be written now")

    # Writing

    async def run(self) -> None:
        """Write, until cancelled."""
        pause = 0.0
        while True:
            with trio.move_on_at(self._check_at):
                await self._wanted.wait()
            await trio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  jitter is no secret
            with trio.move_on_after(self._config.gather):
                await self._hurry.wait()
            try:
                await self._write_news()
                if self._book.is_torn or trio.current_time() >= self._check_at:
                    await self._check()
            except FAULTS as error:
                self.failures += 1
                self._say(text_of(error))
                self._check_at = -math.inf  # as soon as it serves again
                pause = min(max(FIRST_PAUSE, 2 * pause), self._config.max_pause)
            else:
                self._say(None)
                pause = 0.0

    async def leave(self) -> None:
        """All connections are gone and `run` has ended: nobody is written as present at this process.

        What cannot be written now is swept later, by another comet. Cancelling is safe.
        """
        if not self.is_used:
            return
        try:
            await self._write_news()
            await release(self.process, self._clients, self._attendance, self._now)
        except FAULTS as error:
            log.warning("clients of light-push not released", error=text_of(error))

    def _is_pending(self, name: Name) -> bool:
        batch = self._under_way
        return name in self._book or (batch is not None and name in batch.entries)

    async def _write_news(self) -> None:
        """Write what is in the book, and what comes meanwhile."""
        self._wanted, self._hurry = trio.Event(), trio.Event()
        while len(self._book):
            batch = self._under_way = self._book.take(self._config.batch)
            if not len(self._book):
                self._expected = (self.clients_here, self.seats_here)
            try:
                await self._write(batch)
            except BaseException:
                self._book.put_back(batch)
                raise
            finally:
                self._under_way = None
                self._written.set()
                self._written = trio.Event()

    async def _write(self, batch: Batch) -> None:
        if batch.arrivals:
            await self._clients.arrived(batch.arrivals)
        attendance = batch.attendance
        if attendance != AttendanceNews():
            await self._attendance.record(self.process, attendance)
        if batch.enrolments:
            await self._clients.enrolled(batch.enrolments)
        if batch.departures:
            await self._clients.departed(batch.departures)
        self.written += len(batch.entries)

    # Comparing

    async def _check(self) -> None:
        """Compare numbers; if they differ, or news were lost, write everything anew."""
        expected = self._expected
        written = await self._attendance.count_at(self.process)
        if self._book.is_torn or written != expected:
            await self._rewrite()
        if not self._book.is_torn:  # again, by what came meanwhile
            self._check_at = trio.current_time() + self._config.check

    async def _rewrite(self) -> None:
        """Nobody else changes what this process has written, but who takes it for dead."""
        self._book.begin_anew()
        try:
            await self._erase_surplus()
            names = self._names()
            for name in names:
                here = self._look(name)  # as it is now: it may have gone meanwhile
                if here is not None:
                    self._book.rewrite(here.arrival, here.rooms)
                await self._write_if_full()
            await self._write_news()
        except BaseException:
            self._book.is_torn = True  # some is written anew, and some is not
            raise
        self.rewritten += 1
        log.warning("who is here was written anew", clients=len(names))

    async def _erase_surplus(self) -> None:
        after = ("", "")
        while page := await self._attendance.present_at(self.process, after=after, limit=PAGE):
            after = (page[-1].namespace, page[-1].client)
            for presence in page:
                if self._look((presence.namespace, presence.client)) is None:
                    self._book.erase(presence, round(self._now() * 1000))
                    await self._write_if_full()

    async def _write_if_full(self) -> None:
        """The book holds a batch, and no more of what is only compared."""
        if len(self._book) >= self._config.batch:
            await self._write_news()

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.warning("who is here is not written", error=trouble, pending=self.pending)
        elif trouble is None and self.trouble is not None:
            log.info("who is here is written again")
        self.trouble = trouble
