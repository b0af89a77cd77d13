"""Reports of the light-push REST: a history that is read while it grows."""

from functools import partial

from appmodel.core.lightpush_records import Draft
from appmodel.io.database import Database
from appmodel.io.lightpush_pushes import SqlPushBook
from tests.databases import an_empty_database, limits
from web.config import LightpushConfig
from web.services.lightpush_reports import SLICE, PushReports

NOW = 1_793_233_999_000  # ms


async def test_a_history_that_grows_shows_nothing_twice() -> None:
    """What is pushed meanwhile moves the others on; each comes once, the newest first."""
    with an_empty_database("sqlite") as url:
        database = Database(limits(url))
        book = SqlPushBook(database)
        make = partial(book.create, Draft("/demo", "r1", "{}", 1.0, NOW, NOW + 3_600_000))
        ids = [await make() for _ in range(2 * SLICE + 3)]
        shown: list[int] = []

        pushes = PushReports(book, LightpushConfig()).history("/demo", page=1, size=500, now=NOW)
        async for push in pushes:
            shown.append(int(push["id"]))
            if len(shown) in (1, SLICE):
                await make()

        assert shown == sorted(ids, reverse=True)
        database.close()


async def test_a_page_of_a_history() -> None:
    """Of any size; the last one is shorter, and behind it there is nothing."""
    with an_empty_database("sqlite") as url:
        database = Database(limits(url))
        book = SqlPushBook(database)
        draft = Draft("/demo", "r1", "{}", 1.0, NOW, NOW + 3_600_000)
        ids = [await book.create(draft) for _ in range(SLICE + 5)][::-1]
        reports = PushReports(book, LightpushConfig())

        async def page(page: int, size: int) -> list[int]:
            pushes = reports.history("/demo", page=page, size=size, now=NOW)
            return [int(push["id"]) async for push in pushes]

        assert await page(1, SLICE) == ids[:SLICE]
        assert await page(2, SLICE) == ids[SLICE:]
        assert await page(3, SLICE) == await page(1, 0) == []
        assert await page(2, 7) == ids[7:14]
        database.close()
