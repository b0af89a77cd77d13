"""What is done for clients that did not acknowledge a push: inboxes, and which of them hear of it at all."""

from pathlib import Path

import pytest
import trio
import trio.testing

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import MuteEdit, Progress
from appmodel.io.database import Database
from appmodel.io.lightpush_pushes_redis import RedisPushBook
from appmodel.io.lightpush_redis import RedisLink
from tests.message.stores.redis_opening import new_prefix, or_skip
from tests.web.absent import HOUR, LEASE, opened
from tests.web.gateways.apple import apple_error, device_token
from tests.web.gateways.h2_server import SILENCE
from tools.servers.redis import redis_server
from web.core.lightpush_offline import Stage, Standing

ANDROID, IOS, WEB = Platform.ANDROID, Platform.IOS, Platform.WEB

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


async def test_who_has_it_is_left_alone(database: Database, tmp_path: Path) -> None:
    """Android clients have it in their inbox, iOS clients hear of it through Apple; web clients nothing.

    Not who acknowledged it, and nobody of another room or namespace (W9: in any order of platforms).
    """
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        await absent.configure("/other", "default")
        android = [await absent.client(name, ANDROID) for name in ("a1", "m1", "z1")]
        has_it = await absent.client("a2", ANDROID), await absent.phone("i2", 2)
        elsewhere = await absent.client("a3", ANDROID, rooms=["r2"])
        foreign = await absent.client("a1", ANDROID, namespace="/other")
        await absent.phone("i1", 1)
        await absent.phone("x1", 1, namespace="/other")
        await absent.client("w1", WEB)
        push_id = await absent.push()
        await absent.acknowledge(push_id, has_it[0], ANDROID)
        await absent.acknowledge(push_id, has_it[1], IOS)

        assert await absent.work() == ["done"]

        assert [await absent.inbox(one) for one in android] == [[push_id]] * 3
        assert [await absent.inbox(one) for one in (has_it[0], elsewhere, foreign)] == [[]] * 3
        assert absent.notified == {1: 1}
        assert await absent.work() == []


@on_sqlite
async def test_nothing_is_due_before_its_time(database: Database, tmp_path: Path) -> None:
    """Nor ever, without leaveMessage."""
    async with opened(database, tmp_path) as absent:
        client = await absent.client("a1", ANDROID)
        push_id = await absent.push()
        absent.clock.ms -= 1

        assert await absent.work() == []

        absent.clock.ms += 1
        assert await absent.work() == ["done"]
        assert await absent.inbox(client) == [push_id]


@on_sqlite
async def test_the_sender_and_except_are_spared(database: Database, tmp_path: Path) -> None:
    """On both platforms (W15)."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        android = [await absent.client(name, ANDROID) for name in ("a1", "a2")]
        phones = [await absent.phone(f"i{number}", number) for number in (1, 2)]
        ids = [
            await absent.push(**{"except": android[0], "from": phones[0]}),
            await absent.push(**{"except": phones[1], "from": android[1]}),
        ]

        assert await absent.work() == ["done", "done"]

        assert [await absent.inbox(one) for one in android] == [[ids[1]], [ids[0]]]
        assert absent.notified == {2: 1, 1: 1}


@on_sqlite
async def test_who_wants_nothing_is_skipped_and_nobody_else(
    database: Database, tmp_path: Path
) -> None:
    """leaveMessage false, no token; the others still hear of it (8.3: there it ended the loop)."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        quiet = await absent.client("a1", ANDROID, leave_message=False)
        loud = await absent.client("a2", ANDROID, leave_message=True)
        await absent.phone("i1", 1, leave_message=False)
        await absent.phone("i2", 2, device_token="")
        await absent.phone("i3", 3)
        push_id = await absent.push()

        assert await absent.work() == ["done"]

        assert (await absent.inbox(quiet), await absent.inbox(loud)) == ([], [push_id])
        assert absent.notified == {3: 1}


@on_sqlite
async def test_a_mute_is_of_exactly_that_room(database: Database, tmp_path: Path) -> None:
    """Who mutes r10 hears of r1 (W35); inboxes know no mutes."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        phones = [await absent.phone(f"i{number}", number) for number in (1, 2)]
        android = await absent.client("a1", ANDROID)
        await absent.clients.edit_mutes("/demo", phones[0], MuteEdit(add=["r10", "R1", "r"]))
        await absent.clients.edit_mutes("/demo", phones[1], MuteEdit(add=["r1"]))
        await absent.clients.edit_mutes("/demo", android, MuteEdit(add=["r1"]))
        push_id = await absent.push()

        assert await absent.work() == ["done"]

        assert absent.notified == {1: 1}
        assert await absent.inbox(android) == [push_id]


@on_sqlite
async def test_a_room_of_any_size_is_done_a_page_at_a_time(
    database: Database, tmp_path: Path
) -> None:
    """Everybody once, whatever the pages; also where the last one is full."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        android = [await absent.client(f"u{number}", ANDROID) for number in range(6)]
        for number in range(6):
            await absent.phone(f"u{number}", number)
        push_id = await absent.push()
        worker = absent.worker(page=3, concurrency=2)

        assert await absent.work(worker) == ["done"]

        assert [await absent.inbox(one) for one in android] == [[push_id]] * 6
        assert absent.notified == dict.fromkeys(range(6), 1)
        report = await absent.report(push_id)
        assert (report.apns_count, report.apns_success_count) == (6, 6)
        assert report.result == "apnsEnv:production"
        assert worker.offline.kept == 6


