"""Frees what has expired in light-push, a little at a time. Any number of nodes may do so at once.

Nobody waits for it: what has expired is not found, swept or not.
"""

import time
from collections.abc import Callable

import structlog
import trio

from appmodel.core.lightpush_stores import PushBook
from appmodel.errors import PushError

EVERY = 10.0  # seconds
MANY = 500  # rows of each kind in one step: a few ms of the only writer that SQLite has

log = structlog.get_logger(__name__)


def now_ms() -> int:
    """This moment, as the books have it."""
    return int(time.time() * 1000)


async def sweep_pushes(pushes: PushBook, now: Callable[[], int] = now_ms) -> None:
    """Sweep until cancelled."""
    while True:
        try:
            while await pushes.sweep(now=now(), limit=MANY):
                await trio.lowlevel.checkpoint()
        except PushError as error:
            log.warning("pushes not swept", error=str(error))
        await trio.sleep(EVERY)
