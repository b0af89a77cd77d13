"""One errand of Mpush: brings a receiver what was pushed to its device, one message after the other.

    stored above the cursor ─> acknowledged meanwhile: left out
                            └> brought ─> DELIVERED, REFUSED    the cursor goes on, the lease is renewed
                                       ├> RETRY, MISCONFIGURED  given back until later
                                       └> GONE                  the receiver is removed

A web hook is a device: that it took a message is an acknowledgement, so its callers hear `ok`. Copies by Web Push and FCM
acknowledge nothing; what the socket acknowledges is not brought any more. A lease lasts for three times as long as one copy
may take, so none overlaps the next; who dies in the middle leaves it to another node, and that copy may come twice.

Source: spec/mpush.md 11.8.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog
import trio

from appmodel.core.message import Page, Stored
from appmodel.core.mpush import device_key
from appmodel.core.mpush_steps import SENT, step
from appmodel.core.mpush_stores import AckBook, AckNews, Errand, ReceiverKind, Receivers
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.core.names import Key
from appmodel.errors import PushError
from web.core.mpush_copies import make_copy
from web.gateways.interface import Kind, Receipt
from web.gateways.mpush_way import Way

PAGE = 20  # messages of one read
MANY = 100  # copies of one errand; then others have their turn
GIVE_BACK = 2.0  # seconds that a node which ends takes for it

log = structlog.get_logger(__name__)


class BringingLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    lease: float  # three times as long as one copy may take
    retry: float  # after a first failure; doubles
    max_retry: float  # up to here, or what the other end asks for
    hold: float  # while the configuration is wrong


class Stores(Protocol):
    """Where messages are read: `Reading`."""

    async def page(self, key: Key, after: int, limit: int) -> Page:
        """At most `limit` messages of `key` above `after`. Raises PushError."""


@dataclass(slots=True)
class _Trip:
    """How far an errand has come."""

    cursor: int  # all up to it is brought, or need not be
    until: int  # ms: the end of the lease
    brought: int = 0


class Bringing:
    """Of one web node."""

    def __init__(
        self,
        ways: Mapping[ReceiverKind, Way],
        receivers: Receivers,
        acks: AckBook,
        waits: MpushWaits,
        stores: Stores,
        limits: BringingLimits,
        *,
        now: Callable[[], float],
    ) -> None:
        """`now`: Unix seconds."""
        self._ways, self._receivers, self._acks, self._waits = ways, receivers, acks, waits
        self._stores, self._limits, self._now = stores, limits, now
        self._held: set[ReceiverKind] = set()  # whose configuration is wrong, as was said
        self.outcomes: Counter[tuple[str, str]] = Counter()  # of copies, by kind

    async def run(self, errand: Errand, may_go_on: Callable[[], bool]) -> bool:
        """Bring what there is, while `may_go_on`; whether there is more at once. Raises no PushError.

        Cancelled, it gives the errand back; a copy that is on its way then will come again.
        """
        trip = _Trip(errand.cursor, self._ms() + self._ms_of(self._limits.lease))
        try:
            return await self._bring_all(errand, trip, may_go_on)
        except trio.Cancelled:
            scope = trio.move_on_after(GIVE_BACK, shield=True)
            with scope, suppress(PushError):
                await self._receivers.finish(errand, trip.cursor, now=self._ms())
            raise
        except PushError as error:  # a store or the database is away
            with suppress(PushError):  # then its lease runs out
                await self._postpone(errand, trip, Receipt(Kind.RETRY, str(error)))
            return False

    async def _bring_all(self, errand: Errand, trip: _Trip, may_go_on: Callable[[], bool]) -> bool:
        name = errand.receiver.name
        trip.cursor = max(trip.cursor, (await self._acks.states([name]))[name].floor)
        while True:
            page = await self._stores.page(device_key(name), trip.cursor, PAGE)
            for stored in page.messages:
                if trip.brought >= MANY or not may_go_on():
                    await self._receivers.finish(errand, trip.cursor, now=self._ms())
                    return True
                if not await self._bring(errand, trip, stored):
                    return False
            if not page.more:
                # what was promised up to `wanted` and is not there has gone
                done = max(trip.cursor, errand.wanted)
                await self._receivers.finish(errand, done, now=self._ms())
                return False

    async def _bring(self, errand: Errand, trip: _Trip, stored: Stored) -> bool:
        """Whether the errand goes on."""
        receiver, kind = errand.receiver, errand.receiver.kind
        if stored.expires_at <= self._now() or await self._is_acked(receiver.name, stored.id):
            self.outcomes[kind, "left out"] += 1
            trip.cursor = stored.id
            return True
        if not await self._renewed(errand, trip):
            return False
        receipt = await self._hand_over(errand, stored)
        self.outcomes[kind, receipt.kind] += 1
        match receipt.kind:
            case Kind.DELIVERED:
                await self._note_delivered(errand, trip, stored.id)
            case Kind.REFUSED:
                self._say("copy refused", errand, receipt)
            case Kind.GONE:
                self._say("receiver removed", errand, receipt)
                await self._receivers.remove(receiver.name, kind, receiver.address)
                return False
            case _:
                await self._postpone(errand, trip, receipt)
                return False
        trip.cursor, trip.brought = stored.id, trip.brought + 1
        return await self._renew(errand, trip)

    async def _is_acked(self, name: str, message_id: int) -> bool:
        """By now, also by an acknowledgement that is not written yet."""
        if (await self._acks.states([name]))[name].has(message_id):
            return True
        [is_acked] = await self._waits.wait([Awaited(device_key(name), message_id)], 0)
        return is_acked

    async def _hand_over(self, errand: Errand, stored: Stored) -> Receipt:
        receiver = errand.receiver
        if receiver.secrets is None:
            return Receipt(Kind.MISCONFIGURED, "its secrets were sealed with another auth.secret")
        with trio.move_on_after(self._limits.lease / 3):
            return await self._ways[receiver.kind].bring(receiver, make_copy(receiver.name, stored))
        return Receipt(Kind.RETRY, "it took too long")

    async def _note_delivered(self, errand: Errand, trip: _Trip, message_id: int) -> None:
        name, kind = errand.receiver.name, errand.receiver.kind
        if errand.failures and not trip.brought:
            log.info("copies are taken again", device=name, kind=kind)
        self._held.discard(kind)
        if kind is ReceiverKind.WEBHOOK:  # it gets all that there is, in order: so a floor
            await self._acks.acknowledge([AckNews(name, floor=message_id)])
            trip.cursor = message_id
            await self._waits.note([Awaited(device_key(name), message_id)])
        else:
            trip.cursor = message_id
            await self._waits.note([step(name, SENT[kind], message_id)])

    async def _renewed(self, errand: Errand, trip: _Trip) -> bool:
        """Whether one copy more fits into the lease."""
        if self._ms() + self._ms_of(self._limits.lease / 3) < trip.until:
            return True
        return await self._renew(errand, trip)

    async def _renew(self, errand: Errand, trip: _Trip) -> bool:
        trip.until = self._ms() + self._ms_of(self._limits.lease)
        return await self._receivers.advance(errand, trip.cursor, until=trip.until)

    async def _postpone(self, errand: Errand, trip: _Trip, receipt: Receipt) -> None:
        kind, limits = errand.receiver.kind, self._limits
        failures = 0 if trip.brought else errand.failures  # in a row
        if receipt.kind is Kind.MISCONFIGURED:
            pause = limits.hold
            if kind not in self._held:
                self._say("copies cannot be brought", errand, receipt)
            self._held.add(kind)
        else:
            doubled = limits.retry * 2 ** min(failures, 30)
            pause = max(min(doubled, limits.max_retry), receipt.after or 0)
            if not failures:
                self._say("copies are not taken", errand, receipt)
        await self._receivers.postpone(errand, until=self._ms() + self._ms_of(pause))

    def _say(self, what: str, errand: Errand, receipt: Receipt) -> None:
        """No address: it may be a secret."""
        receiver = errand.receiver
        log.warning(what, device=receiver.name, kind=receiver.kind, reason=receipt.reason)

    def _ms(self) -> int:
        return round(self._now() * 1000)

    def _ms_of(self, seconds: float) -> int:
        return round(seconds * 1000)
