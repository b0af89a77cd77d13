"""What every offline store keeps to. A subclass only says how to open one.

class TestMyStore(OfflineStoreContract):
    def open_store(self, now, **limits): ...

What tails are is a part of it: store_tails.py; and what is special about queues: store_queues.py.
"""

from collections.abc import Mapping

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import DEDUPE_WINDOW, Page, Saved, personal
from appmodel.core.names import Key
from appmodel.errors import NotStored
from message.core.retention import MAX_AHEAD_US
from tests.contract.saves import NOW, QUEUE, START, A, B, C, Time, ids, push
from tests.contract.store_queues import QueuesContract
from tests.contract.store_tails import TailsContract


class OfflineStoreContract(QueuesContract, TailsContract):
    """The suite."""

    async def test_an_id_is_what_was_proposed_or_follows_the_mark(
        self, store: OfflineStore
    ) -> None:
        """Ids of a key rise in commit order, whatever the clocks say; prev is the mark before."""
        answers = [
            await store.save([push(number, at=NOW + proposed)])
            for number, proposed in enumerate([10, 30, 20, 30, 40])
        ]

        found = [
            (saved.ids[0] - NOW, saved.prevs[0] and saved.prevs[0] - NOW) for [saved] in answers
        ]
        assert found == [(10, 0), (30, 10), (31, 30), (32, 31), (40, 32)]

    async def test_a_batch_is_saved_in_its_order(self, store: OfflineStore) -> None:
        """Two pushes of one call to one key follow each other."""
        answers = await store.save([push(1, [A, B]), push(2, [B, A]), push(3, [A], at=NOW - 5)])

        assert answers == [
            Saved((NOW, NOW), (0, 0)),
            Saved((NOW + 1, NOW + 1), (NOW, NOW)),
            Saved((NOW + 2,), (NOW + 1,)),
        ]

    async def test_keys_have_ids_of_their_own(self, store: OfflineStore) -> None:
        """A key whose mark is ahead gets a higher id; the others keep the one proposed."""
        await store.save([push(1, [B], at=NOW + 7)])

        [saved] = await store.save([push(2, [A, B, C])])

        assert saved == Saved((NOW, NOW + 8, NOW), (0, NOW + 7, 0))

    async def test_the_same_body_twice_is_two_messages(self, store: OfflineStore) -> None:
        """Only the push id makes a push the same (the original lost one of them: L2)."""
        await store.save([push(1), push(2)])

        page = await store.fetch(A, 0, limit=10)

        assert [message.body for message in page.messages] == [b'"body"', b'"body"']

    async def test_an_empty_batch_is_nothing(self, store: OfflineStore) -> None:
        """No saves, no answers; a save without keys has empty ones."""
        assert await store.save([]) == []
        assert await store.save([push(1, [])]) == [Saved((), ())]

    async def test_a_retry_answers_as_the_first_time(self, store: OfflineStore) -> None:
        """A known push id gives its first (id, prev) again, and stores nothing."""
        first = await store.save([push(1, [A, B])])
        await store.save([push(2, [A])])

        again = await store.save([push(1, [A, B], at=NOW + 100)])

        assert again == first
        assert ids(await store.fetch(A, 0, limit=10)) == [NOW, NOW + 1]

    async def test_a_retry_may_bring_further_keys(self, store: OfflineStore) -> None:
        """Known keys answer as the first time, new ones are stored, in the order asked."""
        await store.save([push(1, [B])])

        [saved] = await store.save([push(1, [A, B, C], at=NOW + 5)])
        [again] = await store.save([push(1, [C, A, B], at=NOW + 9)])

        assert saved == Saved((NOW + 5, NOW, NOW + 5), (0, 0, 0))
        assert again == Saved((NOW + 5, NOW + 5, NOW), (0, 0, 0))
        assert ids(await store.fetch(C, 0, limit=10)) == [NOW + 5]

    async def test_a_retry_within_the_batch_is_a_retry(self, store: OfflineStore) -> None:
        """One call may hold the same push twice."""
        first, again = await store.save([push(1, [A]), push(1, [A, B], at=NOW + 3)])

        assert first == Saved((NOW,), (0,))
        assert again == Saved((NOW, NOW + 3), (0, 0))
        assert ids(await store.fetch(A, 0, limit=10)) == [NOW]

    async def test_a_retry_is_known_after_the_message_is_gone(
        self, store: OfflineStore, time: Time
    ) -> None:
        """Deletion and expiry take the message, not the answer, and a retry does not revive it."""
        pushes = [(1, [A, B]), (2, [A])]
        first = await store.save([push(number, keys) for number, keys in pushes])
        await store.delete(A)
        time.now += 3600
        await _sweep_all(store)

        again = await store.save([push(n, keys, expires_at=time.now + 60) for n, keys in pushes])

        assert again == first
        assert (
            ids(await store.fetch(A, 0, limit=10)) == ids(await store.fetch(B, 0, limit=10)) == []
        )

    @pytest.mark.parametrize("ttl", [60.0, 3 * DEDUPE_WINDOW])
    async def test_a_push_id_is_known_for_its_window(
        self, store: OfflineStore, time: Time, ttl: float
    ) -> None:
        """24 h, or the ttl if longer; after it the same push id is a new push."""
        first = await store.save([push(1, expires_at=START + ttl)])

        time.now = START + max(ttl, DEDUPE_WINDOW) - 1
        await _sweep_all(store)
        within = await store.save([push(1, at=NOW + 1)])
        time.now += 2
        await _sweep_all(store)
        later = await store.save([push(1, at=NOW + 1, expires_at=time.now + 60)])

        assert within == first
        assert later == [Saved((NOW + 1,), (NOW,))]

    async def test_fetch_is_newer_unexpired_and_in_id_order(
        self, store: OfflineStore, time: Time
    ) -> None:
        """What a client gets back is exactly what it missed, in the order it was pushed."""
        await store.save(
            [
                push(1, at=NOW + 1),
                push(2, at=NOW + 2, body=b'"two"', expires_at=START + 90),
                push(3, at=NOW + 3, expires_at=START + 10),
                push(4, [B], at=NOW + 4),
                push(5, at=NOW + 5, body=b'"five"', expires_at=START + 90),
            ]
        )
        time.now = START + 60  # the very instant of death of the first

        page = await store.fetch(A, 0, limit=10)

        assert not page.more
        assert [(m.id, m.body, m.expires_at) for m in page.messages] == [
            (NOW + 2, b'"two"', START + 90),
            (NOW + 5, b'"five"', START + 90),
        ]

    async def test_fetch_bounds_are_above_after_and_up_to_until(self, store: OfflineStore) -> None:
        """after < id <= until."""
        await store.save([push(number, at=NOW + number) for number in range(1, 6)])

        assert ids(await store.fetch(A, NOW + 2, limit=10)) == [NOW + 3, NOW + 4, NOW + 5]
        assert ids(await store.fetch(A, NOW + 1, limit=10, until=NOW + 3)) == [NOW + 2, NOW + 3]
        assert ids(await store.fetch(A, NOW + 5, limit=10)) == []
        assert ids(await store.fetch(A, 10**30, limit=10)) == []
        assert len(ids(await store.fetch(A, -(10**9), limit=10))) == 5

    async def test_fetch_goes_page_by_page(self, store: OfflineStore) -> None:
        """`more` says whether to ask again after the last id; nothing is missed or read twice."""
        await store.save([push(number, at=NOW + number) for number in range(1, 8)])

        pages: list[Page] = []
        after = 0
        while not pages or pages[-1].more:
            pages.append(await store.fetch(A, after, limit=3))
            after = pages[-1].messages[-1].id

        assert [[m.id - NOW for m in page.messages] for page in pages] == [
            [1, 2, 3],
            [4, 5, 6],
            [7],
        ]

    async def test_a_page_is_bounded_in_bytes(self, time: Time) -> None:
        """Large bodies make a page shorter; one that is larger than a page comes alone."""
        async with self.open_store(time, page_limit=1000) as store:
            sizes = [400, 500, 200, 5000, 10]
            await store.save(
                [
                    push(number, at=NOW + number, body=b"1" * size)
                    for number, size in enumerate(sizes)
                ]
            )

            pages = [await store.fetch(A, NOW + after, limit=10) for after in (-1, 1, 2, 3)]

        assert [[len(m.body) for m in page.messages] for page in pages] == [
            [400, 500],
            [200],
            [5000],
            [10],
        ]
        assert [page.more for page in pages] == [True, True, True, False]

    async def test_marks_are_the_highest_ids(self, store: OfflineStore) -> None:
        """In the order of the keys; 0 for one that never had a message."""
        await store.save([push(1, [A, C]), push(2, [A])])

        assert await store.marks([B, A, C, A]) == [0, NOW + 1, NOW, NOW + 1]
        assert await store.marks([]) == []

    async def test_the_mark_survives_deletion_and_expiry(
        self, store: OfflineStore, time: Time
    ) -> None:
        """So an id is never given twice."""
        await store.save([push(1, [A, B])])
        await store.delete(A)
        time.now += 61
        await _sweep_all(store)

        assert await store.marks([A, B]) == [NOW, NOW]
        [saved] = await store.save([push(2, [A, B], at=NOW - 9, expires_at=time.now + 9)])
        assert saved == Saved((NOW + 1, NOW + 1), (NOW, NOW))

    async def test_realms_never_meet(self, store: OfflineStore) -> None:
        """The same name in two realms is two keys."""
        await store.save([push(1, [A])])

        assert await store.marks([A, C]) == [NOW, 0]
        assert ids(await store.fetch(C, 0, limit=10)) == []
        assert await store.delete(C) == 0

    async def test_delete_takes_what_is_named(self, store: OfflineStore) -> None:
        """By ids or all of the key; it answers how many there were, and touches no other key."""
        await store.save([push(number, [A, B], at=NOW + number) for number in range(1, 5)])

        assert await store.delete(A, [NOW + 2, NOW + 4, NOW + 99]) == 2
        assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 1, NOW + 3]
        assert await store.delete(A, []) == 0
        assert await store.delete(A) == 2
        assert await store.delete(A) == 0
        assert len(ids(await store.fetch(B, 0, limit=10))) == 4

    async def test_delete_does_not_count_what_has_expired(
        self, store: OfflineStore, time: Time
    ) -> None:
        """Swept or not, an expired message is not there."""
        await store.save([push(1), push(2, expires_at=START + 600)])
        time.now += 61

        assert await store.delete(A) == 1

    async def test_never_more_than_depth(self, time: Time) -> None:
        """After each save the newest `depth` live messages of the key are there, and no other."""
        async with self.open_store(time, depth=3) as store:
            for number in range(1, 6):
                await store.save([push(number, [A, B], at=NOW + number)])
                newest = [NOW + n for n in range(max(1, number - 2), number + 1)]
                assert ids(await store.fetch(A, 0, limit=10)) == newest

            await store.save([push(number, [A], at=NOW + number) for number in range(6, 12)])

            assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 9, NOW + 10, NOW + 11]
            assert ids(await store.fetch(B, 0, limit=10)) == [NOW + 3, NOW + 4, NOW + 5]

    async def test_depth_counts_living_messages_only(self, time: Time) -> None:
        """What has expired or was deleted takes nobody's place."""
        async with self.open_store(time, depth=3) as store:
            await store.save([push(1, at=NOW + 1, expires_at=START + 600)])
            await store.save([push(n, at=NOW + n, expires_at=START + 10) for n in (2, 3)])
            time.now += 11
            await store.save([push(4, at=NOW + 4, expires_at=START + 600)])
            assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 1, NOW + 4]

            await store.save([push(5, at=NOW + 5, expires_at=START + 600)])
            await store.delete(A, [NOW + 4])
            await store.save([push(6, at=NOW + 6, expires_at=START + 600)])

            assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 1, NOW + 5, NOW + 6]

    async def test_a_clock_that_ran_away_is_refused(self, store: OfflineStore, time: Time) -> None:
        """An id over 5 min ahead of time and marks would spoil its key for ever: nothing is kept."""
        with pytest.raises(NotStored, match="proposed_id"):
            await store.save([push(1, [B]), push(2, at=NOW + MAX_AHEAD_US + 1)])
        assert await store.marks([A, B]) == [0, 0]

        [saved] = await store.save([push(2, at=NOW + MAX_AHEAD_US)])
        [ahead] = await store.save([push(3, [B], at=NOW + MAX_AHEAD_US + 9)])

        assert (saved.ids, ahead.ids) == ((NOW + MAX_AHEAD_US,), (NOW + MAX_AHEAD_US + 9,))

    async def test_a_retry_with_a_runaway_clock_is_a_retry(self, store: OfflineStore) -> None:
        """It was stored, so "not stored" would be a lie."""
        first = await store.save([push(1)])

        assert await store.save([push(1, at=NOW + 10**12)]) == first

    async def test_feed_names_keys_whose_mark_rose(self, store: OfflineStore) -> None:
        """From its end on it holds what came since; asked again from there, nothing."""
        await store.save([push(1, [A])])
        begin = await store.feed(-1, limit=10)
        await store.save([push(2, [B]), push(3, [A, C], at=NOW + 7)])

        news = await store.feed(begin.position, limit=10)

        assert begin.marks == ()
        assert dict(news.marks) == {B: NOW, A: NOW + 7, C: NOW + 7}
        assert await store.feed(news.position, limit=10) == type(news)(news.position, ())
        assert (await store.feed(-1, limit=10)).position == news.position

    async def test_feed_is_read_in_pieces(self, store: OfflineStore) -> None:
        """At most `limit` marks at a time, also within one push; asked until empty, it has all."""
        keys = [Key("", f"u{number}", "user") for number in range(25)]
        begin = (await store.feed(-1, limit=1)).position
        await store.save([push(1, keys)])
        await store.save([push(2, keys[:5])])

        pieces, _ = await _read_feed(store, begin, limit=4)

        marks = {key: mark for piece in pieces for key, mark in piece.items()}
        assert marks == dict(zip(keys, await store.marks(keys), strict=True))
        assert max(len(piece) for piece in pieces) <= 4

    async def test_a_retry_does_not_feed(self, store: OfflineStore) -> None:
        """The mark did not rise; for a further key it did."""
        await store.save([push(1, [A])])
        begin = (await store.feed(-1, limit=1)).position
        await store.save([push(1, [A, B])])

        assert (await store.feed(begin, limit=10)).marks == ((B, NOW),)

    async def test_sweep_changes_nothing_that_can_be_seen(
        self, store: OfflineStore, time: Time
    ) -> None:
        """In slices of at most `limit`, until nothing is left to free."""
        keys = [Key("", f"u{number}", "user") for number in range(10)]
        await store.save([push(1, keys), push(2, keys, at=NOW + 5, expires_at=START + 600)])
        await store.save([push(number, [A]) for number in range(3, 20)])
        time.now += 61
        before = [await store.fetch(key, 0, limit=10) for key in (*keys, A)]
        position = (await store.feed(-1, limit=1)).position

        slices = await _sweep_all(store, limit=4)

        assert max(slices) <= 4
        assert before == [await store.fetch(key, 0, limit=10) for key in (*keys, A)]
        assert await store.marks([*keys, A]) == [NOW + 5] * 10 + [NOW + 16]
        assert (await store.feed(-1, limit=1)).position == position

    async def test_owners_that_race_on_a_key_chain_up(self, store: OfflineStore) -> None:
        """Several comets that save to one key at once: ids rise, and each prev is the id before."""
        chain: list[tuple[int, int]] = []

        async def own(owner: int, skew: int) -> None:
            for number in range(30):
                saves = [push(owner * 100 + number, [A, B], at=NOW + number * 10 + skew)]
                [saved] = await store.save(saves)
                chain.append((saved.ids[0], saved.prevs[0]))

        async with trio.open_nursery() as nursery:
            for owner, skew in enumerate([0, 500, -500]):
                nursery.start_soon(own, owner, skew)

        chain.sort()
        assert [prev for _, prev in chain] == [0, *[mid for mid, _ in chain[:-1]]]
        assert ids(await store.fetch(A, 0, limit=100)) == [mid for mid, _ in chain]

    async def test_feed_misses_nothing_while_others_save(self, store: OfflineStore) -> None:
        """A reader that follows the feed during saves knows every mark in the end."""
        keys = [Key("", f"u{number}", "user") for number in range(7)]
        seen: dict[Key, int] = {}
        done = trio.Event()

        async def follow() -> None:
            position = 0
            while True:
                last = done.is_set()
                pieces, position = await _read_feed(store, position, limit=3)
                for marks in pieces:
                    assert all(mark > seen.get(key, 0) for key, mark in marks.items())
                    seen.update(marks)
                if last:
                    return

        async def save(owner: int) -> None:
            for number in range(25):
                chosen = [key for at, key in enumerate(keys) if (number + owner) % 7 != at]
                await store.save([push(owner * 100 + number, chosen, at=NOW + number)])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            async with trio.open_nursery() as savers:
                for owner in range(4):
                    savers.start_soon(save, owner)
            done.set()

        assert seen == dict(zip(keys, await store.marks(keys), strict=True))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    async def test_any_history_reads_like_its_model(self, data: st.DataObject) -> None:
        """Saves, retries, deletions, sweeps and passing time in any order, against plain lists."""
        await self.live_through(data)

    async def live_through(self, data: st.DataObject) -> None:
        """One random history."""
        time = Time()
        async with self.open_store(time, depth=4, queue_depth=6) as store:
            await _replay(data, store, time, {A: 4, B: 4, C: 4, QUEUE: 6})


