"""Whatever breaks in a cluster, its seven laws hold: one fault after another, under load.

Each test is one fault on the same cluster; `storm` checks the laws over what callers and clients saw.
What a test says beside them is about callers: which faults they may notice at all.
"""

from contextlib import ExitStack
from dataclasses import replace

import pytest
import trio

from appmodel.core.cluster import Role
from tests.cluster.cluster import SESSION, Cluster, in_thread
from tests.cluster.outside import Servers, redis_store
from tests.cluster.storm import Size, storm

STORE = redis_store
SOME = 150  # keys of orders: half a second to a second of load
FROZEN = SESSION + 1.5  # seconds: its session is over, and everybody has heard of it
DRAIN = 30.0  # seconds
CROWD = Size(clients=10, pushing=2, pace=0.05, most=4, looks_up=0.0, waiting=0.0)

# httpx leaves its generators to the garbage collector when a streamed answer breaks in the middle
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <async_generator object:pytest.PytestUnraisableExceptionWarning"
    ),
]


async def test_a_calm_cluster_serves_everybody(cluster: Cluster, seed: int) -> None:
    """Clients on any comet, callers at any web node: nothing is refused, all of it arrives."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(4 * SOME)

    assert load.refusals() == []


@pytest.mark.parametrize("name", ["c1", "m1", "w1"])
async def test_a_node_is_killed(cluster: Cluster, seed: int, name: str) -> None:
    """SIGKILL: its clients are back by themselves; what has a ttl waits, and is accepted."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken(f"{name} is killed"):
            cluster[name].kill()
            await load.until_accepted(SOME)
            load.hush()
            await load.until_arrived()
            await in_thread(cluster[name].start)

    # whoever was talking to a web node cannot know what it had done
    assert load.refusals(stored=True, lines=False) == []


@pytest.mark.parametrize("name", ["c1", "m1", "w1"])
async def test_a_node_is_frozen_and_comes_back(cluster: Cluster, seed: int, name: str) -> None:
    """SIGSTOP past its session: what it holds is late, and fills its holes when it is back."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken(f"{name} is frozen"):
            cluster[name].freeze()
            await trio.sleep(FROZEN)
            cluster[name].thaw()
        await load.until_accepted(SOME)

    assert load.refusals(stored=True, lines=False) == []


async def test_the_leader_of_zookeeper_is_killed(
    cluster: Cluster, servers: Servers, seed: int
) -> None:
    """The others elect one: nobody notices."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        leader = servers.leader()
        with load.broken("ZooKeeper's leader is killed"):
            leader.daemon.kill()
            await load.until_accepted(2 * SOME)
            await in_thread(leader.daemon.start)
        await load.until_accepted(SOME)

    assert load.refusals() == []
    assert load.endings() == []


async def test_all_zookeepers_are_away(
    cluster: Cluster, servers: Servers, seed: int, away: float
) -> None:
    """Past the session: the last view stays, connections stay, pushes go on."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken("all ZooKeepers are frozen"), servers.zookeepers_away():
            await trio.sleep(away)
            await load.until_accepted(SOME)
        await load.until_accepted(SOME)

    assert load.refusals() == []
    assert load.endings() == []


async def test_the_store_is_killed(cluster: Cluster, servers: Servers, seed: int) -> None:
    """Pushes with a ttl are refused in clear words or wait; what was accepted is there afterwards."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken("the store is killed"):
            servers.store.kill()
            await load.until_refused()
            await in_thread(servers.store.daemon.start)
        await load.until_accepted(2 * SOME)


async def test_a_comet_cannot_reach_the_message_nodes(cluster: Cluster, seed: int) -> None:
    """A partition: first from one of them, then from both. Its clients stay, and lose nothing."""
    comet = cluster["c1"]
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken("c1 cannot reach m1"), cluster.proxies["m1"].cut_off(comet.pid):
            await load.until_accepted(2 * SOME)
        with load.broken("c1 cannot reach the store"), ExitStack() as cut:
            for proxy in cluster.proxies.values():
                cut.enter_context(proxy.cut_off(comet.pid))
            await load.until_refused()
        await load.until_accepted(SOME)


async def test_a_comet_joins_and_leaves(cluster: Cluster, seed: int) -> None:
    """Keys move to it and away again: callers and clients notice nothing but a new address."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken("c4 joins"):
            joining = cluster.add(Role.COMET, "c4")
            await in_thread(joining.start)
            await load.until_accepted(2 * SOME)
        with load.broken("c4 leaves"):
            await in_thread(joining.stop)
            await load.until_accepted(2 * SOME)

    assert load.refusals() == []


async def test_the_clock_of_a_comet_is_stepped(cluster: Cluster, seed: int) -> None:
    """An hour forward, two hours back, and right again: ids rise all the way."""
    async with storm(cluster, seed) as load:
        with load.broken("c4 joins, whose clock will be stepped"):
            clock = cluster.add_comet_with_clock("c4")
            await in_thread(cluster["c4"].start)
            await load.until_accepted(SOME)
            for hours in (1, -1, 0):
                clock.step(hours * 3600)
                await load.until_accepted(SOME)
            await in_thread(cluster["c4"].stop)
        await load.until_accepted(SOME)

    assert load.refusals() == []


async def test_an_operator_drains_a_comet(cluster: Cluster, seed: int) -> None:
    """Its clients are told where to go; it is empty, and ends."""
    async with storm(cluster, seed) as load:
        await load.until_accepted(SOME)
        with load.broken("c1 is drained"):
            await in_thread(cluster.drain, "c1", DRAIN)
            await load.until_accepted(SOME)
            await in_thread(cluster["c1"].start)
        await load.until_accepted(SOME)

    assert load.refusals() == []
    assert "broken" not in load.endings()


async def test_all_nodes_are_restarted_in_turn(cluster: Cluster, seed: int) -> None:
    """A rolling upgrade: one node after the other, each in order, and nothing is refused.

    A call may meet a web node that hangs up on an idle line at that very moment: it goes to another.
    """
    async with storm(cluster, seed) as load:
        for node in list(cluster.nodes.values()):
            await load.until_accepted(SOME // 2)
            with load.broken(f"{node.name} is restarted"):
                await in_thread(node.stop)
                await in_thread(node.start)
        await load.until_accepted(SOME)

    assert load.refusals(lines=False) == []


async def test_a_crowd_comes_back_at_once(cluster: Cluster, seed: int, crowd: int) -> None:
    """All comets are killed, and thousands of clients stand before the doors when they open again."""
    async with storm(cluster, seed, replace(CROWD, keys=crowd // CROWD.clients)) as load:
        await load.until_accepted(SOME)
        with load.broken("all comets are killed"):
            comets = cluster.of(Role.COMET)
            for comet in comets:
                comet.kill()
            async with trio.open_nursery() as nursery:
                for comet in comets:
                    nursery.start_soon(in_thread, comet.start)
            await load.until_back()
        await load.until_accepted(SOME)
