"""Reaching other nodes: in this process, over loopback, and when some of them are away."""

from collections.abc import Sequence

import msgspec
import pytest
import structlog
import trio

from appmodel.core.cluster import Node, Role, State
from appmodel.core.message import Delivery, Presence, Push
from appmodel.core.names import Key
from appmodel.errors import NotOwner, PushError, Unavailable
from appmodel.io.calls import pusher_handlers
from appmodel.io.peers import Peers
from appmodel.io.registry_embedded import EmbeddedRegistry
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.appmodel.io.loopback import LIMITS, SECRET, serving

KEY = Key("", "a", "user")
NOWHERE = "127.0.0.1:1"  # tcpmux: nobody listens there


class CountingPusher:
    """A comet that answers with what it was asked."""

    async def push(
        self, pushes: Sequence[Push], *, passed_on: bool = False
    ) -> list[Delivery | PushError]:
        return [
            Delivery((n,) * len(push.keys), (0,) * len(push.keys), bool(push.expires_at))
            if push.keys
            else NotOwner("nobody", None)
            for n, push in enumerate(pushes)
        ]

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        return [Presence(len(key.id), 0) for key in keys]


def comet(address: str, name: str = "c1") -> Node:
    return Node(Role.COMET, name, rpc=address)


def peers_of(registry: EmbeddedRegistry | None = None) -> Peers:
    """That know nobody yet."""
    return Peers(registry or EmbeddedRegistry(), secret=SECRET, limits=LIMITS)


async def test_what_lives_here_is_called_in_memory() -> None:
    """The all-in-one node passes objects, not frames: they are the very same."""
    peers = peers_of()
    pusher, store = CountingPusher(), MemoryStore(MessageConfig())
    peers.provide_pusher(Node(Role.COMET, "c1"), pusher)
    peers.provide_store(store, store)

    async with peers:
        assert peers.pusher(comet("")) is pusher
        assert peers.store() is store
        assert peers.ledger() is store


async def test_a_comet_elsewhere_is_called_over_one_connection() -> None:
    """Outcomes keep their order and their errors; looking it up again opens nothing."""
    with structlog.testing.capture_logs() as logs:
        async with serving(pusher_handlers(CountingPusher())) as served, peers_of() as peers:
            node = comet(served.address)
            pushes = [
                Push(b"1" * 16, (KEY,), b"1", 5.0),
                Push(b"2" * 16, (), b"2"),
                Push(b"3" * 16, (KEY, Key("", "b", "user")), b"3"),
            ]

            first, refused, last = await peers.pusher(node).push(pushes)
            [presence] = await peers.pusher(node).presence([KEY])

    assert first == Delivery((0,), (0,), stored=True)
    assert isinstance(refused, NotOwner)
    assert str(refused) == "key 'nobody' belongs to no live node"
    assert last == Delivery((2, 2), (0, 0), stored=False)
    assert presence == Presence(1, 0)
    assert [line["event"] for line in logs].count("rpc connected") == 1


@pytest.mark.parametrize("address", ["", "no address", "192.0.2.1:6970"])
async def test_a_node_that_cannot_be_called_is_unavailable(address: str) -> None:
    """No address, a wrong one, or one that needs a secret: what the registry says ends no process."""
    async with Peers(EmbeddedRegistry()) as peers:
        with pytest.raises(Unavailable, match="comet node 'c1'"):
            peers.pusher(comet(address))


async def test_outside_its_block_nothing_is_called() -> None:
    """Connections belong to a nursery that somebody sees."""
    peers = peers_of()
    with pytest.raises(Unavailable, match="closed"):
        peers.pusher(comet(NOWHERE))
    async with peers:
        pass
    with pytest.raises(Unavailable, match="closed"):
        peers.pusher(comet(NOWHERE))


async def test_a_connection_stays_while_its_address_does() -> None:
    """Another state, weight or incarnation redials nothing (the original redials on every update: C14)."""
    registry = EmbeddedRegistry()
    with structlog.testing.capture_logs() as logs:
        async with (
            serving(pusher_handlers(CountingPusher())) as served,
            peers_of(registry) as peers,
        ):
            node = comet(served.address)
            for state in State:
                await registry.register(msgspec.structs.replace(node, state=state))
                await trio.testing.wait_all_tasks_blocked()
                await peers.pusher(node).presence([KEY])

    assert [line["event"] for line in logs].count("rpc connected") == 1


async def test_a_node_that_has_left_is_hung_up_on() -> None:
    """Its connection ends, and a stub that somebody kept says so."""
    registry = EmbeddedRegistry()
    async with (
        serving(pusher_handlers(CountingPusher())) as served,
        peers_of(registry) as peers,
    ):
        node = comet(served.address)
        await registry.register(node)
        stub = peers.pusher(node)
        await stub.presence([KEY])

        await registry.withdraw(node)
        await trio.testing.wait_all_tasks_blocked()

        with pytest.raises(Unavailable, match=r"closed|left the cluster"):
            await stub.presence([KEY])
