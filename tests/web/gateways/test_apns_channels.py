"""Streams in their order, no more at once than allowed."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import trio
from aioapns.exceptions import ConnectionClosed

from web.gateways.apns_channels import MAX_STREAMS, Channels
from web.gateways.island import Island


async def on_island(work: Coroutine[Any, Any, None]) -> None:
    """Run something of asyncio."""
    island = Island()
    async with trio.open_nursery() as nursery:
        await nursery.start(island.run)
        with trio.fail_after(10):
            await island.call(work)
        nursery.cancel_scope.cancel()


async def test_nothing_is_opened_before_the_server_has_spoken() -> None:
    """Then as many as it allows, in the order in which they were asked for."""

    async def work() -> None:
        channels = Channels()
        wanted = [asyncio.ensure_future(channels.acquire()) for _ in range(5)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in wanted)

        channels.allow(3)
        await asyncio.wait(wanted[:3])
        assert [each.result() for each in wanted[:3]] == [1, 3, 5]
        assert not any(each.done() for each in wanted[3:])
        channels.release()
        channels.release()
        assert await asyncio.gather(*wanted[3:]) == [7, 9]
        assert channels.load == 3

    await on_island(work())


async def test_a_lowered_limit_lets_nobody_through() -> None:
    """Until enough have ended. aioapns's semaphore goes below zero, and then lets everybody in."""

    async def work() -> None:
        channels = Channels()
        channels.allow(10)
        for _ in range(10):
            await channels.acquire()

        channels.allow(2)
        waiter = asyncio.ensure_future(channels.acquire())
        for _ in range(8):
            channels.release()
            await asyncio.sleep(0)
            assert not waiter.done()
        channels.release()
        await waiter
        assert channels.open == 2

    await on_island(work())


@pytest.mark.parametrize("granted", [False, True])
async def test_who_gives_up_leaves_its_place(granted: bool) -> None:
    """Whether it was still waiting, or was given one at that moment."""

    async def work() -> None:
        channels = Channels()
        channels.allow(1)
        await channels.acquire()
        waiter = asyncio.ensure_future(channels.acquire())
        await asyncio.sleep(0)

        if granted:
            channels.release()
        waiter.cancel()
        await asyncio.wait([waiter])
        if not granted:
            channels.release()

        assert waiter.cancelled()
        assert channels.load == 0
        await channels.acquire()

    await on_island(work())


async def test_who_waits_for_a_connection_that_ends_hears_of_it() -> None:
    """All of them, and those who give up at that moment, too."""

    async def work() -> None:
        channels = Channels()
        waiters = [asyncio.ensure_future(channels.acquire()) for _ in range(3)]
        await asyncio.sleep(0)

        channels.destroy(ConnectionClosed("over"))
        waiters[2].cancel()
        await asyncio.wait(waiters)

        assert all(isinstance(each.exception(), ConnectionClosed) for each in waiters[:2])
        assert channels.load == 0

    await on_island(work())


async def test_a_server_that_allows_all_is_not_believed() -> None:
    """Memory has an end."""
    channels = Channels()

    channels.allow(2**31)

    assert channels.bound == MAX_STREAMS
