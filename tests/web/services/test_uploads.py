"""Files that we keep: what concurrency and failing stores must not break."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.credentials import Caller
from appmodel.core.units import Size
from appmodel.errors import LimitReached, PushError, Unavailable
from appmodel.io.database import Database
from appmodel.orm.files import StoredFile
from tests.web.group_people import many_threads, user
from web.config import FilesConfig
from web.core.principals import Operator
from web.services.buckets import Bucket
from web.services.folder_bucket import Folder
from web.services.uploads import NewFile, Uploads

ROOM = 4096 + 1000  # that a file of 1,000 bytes takes
ONE_KIND = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
WANTED = NewFile(tenant_id="t1", name="a", media_type="image/png", length=None)


class Breaking(Folder):
    """A store that fails when it is told to."""

    broken = False

    def put(self, fid: str, draft: Path) -> None:
        if self.broken:
            raise Unavailable("files: broken")
        super().put(fid, draft)


def uploads(
    database: Database, folder: Path, store: Folder | None = None, **config: Any
) -> Uploads:
    bucket = Bucket(store or Folder(folder), threads=2, timeout=40)
    return Uploads(database, bucket, FilesConfig(folder=folder, **config), expire=60)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        await trio.lowlevel.checkpoint()
        yield piece


async def count(database: Database) -> int:
    rows = sa.select(sa.func.count()).select_from(StoredFile)
    return await database.read(lambda session: session.scalar(rows) or 0)


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_the_limit_of_a_tenant_is_exact(database: Database, tmp_path: Path) -> None:
    """Of six at once as many are kept as fit, whoever counts at the same time."""
    with many_threads(database) as crowd:
        both = [uploads(crowd, tmp_path, tenant_size=Size(2 * ROOM)) for _ in range(2)]
        refused: list[PushError] = []

        async def one(number: int) -> None:
            caller = user(f"u{number}")
            try:
                await both[number % 2].take(caller, WANTED, pieces(b"x" * 1000))
            except LimitReached as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(one, number)

        assert len(refused) == 4
        assert await count(database) == 2
        assert len(kept(tmp_path)) == 2


@ONE_KIND
async def test_a_store_that_fails_leaves_nothing(database: Database, tmp_path: Path) -> None:
    """No row, no bytes, no draft: the tenant's room is as it was."""
    store = Breaking(tmp_path)
    store.broken = True

    with pytest.raises(Unavailable, match="broken"):
        await uploads(database, tmp_path, store).take(user("u1"), WANTED, pieces(b"x"))

    assert (await count(database), kept(tmp_path)) == (0, [])


@ONE_KIND
async def test_pieces_of_any_size_make_the_file(database: Database, tmp_path: Path) -> None:
    """Whatever the network made of it."""
    data: Sequence[bytes] = [b"a" * 300_000, b"", b"b", b"c" * 262_144, b"d" * 7]
    service = uploads(database, tmp_path)

    file = await service.take(user("u1"), WANTED, pieces(*data))

    (path,) = kept(tmp_path)
    assert path.read_bytes() == b"".join(data)
    assert file.size == sum(map(len, data))


@ONE_KIND
async def test_an_operators_file_is_nobodys(database: Database, tmp_path: Path) -> None:
    """A user with an empty name would not own it."""
    service = uploads(database, tmp_path)
    operator = Operator(Caller("ops", "", frozenset({"admin"}), "1", 0, 9e9))

    file = await service.take(operator, WANTED, pieces(b"x"))

    assert (file.owner_id, file.tenant_id) == ("", "t1")


@ONE_KIND
async def test_a_cancelled_upload_leaves_nothing(database: Database, tmp_path: Path) -> None:
    """Wherever it was."""
    service = uploads(database, tmp_path)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            await trio.lowlevel.checkpoint()
            yield b"x" * 1000
            scope.cancel()

    with trio.CancelScope() as scope:
        await service.take(user("u1"), WANTED, endless())

    assert scope.cancelled_caught
    assert (await count(database), kept(tmp_path)) == (0, [])
