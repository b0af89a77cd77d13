"""The application layer of a web node, wired: people, groups, organisations, applications.

Each part brings its services, its routes of 8093 (`AppFrame`) and its operations of /v2 (`Part`).
"""

from collections.abc import Sequence

import trio

from appmodel.core.origins import Origins
from appmodel.protocol.http import RenderError, Route
from appmodel.runtime.service import Context
from web.api.app_frame import AppFrame
from web.api.internal import Limits
from web.api.v2_frame import Part
from web.config import WebConfig
from web.core.access import Access
from web.core.principals import AppCaller, UserCaller
from web.services.applications import ApplicationTokens
from web.services.caching import Changes
from web.services.callers import Callers
from web.services.directory import Directory
from web.services.pushing import Pushing
from web.services.quotas import Quotas


class ApplicationLayer:
    """What all its parts share. `run` must be running."""

    def __init__(self, context: Context, access: Access, pushing: Pushing) -> None:
        self._database = context.database
        self._pushing = pushing
        self.callers = Callers(access, self)
        staleness = context.settings.database.staleness
        self.changes = Changes(context.database, staleness=staleness)
        self.directory = Directory(context.database, staleness=staleness)
        quotas = context.settings.section(WebConfig).quota
        self.quotas = Quotas(context.database, self.changes, quotas)
        self._application_tokens = ApplicationTokens(context.database, self.changes)

    async def user(self, token: str) -> UserCaller:
        """See Authenticating.user."""
        raise NotImplementedError(token)

    async def application(self, token: str) -> AppCaller:
        """See Authenticating.application."""
        return await self._application_tokens.application(token)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Its loops, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.changes.run)
            await nursery.start(self.quotas.run)
            task_status.started()
            await trio.sleep_forever()

    def offer(self, origins: Origins, limits: Limits) -> tuple[Sequence[Route], RenderError]:
        """The routes of 8093, and how they say no."""
        frame = AppFrame(self, origins, max_body=limits.body)
        return frame.routes, frame.refuse

    def parts(self, limits: Limits) -> list[Part]:
        """The operations of /v2."""
        return []
