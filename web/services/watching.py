"""Is the store there? Asked now and then, so that /readyz answers at once."""

from collections.abc import Callable

import trio

from appmodel.core.interfaces import OfflineStore
from appmodel.errors import PushError
from web.services.deadlines import answered_within

INTERVAL = 2.0  # seconds between two questions; each is an empty read


class StoreWatch:
    """The last that was heard of the store."""

    def __init__(self, store: Callable[[], OfflineStore], *, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self.trouble: str | None = "the store was not asked yet"  # None = it answers

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask until cancelled; started after the first answer, or its failure."""
        await self._ask()
        task_status.started()
        while True:
            await trio.sleep(INTERVAL)
            await self._ask()

    async def _ask(self) -> None:
        try:
            with answered_within(self._timeout):
                await self._store().marks(())
            self.trouble = None
        except PushError as error:
            self.trouble = f"the store: {error}"
