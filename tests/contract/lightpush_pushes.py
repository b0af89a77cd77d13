"""What every store of pushes keeps to. A subclass only has a fixture that opens one."""

from dataclasses import replace
from functools import partial

import pytest
import trio

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import (
    Ack,
    AckDetails,
    Draft,
    Process,
    Progress,
    StoredPush,
    Tally,
    Unit,
)
from appmodel.core.lightpush_stores import PushBook, PushBounds

HOUR = 3_600_000  # ms
NOW = 4_102_444_800_000  # 2100: what has an end there is not gone today, whose clock ever decides
MOST = 1000
WEB, IOS, ANDROID = Platform.WEB, Platform.IOS, Platform.ANDROID
BOUNDS = PushBounds(history=5, inbox=4)
C1, C2 = Process("c1", 7), Process("c2", 8)


def a_push(of: str = "/a", room: str = "r", *, lives: int = HOUR, at: int = NOW) -> Draft:
    """Pushed at `at`."""
    return Draft(of, room, '{"a":"\\u00e4\\u0000"}', lives / HOUR, at, at + lives)


class PushBookContract:
    """The suite. A subclass has a fixture `store`: an empty PushBook, with BOUNDS."""

    async def test_what_was_pushed_is_found(self, store: PushBook) -> None:
        """As it was, and only by its own namespace (W4)."""
        full = replace(
            a_push(),
            without="/a#u#web-d",
            apns_name="main",
            leave_message=True,
            extra="lost",
            sender="ä 🙂",
            expire=0.1,
        )
        push_id = await store.create(full)
        other = await store.create(a_push("/b"))

        assert await store.find("/a", push_id, now=NOW) == StoredPush(push_id, full)
        assert await store.find("/b", push_id, now=NOW) is None
        assert await store.find("/a", other, now=NOW) is None
        assert await store.find("/a", other + 1, now=NOW) is None

    async def test_pushes_at_once_are_each_one(self, store: PushBook) -> None:
        """With an id, a namespace and a job of its own; each is counted."""
        made: dict[int, Draft] = {}

        async def create(number: int) -> None:
            draft = a_push("/b" if number % 2 else "/a", f"r{number}")
            made[await store.create(draft, offline_after=number)] = draft

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(create, number)

        assert len(made) == 20
        for push_id, draft in made.items():
            push = await store.find(draft.namespace, push_id, now=NOW)
            assert push == StoredPush(push_id, draft)
        jobs = await store.claim_jobs(now=NOW + 20, lease=HOUR, limit=99)
        assert [job.push.draft.room for job in jobs] == [f"r{number}" for number in range(20)]
        assert (await store.counts("/a", Unit.DAY, now=NOW))[-1] == 10

    async def test_ids_only_grow(self, store: PushBook) -> None:
        """Over all namespaces, also when all that there was is gone."""
        ids = [await store.create(a_push(of)) for of in ("/a", "/b", "/a")]
        await store.clear("/a", counters=True)
        await store.clear("/b", counters=True)
        ids.append(await store.create(a_push()))

        assert ids == sorted(set(ids))

    async def test_what_has_expired_is_not_there(self, store: PushBook) -> None:
        """From its last millisecond on, swept or not."""
        push_id = await store.create(a_push(lives=1000))

        assert await store.find("/a", push_id, now=NOW + 999) is not None
        assert await store.find("/a", push_id, now=NOW + 1000) is None
        assert await store.history("/a", offset=0, limit=5, now=NOW + 1000) == []
        assert await store.acknowledge([Ack("/a", push_id, "c", WEB)], now=NOW + 1000) == 0

    async def test_history_is_the_newest_first(self, store: PushBook) -> None:
        """A page of it; what has expired hides nothing, and leaves no hole (W21)."""
        lives = [HOUR, 1000, HOUR, 1000, HOUR, 1000]
        ids = [await store.create(a_push(lives=one)) for one in lives]
        await store.create(a_push("/b"))

        async def page(offset: int, limit: int, now: int = NOW) -> list[int]:
            found = await store.history("/a", offset=offset, limit=limit, now=now)
            return [push.id for push in found]

        assert await page(0, 10) == ids[:0:-1]
        assert await page(4, 10) == [ids[1]]
        assert await page(0, 2, NOW + 1000) == [ids[4], ids[2]]
        assert await page(2, 2, NOW + 1000) == [ids[0]]
        assert await page(0, 0) == []
        assert await page(5, 10) == []

    async def test_an_ack_counts_once(self, store: PushBook) -> None:
        """In one batch or several, by platform; and only of the push's own namespace (W19)."""
        push_id, other = await store.create(a_push()), await store.create(a_push("/b"))
        acks = [
            Ack("/a", push_id, "w", WEB),
            Ack("/a", push_id, "i", IOS),
            Ack("/a", push_id, "a", ANDROID),
        ]

        assert await store.acknowledge([*acks[:2], acks[0]], now=NOW) == 2
        assert await store.acknowledge([*acks, Ack("/b", other, "w", WEB)], now=NOW) == 2
        foreign = [Ack("/b", push_id, "x", WEB), Ack("/a", 987654321, "x", WEB)]
        assert await store.acknowledge(foreign, now=NOW) == 0

        push = await store.find("/a", push_id, now=NOW)
        assert push is not None
        assert (push.acks, push.ios_acks, push.android_acks) == (3, 1, 1)
        assert await store.details("/a", push_id, most=MOST) == AckDetails(["i"], ["a"], ["w"])
        assert await store.details("/b", push_id, most=MOST) == AckDetails([], [], [])
        assert await store.acknowledged("/a", push_id, ["w", "a", "x"]) == {"w", "a"}
        assert await store.acknowledged("/b", push_id, ["w"]) == frozenset()
        assert await store.acknowledge([], now=NOW) == 0

    async def test_too_many_acks_are_not_listed(self, store: PushBook) -> None:
        """As many as may be listed are too many already, as in the original; the others are."""
        push_id = await store.create(a_push())
        acks = [Ack("/a", push_id, f"c{n}", IOS) for n in range(3)]
        await store.acknowledge([*acks, Ack("/a", push_id, "w", WEB)], now=NOW)

        assert await store.details("/a", push_id, most=3) == AckDetails(None, [], ["w"])

    async def test_what_comes_at_once_counts_once(self, store: PushBook) -> None:
        """Acks of the same clients from several comets, a tally that is repeated while it is under way, jobs."""
        ids = [await store.create(a_push(), offline_after=0) for _ in range(3)]
        acks = [Ack("/a", one, f"c{n}", IOS) for one in ids for n in range(20)]
        new: list[int] = []
        claimed: list[int] = []

        async def acknowledge(some: list[Ack]) -> None:
            new.append(await store.acknowledge(some, now=NOW))

        async def claim() -> None:
            jobs = await store.claim_jobs(now=NOW, lease=HOUR, limit=2)
            claimed.extend(job.push.id for job in jobs)

        async with trio.open_nursery() as nursery:
            for start in (0, 20, 40):
                nursery.start_soon(acknowledge, acks[start:] + acks[: start // 2])
                nursery.start_soon(partial(store.tally, Tally(C1, 1, {("/a", ids[0]): 5}), now=NOW))
                nursery.start_soon(claim)

        pushes = [await store.find("/a", one, now=NOW) for one in ids]
        assert sum(new) == len(acks)
        assert [push and (push.acks, push.ios_acks) for push in pushes] == [(20, 20)] * 3
        assert pushes[0] is not None
        assert pushes[0].online_clients == 5
        await claim()  # of two that claim at once one may go away empty-handed
        assert sorted(claimed) == ids

    async def test_a_tally_counts_once(self, store: PushBook) -> None:
        """However often it is sent; those of two processes are added up."""
        push_id, other = await store.create(a_push()), await store.create(a_push("/b"))
        frames = {("/a", push_id): 3, ("/b", other): 1, ("/b", push_id): 50, ("/a", 987654321): 1}

        for _ in range(2):
            await store.tally(Tally(C1, 1, frames), now=NOW)
        await store.tally(Tally(C1, 2, {("/a", push_id): 4}), now=NOW)
        await store.tally(Tally(C1, 1, frames), now=NOW)
        await store.tally(Tally(C2, 1, {("/a", push_id): 10}), now=NOW)
        await store.tally(Tally(Process("c1", 9), 1, {("/a", push_id): 100}), now=NOW)

        for namespace, one, expected in (("/a", push_id, 117), ("/b", other, 1)):
            push = await store.find(namespace, one, now=NOW)
            assert push is not None
            assert push.online_clients == expected

    async def test_pushes_are_counted_by_the_time(self, store: PushBook) -> None:
        """Each minute, hour and day that is kept can be read, the current one last."""
        for ago in (0, 0, Unit.MINUTE.length, 59 * Unit.MINUTE.length, 60 * Unit.MINUTE.length):
            await store.create(a_push(at=NOW - ago))
        await store.create(a_push(at=NOW - 99 * Unit.DAY.length))
        await store.create(a_push("/b"))

        minutes = await store.counts("/a", Unit.MINUTE, now=NOW)
        hours = await store.counts("/a", Unit.HOUR, now=NOW)
        days = await store.counts("/a", Unit.DAY, now=NOW)
        assert (len(minutes), len(hours), len(days)) == (60, 24, 100)
        assert (minutes[0], minutes[-2], minutes[-1], sum(minutes)) == (1, 1, 2, 4)
        assert (hours[-2], hours[-1], sum(hours)) == (3, 2, 5)
        assert (days[0], days[-2], days[-1], sum(days)) == (1, 3, 2, 6)

    async def test_an_inbox_is_emptied_by_whom_it_waits_for(self, store: PushBook) -> None:
        """The newest first, each once, without what has expired (W10)."""
        ids = [await store.create(a_push(lives=one)) for one in (HOUR, 1000, HOUR)]
        other = await store.create(a_push("/b"))
        for namespace, push_id in [*(("/a", one) for one in ids), ("/b", other), ("/a", ids[0])]:
            push = await store.find(namespace, push_id, now=NOW)
            assert push is not None
            await store.put_in_inboxes(push, ["c", "d"], now=NOW)

        taken = await store.take_inbox("/a", "c", now=NOW + 1000)

        assert [push.id for push in taken] == [ids[2], ids[0]]
        assert taken[0].draft == a_push()
        assert await store.take_inbox("/a", "c", now=NOW + 1000) == []
        assert [push.id for push in await store.take_inbox("/a", "d", now=NOW)] == ids[::-1]
        await store.forget_inboxes("/b", ["d"])
        assert await store.take_inbox("/b", "d", now=NOW) == []
        assert [push.id for push in await store.take_inbox("/b", "c", now=NOW)] == [other]

    async def test_an_inbox_holds_so_many(self, store: PushBook) -> None:
        """The newest; but what has expired makes room first."""
        old = [await store.create(a_push()) for _ in range(2)]
        short = [await store.create(a_push(lives=1000)) for _ in range(BOUNDS.inbox - 1)]
        new = await store.create(a_push())
        for push_id in [*old, *short, new]:
            push = await store.find("/a", push_id, now=NOW)
            assert push is not None
            await store.put_in_inboxes(push, ["c"], now=NOW + (1000 if push_id == new else 0))

        taken = await store.take_inbox("/a", "c", now=NOW + 1000)

        # The second one drove the first one out: nothing had expired at that time.
        assert [push.id for push in taken] == [new, old[1]]

    async def test_a_job_is_done_by_one_at_a_time(self, store: PushBook) -> None:
        """When it is due; whoever does not finish it leaves it to others, behind where he was."""
        push_id = await store.create(a_push(), offline_after=5000)
        await store.create(a_push("/b"))

        assert await store.claim_jobs(now=NOW + 4999, lease=1000, limit=9) == []
        [job] = await store.claim_jobs(now=NOW + 5000, lease=1000, limit=9)
        assert (job.push, job.cursor, job.attempts) == (StoredPush(push_id, a_push()), "", 1)
        assert await store.claim_jobs(now=NOW + 5999, lease=1000, limit=9) == []

        done = Progress("c7", apns_count=2, apns_success_count=1, note="apnsEnv:production")
        assert await store.advance(job, done, until=NOW + 8000)
        assert await store.claim_jobs(now=NOW + 7999, lease=1000, limit=9) == []
        [taken] = await store.claim_jobs(now=NOW + 8000, lease=1000, limit=9)

        assert (taken.cursor, taken.attempts) == ("c7", 2)
        assert not await store.advance(job, done, until=NOW + 9000)
        assert not await store.postpone(job, until=NOW)
        assert not await store.finish(job)
        assert await store.advance(taken, Progress("c9", note="more"), until=NOW + 9000)
        push = await store.find("/a", push_id, now=NOW)
        assert push is not None
        assert (push.apns_count, push.apns_success_count) == (2, 1)
        assert push.result == "apnsEnv:production  >>>>  more"

        assert await store.postpone(taken, until=NOW + 20_000)
        [last] = await store.claim_jobs(now=NOW + 20_000, lease=1000, limit=9)
        assert await store.finish(last)
        assert not await store.finish(last)
        assert await store.claim_jobs(now=NOW + 99_000, lease=1000, limit=9) == []

    async def test_jobs_are_claimed_the_longest_due_first(self, store: PushBook) -> None:
        """So many at a time; the job of what has expired meanwhile is no more."""
        late = await store.create(a_push(), offline_after=3000)
        early = await store.create(a_push("/b"), offline_after=1000)
        await store.create(a_push(lives=2000), offline_after=500)

        first = await store.claim_jobs(now=NOW + 4000, lease=HOUR, limit=2)
        rest = await store.claim_jobs(now=NOW + 4000, lease=HOUR, limit=2)

        assert [job.push.id for job in first] == [early]
        assert [job.push.id for job in rest] == [late]

    async def test_namespaces_take_turns(self, store: PushBook) -> None:
        """Who pushes much, and first, keeps nobody else waiting, whether jobs are claimed one by one or several."""
        for _ in range(12):
            await store.create(a_push("/b"), offline_after=0)
        for of in ("/c", "/a", "/a"):
            await store.create(a_push(of), offline_after=1000)
        claimed = []
        for limit in (1, 1, 2, 5):
            jobs = await store.claim_jobs(now=NOW + 2000, lease=HOUR, limit=limit)
            claimed.append([job.push.draft.namespace for job in jobs])

        assert claimed == [["/a"], ["/b"], ["/c", "/a"], ["/b"] * 5]
        assert len(await store.claim_jobs(now=NOW + 2000, lease=HOUR, limit=99)) == 6

    async def test_a_namespace_is_cleared(self, store: PushBook) -> None:
        """Nothing of it is left, but for the counters if they are to stay; others keep all of theirs."""
        for of in ("/a", "/b"):
            push_id = await store.create(a_push(of), offline_after=0)
            push = await store.find(of, push_id, now=NOW)
            assert push is not None
            await store.acknowledge([Ack(of, push_id, "c", IOS)], now=NOW)
            await store.put_in_inboxes(push, ["c"], now=NOW)

        await store.clear("/a", counters=False)

        assert await store.history("/a", offset=0, limit=9, now=NOW) == []
        assert await store.take_inbox("/a", "c", now=NOW) == []
        assert sum(await store.counts("/a", Unit.DAY, now=NOW)) == 1
        await store.clear("/a", counters=True)
        assert sum(await store.counts("/a", Unit.DAY, now=NOW)) == 0
        [other] = await store.history("/b", offset=0, limit=9, now=NOW)
        assert other.acks == 1
        assert [job.push.id for job in await store.claim_jobs(now=NOW, lease=1, limit=9)] == [
            other.id
        ]
        assert len(await store.take_inbox("/b", "c", now=NOW)) == 1

    async def test_sweeping_takes_nothing_that_is_alive(self, store: PushBook) -> None:
        """It ends, whatever the size of its steps."""
        for lives in (1000, 1000, 1000, HOUR):
            push_id = await store.create(a_push(lives=lives))
            await store.acknowledge([Ack("/a", push_id, f"c{n}", WEB) for n in range(3)], now=NOW)
        for _ in range(50):
            if not await store.sweep(now=NOW + 1000, limit=2):
                break
        else:
            pytest.fail("it never ends")

        [push] = await store.history("/a", offset=0, limit=9, now=NOW + 1000)
        assert (push.id, push.acks) == (push_id, 3)
        assert sum(await store.counts("/a", Unit.MINUTE, now=NOW)) == 4
