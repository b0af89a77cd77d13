"""Files that nobody speaks of any more go: one node cleans, once in a while.

    lease            whose turn it is, and not before when                   appmodel/orm/leases.py
    file_link        older than `expire`: DELETE http://<file_url>           on allowed hosts only
                     somebody mentioned the same URL since                   the file stays, the row goes
                     another host, or no file's path                         nothing is called, the row goes
    stored_file      expired, and not mentioned since `expire`               bytes, then rows

A row goes when its file is gone; what failed is tried again next time. A host that does not answer five times
on end is left alone until then. Without allowed hosts (the default) no link is looked at.

Source: appmsgsrv app/fileLink.go, cleaner; spec/appmsgsrv.md 8.7. It sends DELETE to whatever a client wrote
(W13), every node does so, and the older of two links deletes the file for both.
"""

import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
import trio
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from appmodel.core.outward import parse_url
from appmodel.core.units import Size
from appmodel.errors import BadInput, OutcomeUnknown, PushError, TooLarge, Unavailable
from appmodel.io.database import Database
from appmodel.io.outbound import Outbound, OutboundLimits
from appmodel.orm.base import now
from appmodel.orm.file_queries import (
    OldLink,
    Position,
    expired_files,
    forget_files,
    forget_links,
    old_links,
)
from appmodel.orm.leases import keep_lease, take_lease
from web.config import FilesConfig
from web.core.file_rules import is_gone, is_stored_file
from web.services.buckets import Bucket
from web.services.uploads import Uploads

LEASE = "clean-files"
TURN = timedelta(minutes=10)  # of who cleans; renewed after each batch
BATCH = 100  # rows: with 8 deletions at once and 10 s each, two minutes at most
PATIENCE = 5  # failures of a host on end
ASK = 900.0  # seconds between two looks whether it is our turn, at most
MAX_ANSWER = Size(64 * 1024)  # of what a host says to a DELETE

log = structlog.get_logger(__name__)


class _Lost(Exception):
    """Somebody else cleans now."""


@dataclass
class Cleaned:
    """What one round did."""

    deleted: int = 0  # files elsewhere
    kept: int = 0  # links of files that somebody mentioned since
    foreign: int = 0  # links to hosts that are not ours to call
    stored: int = 0  # files of ours
    failed: int = 0  # to be tried again


