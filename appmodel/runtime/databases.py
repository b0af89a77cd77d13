"""The application's database in the life of a process: found, brought up to date, watched.

    a SQLite file, database.migrate on      migrated before anybody uses it
    any other that is behind, or away       the node starts all the same: clients connect and receive, what needs
                                            the database is refused, and /readyz says why

An operator migrates a server's database while the old nodes still run, so one that is newer than a node is only
logged.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog
import trio

from appmodel.errors import PushError
from appmodel.io.database import Database
from appmodel.io.engines import DatabaseLimits, parse_url
from appmodel.runtime.config import DatabaseConfig
from appmodel.runtime.ops import Health
from appmodel.runtime.settings import Settings
from migrations.state import State, advice, state_of

USERS = frozenset({"comet", "web"})  # parts that speak to it

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_database(
    settings: Settings, parts: frozenset[str], health: Health
) -> AsyncIterator[Database]:
    """The database of these parts; watched until the block ends, if one of them uses it.

    Raises:
        ConfigError: the URL is wrong.
        PushError: the SQLite file cannot be brought up to date.
    """
    if not parts & USERS:
        async with _open(settings.database) as database:
            yield database
        return
    async with ready_database(settings) as database, trio.open_nursery() as nursery:
        watch = _Watch(database)
        health.add("database", watch.reason)
        nursery.start_soon(watch.run, settings.database.check_interval)
        yield database
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def ready_database(settings: Settings) -> AsyncIterator[Database]:
    """For a command: the database, up to date if it is a SQLite file. Raises as `open_database` does."""
    config = settings.database
    if config.migrate and parse_url(str(config.url)).get_backend_name() == "sqlite":
        limits = msgspec.structs.replace(config.limits, timeout=settings.node.start_timeout)
        await trio.to_thread.run_sync(_bring_up_to_date, limits)
    async with _open(config) as database:
        yield database


@asynccontextmanager
async def _open(config: DatabaseConfig) -> AsyncIterator[Database]:
    database = Database(config.limits)
    try:
        yield database
    finally:
        database.close()


class _Watch:
    """Whether the database can be worked with; its reason is what /readyz shows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._state: State | None = None  # what was found last; None: nothing yet

    def reason(self) -> str | None:
        """Why not; None if it can, or if nobody knows yet."""
        if self._database.trouble is not None:
            return self._database.trouble
        if self._state in (None, State.CURRENT, State.NEWER):
            return None
        return f"{self._database.where} {advice(self._state)}"

    async def run(self, interval: float) -> None:
        """Look again and again until cancelled; what has changed is logged."""
        while True:
            state = self._state
            try:
                state = await self._database.read(lambda session: state_of(session.connection()))
            except PushError as error:
                log.debug("database", error=str(error))  # `reason` shows its trouble
            if state is not self._state and state not in (None, State.CURRENT):
                log.warning("database", where=self._database.where, state=advice(state))
            self._state = state
            await trio.sleep(interval)


def _bring_up_to_date(limits: DatabaseLimits) -> None:
    from migrations import (
        running,  # with Alembic: mostly there is nothing to do, and nobody waits for it
    )

    with running.connected(limits) as connection:
        if state_of(connection) is State.CURRENT:
            return
    with running.alone(limits, _tell) as connection:
        running.migrate(connection, _tell)


def _tell(line: str) -> None:
    log.info("database", migration=line)
