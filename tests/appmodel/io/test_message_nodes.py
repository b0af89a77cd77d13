"""The message nodes as one: who is asked, who answers, and what is true when nobody does.

Time stands still here unless a test lets it jump, so nothing is hedged by chance.
"""

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio
from trio.testing import MockClock

from appmodel.core.cluster import Node, Role
from appmodel.core.message import Feed, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import BadInput, NotStored, OutcomeUnknown, PushError, Unavailable
from appmodel.io.calls import ledger_handlers, store_handlers
from appmodel.io.message_nodes import PROBE_PAUSE, STANDSTILL, rank
from appmodel.io.peers import Peers
from appmodel.io.registry_embedded import EmbeddedRegistry
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.appmodel.io.loopback import LIMITS, PATIENCE, SECRET, Served, serving

KEY = Key("", "a", "user")
NOWHERE = "127.0.0.1:1"  # tcpmux: nobody listens there
TIMEOUT, HEDGE = 5.0, 0.3  # seconds


class NodeStore(MemoryStore):
    """One node of several that share what they keep. It can hang when it has done its work, and refuse."""

    def __init__(self, shared: MemoryStore) -> None:
        super().__init__(MessageConfig())
        self._shared = shared
        self._goes_on = trio.Event()
        self._goes_on.set()
        self.refusal: PushError | None = None
        self.calls: Counter[str] = Counter()

    def hang(self) -> None:
        """Answer nothing until `go_on`."""
        self._goes_on = trio.Event()

    def go_on(self) -> None:
        """Answer, also what was asked before."""
        self._goes_on.set()

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        await self._begin("save")
        saved = await self._shared.save(saves)
        await self._goes_on.wait()
        return saved

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        await self._begin("delete")
        deleted = await self._shared.delete(key, ids)
        await self._goes_on.wait()
        return deleted

    async def feed(self, position: int, *, limit: int) -> Feed:
        await self._begin("feed")
        feed = await self._shared.feed(position, limit=limit)
        await self._goes_on.wait()
        return feed

    async def _begin(self, call: str) -> None:
        self.calls[call] += 1
        if self.refusal is not None:
            await self._goes_on.wait()
            raise self.refusal


def save(number: int = 1) -> Save:
    now = time.time()
    return Save(number.to_bytes(16, "big"), int(now * 1e6), (KEY,), b"1", now + 60)


