"""What is pushed is stored, then sent, then answered: in order, once, and never more than fits."""

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio

from appmodel.core.message import Delivery, Save, Saved
from appmodel.core.names import parse_key
from appmodel.core.units import Duration, Size
from appmodel.errors import LimitReached, NotStored
from comet.config import CometConfig
from tests.comet.stores import GatedStore
from tests.comet.world import BEAT, changed, open_comet, request, text_frame

DEFAULTS = CometConfig()
UNCHECKED = changed(DEFAULTS, "replay", position_check=Duration(0))


async def test_a_push_reaches_every_subscriber_in_its_own_form() -> None:
    """WebSocket and TCP, old and new envelope, mixed on one key, with one id."""
    async with open_comet() as world:
        old_ws = await world.ws("/sub?key=k&heartbeat=30")
        new_ws = await world.ws("/sub?key=k&heartbeat=30&ver=1")
        old_tcp = await world.tcp(request("sub", "k", "30"))
        new_tcp = await world.tcp(request("sub", "k", "30", "", "1"))
        assert [await c.read(6) for c in (old_ws, new_ws)] == [text_frame(BEAT)] * 2
        assert [await c.read(4) for c in (old_tcp, new_tcp)] == [BEAT] * 2

        delivery = await world.push("k", body=b'{"a": 1}')

        assert delivery.online == (4,)
        mid = delivery.ids[0]
        old = b'{"msg":"{\\"a\\": 1}","mid":%d,"gid":0}' % mid
        new = b'{"msg":{"a":1},"mid":%d,"gid":0}' % mid
        assert await old_ws.read(len(old) + 2) == text_frame(old)
        assert await new_ws.read(len(new) + 2) == text_frame(new)
        assert await old_tcp.read(len(old) + 7) == b"$%d\r\n%b\r\n" % (len(old), old)
        assert await new_tcp.read(len(new) + 7) == b"$%d\r\n%b\r\n" % (len(new), new)


async def test_a_push_to_nobody_is_no_error_and_keeps_nothing() -> None:
    """And no channel stays in memory for it (C11)."""
    async with open_comet() as world:
        delivery = await world.push("nobody", "neither")

        assert delivery.online == (0, 0)
        assert len(world.comet.live.hub) == 0


async def test_messages_pushed_at_once_arrive_in_the_order_of_their_ids() -> None:
    """Stored and unsaved, single and multi, at the same time (L4)."""
    async with open_comet() as world:
        client = await world.subscriber()

        async with trio.open_nursery() as nursery:
            for i in range(60):
                ttl = 60 if i % 3 else 0
                keys = ("k", "x", "y") if i % 4 else ("k",)
                nursery.start_soon(lambda k=keys, t=ttl: world.push(*k, ttl=t))  # type: ignore[misc]

        ids = await client.read_ids(60)
        assert ids == sorted(set(ids))


async def test_keys_of_a_push_share_one_id() -> None:
    """So that one encoded frame serves them all (design law 2)."""
    async with open_comet() as world:
        delivery = await world.push(*(f"k{i}" for i in range(100)), ttl=60)

        assert len(set(delivery.ids)) == 1


async def test_a_retried_push_reaches_a_connection_once() -> None:
    """The same push id is the same message: same id, and no second delivery."""
    async with open_comet() as world:
        client = await world.subscriber()
        push = world.make_push("k", ttl=60)

        first, again = await world.comet.pusher.push([push, push])
        [later] = await world.comet.pusher.push([push])
        last = await world.push("k", ttl=60)

        assert isinstance(first, Delivery)
        assert first == again == later
        assert await client.read_ids(2) == [*first.ids, *last.ids]


async def test_what_cannot_be_stored_is_refused_and_seen_by_nobody() -> None:
    """Store, then send, then answer; and what needs no store goes on."""
    store = GatedStore()
    async with open_comet(store=store) as world:
        client = await world.subscriber()
        store.away.add("save")

        refused = await world.try_push("k", ttl=60)
        delivery = await world.push("k")

        assert isinstance(refused, NotStored)
        assert await client.read_ids(1) == list(delivery.ids)


async def test_what_needs_no_store_goes_on_while_the_queue_is_full() -> None:
    """More than may wait is refused; what is not stored passes by; afterwards there is room again."""
    store = GatedStore()
    config = changed(DEFAULTS, "push", queue_limit=Size(1))
    async with open_comet(config, store=store) as world:
        client = await world.subscriber("other")
        for _ in range(3):  # a queue that kept count of what has left it would end the second round
            outcomes: list[object] = []
            halt = store.hold("save")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_collect, outcomes, world.push, "k", 60)
                await halt.reached.wait()
                nursery.start_soon(_collect, outcomes, world.push, "k", 60)  # this one waits
                await trio.testing.wait_all_tasks_blocked()

                refused = await world.try_push("other", ttl=60)
                passed = await world.push("other")
                assert isinstance(refused, LimitReached)
                assert await client.read_ids(1) == list(passed.ids)
                halt.release()

            assert len(outcomes) == 2


