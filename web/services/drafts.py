"""Files on their way: written to the disk as they come, whole and durable before anybody keeps them.

    async with drafts.new(fid) as draft:
        await draft.write(chunk)                256 KiB are gathered, then they go to the disk
        await draft.finish()                    on the disk; draft.size, draft.digest are final
        await bucket.put(fid, draft.path)       takes it, or leaves it to be deleted here

What a crash left is swept when it is older than any upload may be.
"""

import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from web.services.folder_bucket import ONLY_ME, make_folder, on_disk

FOLDER = "incoming"  # two letters or none of it are hexadecimal: no place of a file
GATHERED = 256 * 1024  # bytes


class Draft:
    """One file. Used by one task."""

    def __init__(self, path: Path, handle: int, run: Callable[..., Any]) -> None:
        self.path = path
        self.size = 0  # bytes
        self._handle, self._run = handle, run
        self._hash = hashlib.sha256()
        self._gathered = bytearray()

    @property
    def digest(self) -> str:
        """SHA-256 of what was written, hexadecimal."""
        return self._hash.hexdigest()

    async def write(self, data: bytes) -> None:
        """Add bytes. Raises Unavailable: the disk is full, or refuses."""
        self.size += len(data)
        self._gathered += data
        if len(self._gathered) >= GATHERED:
            await self._flush(sync=False)

    async def finish(self) -> None:
        """All of it is on the disk. Raises Unavailable."""
        await self._flush(sync=True)

    async def _flush(self, *, sync: bool) -> None:
        data, self._gathered = bytes(self._gathered), bytearray()
        await self._run(partial(self._to_disk, data, sync=sync))

    def _to_disk(self, data: bytes, *, sync: bool) -> None:
        self._hash.update(data)
        view = memoryview(data)
        with on_disk():
            while view:
                view = view[os.write(self._handle, view) :]
            if sync:
                os.fsync(self._handle)


class Drafts:
    """Of this node, in a folder below that of the files."""

    def __init__(self, root: Path, *, threads: int) -> None:
        self._folder = root / FOLDER
        self._limiter = trio.CapacityLimiter(threads)

    @asynccontextmanager
    async def new(self, fid: str) -> AsyncIterator[Draft]:
        """An empty one; nothing of it is left after the block. Raises Unavailable."""
        path = self._folder / fid
        handle = await self._run(partial(self._open, path))
        try:
            yield Draft(path, handle, self._run)
        finally:
            with trio.CancelScope(shield=True):
                await self._run(partial(_end, path, handle))

    async def sweep(self, older_than: float) -> int:
        """Delete what was begun more than so many seconds ago; how many. Raises Unavailable."""
        removed: int = await self._run(partial(self._sweep, older_than))
        return removed

    async def _run(self, call: Callable[[], Any]) -> Any:
        return await trio.to_thread.run_sync(call, limiter=self._limiter)

    def _open(self, path: Path) -> int:
        with on_disk():
            make_folder(self._folder)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ONLY_ME)

    def _sweep(self, older_than: float) -> int:
        removed = 0
        with on_disk():
            if self._folder.is_dir():
                for path in self._folder.iterdir():
                    if time.time() - path.stat().st_mtime > older_than:
                        path.unlink()
                        removed += 1
        return removed


def _end(path: Path, handle: int) -> None:
    with on_disk():
        os.close(handle)
        path.unlink(missing_ok=True)
