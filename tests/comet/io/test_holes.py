"""A hole in a key's messages is seen, fetched once, and filled in order; or its clients come anew."""

import time
from functools import partial

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Feed, Save
from appmodel.core.names import parse_key
from appmodel.core.units import Duration
from appmodel.errors import OutcomeUnknown
from comet.config import CometConfig
from comet.core.channel import MAX_ASIDE, Hole, Verdict
from comet.core.message import Message
from comet.io.replay import LONG_PAUSE, MAX_HOLE, TRIES
from comet.protocol.native import SLOW
from message.stores.memory import KeyLog
from tests.comet.stores import GatedStore
from tests.comet.world import World, changed, open_comet

DEFAULTS = CometConfig()
UNCHECKED = changed(DEFAULTS, "replay", position_check=Duration(0))


async def save_unseen(world: World, *bodies: bytes) -> list[int]:
    """What another owner stored for k without this comet's knowledge."""
    saves = [Save(world.make_push("k").push_id, 1, (parse_key("k"),), body, 4e9) for body in bodies]
    return [saved.ids[0] for saved in await world.store.save(saves)]


async def test_a_message_whose_answer_was_lost_comes_before_all_later_ones(
    mock_clock: MockClock,
) -> None:
    """The caller hears "unknown"; what became of it is found out before anything else is delivered."""
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        client = await world.subscriber()
        answer = store.hold_answer("save")
        outcomes: list[object] = []
        async with trio.open_nursery() as nursery:

            async def push() -> None:
                outcomes.append(await world.try_push("k", ttl=600))

            nursery.start_soon(push)
            await answer.reached.wait()
            mock_clock.jump(DEFAULTS.push.save_timeout + 1)

        live = await world.push("k")

        assert isinstance(outcomes[0], OutcomeUnknown)
        ids = await client.read_ids(2)
        assert ids[1] == live.ids[0] > ids[0]
        assert world.comet.live.counts.holes == 0


async def test_a_message_that_passed_by_is_found_by_the_next() -> None:
    """The next message names its predecessor, and the hole is filled."""
    async with open_comet(UNCHECKED, store=GatedStore()) as world:
        client = await world.subscriber()
        unseen = await save_unseen(world, b"{}")

        delivery = await world.push("k", ttl=600)

        assert await client.read_ids(2) == [*unseen, *delivery.ids]
        assert world.comet.live.counts.holes == 1


async def test_a_message_that_no_other_follows_is_found_by_the_position_check(
    mock_clock: MockClock,
) -> None:
    """Nobody is connected, healthy and silently deaf."""
    async with open_comet(store=GatedStore()) as world:
        client = await world.subscriber()
        check = partial(mock_clock.jump, DEFAULTS.replay.position_check + 0.1)
        check()  # it learns where the feed ends
        await wait_all_tasks_blocked()

        ids = await save_unseen(world, b"{}")
        for _ in range(2):
            check()
            await wait_all_tasks_blocked()

        assert await client.read_ids(1) == ids


class ShortFeed(GatedStore):
    """A store whose feed has forgotten everything by the time somebody asks."""

    async def feed(self, position: int, *, limit: int) -> Feed:
        found = await super().feed(position, limit=limit)
        return Feed(found.position, ())


async def test_after_a_long_pause_every_channel_is_compared(mock_clock: MockClock) -> None:
    """A feed is not kept for ever: whoever was frozen for long does not rely on it."""
    async with open_comet(store=ShortFeed()) as world:
        client = await world.subscriber()
        mock_clock.jump(DEFAULTS.replay.position_check + 0.1)
        await wait_all_tasks_blocked()

        ids = await save_unseen(world, b"{}")
        for seconds in (LONG_PAUSE + 1, DEFAULTS.replay.position_check + 0.1):
            mock_clock.jump(seconds)
            await wait_all_tasks_blocked()

        assert await client.read_ids(1) == ids


