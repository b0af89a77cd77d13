"""Who hears that something was pushed to a device: its receivers, in the database, so that any web node may serve them.

    pushed ─> has receivers? (remembered) ─no──> nothing: no SQL
                                          └yes─> Receivers.want, before the caller is answered
                the database is away ─> kept here, and tried again

Also what comes by /v2/push, for a device is a key like any other.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog
import trio

from appmodel.core.mpush_stores import Receiver, Receivers
from appmodel.errors import PushError

PATIENCE = 1.0  # seconds that a push waits for its receivers to be told
PAUSE = 2.0  # seconds between two tries
LATE = (
    10_000  # devices that may wait for the database; of more the receivers wait for their next push
)

log = structlog.get_logger(__name__)


class KnownReceivers(Protocol):
    """Who has receivers: remembered."""

    def receivers_of(self, names: Sequence[str]) -> Awaitable[Mapping[str, Sequence[Receiver]]]:
        """The receivers of each; without those that have none. Raises Unavailable."""


class Wants:
    """`run` must be running."""

    def __init__(
        self,
        known: KnownReceivers,
        receivers: Receivers,
        *,
        wanted: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        """`wanted`: told that there is something to bring. `now`: Unix seconds."""
        self._known, self._receivers = known, receivers
        self._wanted, self._now = wanted, now
        self._late: dict[str, int] = {}
        self._is_late = trio.Event()
        self.dropped = 0  # devices whose receivers were not told

    async def note(self, pushed: Mapping[str, int]) -> None:
        """The newest ids by device, as they are stored. Never raises a PushError; cancelling is safe."""
        error = f"no answer within {PATIENCE:g} s"
        with trio.move_on_after(PATIENCE):
            try:
                await self._write(pushed)
            except PushError as failure:
                error = str(failure)
            else:
                return
        log.warning("receivers not told yet", devices=len(pushed), error=error)
        self._keep(pushed)

    async def run(self) -> None:
        """Write what could not be written, until cancelled."""
        while True:
            await self._is_late.wait()
            await trio.sleep(PAUSE)
            late, self._late, self._is_late = self._late, {}, trio.Event()
            try:
                await self._write(late)
            except PushError:  # it was said already
                self._keep(late)

    async def _write(self, pushed: Mapping[str, int]) -> None:
        those = await self._known.receivers_of(list(pushed))
        if those:
            due = {name: pushed[name] for name in those}
            await self._receivers.want(due, now=round(self._now() * 1000))
            self._wanted()

    def _keep(self, pushed: Mapping[str, int]) -> None:
        for name, message_id in pushed.items():
            if name in self._late or len(self._late) < LATE:
                self._late[name] = max(message_id, self._late.get(name, 0))
            else:
                self.dropped += 1
        self._is_late.set()
