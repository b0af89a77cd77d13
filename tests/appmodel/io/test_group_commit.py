"""Writes that wait together are one transaction, in the order of their coming, and nobody suffers for another."""

from collections.abc import AsyncIterator, Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from appmodel.errors import LimitReached, Unavailable
from appmodel.io.group_commit import GroupCommit

UNLUCKY = 13


class Book:
    """What is written, by callers who each have a task. It takes no 13, and nothing beside one."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._making = GroupCommit(self._write_all, waiting=3)
        self.calls: list[list[int]] = []
        self.opened = trio.Event()  # until then a call takes time
        self.fault: Exception | None = None
        self.heard: dict[int, str | type[Exception]] = {}

    async def write(self, *items: int) -> trio.CancelScope:
        """One caller for each, and go on when all that can happen has happened. They end with the scope."""
        scope = trio.CancelScope()
        self._nursery.start_soon(self._write_each, items, scope)
        await wait_all_tasks_blocked()
        return scope

    async def open(self) -> None:
        """The call under way ends, and the next ones take no time."""
        self.opened.set()
        await wait_all_tasks_blocked()

    async def _write_each(self, items: Sequence[int], scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                for item in items:
                    nursery.start_soon(self._write, item)

    async def _write(self, item: int) -> None:
        try:
            self.heard[item] = await self._making.write(item)
        except (LimitReached, Unavailable, ValueError) as error:
            self.heard[item] = type(error)

    async def _write_all(self, items: Sequence[int]) -> list[str]:
        self.calls.append(sorted(items))
        await self.opened.wait()
        if self.fault is not None:
            raise self.fault
        if UNLUCKY in items:
            raise ValueError(UNLUCKY)
        return [f"{item}" for item in items]


@pytest.fixture
async def book() -> AsyncIterator[Book]:
    """An empty one."""
    async with trio.open_nursery() as nursery:
        book = Book(nursery)
        yield book
        book.opened.set()  # a call under way is waited for
        nursery.cancel_scope.cancel()


async def test_who_comes_in_the_same_moment_is_written_together(book: Book) -> None:
    """One call, and everybody has his own answer."""
    await book.open()

    await book.write(1, 2, 3)

    assert book.calls == [[1, 2, 3]]
    assert book.heard == {1: "1", 2: "2", 3: "3"}


async def test_who_comes_meanwhile_is_the_next_call(book: Book) -> None:
    """At most one is under way."""
    await book.write(1)
    await book.write(2)
    await book.write(3)
    assert book.calls == [[1]]

    await book.open()

    assert book.calls == [[1], [2, 3]]
    assert book.heard == {1: "1", 2: "2", 3: "3"}


async def test_who_goes_while_he_waits_is_not_written(book: Book) -> None:
    """And those behind him are, even if he was to lead them."""
    await book.write(1)
    gone = await book.write(2)
    await book.write(3)

    gone.cancel()
    await book.open()

    assert book.calls == [[1], [3]]
    assert book.heard == {1: "1", 3: "3"}


async def test_who_writes_for_others_goes_when_that_is_done(book: Book) -> None:
    """They depend on it."""
    leader = await book.write(1)
    await book.write(2)

    leader.cancel()
    await book.open()

    assert book.calls == [[1], [2]]
    assert book.heard == {1: "1", 2: "2"}


async def test_a_bad_one_is_the_only_one_that_is_refused(book: Book) -> None:
    """The others are written without it, each by itself."""
    await book.open()

    await book.write(1, UNLUCKY, 3)

    assert sorted(book.calls) == [[1], [1, 3, UNLUCKY], [3], [UNLUCKY]]
    assert book.heard == {1: "1", UNLUCKY: ValueError, 3: "3"}


async def test_a_store_that_is_away_is_away_for_all(book: Book) -> None:
    """Nothing is tried again for each of them; who comes later is a new call."""
    await book.open()
    book.fault = Unavailable("away")

    await book.write(1, 2)
    book.fault = None
    await book.write(3)

    assert book.calls == [[1, 2], [3]]
    assert book.heard == {1: Unavailable, 2: Unavailable, 3: "3"}


async def test_too_many_are_refused(book: Book) -> None:
    """What waits is bounded."""
    await book.write(1)
    await book.write(2, 3, 4)

    await book.write(5)

    assert book.heard == {5: LimitReached}
