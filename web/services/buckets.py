"""Where the bytes of files are: a folder, or a bucket of S3; one interface, one contract.

    put(fid, draft)              the whole file, or nothing of it; `draft` may be gone then
    read(fid, start, size)       a piece: nothing stays open for a client that reads slowly
    delete(fid)                  also if it is not there

What is behind it blocks, so it runs in threads: a limiter bounds how many, and a deadline how long a call
waits. tests/contract/bucket.py holds for every `Store`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from appmodel.errors import Unavailable

PIECE = 256 * 1024  # bytes of one read: what a slow client holds in memory

T = TypeVar("T")


class Store(Protocol):
    """Files by their ids. Blocking; called from several threads.

    All methods raise Unavailable if the store is away or full: nothing was done, or may be done again.
    """

    def put(self, fid: str, draft: Path) -> None:
        """Keep what is in the file `draft`. It is durable then."""

    def read(self, fid: str, start: int, size: int) -> bytes:
        """At most `size` bytes from `start` on; fewer only at the end.

        Raises:
            NotFound: there is no such file.
        """

    def delete(self, fid: str) -> None:
        """Let it be gone."""

    def close(self) -> None:
        """Let go of connections."""


class Bucket:
    """A store, from trio."""

    def __init__(self, store: Store, *, threads: int, timeout: float) -> None:
        """`timeout`: seconds for one call, the wait for a thread included."""
        self._store, self._timeout = store, timeout
        self._limiter = trio.CapacityLimiter(threads)

    async def put(self, fid: str, draft: Path) -> None:
        """See Store.put. Cancelling waits until it is done. Raises Unavailable."""
        await self._call(partial(self._store.put, fid, draft), may_leave=False)

    async def read(self, fid: str, start: int, size: int = PIECE) -> bytes:
        """See Store.read. Cancelling is safe, and at once. Raises NotFound, Unavailable."""
        return await self._call(partial(self._store.read, fid, start, size), may_leave=True)

    async def delete(self, fid: str) -> None:
        """See Store.delete. Cancelling waits until it is done. Raises Unavailable."""
        await self._call(partial(self._store.delete, fid), may_leave=False)

    def close(self) -> None:
        """Let go of connections."""
        self._store.close()

    async def _call(self, call: Callable[[], T], *, may_leave: bool) -> T:
        with trio.move_on_after(self._timeout):
            return await trio.to_thread.run_sync(
                call, limiter=self._limiter, abandon_on_cancel=may_leave
            )
        raise Unavailable(f"files: their store had no time within {self._timeout:g} s")
