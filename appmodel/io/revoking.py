"""Hearing of revoked credentials: each node polls the ledger and remembers what is void.

A store that is away leaves the last knowledge in place: connections stay, and what was void stays void.
"""

import time
from collections.abc import Callable

import structlog
import trio

from appmodel.core.interfaces import Ledger
from appmodel.core.message import Revocation
from appmodel.core.revocations import Revocations
from appmodel.errors import PushError

log = structlog.get_logger(__name__)

POLL = 1.0  # seconds: how long a revoked credential may still be good
FORGET_EVERY = 600  # polls: what has expired by itself is dropped every 10 minutes


async def poll_revocations(
    ledger: Ledger,
    known: Revocations,
    *,
    on_revocation: Callable[[Revocation], None] | None = None,
    now: Callable[[], float] = time.time,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Learn what is void until cancelled; started after the first poll, or its failure.

    `on_revocation` hears of each new one, in order, and must not block.
    """
    polls = 0
    while True:
        try:
            with trio.fail_after(POLL * 5):
                news = await ledger.revocations(known.position)
        except (PushError, trio.TooSlowError) as error:
            log.warning("revocations not read", error=str(error) or "no answer in time")
            news = []
        for revocation in news:
            known.add(revocation)
            if on_revocation is not None:
                on_revocation(revocation)
        if polls == 0:
            task_status.started()
        polls += 1
        if polls % FORGET_EVERY == 0:
            known.forget(now())
        await trio.sleep(POLL)