async def _replay(
    data: st.DataObject, store: OfflineStore, time: Time, depths: Mapping[Key, int]
) -> None:
    """Do random steps on the store and on a model, and compare what each shows."""
    marks: dict[Key, int] = {}
    live: dict[Key, list[tuple[int, float, bytes]]] = {}  # id, expires_at, copy
    answers: dict[tuple[int, Key], tuple[int, int]] = {}
    for step in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["save", "save", "save", "delete", "pass", "sweep"])):
            case "save":
                number = data.draw(st.integers(1, 8))
                keys = data.draw(st.lists(st.sampled_from([A, B, C, QUEUE]), unique=True))
                at = NOW + data.draw(st.integers(-5, 20) | st.integers(-5000, 20_000))
                expires_at = time.now + data.draw(st.sampled_from([5, 50, 500]))
                save = push(number, keys, at=at, body=b'{"n":%d}' % step, expires_at=expires_at)
                if data.draw(st.booleans()):
                    tails = tuple(b'"t":"%d %d"' % (step, place) for place in range(len(keys)))
                    save = msgspec.structs.replace(save, tails=tails)
                [saved] = await store.save([save])
                for place, key in enumerate(keys):
                    if (number, key) not in answers:
                        prev = marks.get(key, 0)
                        mid = (
                            max(-(-at // 1000) * 1000, prev + 1000)
                            if key is QUEUE
                            else max(at, prev + 1)
                        )
                        marks[key] = mid
                        answers[number, key] = (mid, prev)
                        alive = [m for m in live.get(key, []) if m[1] > time.now]
                        tail = save.tails[place] if save.tails else None
                        copy = save.body if tail is None else personal(save.body, tail, key)
                        live[key] = [*alive, (mid, expires_at, copy)][-depths[key] :]
                expected = [answers[number, key] for key in keys]
                assert list(zip(saved.ids, saved.prevs, strict=True)) == expected
            case "delete":
                key = data.draw(st.sampled_from([A, B, C, QUEUE]))
                gone = [m for m in live.pop(key, []) if m[1] > time.now]
                assert await store.delete(key) == len(gone)
            case "pass":
                time.now += data.draw(st.sampled_from([1, 10, 100]))
            case "sweep":
                await store.sweep(limit=data.draw(st.integers(1, 5)))
        for key in depths:
            shown = [(mid, copy) for mid, until, copy in live.get(key, []) if until > time.now]
            page = await store.fetch(key, 0, limit=10)
            assert [(message.id, message.body) for message in page.messages] == shown
        assert await store.marks(list(depths)) == [marks.get(key, 0) for key in depths]


async def _sweep_all(store: OfflineStore, limit: int = 100) -> list[int]:
    slices = [await store.sweep(limit=limit)]
    while slices[-1]:
        slices.append(await store.sweep(limit=limit))
    return slices


async def _read_feed(
    store: OfflineStore, position: int, *, limit: int
) -> tuple[list[dict[Key, int]], int]:
    """The marks above `position` in the pieces in which they came, and where they end."""
    pieces: list[dict[Key, int]] = []
    while True:
        feed = await store.feed(position, limit=limit)
        if feed.position == position:
            return pieces, position
        position = feed.position
        pieces.append(dict(feed.marks))
