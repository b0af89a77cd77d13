"""Notifications on their way to the providers: a lane for each tenant and provider.

    put ─> lane ─> at most `concurrency` at once ─> DELIVERED, REFUSED, MISCONFIGURED   counted
                                                    GONE                                counted, forgotten
                                                    RETRY ─> later ─> its lane again, until it lapses

No lane waits for another: each has tasks of its own, which exist only while there is something in it. All that
waits is bounded, and so is all that waits for its next try.

A token is dead only if each of the tenant's credentials says so: a phone of the test app is unknown
to the real one.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import msgspec
import structlog
import trio

from appmodel.errors import PushError
from appmodel.io.contain import contain_bugs
from web.core.backlog import Backlog
from web.core.notifications import Device, Notification, Provider
from web.gateways.interface import Kind, Receipt
from web.gateways.keyring import Watched

LAPSED, DROPPED, BUG = "lapsed", "dropped", "bug"  # what becomes of it beside the kinds of receipts
NO_CREDENTIAL = Receipt(Kind.MISCONFIGURED, "no credential")

Lane = tuple[str, Provider]  # tenant id and provider

log = structlog.get_logger(__name__)


class DeliveryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    backlog: int  # notifications that wait; as many again may wait for their next try
    concurrency: int  # of one lane
    first_pause: float  # before the second try, at most; doubles
    max_pause: float  # up to here


class Errand(NamedTuple):
    """A notification for one device."""

    device: Device
    notification: Notification
    badge: int | None
    give_up_at: float  # Unix seconds
    tries: int = 0


class Keys(Protocol):
    """Who has the gateways: a Keyring."""

    async def gateways(self, tenant_id: str, provider: Provider) -> list[Watched]:
        """Those of a tenant. Raises PushError if that cannot be known now."""


class Forgetting(Protocol):
    """Who has the tokens: Addressing."""

    async def forget(self, device: Device, since: float | None) -> bool:
        """Remove a dead one. Raises PushError if that cannot be done now."""


class Delivery:
    """`run` must be running for anything to move."""

    def __init__(
        self,
        keys: Keys,
        tokens: Forgetting,
        limits: DeliveryLimits,
        *,
        now: Callable[[], float],
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """
        Args:
            now: Unix seconds.
            jitter: a number between two.
        """
        self._keys = keys
        self._tokens = tokens
        self._limits = limits
        self._now = now
        self._jitter = jitter
        self._backlog = Backlog[Lane, Errand](limits.backlog)
        self._busy: Counter[Lane] = Counter()  # tasks of each lane
        self._later: list[tuple[float, int, Lane, Errand]] = []  # a heap, by trio's time
        self._numbers = itertools.count()
        self._news = trio.Event()
        self._settled = trio.Event()
        self._nursery: trio.Nursery | None = None
        self.outcomes: Counter[tuple[str, str]] = Counter()  # by provider and what became of it
        self.retries: Counter[str] = Counter()  # by provider
        self.forgotten = 0

    @property
    def waiting(self) -> int:
        """Notifications that were not tried yet, or are tried again soon."""
        return len(self._backlog)

    @property
    def postponed(self) -> int:
        """Notifications that wait for their next try."""
        return len(self._later)

    @property
    def is_idle(self) -> bool:
        """Whether all was tried. What is postponed does not count."""
        return not self._backlog and not self._busy

    def put(self, tenant_id: str, errand: Errand) -> None:
        """Have it delivered. Never waits; if too much waits, the longest lane loses its oldest."""
        self._put((tenant_id, errand.device.provider), errand)

    async def settled(self) -> None:
        """Wait until all was tried, once."""
        while not self.is_idle:
            self._settled = trio.Event()
            await self._settled.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled. What is under way then may have arrived or not."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                self._take_back()
                self._news = trio.Event()
                due = self._later[0][0] if self._later else float("inf")
                with trio.move_on_at(due):
                    await self._news.wait()

    def _put(self, lane: Lane, errand: Errand) -> None:
        for dropped in self._backlog.put(lane, errand):
            self._count(dropped, DROPPED)
        assert self._nursery is not None, "it does not run"
        if self._busy[lane] < self._limits.concurrency:
            self._busy[lane] += 1
            self._nursery.start_soon(self._work, lane)

    async def _work(self, lane: Lane) -> None:
        while (errand := self._backlog.take_from(lane)) is not None:
            with contain_bugs("notification", partial(self._on_bug, errand)):
                await self._try(lane, errand)
        self._busy[lane] -= 1
        if not self._busy[lane]:
            del self._busy[lane]
        if self.is_idle:
            self._settled.set()

    async def _try(self, lane: Lane, errand: Errand) -> None:
        if self._now() > errand.give_up_at:
            self._count(errand, LAPSED)
            return
        receipt = await self._send(lane, errand)
        if receipt.kind is Kind.RETRY:
            self._postpone(lane, errand, receipt.after or 0.0)
            return
        self._count(errand, receipt.kind)
        if receipt.kind is Kind.GONE:
            await self._forget(errand.device, receipt.at)

    async def _send(self, lane: Lane, errand: Errand) -> Receipt:
        try:
            gateways = await self._keys.gateways(*lane)
        except PushError as error:
            return Receipt(Kind.RETRY, str(error))
        receipts = []
        for gateway in gateways:
            receipt = await gateway.send(errand.device, errand.notification, errand.badge)
            if receipt.kind in (Kind.DELIVERED, Kind.RETRY):
                return receipt
            receipts.append(receipt)
        return _verdict(receipts)

    def _postpone(self, lane: Lane, errand: Errand, at_least: float) -> None:
        limits = self._limits
        pause = min(limits.max_pause, limits.first_pause * 2.0 ** min(errand.tries, 30))
        pause = max(self._jitter(pause / 2, pause), at_least)
        if self._now() + pause > errand.give_up_at:
            self._count(errand, LAPSED)
        elif len(self._later) >= limits.backlog:
            self._count(errand, DROPPED)
        else:
            self.retries[errand.device.provider] += 1
            again = errand._replace(tries=errand.tries + 1)
            due = trio.current_time() + pause
            heapq.heappush(self._later, (due, next(self._numbers), lane, again))
            self._news.set()

    def _take_back(self) -> None:
        """Put what is due into its lane again."""
        now = trio.current_time()
        while self._later and self._later[0][0] <= now:
            _, _, lane, errand = heapq.heappop(self._later)
            self._put(lane, errand)

    async def _forget(self, device: Device, since: float | None) -> None:
        try:
            self.forgotten += await self._tokens.forget(device, since)
        except PushError:  # the next notification for it says so again
            log.info("a dead device token stays", provider=device.provider, token=device.digest)

    def _on_bug(self, errand: Errand, _bug: BaseException) -> None:
        self._count(errand, BUG)

    def _count(self, errand: Errand, outcome: str) -> None:
        self.outcomes[errand.device.provider, outcome] += 1


def _verdict(receipts: list[Receipt]) -> Receipt:
    """Of all credentials of a tenant, none of which could deliver."""
    alive = [each for each in receipts if each.kind is not Kind.GONE]
    if alive:
        return alive[0]
    dated = [each for each in receipts if each.at is not None]
    return (dated or receipts or [NO_CREDENTIAL])[0]
