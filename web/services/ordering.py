"""Orders with an idempotency key: done once, answered twice.

    remember  "claim/<name>"   = fingerprint      before the push: what this key stands for
    recall    "answer/<name>"                     known: that is the answer
    push, with the push id that comes from the name
    remember  "answer/<name>"  = what happened    only if it happened everywhere

A crash between the two leaves the claim: the repetition pushes again with the same push id, and the
store answers what it answered first. Two repetitions at once in this process take turns; in two
processes the store makes them one message. An order that failed somewhere is not remembered, so its
repetition finishes it.
"""

import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec
import trio

from appmodel.core.interfaces import Ledger
from appmodel.core.message import DEDUPE_WINDOW, Push
from appmodel.core.names import Key
from appmodel.errors import Conflict, PushError
from web.core.orders import Claim, Order, Outcome, Sent
from web.services.pushing import Pushing

_ENCODER = msgspec.msgpack.Encoder()


class _Answer(msgspec.Struct, array_like=True):
    sent: list[Sent]
    keys: (
        tuple[Key, ...] | None
    )  # None: those of the push; a group may have others by the next time


_ANSWER = msgspec.msgpack.Decoder(_Answer)


class Ordering:
    """Places orders: pushes each, unless it was done before."""

    def __init__(
        self,
        pushing: Pushing,
        ledger: Callable[[], Ledger],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._pushing = pushing
        self._ledger = ledger
        self._now = now
        self._turns: dict[bytes, trio.Event] = {}  # of claims at work; set when they are done

    async def place(self, orders: Sequence[Order]) -> list[Outcome]:
        """One outcome per order, in their order; never raises a PushError.

        Orders without an idempotency key cost nothing more than a push. Cancelling leaves what was
        pushed on its way; its repetition gets the same messages.
        """
        names = {order.claim.name for order in orders if order.claim is not None}
        if not names:
            return await self._pushing.push([order.push for order in orders])
        async with self._take_turns(names):
            return await self._place_claimed(orders)

    async def _place_claimed(self, orders: Sequence[Order]) -> list[Outcome]:
        leaders: dict[bytes, Order] = {}  # by push id: the first of those that claim the same
        for order in orders:
            leaders.setdefault(order.push.push_id, order)
        outcomes: dict[bytes, Outcome] = {}
        async with trio.open_nursery() as nursery:
            for order in leaders.values():
                if order.claim is not None:
                    nursery.start_soon(self._look_up, order.push, order.claim, outcomes)
        due = [order for push_id, order in leaders.items() if push_id not in outcomes]
        pushed = await self._pushing.push([order.push for order in due])
        async with trio.open_nursery() as nursery:
            for order, outcome in zip(due, pushed, strict=True):
                outcomes[order.push.push_id] = outcome
                if order.claim is not None and not outcome.failed:
                    nursery.start_soon(self._remember, order, order.claim, outcome)
        return [
            outcomes[order.push.push_id]
            if order.claim == leaders[order.push.push_id].claim
            else Outcome.refused(order.push, _conflict())
            for order in orders
        ]

    async def _look_up(self, push: Push, claim: Claim, outcomes: dict[bytes, Outcome]) -> None:
        """Claim the name; if that settles the order already, `outcomes` gets how."""
        ledger = self._ledger()
        until = self._now() + DEDUPE_WINDOW
        try:
            claimed = await ledger.remember(
                b"claim/" + claim.name, claim.fingerprint, kept_until=until
            )
            if claimed != claim.fingerprint:
                raise _conflict()
            answer = await ledger.recall(b"answer/" + claim.name)
        except PushError as error:
            outcomes[push.push_id] = Outcome.refused(push, error)
            return
        if answer is not None:
            kept = _ANSWER.decode(zlib.decompress(answer))
            keys = push.keys if kept.keys is None else kept.keys
            outcomes[push.push_id] = Outcome(push, dict(zip(keys, kept.sent, strict=True)))

    async def _remember(self, order: Order, claim: Claim, outcome: Outcome) -> None:
        keys = outcome.push.keys
        sent = [outcome.sent[key] for key in keys]
        remembered = _Answer(sent, None if order.names is None else keys)
        answer = zlib.compress(_ENCODER.encode(remembered), level=1)  # 10,000 mostly share an id
        until = self._now() + DEDUPE_WINDOW
        with suppress(PushError):  # it is done: a repetition finds it by its push id
            await self._ledger().remember(b"answer/" + claim.name, answer, kept_until=until)

    @asynccontextmanager
    async def _take_turns(self, names: Iterable[bytes]) -> AsyncIterator[None]:
        """Nobody else in this process works at `names` meanwhile. Sorted, so that nobody waits in a ring."""
        taken: list[bytes] = []
        try:
            for name in sorted(names):
                while name in self._turns:
                    await self._turns[name].wait()
                self._turns[name] = trio.Event()
                taken.append(name)
            yield
        finally:
            for name in taken:
                self._turns.pop(name).set()


def _conflict() -> Conflict:
    return Conflict("idempotency_key: it was used within 24 h for another push")
