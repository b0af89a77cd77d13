"""Clients of comets that are gone: a process that was killed cannot say that nobody is there any more.

Who has written that somebody is present is compared with the registry's view, as for sessions
(comet/io/leftovers.py, comet/core/absence.py). Several comets may do all of it at once.

A client that was connected there hears nothing, as nobody does of it: its back end is not called, and no
`peopleLeave` is sent, for nobody knows its cookie and its query any more. Source: spec/liutian-push.md W31.
"""

from collections.abc import Callable

import structlog
import trio

from appmodel.core.cluster import ClusterView, Node
from appmodel.core.interfaces import Registry
from appmodel.core.lightpush_records import AttendanceNews, Departure, Process
from appmodel.core.lightpush_stores import Attendance, Clients
from appmodel.core.sessions import Holder
from comet.config import RollConfig
from comet.core.absence import Absence
from comet.io.leftovers import FAULTS

log = structlog.get_logger("comet")

LOOKS = 4  # within a grace
PAGE = 500  # clients of one step


class Absent:
    """Looks for them. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        registry: Registry,
        clients: Clients,
        attendance: Attendance,
        config: RollConfig,
        now: Callable[[], float],
        is_wanted: Callable[[], bool],
    ) -> None:
        """`is_wanted()`: whether there may be clients at all; before that nothing is asked."""
        self._is_wanted = is_wanted
        self._me, self._registry, self._config, self._now = me, registry, config, now
        self._clients, self._attendance = clients, attendance
        self._absence = Absence(config.grace)
        self._seen = -1  # version of the view of the last look
        self._look_at = 0.0  # trio time of the next one, whatever the view
        self.released = 0  # clients of the gone

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            view = self._registry.view
            if self._is_wanted() and self._is_due(view):
                try:
                    await self._look(view)
                except FAULTS:
                    pass  # the stores themselves say what is wrong; the next look is soon
                else:
                    self._seen = view.version
                    self._look_at = trio.current_time() + self._config.check
            await trio.sleep(self._config.grace / LOOKS)

    def _is_due(self, view: ClusterView) -> bool:
        is_new = view.version != self._seen
        return is_new or bool(self._absence) or trio.current_time() >= self._look_at

    async def _look(self, view: ClusterView) -> None:
        holders = [Holder(*process) for process in await self._attendance.processes()]
        for holder in self._absence.look(holders, view, self._me(), trio.current_time()):
            count = await release(Process(*holder), self._clients, self._attendance, self._now)
            self.released += count
            log.info("clients of a comet that is gone", comet=holder.node, clients=count)


async def release(
    process: Process, clients: Clients, attendance: Attendance, now: Callable[[], float]
) -> int:
    """Nobody is present at `process`; how many were. In steps, and may be repeated.

    Raises:
        PushError: a store is away; some may be released.
    """
    count = 0
    while page := await attendance.present_at(process, limit=PAGE):
        at = round(now() * 1000)
        gone = [(one.namespace, one.client) for one in page]
        await clients.departed(
            [Departure(*name, one.at, at) for name, one in zip(gone, page, strict=True)]
        )
        await attendance.record(process, AttendanceNews(went=gone))
        count += len(page)
    return count


def text_of(error: Exception) -> str:
    """What happened, without a statement and its parameters."""
    origin = getattr(error, "orig", None) or error
    return str(origin).strip().partition("\n")[0][:200]
