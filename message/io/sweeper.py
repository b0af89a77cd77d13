"""Frees what has expired, a slice at a time, so that nobody waits for it longer than for one slice."""

import contextlib

import trio

from appmodel.core.interfaces import OfflineStore
from appmodel.errors import PushError

PAUSE = (
    0.005  # seconds between two slices, which take 2 to 4 ms: the writer is others' half the time
)


async def sweep_for_ever(store: OfflineStore, *, interval: float, limit: int) -> None:
    """Look every `interval` seconds, and free `limit` messages at a time. Until cancelled.

    A store in trouble is tried again at the next look: it has said itself what is wrong.
    """
    while True:
        await trio.sleep(interval)
        with contextlib.suppress(PushError):
            while await store.sweep(limit=limit) >= limit:  # noqa: ASYNC110 (no event says so)
                await trio.sleep(PAUSE)
