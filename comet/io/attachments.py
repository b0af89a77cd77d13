"""The holder's side of attachments: every owner is told which of its keys have subscribers here.

One task per owner, one report under way. A client that waits to be welcomed hurries it; everything else
gathers for a moment. What an owner may not have heard is told again, all of it: see `Books`.
"""

import math
import random
from collections.abc import Callable, Iterator

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.cluster import ClusterView, Node
from appmodel.errors import OutcomeUnknown, PushError
from appmodel.io.calls import Call, Caller
from comet.config import ClusterConfig
from comet.core.attaching import ENTRIES, Answer, Books, Report
from comet.core.channel import Channel
from comet.core.hub import Hub

log = structlog.get_logger("comet")

ATTACH = Call[Report, Answer]("comet.attach")
GATHER = 0.1  # seconds in which changes that nobody waits for become one report
LONGEST_PAUSE = 1.0  # seconds between two tries; the registry will tell if the owner is gone
CLOCKS_DIFFER = 60.0  # seconds; from there on it is an alarm

Process = tuple[str, int]  # name and incarnation of a comet


class Attachments:
    """What the owners elsewhere know of this comet. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        hub: Hub,
        clock: MessageClock,
        caller: Callable[[Node], Caller],
        config: ClusterConfig,
        now: Callable[[], float],
    ) -> None:
        """`me()`: this comet as it is announced. `caller(node)`: raises PushError if it cannot be called."""
        self.me, self.hub, self.clock = me, hub, clock
        self.caller, self.config, self.now = caller, config, now
        self._links: dict[Process, _Link] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Report to every owner, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None  # others of this comet may still be at work

    def books(self, owner: Node) -> Books:
        """Those of `owner`, opened if need be."""
        process = owner.name, owner.incarnation
        link = self._links.get(process)
        if link is None:
            link = self._links[process] = _Link(self, owner)
            if self._nursery is not None:  # else the comet ends
                self._nursery.start_soon(link.run)
        return link.books

    async def told(self, channel: Channel, *, all_of_it: bool = False) -> bool:
        """Wait until the owner of this channel's key knows of it; False if that takes too long.

        `all_of_it`: also how many subscribers it has here now. Of a key that changes all the time that never ends.
        An owner that is known to be away is not waited for. It may change meanwhile. Cancelling is safe.
        """
        with trio.move_on_after(self.config.attach_timeout):
            while (link := self._link(channel.home)) is not None and not link.is_away:
                books, key = link.books, channel.key
                if books.has_told_all(key) if all_of_it else books.has_told(key):
                    return True
                await link.reported()
        return channel.home is None  # it has become ours

    def keep_only(self, view: ClusterView) -> None:
        """Owners that are not alive any more are told nothing."""
        for process, link in list(self._links.items()):
            if view.find(link.owner) is None:
                del self._links[process]
                link.close()

    @property
    def trouble(self) -> str | None:
        """A clock that is far from ours; None = they agree."""
        for link in self._links.values():
            if abs(link.ahead) > CLOCKS_DIFFER:
                return f"the clock of comet {link.owner.name!r} differs by {link.ahead:+.0f} s"
        return None

    def __len__(self) -> int:
        """Keys that are attached elsewhere."""
        return sum(len(link.books) for link in self._links.values())

    def __iter__(self) -> Iterator[Books]:
        return (link.books for link in self._links.values())

    def _link(self, books: Books | None) -> "_Link | None":
        return next((link for link in self._links.values() if link.books is books), None)


class _Link:
    """One owner, and the task that reports to it."""

    def __init__(self, attachments: Attachments, owner: Node) -> None:
        self.owner = owner
        self.books = Books(self._wake)
        self.ahead = 0.0  # seconds by which the owner's clock is ahead of ours
        self._attachments = attachments
        self._wanted = trio.Event()
        self._hurry = trio.Event()
        self._reported = trio.Event()  # replaced after each report
        self._scope = trio.CancelScope()
        self._failed = 0  # reports in a row
        self.is_away = False  # the last report was not answered

    def close(self) -> None:
        """End the task; whoever waits finds that the channel has another home."""
        self._scope.cancel()
        self._reported.set()

    async def reported(self) -> None:
        """Wait for the end of the next report, which begins at once; or until closed."""
        self._hurry.set()
        await self._reported.wait()

    async def run(self) -> None:
        """Report what changes, and renew the lease, until closed."""
        with self._scope:
            while True:
                await self._wait_due()
                in_step = await self._report()
                self._failed = 0 if in_step else self._failed + 1
                self._reported.set()  # after each report: others may be due for ever
                self._reported = trio.Event()
                if not in_step:
                    pause = min(LONGEST_PAUSE, 0.05 * 2.0 ** min(self._failed, 10))
                    await trio.sleep(random.uniform(0, pause))  # noqa: S311  jitter is no secret

    async def _wait_due(self) -> None:
        """Until there is something to report, or the lease is to be renewed."""
        if not self.books.is_due or self.books.is_empty:
            renew = math.inf if self.books.is_empty else self._attachments.config.lease / 3
            with trio.move_on_after(renew):
                await self._wanted.wait()
        if not self._hurry.is_set() and not self._failed:
            with trio.move_on_after(GATHER):
                await self._hurry.wait()
        self._wanted, self._hurry = trio.Event(), trio.Event()

    async def _report(self) -> bool:
        """One report; whether the owner is in step with us now."""
        attachments = self._attachments
        entries, restart = self.books.take(attachments.hub.look, ENTRIES)
        report = Report(
            attachments.me(),
            tuple(entries),
            restart,
            len(self.books),
            self.books.digest,
            attachments.clock.last,
            attachments.now(),
        )
        try:
            caller = attachments.caller(self.owner)
            answer = await caller.call(ATTACH, report, timeout=attachments.config.lease / 3)
        except PushError as error:
            self._note_failure(error)
            self.books.lose(entries)
            self.is_away = not self.books.is_empty  # else who comes next finds out
            return False
        self.is_away = False
        if len(entries) == ENTRIES:
            self._hurry.set()  # there is more
        return self._take(answer)

    def _take(self, answer: Answer) -> bool:
        now = self._attachments.now()
        self.ahead = answer.now - now
        self._attachments.clock.observe_claim(answer.clock, int(now * 1e6))
        if answer.in_step:
            self.books.settle()
        else:
            if not self._failed:  # an owner that never agrees is told for ever
                log.warning("attachments told again", owner=self.owner.name)
            self.books.lose(())
        return answer.in_step

    def _note_failure(self, error: PushError) -> None:
        if not self._failed and not isinstance(error, OutcomeUnknown):
            log.warning("owner away", owner=self.owner.name, error=str(error))

    def _wake(self) -> None:
        self._wanted.set()
