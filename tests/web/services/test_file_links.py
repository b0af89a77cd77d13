"""The bookkeeping of files that messages speak of."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import trio

from appmodel.errors import Unavailable
from appmodel.io.database import Database
from appmodel.orm.base import now
from appmodel.orm.files import FileLink
from web.core.file_rules import Upload
from web.services.file_links import FileLinks

ONE_KIND = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def picture(fid: str = "3,01", name: str = "a.png") -> Upload:
    return Upload(fid=fid, file_name=name, file_url=f"weed:8080/{fid}", size=9)


async def rows(database: Database) -> list[FileLink]:
    found = sa.select(FileLink).order_by(FileLink.sender_id, FileLink.file_id)
    return await database.read(lambda session: list(session.scalars(found)))


async def test_a_mention_is_a_row(database: Database) -> None:
    """One for each sender and file; who mentions it again makes it younger, and changes nothing else."""
    links = FileLinks(database, flush=0, limit=10)
    old = now() - timedelta(days=5)
    links.note("u1", picture())
    links.note("u2", picture())
    await links.flush()
    await database.write(lambda session: session.execute(sa.update(FileLink).values(updated=old)))

    links.note("u1", picture(name="another.png"))
    await links.flush()

    first, second = await rows(database)
    assert (first.sender_id, first.file_id, first.file_name) == ("u1", "3,01", "a.png")
    assert (first.file_url, first.size) == ("weed:8080/3,01", 9)
    assert first.updated is not None
    assert now() - first.updated < timedelta(minutes=1)
    assert second.updated == old


async def test_many_mentions_are_written_in_batches(database: Database) -> None:
    """1,200 of them in three statements."""
    links = FileLinks(database, flush=0, limit=10_000)
    for number in range(1200):
        links.note("u1", picture(str(number)))
    before = database.statements

    await links.flush()

    assert len(await rows(database)) == 1200
    assert database.statements - before <= 4


@ONE_KIND
async def test_a_clean_stop_loses_nothing(database: Database) -> None:
    """What was noted is written when the node ends, although its time had not come."""
    links = FileLinks(database, flush=3600, limit=10)
    async with trio.open_nursery() as nursery:
        await nursery.start(links.run)
        links.note("u1", picture())
        await trio.testing.wait_all_tasks_blocked()

        nursery.cancel_scope.cancel()

    assert len(await rows(database)) == 1


@ONE_KIND
async def test_a_database_that_is_away_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did not take is written when it is back, the youngest of each."""
    links = FileLinks(database, flush=0, limit=10)

    async def refuse(work: Any) -> None:
        links.note("u1", picture(name="new.png"))  # meanwhile
        await trio.lowlevel.checkpoint()
        raise Unavailable("away")

    links.note("u1", picture())
    links.note("u2", picture())
    with monkeypatch.context() as patch:
        patch.setattr(database, "write", refuse)
        await links.flush()
    assert await rows(database) == []

    await links.flush()

    found = [(row.sender_id, row.file_name) for row in await rows(database)]
    assert found == [("u1", "new.png"), ("u2", "a.png")]
    assert links.lost == 0


@ONE_KIND
async def test_what_waits_has_a_limit(database: Database) -> None:
    """More is counted as lost; who is known already is not more."""
    links = FileLinks(database, flush=0, limit=2)

    for sender in ("u1", "u2", "u3", "u1"):
        links.note(sender, picture())
    await links.flush()

    assert [row.sender_id for row in await rows(database)] == ["u1", "u2"]
    assert links.lost == 1