async def _collect(
    outcomes: list[object], push: Callable[..., Awaitable[object]], key: str, ttl: float
) -> None:
    outcomes.append(await push(key, ttl=ttl))


class CountingStore(GatedStore):
    """Remembers how many bytes of bodies each save had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        self.sizes.append(sum(len(save.body) for save in saves))
        return await super().save(saves)


async def test_a_large_queue_is_saved_in_several_batches_and_in_order() -> None:
    """A save stays below the frame's limit between nodes, and ids rise as pushes came."""
    store = CountingStore()
    config = changed(DEFAULTS, "push", batch_limit=Size(4096))
    async with open_comet(config, store=store) as world:
        client = await world.subscriber()
        body = b'"%b"' % (b"x" * 1000)

        pushes = [world.make_push("k", body=body, ttl=60) for _ in range(20)]
        outcomes = await world.comet.pusher.push(pushes)

        ids = [outcome.ids[0] for outcome in outcomes if isinstance(outcome, Delivery)]
        assert await client.read_ids(20) == ids == sorted(set(ids))
        assert sum(store.sizes) == 20 * len(body)
        assert max(store.sizes) <= 4096 + len(body)
        assert len(store.sizes) >= 5


async def test_a_mark_says_nothing_once_somebody_waits_for_what_it_counts() -> None:
    """The owner saved, another client asks for the mark, and only then is the message delivered."""
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        mark_of_a = store.hold("marks")
        mark_of_b = store.hold("marks")
        answer = store.hold_answer("save")
        a = await world.tcp(request("sub", "k", "30", "", "2"))
        await mark_of_a.reached.wait()
        b = await world.tcp(request("sub", "k", "30", "", "2"))
        await world.until(lambda: world.channel().joining == 2)
        mark_of_a.release()
        assert await a.read(4) == BEAT
        await mark_of_b.reached.wait()

        outcomes: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_collect, outcomes, world.push, "k", 60)
            await answer.reached.wait()
            mark_of_b.release()
            assert await b.read(4) == BEAT
            answer.release()

        [delivery] = outcomes
        assert isinstance(delivery, Delivery)
        assert await a.read_ids(1) == list(delivery.ids)


@pytest.mark.parametrize("listens", [False, True])
async def test_an_id_that_the_store_gave_is_never_given_again(listens: bool) -> None:
    """It is above ours: in the mark that a client's welcome needs, or in the answer to a save."""
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        [saved] = await store.save([ahead(world.now())])
        client = await world.subscriber() if listens else None
        stored = () if listens else (await world.push("k", ttl=60)).ids

        delivery = await world.push("k")

        assert delivery.ids > (stored or saved.ids)
        if client is not None:
            assert await client.read_ids(1) == list(delivery.ids)


async def test_an_id_in_a_replayed_page_is_never_given_again() -> None:
    """The store was ahead of our clock: what is pushed next comes above it, and is delivered."""
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        halt = store.hold("fetch")
        client = await world.subscriber(after=0)
        await halt.reached.wait()  # the mark was read before
        [saved] = await store.save([ahead(world.now())])
        halt.release()
        assert await client.read_ids(1) == list(saved.ids)

        delivery = await world.push("k")

        assert delivery.ids > saved.ids
        assert await client.read_ids(1) == list(delivery.ids)


async def test_an_id_in_the_feed_is_never_given_again(mock_clock: trio.testing.MockClock) -> None:
    """Also not while the hole that it shows is still being fetched: both come, in their order."""
    store = GatedStore()
    async with open_comet(store=store) as world:
        client = await world.subscriber()
        mock_clock.jump(1.1)
        await world.until(lambda: store.calls["feed"] == 1)
        [saved] = await store.save([ahead(world.now())])
        halt = store.hold("fetch")
        while not halt.reached.is_set():
            mock_clock.jump(1.1)
            await trio.testing.wait_all_tasks_blocked(0.01)

        delivery = await world.push("k")
        halt.release()

        assert delivery.ids > saved.ids
        assert await client.read_ids(2) == [*saved.ids, *delivery.ids]


def ahead(now: float) -> Save:
    """As another owner saved it whose clock is two minutes before ours."""
    return Save(b"p" * 16, int((now + 120) * 1e6), (parse_key("k"),), b"{}", 4e9)


async def test_ids_of_queues_are_whole_milliseconds() -> None:
    """Stored or not, alone or with other keys: what a device sees as mid is the whole id, and rises."""
    async with open_comet() as world:
        ids: list[int] = []
        for ttl in (60, 0, 0, 60, 60, 0):
            ids += (await world.push("test@mpush", "k", ttl=ttl)).ids[:1]

        assert ids == sorted(set(ids))
        assert [message_id % 1000 for message_id in ids] == [0] * 6
