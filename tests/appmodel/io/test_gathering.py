"""Questions that wait together are one call."""

from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
import trio
import trio.testing

from appmodel.errors import LimitReached, Unavailable
from appmodel.io.gathering import MANY, Gathering


class Source:
    """Answers when it is let, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_answer = trio.Event()
        self.error: Exception | None = None

    async def load(self, keys: Sequence[int]) -> Mapping[int, str]:
        self.calls.append(list(keys))
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return {key: str(key) for key in keys if key >= 0}


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def gathering(source: Source) -> AsyncIterator[Gathering[int, str]]:
    gathering = Gathering(source.load)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gathering.run)
        yield gathering
        nursery.cancel_scope.cancel()


async def test_those_who_wait_are_one_call(source: Source, gathering: Gathering[int, str]) -> None:
    """What comes while one is under way is the next one; each key is asked for once."""
    found: list[tuple[int, str | None]] = []

    async def ask(key: int) -> None:
        found.append((key, await gathering.get(key)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 1)
        await trio.testing.wait_all_tasks_blocked()
        for key in (2, 3, 3, -1):
            nursery.start_soon(ask, key)
        await trio.testing.wait_all_tasks_blocked()
        source.may_answer.set()

    assert source.calls[0] == [1]
    assert sorted(source.calls[1]) == [-1, 2, 3]
    assert len(source.calls) == 2
    assert sorted(found) == [(-1, None), (1, "1"), (2, "2"), (3, "3"), (3, "3")]


async def test_an_answer_is_never_older_than_its_question(
    source: Source, gathering: Gathering[int, str]
) -> None:
    """Who asks while the key is being loaded gets what the next call finds."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gathering.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(gathering.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        source.may_answer.set()

    assert source.calls == [[1], [1]]


async def test_an_error_is_for_those_who_asked(
    source: Source, gathering: Gathering[int, str]
) -> None:
    """Each of them; the next ones are asked for anew."""
    source.may_answer.set()
    for error in (Unavailable("away"), ZeroDivisionError()):
        source.error = error
        with pytest.raises(type(error)):
            await gathering.get(1)
    source.error = None

    assert await gathering.get(1) == "1"


async def test_who_waits_may_leave_at_once(source: Source, gathering: Gathering[int, str]) -> None:
    """Although the call goes on."""
    with trio.move_on_after(0) as scope:
        await gathering.get(1)
    assert scope.cancelled_caught

    source.may_answer.set()
    assert await gathering.get(1) == "1"


async def test_a_call_is_bounded(source: Source, gathering: Gathering[int, str]) -> None:
    """Many keys are several calls."""
    source.may_answer.set()
    async with trio.open_nursery() as nursery:
        for key in range(MANY + 1):
            nursery.start_soon(gathering.get, key)

    assert [len(call) for call in source.calls] == [MANY, 1]


async def test_too_many_are_refused() -> None:
    """Nobody answers here: the one too many is told at once."""
    idle = Gathering(Source().load, waiting=10)
    async with trio.open_nursery() as nursery:
        for key in range(10):
            nursery.start_soon(idle.get, key)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(LimitReached):
            await idle.get(-1)
        nursery.cancel_scope.cancel()
