"""Sessions in SQL, behind the connections: what has come and gone is written in batches, and nobody waits for it.

    hub ──on_presence──> book ──every `gather`──> session, session_holder       one task, one batch under way

    the database is away    the newest news of each session are kept, and tried again at growing intervals
    too many news           they are dropped, and all that is here is compared with what is written
    once a `check`          so many are written as are here? if not: compared too
    the end                 all of this process are released

Sessions of comets that are gone are released too: leftovers.py. Source: appmsgsrv session/session.go, which
writes once per connection and event, and a transaction per connection every 10 s that nobody reads (P4).
"""

import math
import random
from collections.abc import Callable, Iterable
from functools import partial

import structlog
import trio

from appmodel.core.cluster import Node
from appmodel.core.interfaces import Registry
from appmodel.core.names import Key
from appmodel.core.sessions import Holder, SessionName, session_key, session_of
from appmodel.io.database import Database
from appmodel.orm import session_queries as queries
from comet.config import SessionsConfig
from comet.core.hub import Hub
from comet.core.session_book import News, SessionBook
from comet.io.leftovers import FAULTS, Leftovers

log = structlog.get_logger("comet")

PAGE = 1000  # sessions that are compared at a time
FIRST_PAUSE = 0.5  # seconds before the second try, at most; doubles up to `max_pause`


class Sessions:
    """Keeps the database's view of one comet's sessions. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        hub: Hub,
        registry: Registry,
        database: Database,
        config: SessionsConfig,
        are_expected: bool,
    ) -> None:
        """
        Args:
            me: this comet as it is announced; its name and incarnation stay as they are.
            are_expected: look for sessions of the gone from the start, not only once one has come here.
        """
        self._me, self._hub, self._database, self._config = me, hub, database, config
        self.leftovers = Leftovers(
            me=me,
            registry=registry,
            database=database,
            config=config,
            is_wanted=lambda: are_expected or self.is_used,
        )
        self._book = SessionBook(config.backlog)
        self._wanted = trio.Event()
        self._check_at = math.inf  # trio time
        self._here_when_settled = 0  # sessions that were here when the last news were taken
        self._running: trio.CancelScope | None = None
        self._ended = trio.Event()
        self.trouble: str | None = None  # why the last batch was not written
        self.written = 0  # sessions, each time that one came or went
        self.failures = 0  # batches that were not written
        self.repaired = 0  # sessions that were not written as they are
        hub.on_presence = self._note

    @property
    def is_used(self) -> bool:
        """Whether a session has ever come."""
        return self._book.is_used

    @property
    def here(self) -> int:
        """Sessions with a connection here."""
        return self._book.here

    @property
    def pending(self) -> int:
        """Sessions of which something is to be written."""
        return len(self._book)

    def _note(self, key: Key, is_here: bool) -> None:
        name = session_of(key)
        if name is None:
            return
        self._book.note(name, is_here=is_here)
        if self._check_at == math.inf:
            self._check_at = trio.current_time() + self._config.check
        self._wanted.set()

    async def run(self) -> None:
        """Write, until cancelled or `leave`."""
        try:
            async with trio.open_nursery() as nursery:
                self._running = nursery.cancel_scope
                nursery.start_soon(self._follow)
                nursery.start_soon(self.leftovers.run)
        finally:
            self._ended.set()

    async def leave(self) -> None:
        """All connections are gone: release all sessions of this process. Ends `run`.

        What cannot be written now is released later, by another comet.
        """
        if self._running is not None:
            self._running.cancel()
            await self._ended.wait()
        if not self.is_used:
            return
        step = partial(queries.release, holder=self._holder, limit=self._config.batch)
        try:
            while await self._database.write(step, may_leave=True):
                pass
        except FAULTS as error:
            log.warning("sessions not released", error=_text(error))

    @property
    def _holder(self) -> Holder:
        me = self._me()
        return Holder(me.name, me.incarnation)

    async def _follow(self) -> None:
        pause = 0.0
        while True:
            with trio.move_on_at(self._check_at):
                await self._wanted.wait()
            jitter = random.uniform(pause / 2, pause)  # noqa: S311  jitter is no secret
            await trio.sleep(self._config.gather + jitter)
            try:
                await self._write_news()
                if self._book.is_torn or trio.current_time() >= self._check_at:
                    await self._check()
            except FAULTS as error:
                self.failures += 1
                self._say(_text(error))
                self._check_at = -math.inf  # as soon as it serves again
                pause = min(max(FIRST_PAUSE, 2 * pause), self._config.max_pause)
            else:
                self._say(None)
                pause = 0.0

    async def _write_news(self) -> None:
        """Write what is in the book, and what comes meanwhile."""
        self._wanted = trio.Event()
        while len(self._book):
            news = self._book.take(self._config.batch)
            if not len(self._book):
                self._here_when_settled = self._book.here
            try:
                await self._write(news)
            except BaseException:
                self._book.put_back(news)
                raise

    async def _write(self, news: News) -> None:
        holder = self._holder
        if news.here:
            here = partial(queries.write_here, names=news.here, holder=holder)
            await self._database.write(here, may_leave=True)
        if news.gone:
            gone = partial(queries.write_gone, ids=news.gone, holder=holder)
            await self._database.write(gone, may_leave=True)
        self.written += len(news.here) + len(news.gone)

    async def _check(self) -> None:
        """Compare numbers; if they differ, or news were lost, everything."""
        expected = self._here_when_settled
        count = await self._database.read(partial(queries.count_held, holder=self._holder))
        if self._book.is_torn or count != expected:
            await self._compare()
        self._check_at = trio.current_time() + self._config.check

    async def _compare(self) -> None:
        """Repair what is not written as it is.

        Nobody else changes rows of this process, but who takes it for dead.
        """
        before = self.repaired
        self._book.begin_anew()
        try:
            await self._repair_missing(await self._repair_surplus())
            await self._write_news()
        except BaseException:
            self._book.is_torn = True  # some is compared, and some is not
            raise
        log.warning("sessions repaired", sessions=self.repaired - before, here=self.here)

    async def _repair_surplus(self) -> set[str]:
        """Remove what is written and not here; all that is written."""
        written = set[str]()
        holder, after = self._holder, ""
        while page := await self._database.read(
            partial(queries.held_after, holder=holder, after=after, limit=PAGE)
        ):
            written.update(page)
            after = page[-1]
            await self._repair((session_id, None) for session_id in page)
        return written

    async def _repair_missing(self, written: set[str]) -> None:
        """Write what is here and not written."""
        channels = self._hub.channels()
        for at in range(0, len(channels), PAGE):
            names = (session_of(channel.key) for channel in channels[at : at + PAGE])
            found = [(name.id, name) for name in names if name and name.id not in written]
            await self._repair(found)
            await trio.lowlevel.checkpoint()

    async def _repair(self, found: Iterable[tuple[str, SessionName | None]]) -> None:
        """Write these, unless they have become news, or are right: here under a name, or not here."""
        for session_id, name in found:
            channel = self._hub.find(session_key(session_id))
            is_here = channel is not None and bool(channel.subscribers)
            if is_here == (name is not None) and self._book.repair(session_id, name):
                self.repaired += 1
            if len(self._book) >= self._config.batch:
                await self._write_news()

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.warning("sessions are not written", error=trouble, pending=self.pending)
        elif trouble is None and self.trouble is not None:
            log.info("sessions are written again")
        self.trouble = trouble


def _text(error: Exception) -> str:
    """What happened, without the statement and its parameters."""
    origin = getattr(error, "orig", None) or error
    return str(origin).strip().partition("\n")[0][:200]
