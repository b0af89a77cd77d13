"""Acknowledgements written behind: a database that is away costs nothing but time."""

from collections.abc import Sequence

import pytest
import trio

from appmodel.core.mpush_stores import AckNews, AckState
from appmodel.core.units import Duration
from appmodel.errors import OutcomeUnknown
from appmodel.io.database import Database
from appmodel.io.mpush_books import SqlAckBook, SqlDevices
from comet.config import AcksConfig
from comet.io.mpush_acks import AckWriter
from tests.comet.world import LIMIT

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
QUICK = AcksConfig(gather=Duration(0.01), max_pause=Duration(0.05))


class Shaky:
    """A book that fails as often as it is told, before or after it has written."""

    def __init__(self, book: SqlAckBook, *failures: str) -> None:
        self._book, self._failures = book, list(failures)

    async def acknowledge(self, news: Sequence[AckNews]) -> None:
        failure = self._failures.pop(0) if self._failures else ""
        if failure != "before":
            await self._book.acknowledge(news)
        if failure:
            raise OutcomeUnknown("the database did not answer")

    async def states(self, names: Sequence[str]) -> object:
        return await self._book.states(names)


async def test_what_failed_is_written_again(database: Database) -> None:
    """Whether it was written or not; until then a login is told all the same."""
    await SqlDevices(database).preregister(["a", "b"], now=0)
    book = SqlAckBook(database)
    writer = AckWriter(Shaky(book, "before", "after"), QUICK)  # type: ignore[arg-type]
    writer.note("a", 5, [7])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        with trio.fail_after(LIMIT):
            while not writer.failures:
                await trio.lowlevel.checkpoint()
            assert writer.trouble
            assert writer.merged("a", AckState()) == AckState(5, frozenset({7}))
            writer.note("b", 1, [])
            while writer.pending:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()

    assert dict(await book.states(["a", "b"])) == {
        "a": AckState(5, frozenset({7})),
        "b": AckState(1),
    }
    assert writer.trouble is None


async def test_the_rest_is_written_at_the_end(database: Database) -> None:
    """When everybody has gone."""
    await SqlDevices(database).preregister(["a"], now=0)
    book = SqlAckBook(database)
    writer = AckWriter(book, QUICK)
    writer.note("a", 5, [])

    await writer.leave()

    assert dict(await book.states(["a"])) == {"a": AckState(5)}
