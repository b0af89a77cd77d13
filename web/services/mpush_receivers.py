"""Who brings copies of Mpush to their receivers: web hooks, Web Push, FCM; a few at a time, on each web node.

    Receivers ──claim──> at most `at_once` of each kind ─> brought, postponed or given back
        ^                       │ the node is killed
        └── the lease runs out ─┘

Any number of nodes share the errands, and each errand is one receiver: so one node at a time brings it one copy at a time.
A kind has places of its own: push services that hang keep no web hook waiting. A kind that this node has no way for is left
to others.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import structlog
import trio

from appmodel.core.mpush_stores import Errand, ReceiverKind, Receivers
from appmodel.errors import PushError
from appmodel.io.contain import contain_bugs
from web.services.mpush_bringing import Bringing

log = structlog.get_logger(__name__)


class Errands:
    """`run` must be running."""

    def __init__(
        self,
        receivers: Receivers,
        bringing: Bringing,
        kinds: Collection[ReceiverKind],
        *,
        at_once: int,
        poll: float,
        lease: float,
        now: Callable[[], float],
    ) -> None:
        """
        Args:
            kinds: that there are ways for.
            at_once: errands of each kind.
            poll: seconds between two looks for what other nodes were pushed.
            lease: seconds; as `bringing` has it.
            now: Unix seconds.
        """
        self._receivers, self._bringing, self._kinds = receivers, bringing, kinds
        self._at_once, self._poll, self._lease, self._now = at_once, poll, lease, now
        self._busy: Counter[ReceiverKind] = Counter()
        self._news = trio.Event()
        self._is_stopping = self._is_away = False

    @property
    def busy(self) -> int:
        """Errands in hand."""
        return self._busy.total()

    def wake(self) -> None:
        """Something was pushed: look at once."""
        self._news.set()

    def stop(self) -> None:
        """Begin nothing more: errands are given back behind the copy that is under way, and `run` ends."""
        self._is_stopping = True
        self._news.set()

    async def run(self) -> None:
        """Work until `stop`. Cancelled, what is in hand is given back."""
        if not self._kinds:
            return
        async with trio.open_nursery() as nursery:
            while not self._is_stopping:
                self._news = trio.Event()
                for errand in await self._claim():
                    self._busy[errand.receiver.kind] += 1
                    nursery.start_soon(self._work, errand)
                with trio.move_on_after(self._poll):
                    await self._news.wait()

    async def _claim(self) -> Sequence[Errand]:
        """As many as there are places for; if that is all of them, there may be more."""
        free = {kind: self._at_once - self._busy[kind] for kind in self._kinds}
        kinds = [kind for kind in free if free[kind]]
        if not kinds:
            return []
        limit = min(free[kind] for kind in kinds)
        now, lease = round(self._now() * 1000), round(self._lease * 1000)
        try:
            errands = await self._receivers.claim(now=now, lease=lease, limit=limit, kinds=kinds)
        except PushError as error:
            if not self._is_away:
                log.warning("receivers are not looked after", error=str(error))
            self._is_away = True
            return []
        self._is_away = False
        if len(errands) == limit:
            self.wake()
        return errands

    async def _work(self, errand: Errand) -> None:
        kind, has_more = errand.receiver.kind, False
        with contain_bugs("a copy of Mpush", lambda _bug: None):
            has_more = await self._bringing.run(errand, lambda: not self._is_stopping)
        if has_more or self._busy[kind] >= self._at_once:
            self.wake()
        self._busy[kind] -= 1