@on_sqlite
async def test_what_has_expired_is_nobodys_business(database: Database, tmp_path: Path) -> None:
    """Before it is claimed, or while it waits for Apple."""
    async with opened(database, tmp_path) as absent:
        client = await absent.client("a1", ANDROID)
        await absent.push(expire=0.5)
        [job] = await absent.pushes.claim_jobs(now=absent.clock.ms, lease=1, limit=9)
        absent.clock.ms += HOUR // 2

        assert await absent.worker().offline.work(job, may_go_on=lambda: True) == "lapsed"

        assert await absent.work() == []
        assert await absent.inbox(client) == []


@on_sqlite
async def test_an_inbox_keeps_it_as_long_as_the_push_lives(
    database: Database, tmp_path: Path
) -> None:
    """And gives it out once (W10)."""
    async with opened(database, tmp_path) as absent:
        client = await absent.client("a1", ANDROID)
        await absent.push(expire=0.5)
        lives = await absent.push(expire=1)

        assert await absent.work() == ["done", "done"]

        absent.clock.ms += HOUR // 2
        assert await absent.inbox(client) == [lives]
        assert await absent.inbox(client) == []


@on_sqlite
async def test_whoever_takes_over_goes_on_from_there(database: Database, tmp_path: Path) -> None:
    """What was noted is not done again: neither an inbox nor a notification."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        android = [await absent.client(f"u{number}", ANDROID) for number in range(4)]
        phones = [await absent.phone(f"u{number}", number) for number in range(4)]
        ids = [await absent.push(), await absent.push()]
        standings = Standing(after=android[1]), Standing(Stage.APPLE, phones[1], (phones[0],))
        jobs = await absent.pushes.claim_jobs(now=absent.clock.ms, lease=1000, limit=9)
        for job, standing in zip(jobs, standings, strict=True):
            await absent.pushes.advance(job, Progress(standing.cursor), until=absent.clock.ms)

        assert await absent.work() == ["done", "done"]

        filled = [await absent.inbox(one) for one in android]
        assert filled == [[], [], [ids[0]], [ids[0]]]
        assert absent.notified == {0: 2, 1: 1, 2: 2, 3: 2}


@on_sqlite
async def test_a_worker_that_dies_costs_what_it_had_in_hand(
    database: Database, tmp_path: Path
) -> None:
    """Nobody else is notified twice, and nobody is forgotten."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        android = await absent.client("a1", ANDROID)
        for number in range(4):
            await absent.phone(f"u{number}", number)
        push_id = await absent.push()
        absent.apple.said[device_token(2)] = SILENCE
        async with trio.open_nursery() as nursery:
            nursery.start_soon(absent.worker(page=1, concurrency=1).queue.run)
            while absent.notified != {0: 1, 1: 1, 2: 1}:
                await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        del absent.apple.said[device_token(2)]
        assert await absent.work() == []
        absent.clock.ms += round(1000 * LEASE)

        assert await absent.work() == ["done"]

        assert absent.notified == {0: 1, 1: 1, 2: 2, 3: 1}
        assert await absent.inbox(android) == [push_id]
        report = await absent.report(push_id)
        assert (report.apns_count, report.apns_success_count) == (4, 4)


@on_sqlite
async def test_a_job_that_another_has_is_let_go(database: Database, tmp_path: Path) -> None:
    """Whoever was too slow notes nothing more; the same if the namespace was cleared meanwhile."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        await absent.phone("i1", 1)
        push_id = await absent.push()
        worker = absent.worker()
        now = absent.clock.ms
        [slow] = await absent.pushes.claim_jobs(now=now, lease=1000, limit=9)
        [quick] = await absent.pushes.claim_jobs(now=now + 1000, lease=1000, limit=9)

        assert await worker.offline.work(slow, may_go_on=lambda: True) == "lost"
        assert (await absent.report(push_id)).apns_count is None
        await absent.pushes.clear("/demo", counters=False)
        assert await worker.offline.work(quick, may_go_on=lambda: True) == "lost"


@on_sqlite
async def test_a_node_that_stops_gives_the_job_back(database: Database, tmp_path: Path) -> None:
    """At once, and with what it has done."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        for number in range(3):
            await absent.phone(f"i{number}", number)
        await absent.push()
        [job] = await absent.pushes.claim_jobs(now=absent.clock.ms, lease=HOUR, limit=9)
        first = absent.worker(concurrency=1)

        def may_go_on() -> bool:
            return not absent.apple.server.asked

        assert await first.offline.work(job, may_go_on=may_go_on) == "returned"
        assert absent.notified == {0: 1}
        assert await absent.work() == ["done"]
        assert absent.notified == {0: 1, 1: 1, 2: 1}


@on_sqlite
async def test_the_queue_may_lie_in_redis(database: Database, tmp_path: Path) -> None:
    """Jobs, inboxes and reports; also how far a job has come when Apple is away."""
    with or_skip(), redis_server(tmp_path / "redis") as server:
        link = RedisLink(f"redis://{server.address}/0", prefix=new_prefix(), timeout=5)
        async with opened(database, tmp_path) as absent:
            absent.pushes = RedisPushBook(link)
            await absent.configure("/", "default")
            android = await absent.client("a1", ANDROID)
            for number in range(5):
                await absent.phone(f"i{number}", number)
            absent.apple.always = apple_error(503, "ServiceUnavailable")
            push_id = await absent.push()
            worker = absent.worker(page=2, concurrency=3)

            assert await absent.work(worker) == ["postponed"]
            absent.apple.always = None
            absent.clock.ms += 1000
            assert await absent.work(worker) == ["done"]

            assert absent.notified == {0: 2, 1: 2, 2: 2, 3: 1, 4: 1}
            assert await absent.inbox(android) == [push_id]
            report = await absent.report(push_id)
            assert (report.apns_count, report.apns_success_count) == (5, 5)
            assert await absent.work(worker) == []
        link.close()
