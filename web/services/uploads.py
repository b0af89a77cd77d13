"""Files that we keep ourselves: taken in, handed out, deleted.

    1  is there room             the tenant's files, a rough look
    2  take it in                to the disk, as fast as it comes; nothing of it stays in memory
    3  a row of stored_file      one transaction of a tenant at a time: its limit is exact
    4  the bytes                 to their bucket

A row without bytes is a file that there is not, and goes when it expires; bytes without a row would stay for
ever. So the row comes first and goes last.

Source: ours; the original's clients put their files into weed-fs, which asks nobody who they are.
"""

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import trio
from sqlalchemy.orm import Session

from appmodel.errors import BadInput, LimitReached, NotFound, PushError, TooLarge
from appmodel.io.database import Database
from appmodel.orm.base import now
from appmodel.orm.file_queries import add_file, check_room, find_file, forget_files
from appmodel.orm.files import StoredFile
from web.config import FilesConfig
from web.core.principals import Operator, Permission, Principal, subject_of, tenant_for
from web.services.buckets import PIECE, Bucket
from web.services.drafts import Draft, Drafts

LAST_STEPS = 15.0  # seconds to take back a file that could not be kept


@dataclass(frozen=True, slots=True)
class NewFile:
    """What a caller says of the bytes that follow."""

    tenant_id: str | None  # as named; None = not
    name: str
    media_type: str
    length: int | None  # bytes; None = it will be seen


@dataclass(frozen=True, slots=True)
class File:
    """A file that is kept."""

    fid: str
    tenant_id: str
    owner_id: str  # "u1@user", "a1@app"; "" = an operator
    name: str
    media_type: str
    size: int  # bytes
    digest: str  # SHA-256, hexadecimal
    expires: datetime


class Uploads:
    """The use cases."""

    def __init__(
        self, database: Database, bucket: Bucket, config: FilesConfig, *, expire: float
    ) -> None:
        """`expire`: seconds that a file is kept."""
        self._database, self._bucket, self._config = database, bucket, config
        self._drafts = Drafts(config.folder, threads=config.threads)
        self._places = _Places(config.uploads, config.uploads_each)
        self._expire = timedelta(seconds=expire)

    async def take(self, caller: Principal, wanted: NewFile, chunks: AsyncIterator[bytes]) -> File:
        """Keep a file of the caller. Cancelling is safe.

        Raises:
            TooLarge: it has more bytes than one may have.
            LimitReached: the tenant has no room, or too many come at once.
            BadInput: it has no bytes.
            Forbidden: it names another tenant.
            Unavailable: the database, the disk or the bucket is away or full.
        """
        tenant = tenant_for(caller, wanted.tenant_id)
        self._check_size(wanted.length or 0)
        with self._places.taken(_owner(caller) or "operator"):
            await self._database.read(
                lambda session: check_room(
                    session, tenant, wanted.length or 0, self._config.tenant_size
                )
            )
            fid = secrets.token_hex(16)
            async with self._drafts.new(fid) as draft:
                await self._receive(draft, chunks)
                file = File(
                    fid=fid,
                    tenant_id=tenant,
                    owner_id=_owner(caller),
                    name=wanted.name,
                    media_type=wanted.media_type,
                    size=draft.size,
                    digest=draft.digest,
                    expires=(now() + self._expire).replace(microsecond=0),
                )
                await self._keep(file, draft)
                return file

    async def find(self, fid: str, tenant_id: str | None) -> File:
        """A file of the tenant; None as tenant: of any, for who has proved that he may.

        Raises:
            NotFound: there is none.
        """
        row = await self._database.read(lambda session: find_file(session, fid, tenant_id))
        if row is None:
            raise NotFound(f"fid: there is no file {fid!r}")
        return _file_of(row)

    async def read(self, file: File, start: int) -> bytes:
        """A piece of it from `start` on; PIECE bytes, or what is left. Raises NotFound, Unavailable."""
        return await self._bucket.read(file.fid, start, min(PIECE, file.size - start))

    async def delete(self, caller: Principal, fid: str, tenant_id: str | None) -> None:
        """Let a file be gone: its owner, an operator, or who may change the tenant's data.

        Raises:
            NotFound: there is none in the tenant.
            Forbidden: it is somebody else's.
        """
        file = await self.find(fid, tenant_for(caller, tenant_id))
        if not file.owner_id or file.owner_id != _owner(caller):
            caller.require(Permission.SYNC)
        await self._bucket.delete(fid)
        await self._database.write(lambda session: forget_files(session, [fid]))

    async def sweep(self) -> int:
        """Delete what crashed uploads left on this node; how many. Raises Unavailable."""
        return await self._drafts.sweep(2 * self._config.upload_timeout + 60)

    async def _receive(self, draft: Draft, chunks: AsyncIterator[bytes]) -> None:
        async for data in chunks:
            self._check_size(draft.size + len(data))
            await draft.write(data)
        if not draft.size:
            raise BadInput("body", "", "the bytes of a file")
        await draft.finish()

    async def _keep(self, file: File, draft: Draft) -> None:
        row = partial(_add, file, self._config.tenant_size)
        try:
            await self._database.write(row)
            await self._bucket.put(file.fid, draft.path)
        except BaseException:
            with trio.move_on_after(LAST_STEPS, shield=True):
                await self._take_back(file.fid)
            raise

    async def _take_back(self, fid: str) -> None:
        """A row that stays although this fails is one of an expired file some day."""
        try:
            await self._bucket.delete(fid)
            await self._database.write(lambda session: forget_files(session, [fid]))
        except PushError:
            return

    def _check_size(self, size: int) -> None:
        if size > self._config.max_size:
            raise TooLarge(f"body: over {self._config.max_size} bytes")


class _Places:
    """How many may upload at once, and how many of them one caller."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, who: str) -> Iterator[None]:
        """For the length of an upload. Raises LimitReached."""
        if self._taken.total() >= self._most:
            raise LimitReached(f"files: {self._most} uploads are under way on this node")
        if self._taken[who] >= self._each:
            raise LimitReached(f"files: {self._each} uploads of yours are under way")
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]


def _owner(principal: Principal) -> str:
    return "" if isinstance(principal, Operator) else subject_of(principal)[1]


def _add(file: File, most: int, session: Session) -> None:
    row = StoredFile(
        id=file.fid,
        tenant_id=file.tenant_id,
        owner_id=file.owner_id,
        name=file.name,
        media_type=file.media_type,
        size=file.size,
        digest=file.digest,
        expires=file.expires,
    )
    add_file(session, row, most)


def _file_of(row: StoredFile) -> File:
    return File(
        fid=row.id,
        tenant_id=row.tenant_id,
        owner_id=row.owner_id,
        name=row.name,
        media_type=row.media_type,
        size=row.size,
        digest=row.digest,
        expires=row.expires or datetime.fromtimestamp(0, UTC),
    )