async def until(happened: Callable[[], bool]) -> None:
    """Return once it has. Real time: trio's may stand still."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "it does not happen"
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def message_node(store: MemoryStore) -> AsyncIterator[Served]:
    async with serving({**store_handlers(store), **ledger_handlers(store)}) as served:
        yield served


def peers_of(*addresses: str, max_calls: int = 100) -> Peers:
    """They prefer these message nodes in this order."""
    names = sorted((f"m{n}" for n in range(len(addresses))), key=lambda name: rank("", name))
    nodes = [Node(Role.MESSAGE, n, rpc=a) for n, a in zip(names, addresses, strict=True)]
    limits = replace(
        LIMITS, call_timeout=TIMEOUT, hedge=HEDGE, ping_interval=1e6, max_calls=max_calls
    )
    return Peers(EmbeddedRegistry(nodes), secret=SECRET, limits=limits)


@dataclass
class Nodes:
    """Message nodes that share what they keep, and somebody who calls them."""

    peers: Peers
    shared: MemoryStore
    stores: list[NodeStore]
    served: list[Served]
    nursery: trio.Nursery
    answers: list[Saved | PushError] = field(default_factory=list)

    @property
    def saves(self) -> list[int]:
        """How often each was asked to save."""
        return [store.calls["save"] for store in self.stores]

    def begin(self, number: int = 1) -> None:
        """Save in the background: the outcome goes to `answers`."""
        self.nursery.start_soon(self._save, number)

    async def save(self, number: int = 1) -> Saved | PushError:
        """Save; the outcome."""
        before = len(self.answers)
        self.begin(number)
        await until(lambda: len(self.answers) > before)
        return self.answers[-1]

    async def kept(self) -> int:
        """How many messages there are."""
        return len((await self.shared.fetch(KEY, 0, limit=1000)).messages)

    async def _save(self, number: int) -> None:
        try:
            self.answers += await self.peers.store().save([save(number)])
        except PushError as error:
            self.answers.append(error)


@asynccontextmanager
async def message_nodes(number: int = 2, *, max_calls: int = 100) -> AsyncIterator[Nodes]:
    """They are preferred in their order, and called `max_calls` times at once."""
    shared = MemoryStore(MessageConfig())
    stores = [NodeStore(shared) for _ in range(number)]
    async with AsyncExitStack() as stack:
        served = [await stack.enter_async_context(message_node(store)) for store in stores]
        peers = await stack.enter_async_context(
            peers_of(*(each.address for each in served), max_calls=max_calls)
        )
        nursery = await stack.enter_async_context(trio.open_nursery())
        yield Nodes(peers, shared, stores, served, nursery)
        nursery.cancel_scope.cancel()


async def test_the_next_message_node_takes_over() -> None:
    """One that is unreachable is skipped, also when the registry has nonsense about it."""
    store = MemoryStore(MessageConfig())
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


async def test_a_quick_node_is_asked_alone(mock_clock: MockClock) -> None:
    """Nothing is done twice while all is well, and always by the same node: it gathers batches."""
    async with message_nodes(3) as nodes:
        for number in range(20):
            await nodes.save(number)

        assert nodes.saves == [20, 0, 0]
        assert sum(store.calls["feed"] for store in nodes.stores) == 0


async def test_a_silent_node_is_not_waited_for(mock_clock: MockClock) -> None:
    """After the hedge another one is asked too: the push id makes both saves the same message."""
    async with message_nodes(3) as nodes:
        nodes.stores[0].hang()
        nodes.stores[1].hang()
        nodes.begin()
        await until(lambda: nodes.saves == [1, 0, 0])
        mock_clock.jump(HEDGE)
        await until(lambda: nodes.saves == [1, 1, 0])
        assert nodes.answers == []
        mock_clock.jump(HEDGE)

        await until(lambda: nodes.answers != [])

        assert nodes.saves == [1, 1, 1]
        assert isinstance(nodes.answers[0], Saved)
        assert await nodes.kept() == 1


async def test_the_first_answer_counts(mock_clock: MockClock) -> None:
    """Also that of the node that was silent, when the other one is slower still."""
    async with message_nodes() as nodes:
        for store in nodes.stores:
            store.hang()
        nodes.begin()
        await until(lambda: nodes.saves == [1, 0])
        mock_clock.jump(HEDGE)
        await until(lambda: nodes.saves == [1, 1])

        nodes.stores[0].go_on()

        await until(lambda: nodes.answers != [])
        assert isinstance(nodes.answers[0], Saved)


async def test_a_silent_node_costs_one_call_its_hedge(mock_clock: MockClock) -> None:
    """Then it is suspect: it is asked last, until it has answered a small read that nobody waits for."""
    async with message_nodes() as nodes:
        silent, other = nodes.stores
        silent.hang()
        nodes.begin()
        await until(lambda: nodes.saves == [1, 0])
        mock_clock.jump(HEDGE)
        await until(lambda: nodes.answers != [])

        for number in range(10):  # time stands still: nobody waits for anything
            await nodes.save(number)
        assert nodes.saves == [1, 11]
        assert silent.calls["feed"] == 1

        silent.go_on()
        while nodes.saves[0] == 1:
            await nodes.save()
        asked = other.calls["save"]
        await nodes.save()
        assert other.calls["save"] == asked


async def test_probes_have_pauses(mock_clock: MockClock) -> None:
    """A node that answers every probe with an error is not asked at each call."""
    async with message_nodes() as nodes:
        cut_off, _ = nodes.stores
        cut_off.refusal = NotStored("the store is away")
        for number in range(20):
            await nodes.save(number)
        assert cut_off.calls["feed"] == 1

        mock_clock.jump(PROBE_PAUSE)
        for number in range(20):
            await nodes.save(number)
        assert cut_off.calls["feed"] == 2


async def test_a_node_that_could_not_store_is_suspect(mock_clock: MockClock) -> None:
    """Its refusal is the answer. But that may be its own trouble: the next call goes elsewhere."""
    async with message_nodes() as nodes:
        nodes.stores[0].refusal = NotStored("the disk is full")

        refused, saved = await nodes.save(), await nodes.save()

        assert str(refused) == "the disk is full"
        assert isinstance(saved, Saved)
        assert nodes.saves == [1, 1]


async def test_bad_input_is_nobody_s_fault(mock_clock: MockClock) -> None:
    """What any node would refuse makes none suspect."""
    async with message_nodes() as nodes:
        nodes.stores[0].refusal = BadInput("keys", [], "at least one")

        refused = [await nodes.save(), await nodes.save()]

        assert [type(error) for error in refused] == [BadInput, BadInput]
        assert nodes.saves == [2, 0]


async def test_a_slow_store_is_not_asked_twice(mock_clock: MockClock) -> None:
    """Only well nodes are hedged to: where all are slow, more calls would make them slower."""
    async with message_nodes() as nodes:
        for store in nodes.stores:
            store.hang()
        nodes.begin(0)
        await until(lambda: nodes.saves == [1, 0])
        mock_clock.jump(HEDGE)
        await until(lambda: nodes.saves == [1, 1])

        for number in range(1, 9):
            nodes.begin(number)
        await until(lambda: nodes.saves == [1, 9])
        mock_clock.jump(HEDGE)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert nodes.saves == [1, 9]

        nodes.stores[1].go_on()
        await until(lambda: len(nodes.answers) == 9)
        assert await nodes.kept() == 9


async def test_a_suspect_node_is_asked_at_half_the_time(mock_clock: MockClock) -> None:
    """When the well ones hang it is the last hope, and it needs time to answer."""
    async with message_nodes() as nodes:
        nodes.stores[0].refusal = NotStored("the disk is full")
        await nodes.save()
        nodes.stores[0].refusal = None
        nodes.stores[1].hang()
        nodes.begin()
        await until(lambda: nodes.saves == [1, 1])

        mock_clock.jump(TIMEOUT / 2)

        await until(lambda: len(nodes.answers) == 2)
        assert isinstance(nodes.answers[1], Saved)
        assert nodes.saves == [2, 1]


async def test_all_nodes_together_have_one_timeout(mock_clock: MockClock) -> None:
    """Then the outcome is unknown: each of them may have done it."""
    async with message_nodes() as nodes:
        for store in nodes.stores:
            store.hang()
        nodes.begin()
        await until(lambda: nodes.saves == [1, 0])
        mock_clock.jump(HEDGE)
        await until(lambda: nodes.saves == [1, 1])
        assert nodes.answers == []

        for seconds in (HEDGE, TIMEOUT - 2 * HEDGE):  # not at once: nobody stands still
            mock_clock.jump(seconds)
            await trio.testing.wait_all_tasks_blocked(0.01)

        await until(lambda: nodes.answers != [])
        assert isinstance(nodes.answers[0], OutcomeUnknown)


async def test_what_may_not_happen_twice_is_not_repeated(mock_clock: MockClock) -> None:
    """A delete counts what it did: with an unknown outcome the caller has to know."""
    async with message_nodes() as nodes:
        dying, other = nodes.stores
        dying.hang()

        async def delete() -> None:
            with pytest.raises(OutcomeUnknown):
                await nodes.peers.store().delete(KEY)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(delete)
            await until(lambda: dying.calls["delete"] == 1)
            mock_clock.jump(2 * HEDGE)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nodes.served[0].kill()

        assert other.calls["delete"] == 0


@pytest.mark.parametrize("number", [1, 2])
async def test_who_stood_still_has_its_time_again(mock_clock: MockClock, number: int) -> None:
    """Its deadline is over, but nobody was silent: what was not sent is sent, and what was sent asked again."""
    async with message_nodes(number, max_calls=1) as nodes:
        for store in nodes.stores:
            store.hang()
        nodes.begin(1)
        await until(lambda: nodes.saves[0] == 1)
        nodes.begin(2)  # there is no room for it: it waits
        await trio.testing.wait_all_tasks_blocked(0.01)

        mock_clock.jump(TIMEOUT + STANDSTILL)
        await trio.testing.wait_all_tasks_blocked(0.01)
        for store in nodes.stores:
            store.go_on()

        await until(lambda: len(nodes.answers) == 2)
        assert [type(answer) for answer in nodes.answers] == [Saved, Saved]
        assert await nodes.kept() == 2


async def test_a_standstill_is_forgiven_once(mock_clock: MockClock) -> None:
    """A machine that is too slow for everything keeps no caller for ever."""
    async with message_nodes(1) as nodes:
        nodes.stores[0].hang()
        nodes.begin()
        for times in (1, 2):
            await until(lambda times=times: nodes.saves == [times])  # type: ignore[misc]
            assert nodes.answers == []
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(TIMEOUT + STANDSTILL)

        await until(lambda: nodes.answers != [])
        assert isinstance(nodes.answers[0], OutcomeUnknown)
        assert nodes.saves == [2]


async def test_a_standstill_repeats_nothing_that_may_not_happen_twice(
    mock_clock: MockClock,
) -> None:
    """A delete that was sent is in doubt, however its time went by."""
    async with message_nodes() as nodes:
        for store in nodes.stores:
            store.hang()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                with pytest.raises(OutcomeUnknown):
                    await nodes.peers.store().delete(KEY)

            await until(lambda: nodes.stores[0].calls["delete"] == 1)
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(TIMEOUT + STANDSTILL)

        assert [store.calls["delete"] for store in nodes.stores] == [1, 0]


async def test_a_standstill_clears_no_doubt(mock_clock: MockClock) -> None:
    """It may have been saved before; that it is refused now does not undo it."""
    async with message_nodes(1) as nodes:
        nodes.stores[0].hang()
        nodes.begin()
        await until(lambda: nodes.saves == [1])
        await trio.testing.wait_all_tasks_blocked(0.01)
        nodes.stores[0].refusal = NotStored("the disk is full")
        mock_clock.jump(TIMEOUT + STANDSTILL)
        await until(lambda: nodes.saves == [2])
        nodes.stores[0].go_on()

        await until(lambda: nodes.answers != [])

        assert isinstance(nodes.answers[0], OutcomeUnknown)


async def test_a_doubt_is_never_called_a_refusal(mock_clock: MockClock) -> None:
    """The first may have saved it, whatever the second says, and whether it answers at all."""
    async with message_nodes() as nodes:
        nodes.stores[0].hang()
        nodes.stores[1].refusal = NotStored("the disk is full")
        nodes.begin()
        await until(lambda: nodes.saves == [1, 0])
        nodes.served[0].kill()

        await until(lambda: nodes.answers != [])

        assert isinstance(nodes.answers[0], OutcomeUnknown)
        assert nodes.saves == [1, 1]


async def test_a_refusal_waits_for_who_is_asked_already(mock_clock: MockClock) -> None:
    """While a silent node may still do it, another one's refusal is not the end."""
    async with message_nodes(3) as nodes:
        nodes.stores[0].hang()
        nodes.stores[1].refusal = NotStored("the disk is full")
        nodes.begin()
        await until(lambda: nodes.saves == [1, 0, 0])
        mock_clock.jump(HEDGE)
        await until(lambda: nodes.saves == [1, 1, 0])
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(TIMEOUT / 2)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert nodes.answers == []

        nodes.stores[0].go_on()

        await until(lambda: nodes.answers != [])
        assert isinstance(nodes.answers[0], Saved)
        assert nodes.saves == [1, 1, 0]


