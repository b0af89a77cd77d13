"""Sessions of comets that are gone: a process that was killed cannot release what it held.

Who holds sessions is compared with the registry's view when that changes, and once a `check`. See
comet/core/absence.py for who forgets whom, and when. All of it may be done by several comets at once.
"""

from collections.abc import Callable
from functools import partial

import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError

from appmodel.core.cluster import ClusterView, Node
from appmodel.core.interfaces import Registry
from appmodel.core.sessions import Holder
from appmodel.errors import PushError
from appmodel.io.database import Database
from appmodel.orm import session_queries as queries
from comet.config import SessionsConfig
from comet.core.absence import Absence

log = structlog.get_logger("comet")

FAULTS = (PushError, SQLAlchemyError)  # away, or not as it should be: an operator must act
LOOKS = 4  # within a grace


class Leftovers:
    """Looks for them. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        registry: Registry,
        database: Database,
        config: SessionsConfig,
        is_wanted: Callable[[], bool],
    ) -> None:
        """`is_wanted()`: whether there may be sessions at all; before that nothing is asked."""
        self._me, self._registry, self._database, self._config = me, registry, database, config
        self._is_wanted = is_wanted
        self._absence = Absence(config.grace)
        self._seen = -1  # version of the view of the last look
        self._look_at = 0.0  # trio time of the next one, whatever the view
        self.released = 0  # sessions of the gone

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            view = self._registry.view
            if self._is_wanted() and self._is_due(view):
                try:
                    await self._look(view)
                except FAULTS:
                    pass  # the database itself says what is wrong; the next look is soon
                else:
                    self._seen = view.version
                    self._look_at = trio.current_time() + self._config.check
            await trio.sleep(self._config.grace / LOOKS)

    def _is_due(self, view: ClusterView) -> bool:
        is_new = view.version != self._seen
        return is_new or bool(self._absence) or trio.current_time() >= self._look_at

    async def _look(self, view: ClusterView) -> None:
        holders = await self._database.read(queries.all_holders)
        for holder in self._absence.look(holders, view, self._me(), trio.current_time()):
            await self._release(holder)

    async def _release(self, holder: Holder) -> None:
        step = partial(queries.release, holder=holder, limit=self._config.batch)
        before = self.released
        while count := await self._database.write(step, may_leave=True):
            self.released += count
        log.info(
            "sessions of a comet that is gone",
            comet=holder.node,
            incarnation=holder.incarnation,
            sessions=self.released - before,
        )
