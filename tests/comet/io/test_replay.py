"""A resuming client gets everything that it missed, in order, once; and nobody waits for it."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.message import Delivery, Save
from appmodel.core.names import parse_key
from appmodel.core.units import Duration, Size
from comet.config import CometConfig
from comet.io.following import MAX_HELD
from comet.io.replay import CHUNK
from comet.protocol.native import GOING_AWAY
from tests.comet.stores import GatedStore
from tests.comet.world import BEAT, World, changed, open_comet, pass_time, request

DEFAULTS = CometConfig()
SMALL_BUFFER = changed(DEFAULTS, "live", send_buffer=Size(4096))
LARGE = b'"%b"' % (b"x" * 40_000)


async def test_a_resuming_client_gets_what_it_missed_and_then_what_comes() -> None:
    """Without gap or duplicate, in the middle of a storm."""
    async with open_comet() as world:
        missed = [(await world.push("k", ttl=60)).ids[0] for _ in range(500)]

        async def storm() -> None:
            for _ in range(300):
                missed.append((await world.push("k", ttl=60)).ids[0])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(storm)
            client = await world.subscriber(after=missed[99])
            ids = await client.read_ids(700)

        assert ids == missed[100:]


async def test_a_client_without_a_cursor_starts_with_what_comes_next() -> None:
    """As gopush clients expect: the rest they fetch over HTTP."""
    async with open_comet() as world:
        await world.push("k", ttl=60)
        client = await world.subscriber()

        delivery = await world.push("k", ttl=60)

        assert await client.read_ids(1) == list(delivery.ids)


async def test_a_replay_waits_for_a_slow_reader() -> None:
    """It reads at its own pace, and nothing is kept for it beyond a chunk and the kernel's buffers."""
    async with open_comet(SMALL_BUFFER) as world:
        sent = [(await world.push("k", body=LARGE, ttl=60)).ids[0] for _ in range(40)]
        client = await world.tcp(request("sub", "k", "30", "", "2", "0"))
        await world.until(lambda: world.comet.live.hub.subscribers == 1)

        assert await client.read(4) == BEAT
        assert await client.read_ids(40) == sent


async def test_clients_that_do_not_read_keep_no_place_in_the_stores_queue() -> None:
    """More of them than may read at once, and one who reads is served beside them."""
    config = changed(SMALL_BUFFER, "replay", at_once=2)
    async with open_comet(config) as world:
        for _ in range(100):
            await world.push("large", body=LARGE, ttl=600)
        missed = await world.push("k", ttl=600)
        for _ in range(3):
            await world.subscriber("large", after=0)
        stalled = world.channel("large").subscribers
        await world.until(lambda: all(s.owed for s in stalled))  # type: ignore[attr-defined]

        client = await world.subscriber(after=0)

        assert await client.read_ids(1) == list(missed.ids)


async def test_a_client_that_stalls_for_too_long_is_let_go(
    mock_clock: MockClock,
) -> None:
    """It owes its reading; afterwards nothing of its replay is left."""
    async with open_comet(SMALL_BUFFER) as world:
        for _ in range(100):
            await world.push("k", body=LARGE, ttl=600)
        await world.tcp(request("sub", "k", "86400", "", "2", "0"))
        await world.until(lambda: world.comet.live.hub.subscribers == 1)
        member = world.member()

        owed: list[int] = []
        while member.is_open:  # what the kernel still takes may begin another term
            owed.append(len(member.owed))
            mock_clock.jump(DEFAULTS.replay.stall_timeout + 1)
            await wait_all_tasks_blocked(0.01)

        assert max(owed) < 2 * CHUNK  # it was not offered more instead
        assert world.comet.live.counts.ended == {"slow": 1}
        await pass_time(mock_clock, DEFAULTS.live.goodbye_timeout + 1)
        await world.until(lambda: world.comet.live.gate.connections == 0)


async def test_a_fast_reader_gets_all_that_came_during_its_replay() -> None:
    """Far more than a client may owe, for it need not take it in one piece; then it is live."""
    store = GatedStore()
    async with open_comet(store=store) as world:
        missed = await world.push("k", body=LARGE, ttl=60)
        halt = store.hold("fetch")
        client = await world.subscriber(after=0)
        await halt.reached.wait()
        count = 8 * DEFAULTS.live.outbox_limit // len(LARGE)
        assert count < MAX_HELD
        pushes = [world.make_push("k", body=LARGE) for _ in range(count)]
        outcomes = await world.comet.pusher.push(pushes)
        ids = [outcome.ids[0] for outcome in outcomes if isinstance(outcome, Delivery)]

        halt.release()

        assert await client.read_ids(1 + count) == [*missed.ids, *ids]
        await world.until(lambda: world.member().held is None)
        assert world.member().is_open
        live = await world.push("k")
        assert await client.read_ids(1) == list(live.ids)


async def test_what_is_too_much_to_be_kept_is_read_from_the_store_again() -> None:
    """The page was read before it came; then it overran what is kept. Nothing is lost or doubled."""
    store = GatedStore()
    async with open_comet(store=store) as world:
        sent = list((await world.push("k", ttl=60)).ids)
        halt = store.hold_answer("fetch")
        client = await world.subscriber(after=0)
        await halt.reached.wait()
        for _ in range(MAX_HELD + 50):
            sent += (await world.push("k", ttl=60)).ids
        assert world.member().overran

        halt.release()

        assert await client.read_ids(len(sent)) == sent
        await world.until(lambda: world.member().held is None)
        live = await world.push("k", ttl=60)
        assert await client.read_ids(1) == list(live.ids)


