"""Tells Apple of a push of light-push: for a page of its room's clients, or for those that are owed an answer.

    DELIVERED, REFUSED     done
    GONE, a dead token     done; the token is forgotten
    RETRY                  the client is owed, and who told Apple of it stops: when all have, it is Apple who is away
    MISCONFIGURED          nobody else is told

At most `concurrency` tasks tell Apple, less the clients that are owed already: so no more than these can be owed.

Source: spec/liutian-push.md 8.5. Differences: several at once; 429, 5xx and lost connections are tried again (W23).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog
import trio

from appmodel.core.lightpush_records import Reachable, StoredPush
from appmodel.core.lightpush_stores import Clients
from appmodel.errors import PushError
from web.core.lightpush_apns import DEAD, Letter
from web.gateways.interface import Kind, Receipt
from web.gateways.lightpush_apns import Way

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Told:
    """What became of some clients, in their order up to `last`."""

    last: str = ""
    tried: int = 0
    delivered: int = 0
    owed: dict[str, str] = field(default_factory=dict)  # to be tried again: client and reason
    notes: list[str] = field(default_factory=list)  # for the report: who was refused, and why
    after: float = 0.0  # seconds that Apple wants to have before the next try
    is_hopeless: bool = False  # the configuration is wrong


class Telling:
    """Tells Apple, and keeps count."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.outcomes: Counter[str] = Counter()  # of tries, by kind of receipt
        self.forgotten = 0  # dead tokens

    async def tell(
        self,
        push: StoredPush,
        letter: Letter,
        way: Way,
        targets: Sequence[Reachable],
        *,
        at_once: int,
        may_go_on: Callable[[], bool],
    ) -> Told:
        """Tell Apple for `targets`. Cancelled, it may have been told for some.

        Args:
            at_once: tasks that tell.
            may_go_on: asked before each; what was begun is finished.
        """
        told, waiting = Told(), iter(targets)
        async with trio.open_nursery() as nursery:
            for _ in range(min(at_once, len(targets))):
                nursery.start_soon(self._work, push, letter, way, waiting, told, may_go_on)
        return told

    async def _work(
        self,
        push: StoredPush,
        letter: Letter,
        way: Way,
        waiting: Iterator[Reachable],
        told: Told,
        may_go_on: Callable[[], bool],
    ) -> None:
        while may_go_on() and not told.is_hopeless:
            target = next(waiting, None)
            if target is None:
                return
            told.last = target.client
            receipt = await way.send(target.device_token, letter, push.id)
            self._note(target, receipt, told)
            if receipt.kind is Kind.RETRY:
                return
            if receipt.kind is Kind.GONE or receipt.reason in DEAD:
                await self._forget(push.draft.namespace, target)

    def _note(self, target: Reachable, receipt: Receipt, told: Told) -> None:
        self.outcomes[receipt.kind] += 1
        told.tried += 1
        if receipt.kind is Kind.DELIVERED:
            told.delivered += 1
        elif receipt.kind is Kind.RETRY:
            told.owed[target.client] = receipt.reason
            told.after = max(told.after, receipt.after or 0.0)
        else:
            told.notes.append(f"{target.client}:{receipt.reason}")
            told.is_hopeless |= receipt.kind is Kind.MISCONFIGURED

    async def _forget(self, namespace: str, target: Reachable) -> None:
        try:
            self.forgotten += await self._clients.forget_token(
                namespace, target.client, target.device_token
            )
        except PushError:  # Apple says so again next time
            log.info("a dead device token stays", namespace=namespace, client=target.client)
