"""Files in a folder, two levels deep: <folder>/4f/02/4f02c1...

A draft becomes a file by a rename, after both are on the disk: who reads sees all of it or nothing.
Several web nodes may share the folder.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from appmodel.errors import NotFound, Unavailable

FULL = {errno.ENOSPC, errno.EDQUOT}
ONLY_ME = 0o600
ONLY_MY_FOLDER = 0o700

log = structlog.get_logger(__name__)


class Folder:
    """A `Store`; see buckets.py."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, fid: str, draft: Path) -> None:
        """See Store.put. `draft` must be on the same file system, and on the disk."""
        place = self._place(fid)
        with on_disk():
            for folder in (place.parent.parent, place.parent):
                make_folder(folder)
            draft.replace(place)
            sync_folder(place.parent)

    def read(self, fid: str, start: int, size: int) -> bytes:
        """See Store.read."""
        with on_disk():
            try:
                file = self._place(fid).open("rb", buffering=0)
            except FileNotFoundError:
                raise NotFound(f"fid: there is no file {fid!r}") from None
            with file:
                file.seek(start)
                return file.read(size)

    def delete(self, fid: str) -> None:
        """See Store.delete."""
        with on_disk(), suppress(FileNotFoundError, NotADirectoryError):
            self._place(fid).unlink()

    def close(self) -> None:
        """See Store.close."""

    def _place(self, fid: str) -> Path:
        return self._root / fid[:2] / fid[2:4] / fid


def make_folder(folder: Path) -> None:
    """Make it, for us alone, and durable, if it is not there. Raises OSError."""
    if folder.is_dir():
        return
    folder.mkdir(mode=ONLY_MY_FOLDER, parents=True, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """What was made or renamed in it is there after a crash. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def on_disk() -> Iterator[None]:
    """What a disk refuses is Unavailable. Its paths are for the log."""
    try:
        yield
    except OSError as error:
        log.warning("files", error=str(error))
        if error.errno in FULL:
            raise Unavailable("files: there is no room left on the disk") from None
        raise Unavailable("files: their folder does not serve") from None
