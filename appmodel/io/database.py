"""SQL from trio: plain sessions in worker threads, behind one limiter.

    people = await database.read(lambda session: session.scalars(select(User)...).all())
    await database.write(rename)          rename(session): one transaction, committed when it returns

A connection that broke while nobody used it is replaced, and the work is done on a new one.

More threads are slower: the GIL and the hop (120 µs) are what a short statement costs (research/trio.md
section 3). What a function returns must not need the session any more. A write may be called several times: a
deadlock or a serialization failure is tried again, so it must not touch anything but its session.

    away, slow, full        Unavailable     nothing was done, or it was rolled back
    a table is missing      Unavailable     and says so: `appmsg migrate`
    lost in the commit      OutcomeUnknown  it may have happened
    a unique key            IntegrityError  for the caller, who knows what it means
"""

import math
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
import trio
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from appmodel.errors import OutcomeUnknown, Unavailable
from appmodel.io.engines import (
    DatabaseLimits,
    is_away,
    is_clash,
    lacks_tables,
    make_engine,
    parse_url,
    place_of,
)
from appmodel.orm.changes import CHANGED

T = TypeVar("T")
Work = Callable[[Session], T]

CLASHES = 5  # tries of a write that others got in the way of
CLASH_PAUSE = 0.01  # seconds before the second try, at most; doubles

log = structlog.get_logger(__name__)


class Database:
    """One database and its threads. `close` it in the end."""

    def __init__(self, limits: DatabaseLimits) -> None:
        """Connects when it is first used.

        Raises:
            ConfigError: the URL names no database that we speak to.
        """
        self.where = place_of(parse_url(limits.url))  # for people: without user and password
        self.trouble: str | None = None  # why the last call did not get through
        self.statements = 0  # that were sent, also in vain
        self.engine = make_engine(limits)
        sa.event.listen(self.engine, "before_cursor_execute", self._count)
        self._writer = self.engine.execution_options(writes=True)
        self._limiter = trio.CapacityLimiter(limits.threads)
        self._timeout = limits.timeout
        self._is_closed = False
        self._hear: list[Callable[[Iterable[str]], None]] = []

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        return self._limiter.statistics().tasks_waiting

    def on_change(self, hear: Callable[[Iterable[str]], None]) -> None:
        """`hear(subjects)` after each commit that noted changes; see appmodel/orm/changes.py."""
        self._hear.append(hear)

    async def read(self, work: Work[T]) -> T:
        """What `work` finds. Nothing is committed. Cancelling is safe, and at once.

        Raises:
            Unavailable: the database is away, or had no time within `database.timeout`.
        """
        return await self._run(partial(self._read, work), may_leave=True)

    async def write(self, work: Work[T], *, may_leave: bool = False) -> T:
        """What `work` returns, once it is committed. If `work` raises, nothing has happened.

        Cancelling waits for a transaction that has begun; with `may_leave` it does not, and nobody knows
        whether that was committed.

        Raises:
            Unavailable: nothing was done.
            OutcomeUnknown: the connection was lost while it was being committed.
            IntegrityError: a unique key; from `work` or from the commit.
        """
        answer, changed = await self._run(partial(self._write, work), may_leave=may_leave)
        if changed:
            for hear in self._hear:
                hear(changed)
        return answer

    def close(self) -> None:
        """Let go of all connections; of those that a call left behind uses, when it ends."""
        self._is_closed = True
        self.engine.dispose()

    async def _run(self, call: Callable[[], T], *, may_leave: bool) -> T:
        timeout, loop, pool = self._timeout, trio.lowlevel.current_trio_token(), self.engine.pool
        with trio.move_on_after(timeout) as waiting:  # only for a thread: see `begin`

            def begin() -> T:
                with suppress(trio.RunFinishedError):
                    loop.run_sync_soon(setattr, waiting, "deadline", math.inf)
                try:
                    return call()
                finally:
                    if self._is_closed:
                        for one in (pool, self.engine.pool):
                            one.dispose()  # our connection has just gone back to it

            try:
                answer = await trio.to_thread.run_sync(
                    begin, limiter=self._limiter, abandon_on_cancel=may_leave
                )
            except (Unavailable, OutcomeUnknown) as error:
                self._say(str(error))
                raise
            self._say(None)
            return answer
        raise Unavailable(f"the database had no time within {timeout:g} s")

    def _read(self, work: Work[T]) -> T:
        for attempt in range(2):
            try:
                with Session(self.engine) as session:
                    return work(session)
            except SQLAlchemyError as error:
                if attempt or not _was_broken(error):
                    raise self._refusal(error) from None
        raise AssertionError("unreachable")

    def _write(self, work: Work[T]) -> tuple[T, set[str]]:
        for attempt in range(CLASHES):
            try:
                return self._transaction(work)
            except SQLAlchemyError as error:
                if attempt == CLASHES - 1 or not _may_succeed(error, attempt):
                    raise self._refusal(error) from None
            time.sleep(random.uniform(0, CLASH_PAUSE * 2**attempt))  # noqa: S311  jitter is no secret
        raise AssertionError("unreachable")

    def _transaction(self, work: Work[T]) -> tuple[T, set[str]]:
        with Session(self._writer, expire_on_commit=False) as session:
            answer = work(session)
            session.flush()
            try:
                session.commit()
            except DBAPIError as error:
                if error.connection_invalidated and not is_clash(error):
                    raise OutcomeUnknown("the database was lost in a commit") from None
                raise
            return answer, session.info.get(CHANGED, set())

    def _refusal(self, error: SQLAlchemyError) -> Exception:
        """What the caller is told. A database that is away is no bug; anything else is, or is its business."""
        if isinstance(error, IntegrityError):
            return error
        if isinstance(error, DBAPIError) and lacks_tables(error):
            log.warning("database", where=self.where, error=_first_line(error))
            return Unavailable("the database lacks a table of this version: run `appmsg migrate`")
        if is_away(error):
            log.warning("database", where=self.where, error=_first_line(error))
            return Unavailable("the database is away or too slow")
        return error

    def _say(self, trouble: str | None) -> None:
        if (trouble is None) != (self.trouble is None):
            state = "serves again" if trouble is None else "does not serve"
            log.warning("database", where=self.where, state=state)
        self.trouble = trouble

    def _count(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):  # SQLite's is one that we say ourselves
            self.statements += 1


def _may_succeed(error: SQLAlchemyError, attempt: int) -> bool:
    """Whether the same transaction may go through if it is tried again."""
    if isinstance(error, IntegrityError) or not isinstance(error, DBAPIError):
        return False
    return is_clash(error) or (attempt == 0 and _was_broken(error))


def _was_broken(error: SQLAlchemyError) -> bool:
    """Whether the connection is gone; the next one is new, as all of the pool are then."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _first_line(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    text = str(origin).strip()
    return text.partition("\n")[0][:200]
