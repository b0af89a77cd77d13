"""Jobs from the durable queue: several workers share it, and each job is somebody's."""

from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import pytest
import structlog.testing
import trio
import trio.testing

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import StoredPush
from appmodel.errors import Unavailable
from appmodel.io.database import Database
from appmodel.io.lightpush_pushes import SqlPushBook
from tests.web.absent import LEASE, Absent, Worker, opened

ANDROID = Platform.ANDROID

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it; `opened` gives up after a while."""
    while not condition():
        await trio.testing.wait_all_tasks_blocked(0.001)


def done(*workers: Worker) -> int:
    """Jobs that are done."""
    return sum(worker.queue.outcomes["done"] for worker in workers)


async def test_workers_share_a_queue(database: Database, tmp_path: Path) -> None:
    """Each push is looked after by one of them."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        client = await absent.client("a1", ANDROID)
        await absent.phone("i1", 1)
        ids = [await absent.push() for _ in range(12)]
        workers = [absent.worker(jobs=2, poll=0.01) for _ in range(2)]
        async with trio.open_nursery() as nursery:
            for worker in workers:
                nursery.start_soon(worker.queue.run)
            await until(lambda: done(*workers) == len(ids))
            for worker in workers:
                worker.queue.stop()

        assert await absent.inbox(client) == ids[::-1]
        assert absent.notified == {1: 12}
        assert [worker.queue.busy for worker in workers] == [0, 0]


async def test_so_many_jobs_are_in_hand_and_no_more(database: Database, tmp_path: Path) -> None:
    """While Apple takes its time; when it has answered, the others have their turn."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        await absent.phone("i1", 1)
        await absent.push()
        absent.apple.server.hold = True
        worker = absent.worker(jobs=2, poll=0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.queue.run)
            await until(lambda: len(absent.apple.server.asked) == 1)
            for _ in range(4):
                await absent.push()
            await until(lambda: len(absent.apple.server.asked) >= 2)
            others = await absent.pushes.claim_jobs(now=absent.clock.ms, lease=0, limit=9)
            assert len(others) == 3
            assert worker.queue.busy == 2
            absent.apple.server.release.set()
            await until(lambda: done(worker) == 5)
            worker.queue.stop()


async def test_a_worker_that_stops_finishes_what_it_began(
    database: Database, tmp_path: Path
) -> None:
    """And gives back the rest at once."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        for number in range(3):
            await absent.phone(f"i{number}", number)
        push_id = await absent.push()
        absent.apple.server.hold = True
        worker = absent.worker(concurrency=1)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(worker.queue.run)
                await absent.apple.server.first.wait()
                worker.queue.stop()
                absent.apple.server.release.set()

        assert worker.queue.outcomes == {"returned": 1}
        assert (await absent.report(push_id)).apns_success_count == 1
        assert await absent.work() == ["done"]
        assert absent.notified == {0: 1, 1: 1, 2: 1}


class Shaky(SqlPushBook):
    """Away, or broken, when a test says so."""

    error: Exception | None = None

    async def put_in_inboxes(self, push: StoredPush, clients: Collection[str], *, now: int) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        await super().put_in_inboxes(push, clients, now=now)


async def shaken(
    absent: Absent, error: Exception, then: Callable[[Worker], Awaitable[None]]
) -> None:
    """A worker meets an error in its first job, and `then`."""
    absent.pushes = book = Shaky(absent.database)
    await absent.push()
    book.error = error
    worker = absent.worker(poll=0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.queue.run)
        await until(lambda: bool(worker.queue.outcomes))
        book.error = None
        await then(worker)
        worker.queue.stop()


async def test_a_store_that_is_away_costs_a_pause(database: Database, tmp_path: Path) -> None:
    """The job is due again soon; the log says it once, and when it is over."""
    async with opened(database, tmp_path) as absent:
        client = await absent.client("a1", ANDROID)

        async def later(worker: Worker) -> None:
            absent.clock.ms += 1000
            await until(lambda: done(worker) == 1)

        with structlog.testing.capture_logs() as lines:
            await shaken(absent, Unavailable("the store is away"), later)

        assert len(await absent.inbox(client)) == 1
        said = [line["trouble"] for line in lines if "absent" in line["event"]]
        assert said == ["the store is away", "over"]


async def test_a_bug_costs_a_lease(database: Database, tmp_path: Path) -> None:
    """And nobody else's job."""
    async with opened(database, tmp_path) as absent:
        client = await absent.client("a1", ANDROID)

        async def later(worker: Worker) -> None:
            assert worker.queue.outcomes == {"bug": 1}
            absent.clock.ms += round(1000 * LEASE)
            await until(lambda: done(worker) == 1)

        with structlog.testing.capture_logs():
            await shaken(absent, ZeroDivisionError(), later)

        assert len(await absent.inbox(client)) == 1
