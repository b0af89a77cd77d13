"""Files that nobody speaks of any more: which go, which stay, and who is called for it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.units import Duration
from appmodel.io.database import Database
from appmodel.orm.base import Base
from appmodel.orm.file_queries import old_links
from appmodel.orm.files import FileLink, StoredFile
from appmodel.orm.leases import Lease
from tests.appmodel.io.test_outbound import Server, serving
from web.config import FilesConfig
from web.services.buckets import Bucket
from web.services.file_cleaning import Cleaned, Cleaner
from web.services.folder_bucket import Folder
from web.services.uploads import Uploads

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, YOUNG = NOW - 8 * DAY, NOW - 6 * DAY  # kept for 7 days
ONE_KIND = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
OK = b'HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n{"size":9}'


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def cleaner(
    database: Database, folder: Path, *hosts: str, clock: Clock | None = None, **changes: Any
) -> Cleaner:
    config = FilesConfig(folder=folder, hosts=hosts, **changes)
    bucket = Bucket(Folder(folder), threads=2, timeout=10)
    week = (7 * DAY).total_seconds()
    uploads = Uploads(database, bucket, config, expire=week)
    return Cleaner(database, bucket, uploads, config, expire=week, clock=clock or Clock())


def link(sender: str, url: str, updated: datetime = OLD, fid: str = "") -> FileLink:
    return FileLink(sender_id=sender, file_id=fid or url[:64], file_url=url, updated=updated)


async def add(database: Database, *rows: Base) -> None:
    await database.write(lambda session: session.add_all(rows))


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def senders(database: Database) -> list[str]:
    found = sa.select(FileLink.sender_id).order_by(FileLink.sender_id)
    return await database.read(lambda session: list(session.scalars(found)))


def said(status: str, body: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


OK = said("202 Accepted", '{"size":9}')


@asynccontextmanager
async def weed(answer: bytes = OK) -> AsyncIterator[tuple[Server, str]]:
    """A server of files, and its "host:port"."""
    async with serving(Server(answer)) as server:
        yield server, f"127.0.0.1:{server.port}"


def asked(server: Server) -> list[str]:
    return sorted(request.partition(b" HTTP/")[0].decode() for request in server.requests)


async def test_old_files_are_deleted(database: Database, tmp_path: Path) -> None:
    """By one DELETE each; young ones stay."""
    async with weed() as (server, host):
        await add(database, link("u1", f"{host}/1,0a"), link("u2", f"{host}/2,0a"))
        await add(database, link("u3", f"{host}/3,0a", YOUNG))

        done = await cleaner(database, tmp_path, host).clean()

    assert done == Cleaned(deleted=2)
    assert asked(server) == ["DELETE /1,0a", "DELETE /2,0a"]
    assert await senders(database) == ["u3"]


async def test_somebody_else_spoke_of_it_since(database: Database, tmp_path: Path) -> None:
    """Then the file stays, and only the old mention goes; the original deletes it for both."""
    async with weed() as (server, host):
        await add(database, link("u1", f"{host}/1,0a"), link("u2", f"{host}/1,0a", YOUNG))
        clock = Clock()
        node = cleaner(database, tmp_path, host, clock=clock)

        first = await node.clean()
        left = await senders(database)
        clock.now = NOW + 2 * DAY
        second = await node.clean()

    assert (first, left) == (Cleaned(kept=1), ["u2"])
    assert second == Cleaned(deleted=1)
    assert asked(server) == ["DELETE /1,0a"]
    assert await senders(database) == []


async def test_two_old_mentions_are_one_call(database: Database, tmp_path: Path) -> None:
    """And both rows go."""
    async with weed() as (server, host):
        await add(database, link("u1", f"{host}/1,0a"), link("u2", f"{host}/1,0a"))

        await cleaner(database, tmp_path, host).clean()

    assert asked(server) == ["DELETE /1,0a"]
    assert await senders(database) == []


@ONE_KIND
@pytest.mark.parametrize(
    "url",
    [
        "{host}x/1,0a",
        "127.0.0.1:{other}/1,0a",
        "localhost:{port}/1,0a",
        "user@{host}/1,0a",
        "http://{host}/1,0a",
        "169.254.169.254/1,0a",
        "example.com/1,0a",
        "[::1]:{port}/1,0a",
        "{host}#@example.com/1,0a",
        "{host}\\@example.com/1,0a",
        " {host}/1,0a",
        "{host}/1,0a HTTP/1.1",
        "",
        "{host}/",
        "{host}/folder/?recursive=true",
        "{host}/1,0a?collection=x",
        "{host}/../1,0a",
        "{host}/1,0a/..",
    ],
)
async def test_no_other_host_is_called(database: Database, tmp_path: Path, url: str) -> None:
    """W13: a client's URL is no order to call whom, or delete what, he likes. The row goes, it says nothing to us."""
    async with weed() as (server, host), weed() as (other, _):
        url = url.format(host=host, port=server.port, other=other.port)
        await add(database, link("u1", url, fid="1"))

        done = await cleaner(database, tmp_path, host).clean()

    assert done == Cleaned(foreign=1)
    assert (server.connections, other.connections) == (0, 0)
    assert await senders(database) == []