async def test_what_overruns_while_the_kept_is_sent_is_not_skipped() -> None:
    """The client is slow to take what was kept; what comes meanwhile is again too much to be kept."""
    store = GatedStore()
    async with open_comet(SMALL_BUFFER, store=store) as world:
        halt = store.hold_answer("fetch")
        client = await world.subscriber(after=0)
        member = world.member()
        await halt.reached.wait()
        sent = [(await world.push("k", body=LARGE, ttl=60)).ids[0] for _ in range(100)]
        halt.release()
        await world.until(lambda: member._drained is not None)

        while not member.overran:
            sent += (await world.push("k", ttl=60)).ids
        sent += (await world.push("k", ttl=60)).ids

        assert await client.read_ids(len(sent)) == sent


async def test_a_client_that_goes_in_the_middle_of_its_replay_leaves_nothing() -> None:
    """No task, no place at the gate, no channel."""
    store = GatedStore()
    async with open_comet(store=store) as world:
        await world.push("k", ttl=60)
        halt = store.hold("fetch")
        client = await world.subscriber(after=0)
        await halt.reached.wait()

        await client.stream.aclose()
        await world.until(lambda: world.comet.live.gate.connections == 0)
        halt.release()
        await wait_all_tasks_blocked()

        live = world.comet.live
        assert (len(live.hub), live.counts.replayed, live.poller.bugs) == (0, 0, 0)
        assert live.counts.ended == {"client closed": 1}


async def test_a_replay_ends_when_its_client_is_let_go() -> None:
    """It does not wait for a client that is owed only its last words."""
    async with open_comet(SMALL_BUFFER) as world:
        for _ in range(60):
            await world.push("k", body=LARGE, ttl=600)
        await world.subscriber(after=0)
        member = world.member()
        await world.until(lambda: member._drained is not None)

        member.hang_up(GOING_AWAY)

        assert member._drained is None
        await wait_all_tasks_blocked()
        assert world.comet.live.counts.ended == {"going away": 1}


async def test_a_row_that_nobody_could_read_is_skipped() -> None:
    """Others may write into the store too: one bad row costs no client what comes behind it."""
    async with open_comet() as world:
        first = await world.push("k", ttl=60)
        await save_unreadable(world)
        last = await world.push("k", ttl=60)

        client = await world.subscriber(after=0)

        assert await client.read_ids(2) == [*first.ids, *last.ids]
        assert world.comet.live.poller.bugs == 0


async def save_unreadable(world: World) -> None:
    """A row that is no JSON, as the next of k."""
    await world.store.save([Save(b"p" * 16, 1, (parse_key("k"),), b"{nope", 4e9)])


async def test_a_store_away_refuses_only_who_needs_it() -> None:
    """A client that starts with what comes is welcome; one that resumes hears why it cannot."""
    store = GatedStore()
    store.away |= {"marks", "fetch"}
    async with open_comet(store=store) as world:
        fresh = await world.subscriber()
        resuming = await world.subscriber(after=5)

        assert await resuming.read_all() == b"-x 4004 store away\r\n"
        delivery = await world.push("k")
        assert delivery.online == (1,)
        assert await fresh.read_ids(1) == list(delivery.ids)


async def test_a_bug_of_a_store_ends_one_replay_and_not_the_comet() -> None:
    """Nobody stays joined and closed, whatever went wrong."""

    class Broken(GatedStore):
        async def fetch(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise ZeroDivisionError

    async with open_comet(store=Broken()) as world:
        other = await world.subscriber("other")
        client = await world.subscriber(after=5)

        assert await client.read_all() == b"-x 4004 store away\r\n"
        delivery = await world.push("other")
        assert await other.read_ids(1) == list(delivery.ids)
        assert world.comet.live.poller.bugs == 1


async def test_who_came_while_the_store_was_away_comes_anew_when_it_is_back(
    mock_clock: MockClock,
) -> None:
    """Something may have been stored before its welcome of which it cannot know; others stay."""
    store = GatedStore()
    async with open_comet(store=store) as world:
        knowing = await world.subscriber("other")
        store.away |= {"marks", "feed"}
        blind = await world.subscriber("k")
        for _ in range(3):
            await check_positions(mock_clock)
        assert world.comet.live.hub.subscribers == 2

        store.away.clear()
        await check_positions(mock_clock)

        assert await blind.read_all() == b"-x 4004 store away\r\n"
        assert world.comet.live.counts.ended == {"store away": 1}
        again = await world.subscriber("k")
        for _ in range(3):
            await check_positions(mock_clock)
        delivery = await world.push("k", "other", ttl=60)
        assert await again.read_ids(1) == await knowing.read_ids(1) == [delivery.ids[0]]


async def check_positions(mock_clock: MockClock) -> None:
    """Let the comet compare positions once."""
    mock_clock.jump(DEFAULTS.replay.position_check + 0.1)
    await wait_all_tasks_blocked()


async def test_nobody_asks_for_positions_if_they_are_not_to_be_checked(
    mock_clock: MockClock,
) -> None:
    """An interval of 0 means never."""
    store = GatedStore()
    config = changed(DEFAULTS, "replay", position_check=Duration(0))
    async with open_comet(config, store=store):
        mock_clock.jump(10)
        await wait_all_tasks_blocked(0.01)

        assert store.calls["feed"] == 0
