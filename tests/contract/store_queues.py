"""What every offline store keeps to for the keys of queues: ids a millisecond apart, and a depth of their own."""

import trio

from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Saved
from appmodel.core.names import Key
from tests.contract.saves import NOW, QUEUE, A, StoreSuite, Time, ids, push


class QueuesContract(StoreSuite):
    """Its part of the suite."""

    async def test_ids_of_a_queue_are_whole_milliseconds(self, store: OfflineStore) -> None:
        """Whatever was proposed: rounded up, and above the one before. Other keys of the push do not care."""
        answers = await store.save(
            [
                push(1, [QUEUE, A], at=NOW + 1),
                push(2, [A, QUEUE], at=NOW + 999),
                push(3, [QUEUE], at=NOW + 3000),
                push(4, [QUEUE], at=NOW - 7),
            ]
        )
        answers += await store.save([push(5, [QUEUE], at=NOW), push(6, [QUEUE], at=NOW + 9001)])

        assert answers == [
            Saved((NOW + 1000, NOW + 1), (0, 0)),
            Saved((NOW + 999, NOW + 2000), (NOW + 1, NOW + 1000)),
            Saved((NOW + 3000,), (NOW + 2000,)),
            Saved((NOW + 4000,), (NOW + 3000,)),
            Saved((NOW + 5000,), (NOW + 4000,)),
            Saved((NOW + 10_000,), (NOW + 5000,)),
        ]
        assert await store.marks([QUEUE, A]) == [NOW + 10_000, NOW + 999]

    async def test_pushes_of_one_moment_have_mids_of_their_own(self, store: OfflineStore) -> None:
        """Of several owners at once, too: a caller is answered by mid, and it is a device's ack that counts."""
        found: list[int] = []

        async def own(owner: int) -> None:
            for number in range(5):
                saves = [push(owner * 1000 + number * 10 + n, [QUEUE]) for n in range(10)]
                found.extend(saved.ids[0] // 1000 for saved in await store.save(saves))

        async with trio.open_nursery() as nursery:
            for owner in range(4):
                nursery.start_soon(own, owner)

        assert sorted(found) == [NOW // 1000 + n for n in range(200)]

    async def test_only_keys_of_devices_are_queues(self, store: OfflineStore) -> None:
        """The same text in another realm is none, and neither is a name that ends otherwise."""
        others = [Key("t", "a@mpush", ""), Key("", "a@mpushx", ""), Key("", "mpush", "user")]
        await store.save([push(1, others)])

        [saved] = await store.save([push(2, others)])

        assert saved.ids == (NOW + 1,) * 3

    async def test_a_queue_has_a_depth_of_its_own(self, time: Time) -> None:
        """Above it the oldest go; what was deleted or has expired takes nobody's place."""
        async with self.open_store(time, depth=2, queue_depth=4) as store:
            for number in range(6):
                await store.save([push(number, [QUEUE, A], at=NOW + number * 1000)])
            assert ids(await store.fetch(A, 0, limit=9)) == [NOW + 4000, NOW + 5000]
            assert ids(await store.fetch(QUEUE, 0, limit=9)) == [
                NOW + n * 1000 for n in (2, 3, 4, 5)
            ]

            await store.delete(QUEUE, [NOW + 3000])
            await store.save([push(7, [QUEUE], at=NOW + 7000, expires_at=time.now + 600)])
            left = [NOW + n * 1000 for n in (2, 4, 5, 7)]
            assert ids(await store.fetch(QUEUE, 0, limit=9)) == left
            await store.save([push(8, [QUEUE], at=NOW + 8000, expires_at=time.now + 600)])
            assert ids(await store.fetch(QUEUE, 0, limit=9)) == [*left[1:], NOW + 8000]

            time.now += 61
            for number in (9, 10):
                await store.save(
                    [push(number, [QUEUE], at=NOW + number * 1000, expires_at=time.now + 600)]
                )
            kept = [NOW + n * 1000 for n in (7, 8, 9, 10)]
            assert ids(await store.fetch(QUEUE, 0, limit=9)) == kept