class Cleaner:
    """Of one node. `run` must be running."""

    def __init__(
        self,
        database: Database,
        bucket: Bucket,
        uploads: Uploads,
        config: FilesConfig,
        *,
        expire: float,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """`expire`: seconds that a file is kept after its last mention."""
        self._database, self._bucket, self._uploads = database, bucket, uploads
        self._config, self._expire, self._clock = config, timedelta(seconds=expire), clock
        self._name = secrets.token_hex(8)
        self._failures: Counter[str] = Counter()  # of hosts, on end

    async def run(self) -> None:
        """Clean when it is our turn, until cancelled. Cancelling is safe: the next one goes on."""
        most = min(self._config.clean_every, ASK)
        while True:
            await trio.sleep(random.uniform(most / 2, most))  # noqa: S311  not all nodes at once
            try:
                await self.clean()
            except (PushError, SQLAlchemyError) as error:
                log.warning("files were not cleaned", error=str(error).partition("\n")[0])

    async def clean(self) -> Cleaned | None:
        """One round, if it is our turn; what it did, else None. Raises Unavailable."""
        await self._uploads.sweep()
        if not await self._take():
            return None
        began, done = time.monotonic(), Cleaned()
        self._failures.clear()
        try:
            if self._config.hosts:
                await self._clean_links(done)
            await self._clean_stored(done)
        except _Lost:
            log.warning("files: another node took over")
            return done
        await self._keep_turn(over=True)
        log.info("files cleaned", seconds=round(time.monotonic() - began, 1), **asdict(done))
        return done

    async def _take(self) -> bool:
        at = self._clock()
        take = partial(take_lease, name=LEASE, holder=self._name, at=at, until=at + TURN)
        try:
            return await self._database.write(take)
        except IntegrityError:
            return False

    async def _keep_turn(self, *, over: bool = False) -> None:
        length = timedelta(seconds=self._config.clean_every) if over else TURN
        until = self._clock() + length
        keep = partial(keep_lease, name=LEASE, holder=self._name, until=until, over=over)
        if not await self._database.write(keep) and not over:
            raise _Lost

    async def _clean_links(self, done: Cleaned) -> None:
        limits = OutboundLimits(
            allowed=self._config.allowed,
            timeout=self._config.timeout,
            max_connections=self._config.deletions,
            max_answer=MAX_ANSWER,
        )
        before = self._clock() - self._expire
        after: Position | None = None
        async with Outbound(limits) as outbound:
            while links := await self._old_links(before, after):
                gone = await self._delete_links(outbound, links, done)
                if gone:
                    await self._database.write(partial(forget_links, ids=gone, before=before))
                await self._keep_turn()
                after = links[-1].updated, links[-1].id

    async def _old_links(self, before: datetime, after: Position | None) -> list[OldLink]:
        return await self._database.read(
            partial(old_links, before=before, after=after, limit=BATCH)
        )

    async def _delete_links(
        self, outbound: Outbound, links: Sequence[OldLink], done: Cleaned
    ) -> list[str]:
        """The ids of those whose row may go."""
        asked = {link.url for link in links if link.is_last}
        places = {url: self._place(outbound, url) for url in asked}
        gone: set[str] = {url for url, place in places.items() if place is None}

        async def delete(url: str, place: str) -> None:
            if await self._is_deleted(outbound, url, place):
                gone.add(url)

        await self._all([partial(delete, url, place) for url, place in places.items() if place])
        for url, place in places.items():
            if place is None:
                done.foreign += 1
            elif url in gone:
                done.deleted += 1
            else:
                done.failed += 1
        done.kept += sum(not link.is_last for link in links)
        return [link.id for link in links if not link.is_last or link.url in gone]

    @staticmethod
    def _place(outbound: Outbound, url: str) -> str | None:
        """The host of a link that may be called: of a file, on an allowed host. None: it may not."""
        try:
            outbound.check(f"http://{url}")
            destination = parse_url(f"http://{url}")
        except BadInput:
            return None
        return destination.origin if is_stored_file(destination.target) else None

    async def _is_deleted(self, outbound: Outbound, url: str, place: str) -> bool:
        if self._failures[place] >= PATIENCE:
            return False
        try:
            answer = await outbound.call("DELETE", f"http://{url}")
        except BadInput:
            return False
        except (Unavailable, OutcomeUnknown, TooLarge):
            self._failures[place] += 1
            return False
        self._failures[place] = 0
        return is_gone(answer.status, answer.body)

    async def _clean_stored(self, done: Cleaned) -> None:
        at = self._clock()
        before = at - self._expire
        after: Position | None = None
        while files := await self._database.read(
            partial(expired_files, at=at, before=before, after=after, limit=BATCH)
        ):
            gone: list[str] = []
            await self._all([partial(self._delete_stored, each.id, gone) for each in files])
            if gone:
                await self._database.write(partial(forget_files, ids=gone))
            await self._keep_turn()
            done.stored += len(gone)
            done.failed += len(files) - len(gone)
            after = files[-1].expires, files[-1].id

    async def _delete_stored(self, fid: str, gone: list[str]) -> None:
        try:
            await self._bucket.delete(fid)
        except PushError:
            return
        gone.append(fid)

    async def _all(self, deletions: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Call all of them, so many at once."""
        limiter = trio.CapacityLimiter(self._config.deletions)

        async def one(delete: Callable[[], Awaitable[None]]) -> None:
            async with limiter:
                await delete()

        async with trio.open_nursery() as nursery:
            for delete in deletions:
                nursery.start_soon(one, delete)
