"""Files: which are too old, what a tenant keeps, and how they go.

A file that a message speaks of is kept as long as its youngest link, whoever's it is.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.errors import LimitReached
from appmodel.orm.files import FileLink, StoredFile
from appmodel.orm.leases import lock

BLOCK = 4096  # bytes that a file takes beside its own: a limit of bytes is one of files, too


class OldLink(NamedTuple):
    """A mention that is too old."""

    updated: datetime
    id: str
    url: str  # as a client wrote it
    is_last: bool  # nobody mentioned the same URL since


Position = tuple[datetime, str]  # of a row in its round: a time and an id


def old_links(
    session: Session, before: datetime, after: Position | None, limit: int
) -> list[OldLink]:
    """Links that were last used before `before`, the oldest first; without those to files that we keep."""
    kept = sa.exists().where(StoredFile.id == FileLink.file_id)
    columns = FileLink.updated, FileLink.id
    found = sa.select(*columns, FileLink.file_url).where(FileLink.updated < before, ~kept)
    if after is not None:
        found = found.where(_behind(*columns, after))
    rows = session.execute(found.order_by(*columns).limit(limit)).all()
    urls = {url for *_, url in rows}
    younger = set(
        session.scalars(
            sa.select(FileLink.file_url).where(
                FileLink.updated >= before, FileLink.file_url.in_(urls)
            )
        )
    )
    return [OldLink(row[0], row[1], row[2], row[2] not in younger) for row in rows if row[0]]


def forget_links(session: Session, ids: Collection[str], before: datetime) -> int:
    """How many of them are gone: who was mentioned meanwhile stays."""
    old = sa.delete(FileLink).where(FileLink.id.in_(ids), FileLink.updated < before)
    return session.connection().execute(old).rowcount


class Expired(NamedTuple):
    """A file of ours whose time is over."""

    expires: datetime
    id: str


def expired_files(
    session: Session, at: datetime, before: datetime, after: Position | None, limit: int
) -> list[Expired]:
    """Files that expired by `at`, and that nobody mentioned since `before`."""
    mentioned = sa.exists().where(FileLink.file_id == StoredFile.id, FileLink.updated >= before)
    columns = StoredFile.expires, StoredFile.id
    found = sa.select(*columns).where(StoredFile.expires <= at, ~mentioned)
    if after is not None:
        found = found.where(_behind(*columns, after))
    rows = session.execute(found.order_by(*columns).limit(limit)).all()
    return [Expired(row[0], row[1]) for row in rows if row[0]]


def find_file(session: Session, file_id: str, tenant_id: str | None) -> StoredFile | None:
    """A file of the tenant; None as tenant: of any."""
    found = sa.select(StoredFile).where(StoredFile.id == file_id)
    if tenant_id is not None:
        found = found.where(StoredFile.tenant_id == tenant_id)
    return session.scalars(found).one_or_none()


def forget_files(session: Session, ids: Sequence[str]) -> None:
    """With all links to them."""
    session.execute(sa.delete(FileLink).where(FileLink.file_id.in_(ids)))
    session.execute(sa.delete(StoredFile).where(StoredFile.id.in_(ids)))


def room_of(session: Session, tenant_id: str) -> int:
    """Bytes that a tenant's files take."""
    taken = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(StoredFile.size), 0))
    count, size = session.execute(taken.where(StoredFile.tenant_id == tenant_id)).one()
    return int(size) + BLOCK * int(count)


def add_file(session: Session, file: StoredFile, most: int) -> None:
    """Add a file of a tenant that may keep `most` bytes; one transaction of a tenant at a time.

    Raises:
        LimitReached: they would be more.
    """
    lock(session, f"files:{file.tenant_id}")
    check_room(session, file.tenant_id, file.size, most)
    session.add(file)


def check_room(session: Session, tenant_id: str, size: int, most: int) -> None:
    """Whether a file of `size` bytes may come. Raises LimitReached."""
    taken = room_of(session, tenant_id)
    if taken + size + BLOCK > most:
        raise LimitReached(f"files: the tenant's take {taken} of {most} bytes, {size} do not fit")


def _behind(
    time: sa.SQLColumnExpression[datetime | None], id_: sa.SQLColumnExpression[str], after: Position
) -> sa.ColumnElement[bool]:
    moment, last = after
    return sa.or_(time > moment, sa.and_(time == moment, id_ > last))