@ONE_KIND
async def test_without_hosts_nobody_is_called(database: Database, tmp_path: Path) -> None:
    """The default; rows stay for the day on which a host is named."""
    async with weed() as (server, host):
        await add(database, link("u1", f"{host}/1,0a"))

        done = await cleaner(database, tmp_path).clean()

    assert done == Cleaned()
    assert server.connections == 0
    assert await senders(database) == ["u1"]


@ONE_KIND
@pytest.mark.parametrize(
    ("answer", "is_gone"),
    [
        (said("204 No Content"), True),
        (said("200 OK", "ok"), True),
        (said("404 Not Found", '{"error":"none"}'), True),
        (said("200 OK", '{"error":"busy"}'), False),
        (said("200 OK", '{"error":null}'), True),
        (said("500 Oops", "oops"), False),
        (said("403 Forbidden", '{"reason":"no"}'), False),
        (said("302 Found"), False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
    ],
)
async def test_a_row_goes_when_its_file_is_gone(
    database: Database, tmp_path: Path, answer: bytes, is_gone: bool
) -> None:
    """What failed is tried again next time."""
    async with weed(answer) as (server, host):
        clock = Clock()
        await add(database, link("u1", f"{host}/1,0a"))
        node = cleaner(database, tmp_path, host, clock=clock)

        done = await node.clean()
        left = await senders(database)
        server.answer, clock.now = OK, NOW + 2 * DAY
        await node.clean()

    assert done == (Cleaned(deleted=1) if is_gone else Cleaned(failed=1))
    assert left == ([] if is_gone else ["u1"])
    assert await senders(database) == []


@ONE_KIND
async def test_a_host_that_is_away_is_left_alone(database: Database, tmp_path: Path) -> None:
    """After five failures on end; the others are cleaned all the same, whatever comes first."""
    async with weed() as (good, host), weed() as (bad, away):
        bad.answer = b"nonsense\r\n\r\n"
        rows = [link(f"a{n:03}", f"{away}/{n},0a", OLD - DAY) for n in range(250)]
        await add(database, *rows, link("u1", f"{host}/1,0a"))

        done = await cleaner(database, tmp_path, host, away, deletions=1).clean()

    assert done == Cleaned(deleted=1, failed=250)
    assert len(bad.requests) == 5
    assert asked(good) == ["DELETE /1,0a"]


@ONE_KIND
async def test_failures_count_on_end_only(database: Database, tmp_path: Path) -> None:
    """A host that answers now and then is asked for every file."""
    async with weed() as (server, host):
        await add(database, *[link(f"u{n:02}", f"{host}/{n},0a") for n in range(20)])

        async def hang_up(stream: trio.abc.Stream) -> None:
            server.answer = OK if len(server.requests) % 4 == 3 else nonsense
            await stream.aclose()

        nonsense = b"nonsense\r\n\r\n"
        server.answer, server.then = nonsense, hang_up
        done = await cleaner(database, tmp_path, host, deletions=1).clean()

    assert len(server.requests) == 20
    assert done == Cleaned(deleted=5, failed=15)


@ONE_KIND
async def test_who_is_mentioned_meanwhile_stays(database: Database, tmp_path: Path) -> None:
    """A row that became young while its file was being deleted is kept."""
    async with weed() as (server, host):
        await add(database, link("u1", f"{host}/1,0a"))

        async def mention(_: object) -> None:
            young = sa.update(FileLink).values(updated=NOW)
            await database.write(lambda session: session.execute(young))

        await add(database, link("u2", f"{host}/2,0a"))
        server.then = mention
        await cleaner(database, tmp_path, host, deletions=1).clean()

    assert await senders(database) == ["u1", "u2"]


async def test_two_nodes_do_not_clean_twice(database: Database, tmp_path: Path) -> None:
    """Of all that want to, one does; and nobody before the next time is due."""
    clock = Clock()
    async with weed() as (server, host):
        await add(database, *[link(f"u{n}", f"{host}/{n},0a") for n in range(5)])
        nodes = [cleaner(database, tmp_path, host, clock=clock) for _ in range(3)]
        results: list[Cleaned | None] = []

        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(partial(_clean, node, results))

        clock.now = NOW + timedelta(hours=23)
        early = [await node.clean() for node in nodes]
        clock.now = NOW + timedelta(hours=25)
        due = [await node.clean() for node in nodes]

    assert [done for done in results if done] == [Cleaned(deleted=5)]
    assert len(server.requests) == 5
    assert early == [None, None, None]
    assert due == [Cleaned(), None, None]


async def _clean(node: Cleaner, results: list[Cleaned | None]) -> None:
    results.append(await node.clean())


@ONE_KIND
async def test_who_died_is_followed(database: Database, tmp_path: Path) -> None:
    """The lease of a node that was cleaning ends after minutes, and another goes on."""
    clock = Clock()
    row = Lease(name="clean-files", holder="dead", expires=NOW + timedelta(minutes=10))
    await add(database, row)
    node = cleaner(database, tmp_path, clock=clock)

    before = await node.clean()
    clock.now = NOW + timedelta(minutes=11)

    assert before is None
    assert await node.clean() == Cleaned()


@ONE_KIND
async def test_who_lost_the_lease_stops(database: Database, tmp_path: Path) -> None:
    """After the batch that was under way: the other cleans the rest, nothing is called twice."""
    async with weed() as (server, host):
        rows = [link(f"u{n:03}", f"{host}/{n},0a", OLD + timedelta(seconds=n)) for n in range(150)]
        await add(database, *rows)

        async def steal(_: object) -> None:
            steal_it = sa.update(Lease).values(holder="other")
            await database.write(lambda session: session.execute(steal_it))
            server.then = None

        server.then = steal
        await cleaner(database, tmp_path, host).clean()

    assert len(server.requests) == 100
    assert len(await senders(database)) == 50


async def test_files_of_ours_expire(database: Database, tmp_path: Path) -> None:
    """Bytes and row; not those whose time is not over, nor those that somebody spoke of since."""
    ids = {name: f"{n}" * 32 for n, name in enumerate(["old", "young", "mentioned"], 1)}
    bucket = Folder(tmp_path)
    for name, fid in ids.items():
        (tmp_path / "draft").write_bytes(name.encode())
        bucket.put(fid, tmp_path / "draft")
    for name, fid in ids.items():
        expires = NOW + DAY if name == "young" else NOW - DAY
        await add(database, StoredFile(id=fid, tenant_id="t1", size=3, expires=expires))
    await add(database, link("u1", "h/1", OLD, ids["old"]))
    await add(database, link("u2", "h/2", YOUNG, ids["mentioned"]))

    done = await cleaner(database, tmp_path, "weed.internal").clean()

    assert done == Cleaned(stored=1)
    left = await database.read(lambda session: set(session.scalars(sa.select(StoredFile.id))))
    assert left == {ids["young"], ids["mentioned"]}
    assert {path.name for path in kept(tmp_path)} == left
    assert await senders(database) == ["u2"]


async def test_every_old_link_comes_once(database: Database) -> None:
    """Page by page, also those of the same moment."""
    rows = [link(f"u{n}", f"h/{n}", OLD + timedelta(seconds=n // 4)) for n in range(10)]
    await add(database, *rows)

    seen: list[str] = []
    after = None
    while page := await database.read(
        partial(old_links, before=NOW - 7 * DAY, after=after, limit=3)
    ):
        seen += [one.url for one in page]
        after = page[-1].updated, page[-1].id

    assert sorted(seen) == [f"h/{n}" for n in range(10)]


@ONE_KIND
async def test_crashed_uploads_are_swept(database: Database, tmp_path: Path) -> None:
    """When they are older than any upload may be."""

    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / "old").write_bytes(b"x")
    os.utime(folder / "old", (1, 1))
    (folder / "new").write_bytes(b"x")

    await cleaner(database, tmp_path, upload_timeout=Duration(10)).clean()

    assert [path.name for path in folder.iterdir()] == ["new"]
