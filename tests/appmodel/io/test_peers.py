"""Reaching other nodes: in this process, over loopback, and when some of them are away."""

import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
import structlog
import trio

from appmodel.core.cluster import Node, Role, State
from appmodel.core.message import Delivery, Presence, Push, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import NotOwner, NotStored, OutcomeUnknown, PushError, Unavailable
from appmodel.io.calls import ledger_handlers, pusher_handlers, store_handlers
from appmodel.io.peers import Peers
from appmodel.io.registry_embedded import EmbeddedRegistry
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.appmodel.io.loopback import LIMITS, PATIENCE, SECRET, Served, serving

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


class SlowStore(MemoryStore):
    """A store that can hang after it has done its work, and can refuse."""

    def __init__(self, shared: MemoryStore | None = None) -> None:
        super().__init__(MessageConfig())
        self.shared = shared  # where it keeps messages, if not in itself
        self.saves = 0
        self.deletes = 0
        self.hangs = False
        self.refusal: PushError | None = None

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        self.saves += 1
        if self.refusal is not None:
            raise self.refusal
        saved = await (self.shared.save(saves) if self.shared else super().save(saves))
        if self.hangs:
            await trio.sleep_forever()
        return saved

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        self.deletes += 1
        if self.hangs:
            await trio.sleep_forever()
        return await super().delete(key, ids)


def save(number: int = 1) -> Save:
    now = time.time()
    return Save(number.to_bytes(16, "big"), int(now * 1e6), (KEY,), b"1", now + 60)


def comet(address: str, name: str = "c1") -> Node:
    return Node(Role.COMET, name, rpc=address)


async def until(happened: Callable[[], bool]) -> None:
    """Return once it has."""
    with trio.fail_after(PATIENCE):
        while not happened():
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def message_node(store: MemoryStore) -> AsyncIterator[Served]:
    async with serving({**store_handlers(store), **ledger_handlers(store)}) as served:
        yield served


def peers_of(*addresses: str, call_timeout: float = PATIENCE) -> Peers:
    """With message nodes at these addresses, in this order."""
    nodes = [Node(Role.MESSAGE, f"m{n}", rpc=address) for n, address in enumerate(addresses)]
    limits = replace(LIMITS, call_timeout=call_timeout)
    return Peers(EmbeddedRegistry(nodes), secret=SECRET, limits=limits)


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
                Push(b"1", (KEY,), b"1", 5.0),
                Push(b"2", (), b"2"),
                Push(b"3", (KEY, KEY), b"3"),
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
            Peers(registry, secret=SECRET, limits=LIMITS) as peers,
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
        Peers(registry, secret=SECRET, limits=LIMITS) as peers,
    ):
        node = comet(served.address)
        await registry.register(node)
        stub = peers.pusher(node)
        await stub.presence([KEY])

        await registry.withdraw(node)
        await trio.testing.wait_all_tasks_blocked()

        with pytest.raises(Unavailable, match=r"closed|left the cluster"):
            await stub.presence([KEY])


async def test_the_next_message_node_takes_over() -> None:
    """One that is unreachable is skipped, also when the registry has nonsense about it."""
    store = SlowStore()
    async with (
        message_node(store) as served,
        peers_of(NOWHERE, "no address", served.address) as peers,
    ):
        [first] = await peers.store().save([save()])

        assert await peers.store().marks([KEY]) == list(first.ids)
        assert len((await peers.store().fetch(KEY, 0, limit=5)).messages) == 1
        assert (await peers.store().feed(0, limit=5)).marks == ((KEY, first.ids[0]),)
        assert await peers.store().delete(KEY) == 1
        assert await peers.store().sweep(limit=5) == 0
        assert await peers.ledger().remember(b"a", b"1", kept_until=time.time() + 9) == b"1"
        assert await peers.ledger().recall(b"a") == b"1"
        await peers.ledger().revoke("token:1", issued_before=1.0, kept_until=time.time() + 9)
        assert [r.subject for r in await peers.ledger().revocations(0)] == ["token:1"]


async def test_with_nobody_left_a_save_is_refused_as_not_stored() -> None:
    """The caller must know that the message is nowhere; a read is simply unavailable."""
    async with peers_of(NOWHERE, NOWHERE) as peers:
        with pytest.raises(NotStored, match="is away: connection refused"):
            await peers.store().save([save()])
        with pytest.raises(Unavailable, match=re.escape(NOWHERE)):
            await peers.store().marks([KEY])
    async with peers_of() as peers:
        with pytest.raises(NotStored, match="no message node is registered"):
            await peers.store().save([save()])


async def test_a_node_that_hangs_gets_half_the_time_and_a_save_goes_elsewhere() -> None:
    """The first may have saved it: the push id makes the second save the same message."""
    store = SlowStore()
    hanging = SlowStore(shared=store)
    hanging.hangs = True
    async with message_node(hanging) as first, message_node(store) as second:
        async with peers_of(first.address, second.address, call_timeout=0.5) as peers:
            [saved] = await peers.store().save([save()])

        kept = (await store.fetch(KEY, 0, limit=5)).messages

    assert [message.id for message in kept] == list(saved.ids)
    assert store.saves == 2


async def test_what_may_not_happen_twice_is_not_repeated() -> None:
    """A delete counts what it did: with an unknown outcome the caller has to know."""
    dying, other = SlowStore(), SlowStore()
    dying.hangs = True
    async with (
        message_node(dying) as first,
        message_node(other) as second,
        peers_of(first.address, second.address) as peers,
        trio.open_nursery() as nursery,
    ):

        async def delete() -> None:
            with pytest.raises(OutcomeUnknown):
                await peers.store().delete(KEY)

        nursery.start_soon(delete)
        await until(lambda: dying.deletes == 1)
        first.kill()

    assert (dying.deletes, other.deletes) == (1, 0)


async def test_a_refusal_of_the_store_is_the_answer() -> None:
    """A full disk, or a clock that ran away: asking another node would not help."""
    full, other = SlowStore(), SlowStore()
    full.refusal = NotStored("the disk is full")
    async with (
        message_node(full) as first,
        message_node(other) as second,
        peers_of(first.address, second.address) as peers,
    ):
        with pytest.raises(NotStored, match="the disk is full"):
            await peers.store().save([save()])

    assert (full.saves, other.saves) == (1, 0)


async def test_an_unknown_outcome_is_never_reported_as_a_refusal() -> None:
    """The first may have saved it, the second is away: `NotStored` would be a lie."""
    hanging = SlowStore()
    hanging.hangs = True
    async with (
        message_node(hanging) as first,
        peers_of(first.address, NOWHERE, call_timeout=0.2) as peers,
    ):
        with pytest.raises(OutcomeUnknown):
            await peers.store().save([save()])


async def test_a_message_node_that_dies_in_the_middle_is_replaced_at_once() -> None:
    """Its connection breaks, the outcome is unknown, the next one answers long before the deadline."""
    dying, store = SlowStore(), SlowStore()
    dying.hangs = True
    async with (
        message_node(dying) as first,
        message_node(store) as second,
        peers_of(first.address, second.address, call_timeout=100 * PATIENCE) as peers,
        trio.open_nursery() as nursery,
    ):
        answers: list[list[Saved]] = []

        async def ask() -> None:
            answers.append(await peers.store().save([save()]))

        nursery.start_soon(ask)
        await until(lambda: dying.saves == 1)
        first.kill()
        await until(lambda: answers != [])

    assert store.saves == 1