async def test_a_node_that_dies_in_the_middle_is_replaced_at_once(mock_clock: MockClock) -> None:
    """Its connection breaks, the outcome is unknown, the next one answers long before the deadline."""
    async with message_nodes() as nodes:
        nodes.stores[0].hang()
        nodes.begin()
        await until(lambda: nodes.saves == [1, 0])

        nodes.served[0].kill()

        await until(lambda: nodes.answers != [])
        assert isinstance(nodes.answers[0], Saved)
        assert await nodes.kept() == 1


async def test_a_cancelled_call_harms_no_node(mock_clock: MockClock) -> None:
    """Who was asked is not suspect for it, and its place among the calls of the connection is free."""
    async with message_nodes(max_calls=1) as nodes:
        nodes.stores[0].hang()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(nodes.peers.store().save, [save()])
                await until(lambda: nodes.saves == [1, 0])
                scope.cancel()

        nodes.begin()
        await until(lambda: nodes.saves == [2, 0])
        nodes.stores[0].go_on()

        await until(lambda: nodes.answers != [])


def test_callers_begin_with_different_nodes() -> None:
    """Each prefers another one, and keeps its order when one comes or goes."""
    names = [f"m{n}" for n in range(4)]

    def order(caller: str, nodes: list[str]) -> list[str]:
        return sorted(nodes, key=lambda node: rank(caller, node))

    firsts = Counter(order(f"c{n}", names)[0] for n in range(100))

    assert min(firsts.values()) > 10
    assert set(firsts) == set(names)
    for caller in ("c1", "c2"):
        assert order(caller, names[:-1]) == [n for n in order(caller, names) if n != names[-1]]
