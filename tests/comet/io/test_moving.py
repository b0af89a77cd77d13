"""Clients are moved at a rate, and those who stay cost nobody anything."""

import socket

import msgspec
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.cluster import ClusterView, Node, Role, State
from appmodel.core.names import Key
from appmodel.core.units import Duration, Size
from comet.config import ClusterConfig, CometConfig
from comet.core.channel import Channel
from comet.core.hub import Hub
from comet.core.standing import Standing
from comet.io.moving import LOOKS, Mover
from tests.comet.several import FAST, open_cluster, settled
from tests.comet.world import LIMIT, changed, open_comet, pass_time

HERE, THERE = Node(Role.COMET, "a", 1), Node(Role.COMET, "b", 1)


class WatchedHub(Hub):
    """Counts who is looked for."""

    looks = 0

    def find(self, key: Key) -> Channel | None:
        self.looks += 1
        return super().find(key)


async def test_keys_without_anybody_to_move_are_passed_over_in_steps(mock_clock: MockClock) -> None:
    """However many have come back or may stay, everything else of the comet goes on meanwhile."""
    async with open_comet() as world:
        hub = world.comet.live.hub = WatchedHub()
        standing = Standing(HERE, ClusterView(1, (HERE, THERE)))
        mover = Mover(
            live=world.comet.live, standing=lambda: standing, config=ClusterConfig(), tls=False
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mover.run)
            mover.move([Key("", str(number), "user") for number in range(5 * LOOKS)])

            await wait_all_tasks_blocked()  # the first handful

            assert LOOKS <= hub.looks < 2 * LOOKS
            nursery.cancel_scope.cancel()


async def test_a_drain_counts_who_did_not_take_the_last_words() -> None:
    """A client that reads nothing is moved, but nobody could tell it where: it is lost."""
    config = changed(CometConfig(), "live", send_buffer=Size(4096), outbox_limit=Size(2**30))
    async with open_cluster("a", "b", config=config) as cluster:
        a = cluster.worlds["a"]
        keys = [key for key in map(str, range(99)) if cluster.owner(key) is a][:3]
        deaf, *others = [await a.subscriber(key) for key in keys]
        assert isinstance(deaf.stream, trio.SocketStream)
        deaf.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else it grows by itself
        while len(a.member(keys[0]).owed) < 2**22:
            await a.push(keys[0], body=b'"%b"' % (b"x" * 2**20))

        await cluster.change("a", state=State.DRAINING)
        await a.comet.membership.left_ring()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.comet.hand_over, trio.current_time() + LIMIT)
            for client in others:
                await client.read_all()

        handover = a.comet.status.handover
        assert handover is not None
        assert (handover.moved, handover.left, handover.lost) == (3, 0, 1)


async def test_a_drain_that_is_taken_back_leaves_everybody_where_they_are(
    mock_clock: MockClock,
) -> None:
    """Also those whose keys are of other comets; and new clients come in again."""
    config = changed(FAST, "cluster", move_rate=1, lease=Duration(600), drain_timeout=Duration(600))
    async with open_cluster("a", "b", config=config) as cluster:
        a = cluster.worlds["a"]
        keys = [str(number) for number in range(60)]
        for key in keys:
            await a.subscriber(key)
        ours = sum(cluster.owner(key) is a for key in keys)
        await cluster.registry.register(
            msgspec.structs.replace(
                a.comet.node, state=State.DRAINING
            )  # as an operator's wish shows
        )
        while a.comet.mover.handover.moved <= ours:  # it has come to those of the other comet
            await pass_time(mock_clock, 0.05)

        await cluster.registry.register(a.comet.node)
        await settled(cluster)
        await wait_all_tasks_blocked()
        stayed = a.comet.live.hub.subscribers
        await pass_time(mock_clock, 10)

        assert 0 < stayed == a.comet.live.hub.subscribers
        await a.subscriber("new")