async def test_who_waits_behind_a_hole_comes_after_it() -> None:
    """Stored or not, in the order of their ids, and the store is asked once."""
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        client = await world.subscriber()
        ids = await save_unseen(world, b"1", b"2")
        halt = store.hold("fetch")

        for ttl in (60, 0, 60):
            ids += (await world.push("k", ttl=ttl)).ids
        await halt.reached.wait()
        halt.release()

        assert await client.read_ids(5) == ids == sorted(ids)
        assert store.calls["fetch"] == 1


async def test_a_hole_too_large_for_all_is_read_by_each_client_at_its_own_pace() -> None:
    """They are let go as slow ones are; who resumes gets everything."""
    body = b'"%b"' % (b"x" * 50_000)
    async with open_comet(UNCHECKED) as world:
        native = await world.subscriber()
        legacy = await world.subscriber(version="1")
        ids = await save_unseen(world, *[body] * (MAX_HOLE // len(body) + 1))

        ids += (await world.push("k", ttl=60)).ids

        assert await native.read_all() == b"-x 4001 slow\r\n"
        assert await legacy.read_all() == b""
        resumed = await world.subscriber(after=0)
        assert await resumed.read_ids(len(ids)) == ids


async def test_a_hole_of_many_pages_is_filled() -> None:
    """As long as it is small: its pages are put together in order."""
    async with open_comet(changed(UNCHECKED, "replay", page=3)) as world:
        client = await world.subscriber()
        ids = await save_unseen(world, *[b"{}"] * 20)

        ids += (await world.push("k", ttl=60)).ids

        assert await client.read_ids(len(ids)) == ids


async def test_too_many_behind_a_hole_let_its_clients_go() -> None:
    """What waits is bounded: nobody waits for ever for a store that does not answer."""
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        client = await world.subscriber()
        await save_unseen(world, b"{}")
        halt = store.hold("fetch")
        await world.push("k", ttl=60)
        await halt.reached.wait()

        pushes = [world.make_push("k") for _ in range(MAX_ASIDE)]
        await world.comet.pusher.push(pushes)

        assert await client.read_all() == b"-x 4001 slow\r\n"
        halt.release()
        await wait_all_tasks_blocked()
        assert world.comet.live.poller.bugs == 0


async def test_a_hole_that_cannot_be_read_is_tried_again_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its clients are told that the store is away, and to come back."""
    monkeypatch.setattr("random.uniform", lambda _low, _high: 0)  # the pauses between
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        client = await world.subscriber()
        await save_unseen(world, b"{}")
        store.away.add("fetch")

        await world.push("k", ttl=60)

        assert await client.read_all() == b"-x 4004 store away\r\n"
        assert store.calls["fetch"] == TRIES


async def test_a_hole_that_can_be_read_at_last_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away for a moment costs its clients nothing."""
    monkeypatch.setattr("random.uniform", lambda _low, _high: 0)
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        client = await world.subscriber()
        ids = await save_unseen(world, b"{}")
        store.away.add("fetch")
        halts = [store.hold("fetch") for _ in range(TRIES)]

        ids += (await world.push("k", ttl=60)).ids
        for halt in halts[:-1]:
            await halt.reached.wait()
            halt.release()
        await halts[-1].reached.wait()
        store.away.clear()
        halts[-1].release()

        assert await client.read_ids(2) == ids


async def test_a_channel_that_was_given_up_begins_anew() -> None:
    """It knows nothing, so nothing is held back and nothing taken for a repetition."""
    async with open_comet(UNCHECKED) as world:
        client = await world.subscriber()
        channel = world.comet.live.hub.open(parse_key("k"))  # another is on its way in
        channel.accept(stored(10**15 + 9), 10**15)
        assert channel.hole is not None

        world.comet.reading.give_up(channel, SLOW)

        assert await client.read_all() == b"-x 4001 slow\r\n"
        assert not channel.subscribers
        assert channel.accept(stored(5), 3) is Verdict.DUE


@pytest.mark.parametrize("next_hole", [None, (20, 30)])
async def test_what_was_read_for_a_hole_that_was_given_up_is_not_delivered(
    next_hole: tuple[int, int] | None,
) -> None:
    """The channel lives on, for another client is on its way; perhaps it has another hole by then."""
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        client = await world.subscriber()
        ids = await save_unseen(world, b"{}")
        channel = world.comet.live.hub.open(parse_key("k"))
        halt = store.hold_answer("fetch")
        await world.push("k", ttl=60)
        await halt.reached.wait()
        world.comet.reading.give_up(channel, SLOW)
        await client.read_all()
        if next_hole is not None:
            cursor, prev = (ids[0] + step * 10**6 for step in next_hole)
            channel.learn_mark(cursor)
            channel.accept(stored(prev + 1), prev)
            second = store.hold("fetch")

        halt.release()

        if next_hole is not None:
            await second.reached.wait()
            assert channel.hole == Hole(cursor, prev)
        else:
            await wait_all_tasks_blocked()
            assert store.calls["fetch"] == 1
            assert channel.cursor is None  # nothing was delivered


async def test_a_hole_that_nobody_waits_for_any_more_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its last client has gone while the store was away."""
    monkeypatch.setattr("random.uniform", lambda _low, _high: 0)
    store = GatedStore()
    async with open_comet(UNCHECKED, store=store) as world:
        client = await world.subscriber()
        await save_unseen(world, b"{}")
        store.away.add("fetch")
        halt = store.hold("fetch")
        await world.push("k", ttl=60)
        await halt.reached.wait()

        await client.stream.aclose()
        await world.until(lambda: len(world.comet.live.hub) == 0)
        halt.release()
        await wait_all_tasks_blocked()

        assert store.calls["fetch"] == 1
        assert world.comet.live.counts.ended == {"client closed": 1}


async def test_a_row_that_nobody_could_read_fills_its_hole_with_nothing() -> None:
    """It is passed over, and what is behind it comes."""
    async with open_comet(UNCHECKED) as world:
        client = await world.subscriber()
        first, _, third = await save_unseen(world, b"1", b"{nope", b"3")

        last = await world.push("k", ttl=60)

        assert await client.read_ids(3) == [first, third, *last.ids]
        assert world.comet.live.poller.bugs == 0


async def test_a_hole_is_read_by_no_more_than_may_read_at_once() -> None:
    """Replays and holes share the places; the others wait their turn."""
    store = GatedStore()
    keys = [f"k{i}" for i in range(5)]
    async with open_comet(changed(UNCHECKED, "replay", at_once=2), store=store) as world:
        clients = [await world.subscriber(key) for key in keys]
        names = tuple(map(parse_key, keys))
        [saved] = await store.save([Save(b"p" * 16, 1, names, b"{}", 4e9)])
        halts = [store.hold("fetch") for _ in keys]

        last = await world.push(*keys, ttl=60)
        await wait_all_tasks_blocked()
        assert store.calls["fetch"] == 2
        for halt in halts:
            halt.release()

        for index, client in enumerate(clients):
            assert await client.read_ids(2) == [saved.ids[index], last.ids[index]]


def stored(message_id: int) -> Message:
    return Message(message_id, b"{}", stored=True)


async def test_a_foreign_mark_carries_no_other_key_with_it() -> None:
    """Somebody else wrote the highest id there is into the store: one key has it, and it is logged once."""
    store = GatedStore()
    store._keys[parse_key("k")] = KeyLog(mark=MAX_ID - 1000)
    with structlog.testing.capture_logs() as logs:
        async with open_comet(UNCHECKED, store=store) as world:
            for _ in range(2):
                await world.subscriber("k")
            other = await world.subscriber("other")
            await world.push("k", ttl=60)

            stored = await world.push("other", ttl=60)

            assert await other.read_ids(1) == list(stored.ids)
            assert stored.ids[0] < (time.time() + 60) * 1e6
    assert [line["event"] for line in logs].count("store has ids of the future") == 1
