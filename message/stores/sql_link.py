"""A connection that lasts: one transaction after the other, by one thread at a time.

    work is done, COMMIT
        an idle connection had broken      a new one, and again at once
        another node was in the way        again, after a few ms
        it breaks in COMMIT                in doubt, and again: what we do may be done twice
        no connection can be had           the next attempt is after a pause that doubles, with
                                           jitter; until then all fail at once

Whoever stands still within a transaction is cut by the server (`IDLE`): so a node that was stopped
keeps no rows from the others.
"""

import contextlib
import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from appmodel.errors import ConfigError
from appmodel.io.sql_faults import Fault, Kind, fault_of, refuses_login
from message.config import SqlConfig
from message.stores.sql_session import SETTING, Server, Session

CLASHES = 8  # attempts before we give up for this time
CLASH_PAUSE = 0.002  # seconds before the second attempt, at most; doubles

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class Link:
    """Connects when it is first used.

    Args:
        prepare: done once, before anything else; raises ConfigError if the database is of no use.
        reads: nothing is changed by what is done.
    """

    def __init__(
        self,
        server: Server,
        config: SqlConfig,
        *,
        prepare: Callable[[Session], None] | None = None,
        reads: bool = False,
    ) -> None:
        self._server, self._config = server, config
        self.where = server.where
        self._prepare = prepare
        self._reads = reads
        self._connection: sa.Connection | None = None
        self._pause = 0.0  # seconds, before jitter; 0 = the last attempt went well
        self._next_try = 0.0  # monotonic
        self.trouble: str | None = None  # why it does not serve, until it does

    def open(self) -> None:
        """Connect now.

        Raises:
            ConfigError: waiting will not help.
            Fault: the server is away.
        """
        try:
            self._connect(time.monotonic() + self._server.limit)
        except Fault as fault:
            self._say(fault)
            raise

    def close(self) -> None:
        """Let go of the connection, whatever it is doing. The next use makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # closes it without a word: it may be broken
            connection.close()

    def do(self, work: Callable[[Session], Answer]) -> Answer:
        """What `work` answers, committed. It may be called several times, and done twice.

        Raises:
            Fault: it was not done; or, if `in_doubt`, perhaps.
        """
        until = time.monotonic() + self._server.limit
        clashes, in_doubt = 0, False
        while True:
            was_idle = self._connection is not None
            try:
                answer = self._attempt(work, until)
            except Fault as fault:
                fault.in_doubt = in_doubt = in_doubt or fault.in_doubt
                clashes += fault.kind is Kind.CLASH
                again = was_idle
                if fault.kind is Kind.CLASH:
                    again = clashes < CLASHES
                    time.sleep(random.uniform(0, CLASH_PAUSE * 2**clashes))  # noqa: S311 (jitter)
                if not again or fault.kind in (Kind.REFUSED, Kind.INVALID) or _is_past(until):
                    self._say(fault)
                    raise
            else:
                self._say(None)
                return answer

    def _attempt(self, work: Callable[[Session], Answer], until: float) -> Answer:
        try:
            session = self._connect(until)
        except ConfigError as error:  # it was right when we started, or we could not look then
            raise Fault(Kind.REFUSED, str(error)) from None
        committing = False
        try:
            answer = work(session)
            committing = not self._reads
            if committing:
                session.commit()
        except Fault as fault:
            fault.in_doubt = committing and fault.kind is Kind.AWAY
            self._undo(session, fault)
            raise
        except BaseException:
            self.close()
            raise
        return answer

    def _undo(self, session: Session, fault: Fault) -> None:
        """Go back to where the transaction began. A server that refuses may not be the right one."""
        if fault.kind in (Kind.CLASH, Kind.INVALID):
            with contextlib.suppress(Fault):
                session.rollback()
                return
        self.close()

    def _connect(self, until: float) -> Session:
        if self._connection is None:
            if time.monotonic() < self._next_try:
                raise Fault(Kind.AWAY, self.trouble or "not connected")
            self._dial()
        assert self._connection is not None
        return Session(self._connection, self._server, until)

    def _dial(self) -> None:
        try:
            self._connection = connected(self._server, reads=self._reads)
            if self._prepare is not None:
                until = time.monotonic() + self._server.limit
                session = Session(self._connection, self._server, until)
                self._prepare(session)
                session.rollback()  # it has only looked
                self._prepare = None
        except (Fault, ConfigError):
            self.close()
            longest, pause = self._config.max_retry_pause, self._pause * 2
            self._pause = min(max(pause, self._config.retry_pause), longest)
            self._next_try = time.monotonic() + random.uniform(0.5, 1) * self._pause  # noqa: S311
            raise
        self._pause = 0.0

    def _say(self, fault: Fault | None) -> None:
        """Remember the trouble, and log where it begins and ends."""
        if fault is None:
            if self.trouble is not None:
                log.info("database is back", where=self._server.where)
            self.trouble = None
        elif fault.kind is not Kind.INVALID:
            if self.trouble is None:
                log.error("database does not serve", where=self._server.where, error=fault.text)
            self.trouble = fault.text


def _is_past(until: float) -> bool:
    return time.monotonic() >= until


def connected(server: Server, *, reads: bool = False) -> sa.Connection:
    """A new connection.

    Raises:
        ConfigError: the server does not let us in, or is none of ours: waiting will not help.
        Fault: it is away.
    """
    try:
        return server.connect(reads=reads)
    except DBAPIError as error:
        fault = fault_of(error)
        if refuses_login(error):
            raise ConfigError(SETTING, server.where, fault.text) from None
        raise Fault(Kind.AWAY, fault.text) from None
    except (InvalidRequestError, TypeError, ValueError) as error:  # a MySQL; a wrong ?option=
        raise ConfigError(SETTING, server.where, str(error)) from None
