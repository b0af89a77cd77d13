"""asyncio inside of trio."""

import asyncio

import pytest
import trio
import trio.testing

from web.gateways.island import Island


async def test_what_fails_in_a_callback_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """trio-asyncio would end the program."""
    island = Island()

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    async with trio.open_nursery() as nursery:
        await nursery.start(island.run)
        assert island.loop is not None
        island.loop.call_soon(fail)
        assert await island.call(asyncio.sleep(0, "alive")) == "alive"
        nursery.cancel_scope.cancel()

    assert island.faults == 1


async def test_nobody_else_finds_a_loop() -> None:
    """A library that looks for asyncio in trio's tasks would be misled."""
    island = Island()
    async with trio.open_nursery() as nursery:
        await nursery.start(island.run)

        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_cancelled_call_ends(stubborn: bool) -> None:
    """Also if what it waits for in trio cannot be cancelled: trio-asyncio alone would wait for ever."""
    island = Island()
    thread_may_end = trio.Event()

    async def slow() -> None:
        with trio.CancelScope(shield=stubborn):
            await thread_may_end.wait()

    async def work() -> None:
        await island.from_asyncio(slow)
        await asyncio.Event().wait()

    async with trio.open_nursery() as nursery:
        await nursery.start(island.run)
        with trio.fail_after(10), trio.CancelScope() as scope:
            async with trio.open_nursery() as calls:
                calls.start_soon(lambda: island.call(work()))
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
                thread_may_end.set()
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()
