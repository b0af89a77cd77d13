"""Files that messages speak of: who mentioned which, and when last.

    msgType 2, objectContent.responseUpload {"fid","fileName","fileUrl","size"}     a row of file_link

    note ──> gathered in memory ──(each `flush`, and at the stop)──> file_link, 500 rows a statement
                    ^                                                    │
                    └────────── back again, if the database is away <────┘

No message waits for it. A clean stop loses nothing, a crash what was noted within the last second: then the
file stays for good where it is. Writing a mention twice is harmless.

Source: appmsgsrv app/fileLink.go; spec/appmsgsrv.md 8.7.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from appmodel.errors import PushError
from appmodel.io.database import Database
from appmodel.orm.base import now
from appmodel.orm.files import FileLink
from appmodel.orm.upserts import upsert
from web.core.file_rules import Upload

PER_BATCH = 500  # rows in one transaction
LAST_FLUSH = 5.0  # seconds at the stop

log = structlog.get_logger(__name__)


class Mention(NamedTuple):
    """One file as one sender knows it."""

    sender_id: str  # user or application
    file_id: str


class FileLinks:
    """The bookkeeping of this node. `run` must be running."""

    def __init__(self, database: Database, *, flush: float, limit: int) -> None:
        """
        Args:
            flush: seconds between two batches.
            limit: mentions that may be gathered; more are not noted, but `lost`.
        """
        self._database, self._flush_after, self._limit = database, flush, limit
        self._gathered: dict[Mention, tuple[Upload, datetime]] = {}
        self._noted = trio.Event()
        self.lost = 0  # mentions

    def note(self, sender_id: str, upload: Upload) -> None:
        """A message that speaks of `upload` was sent. Never waits, never raises."""
        self._keep({Mention(sender_id, upload.fid): (upload, now())})

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Flush until cancelled, and once more then."""
        task_status.started()
        try:
            while True:
                await self._noted.wait()
                await trio.sleep(self._flush_after)
                await self.flush()
        finally:
            with trio.move_on_after(LAST_FLUSH, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Bring what is gathered to the database; what it does not take stays here. Cancelling is safe."""
        gathered, self._gathered = self._gathered, {}
        self._noted = trio.Event()
        rest = sorted(gathered)
        try:
            while rest:
                batch = rest[:PER_BATCH]
                rows = [_row(mention, *gathered[mention]) for mention in batch]
                await self._database.write(partial(_write, rows))
                del rest[:PER_BATCH]
        except (PushError, SQLAlchemyError) as error:
            log.warning("mentions of files wait", count=len(rest), error=type(error).__name__)
        finally:
            if rest:
                self._keep({mention: gathered[mention] for mention in rest})

    def _keep(self, mentions: Mapping[Mention, tuple[Upload, datetime]]) -> None:
        lost = 0
        for mention, said in mentions.items():
            there = self._gathered.get(mention)
            if there is None and len(self._gathered) >= self._limit:
                lost += 1
            elif there is None or there[1] < said[1]:
                self._gathered[mention] = said
        self._noted.set()
        if lost and not self.lost:
            log.warning("mentions of files are lost", limit=self._limit)  # and `lost` is a metric
        self.lost += lost


def _row(mention: Mention, upload: Upload, updated: datetime) -> dict[str, Any]:
    return {
        "sender_id": mention.sender_id,
        "file_id": mention.file_id,
        "file_name": upload.file_name,
        "file_url": upload.file_url,
        "size": int(upload.size),
        "updated": updated,
    }


def _write(rows: Sequence[dict[str, Any]], session: Session) -> None:
    upsert(session, FileLink, rows, keys=["sender_id", "file_id"], update=["updated"])
