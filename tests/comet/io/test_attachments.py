"""Several comets, one store: a client anywhere gets what is pushed anywhere, in order, once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from appmodel.core.cluster import Node, Role, State
from appmodel.core.message import Presence, Save
from appmodel.core.names import Key, parse_key
from appmodel.core.units import Duration
from appmodel.errors import NotOwner, Unavailable
from appmodel.io.calls import Call, Caller
from comet.core.attaching import Answer
from comet.core.message import Message
from comet.core.standing import Standing
from comet.io.sweeper import STEP
from tests.comet.several import FAST, open_cluster, settled, until_online
from tests.comet.world import BEAT, LIMIT, changed, request


async def test_a_client_of_any_comet_gets_what_is_pushed_in_order() -> None:
    """Stored or not, through the owner, and the caller hears of everybody."""
    async with open_cluster("a", "b", "c") as cluster:
        near = await cluster.owner("k").subscriber()
        far = await cluster.stranger("k").subscriber()
        await until_online(cluster, "k", 2)

        pushed = [await cluster.owner("k").push("k", ttl=ttl) for ttl in (0, 60, 0, 60, 60, 0)]

        ids = [delivery.ids[0] for delivery in pushed]
        assert await near.read_ids(6) == await far.read_ids(6) == ids == sorted(ids)
        assert {delivery.online for delivery in pushed} == {(2,)}


async def test_who_is_welcomed_misses_nothing() -> None:
    """The owner knows of the key before the client hears `+h`: also what is not stored comes."""
    async with open_cluster("a", "b") as cluster:
        far = await cluster.stranger("k").subscriber()

        delivery = await cluster.owner("k").push("k")

        assert await far.read_ids(1) == [delivery.ids[0]]


@dataclass
class SlowLine:
    """Between a holder and an owner: each report waits here; see `Attachments.caller`."""

    caller: Caller
    before: Callable[[], None] = lambda: None
    gate: trio.Event | None = None
    waiting: trio.Event = field(default_factory=trio.Event)

    async def call(self, call: Call[Any, Any], argument: Any, *, timeout: float) -> Any:  # noqa: ASYNC109
        self.before()
        self.waiting.set()
        if self.gate is not None:
            await self.gate.wait()
        return await self.caller.call(call, argument, timeout=timeout)


async def test_nobody_is_welcomed_while_the_owner_has_yet_to_hear_of_the_key() -> None:
    """Neither the first client nor the second: the report for both is still on its way."""
    async with open_cluster("a", "b") as cluster:
        stranger = cluster.stranger("k")
        attachments = stranger.comet.attachments
        line = SlowLine(attachments.caller(cluster.owner("k").comet.node), gate=trio.Event())
        attachments.caller = lambda _: line
        clients = [await stranger.tcp(request("sub", "k", "30"))]
        await line.waiting.wait()
        clients.append(await stranger.tcp(request("sub", "k", "30")))
        await stranger.until(lambda: stranger.channel("k").joining == 2)
        await wait_all_tasks_blocked()

        assert stranger.channel("k").subscribers == []
        assert line.gate is not None
        line.gate.set()

        assert [await client.read(len(BEAT)) for client in clients] == [BEAT, BEAT]


async def test_a_key_that_is_never_at_rest_keeps_nobody_waiting() -> None:
    """Clients that acknowledge all the time make one report after the other due."""
    config = changed(FAST, "cluster", attach_timeout=Duration(10 * LIMIT))
    async with open_cluster("a", "b", config=config) as cluster:
        stranger = cluster.stranger("k")
        await stranger.subscriber("k")
        books, attachments = stranger.channel("k").home, stranger.comet.attachments
        assert books is not None
        caller = attachments.caller(cluster.owner("k").comet.node)
        line = SlowLine(caller, before=lambda: books.touch(parse_key("k")))
        attachments.caller = lambda _: line
        await line.waiting.wait()  # a heartbeat, and from now on something is always due

        key = next(key for key in map(str, range(99)) if cluster.owner(key) is cluster.owner("k"))

        await stranger.subscriber(key)


async def test_an_owner_that_never_agrees_costs_a_line() -> None:
    """Its holder tells it everything again and again, welcomes its clients, and does not fill the log."""
    reports: list[Any] = []

    class Contrary:
        async def call(self, call: Call[Any, Any], argument: Any, *, timeout: float) -> Any:  # noqa: ASYNC109
            await trio.lowlevel.checkpoint()
            reports.append(argument)
            return Answer(False, clock=2**53 - 1, now=1e11)

    config = changed(FAST, "cluster", attach_timeout=Duration(0.1))
    with structlog.testing.capture_logs() as logs:
        async with open_cluster("a", "b", config=config) as cluster:
            stranger = cluster.stranger("k")
            stranger.comet.attachments.caller = lambda _: Contrary()

            await stranger.subscriber("k")

            await stranger.until(lambda: len(reports) > 3)
            assert stranger.comet.live.clock.last < reports[0].now * 1e6 + 60e6
    assert [line["event"] for line in logs].count("attachments told again") == 1


async def test_a_push_to_a_comet_that_is_not_the_owner_is_passed_on_once() -> None:
    """Keys of several owners come back as one answer; a second stranger says who it thinks it is."""
    async with open_cluster("a", "b", "c") as cluster:
        keys = [f"k{number}" for number in range(20)]
        clients = [await cluster.owner(key).subscriber(key) for key in keys]
        stranger = cluster.stranger("k0")

        delivery = await stranger.push(*keys, ttl=60)
        again = stranger.make_push("k0")
        [refused] = await stranger.comet.pusher.push([again], passed_on=True)

        assert delivery.online == (1,) * 20
        assert [await client.read_ids(1) for client in clients] == [[id_] for id_ in delivery.ids]
        assert isinstance(refused, NotOwner)


async def test_presence_counts_subscribers_and_acknowledgements_of_all_comets() -> None:
    """One question to the owner, whoever holds the connections."""
    async with open_cluster("a", "b", "c") as cluster:
        clients = [await world.subscriber() for world in cluster.worlds.values()]
        delivery = await cluster.owner("k").push("k", ttl=60)
        for client in clients:
            await client.read_ids(1)
        await clients[0].send(b'{"ack":[%d]}\r\n' % delivery.ids[0])

        with trio.fail_after(LIMIT):
            while await cluster.presence("k") != Presence(3, delivery.ids[0]):
                await trio.lowlevel.checkpoint()
        for client in clients:
            await client.stream.aclose()
        await until_online(cluster, "k", 0)

        assert all(len(world.comet.forwarding.holders) == 0 for world in cluster.worlds.values())


async def test_an_owner_that_forgot_is_told_again() -> None:
    """Count and digest differ at the next heartbeat: the holder tells everything once more."""
    async with open_cluster("a", "b") as cluster:
        far = await cluster.stranger("k").subscriber()
        holders = cluster.owner("k").comet.forwarding.holders
        for holder in holders:
            holders.drop(holder)

        await until_online(cluster, "k", 1)

        delivery = await cluster.owner("k").push("k")
        assert await far.read_ids(1) == [delivery.ids[0]]


async def test_an_owner_that_is_away_keeps_nobody_waiting() -> None:
    """Its clients are welcomed elsewhere, and what web saves meanwhile is found by the position check."""
    config = changed(FAST, "cluster", attach_timeout=Duration(LIMIT))
    dead = Node(Role.COMET, "dead", 1, rpc="127.0.0.1:1")
    async with open_cluster("a", config=config) as cluster:
        a = cluster.worlds["a"]
        await cluster.registry.register(dead)
        key = next(
            key
            for key in map(str, range(99))
            if cluster.registry.view.owner(parse_key(key)) == dead
        )

        client = await a.subscriber(key)
        push = a.make_push(key, ttl=60)
        save = Save(push.push_id, 1, push.keys, push.body, push.expires_at)
        [saved] = await cluster.store.save([save])

        assert await client.read_ids(1) == [saved.ids[0]]


async def test_a_holder_that_left_holds_nothing() -> None:
    """All its attachments end with its registration."""
    async with open_cluster("a", "b") as cluster:
        await cluster.stranger("k").subscriber()
        await until_online(cluster, "k", 1)
        stranger = cluster.stranger("k").comet.node

        owner = cluster.owner("k")
        await cluster.registry.withdraw(stranger)
        with trio.fail_after(LIMIT):
            while len(owner.comet.forwarding.holders):
                await trio.lowlevel.checkpoint()

        assert (await cluster.presence("k")).online == 0


async def test_a_holder_that_lost_its_session_alone_keeps_what_it_tells() -> None:
    """It lives and speaks: that the registry does not know it is no reason to forget it again and again."""
    async with open_cluster("a", "b") as cluster:
        await cluster.stranger("k").subscriber()
        owner, stranger = cluster.owner("k"), cluster.stranger("k")
        await cluster.registry.withdraw(stranger.comet.node)
        await settled(cluster)
        await until_online(cluster, "k", 1)

        await cluster.registry.register(Node(Role.COMET, "c", 1, weight=0))
        await settled(cluster)

        [presence] = await owner.comet.pusher.presence([parse_key("k")])
        assert presence.online == 1


async def test_what_a_forward_lost_is_found_in_the_store() -> None:
    """The next message names a predecessor that the holder has not seen; or the position check does."""
    async with open_cluster("a", "b") as cluster:
        far = await cluster.stranger("k").subscriber()
        push = cluster.owner("k").make_push("k", ttl=60)
        save = Save(push.push_id, 1, push.keys, push.body, push.expires_at)
        [saved] = await cluster.store.save([save])  # and nobody is told

        delivery = await cluster.owner("k").push("k", ttl=60)

        assert await far.read_ids(2) == [saved.ids[0], delivery.ids[0]]


async def test_clients_of_keys_that_left_are_told_where_to_go() -> None:
    """A comet joins: version 2 hears the address, and resumes there without gap or duplicate."""
    async with open_cluster("a") as cluster:
        a = cluster.worlds["a"]
        keys = [f"k{number}" for number in range(40)]
        clients = {key: await a.subscriber(key) for key in keys}
        before = await a.push(*keys, ttl=60)

        b = await cluster.join("b")

        moved = [key for key in keys if cluster.owner(key) is b]
        assert 0 < len(moved) < len(keys)
        for key in moved:
            [first] = await clients[key].read_ids(1)
            assert (
                await clients[key].read_all()
                == b"-x 4000 moved tcp://127.0.0.1:%d\r\n" % b.tcp_port
            )
            clients[key] = await b.subscriber(key, after=first)
        after = await a.push(*keys, ttl=60)
        for number, key in enumerate(keys):
            expected = (
                [after.ids[number]] if key in moved else [before.ids[number], after.ids[number]]
            )
            assert await clients[key].read_ids(len(expected)) == expected


async def test_who_may_stay_stays_attached() -> None:
    """Legacy clients that cannot be told where to go, if the operator wants it so."""
    config = changed(FAST, "cluster", move_legacy=False)
    async with open_cluster("a", config=config) as cluster:
        a = cluster.worlds["a"]
        keys = [f"k{number}" for number in range(20)]
        clients = [await a.tcp(request("sub", key, "30")) for key in keys]
        for client in clients:
            assert await client.read(len(BEAT)) == BEAT

        b = await cluster.join("b")
        for key in keys:
            await until_online(cluster, key, 1)

        delivery = await b.push(*keys)
        assert [await client.read_ids(1) for client in clients] == [[id_] for id_ in delivery.ids]
        assert a.comet.live.counts.moved == 0


async def test_a_new_owner_never_gives_an_id_below_one_of_the_old_owner() -> None:
    """Its ids rise above its time plus the skew that clocks may have, as soon as the ring changes."""
    async with open_cluster("a") as cluster:
        a = cluster.worlds["a"]
        ahead = int((a.now() + 1.9) * 1e6)
        a.comet.live.clock.observe(ahead)
        client = await a.subscriber()
        last = await a.push("k")

        b = await cluster.join("b")
        await cluster.registry.withdraw(a.comet.node)
        await settled(cluster)
        first = await b.push("k")

        assert await client.read_ids(1) == [last.ids[0]]
        assert first.ids[0] > last.ids[0] > ahead


async def test_while_the_ring_changes_the_former_owner_gets_copies() -> None:
    """Its clients have not been attached yet; what is not stored reaches them all the same."""
    config = changed(FAST, "cluster", move_rate=1, move_legacy=False)
    async with open_cluster("a", config=config) as cluster:
        a = cluster.worlds["a"]
        keys = [f"k{number}" for number in range(20)]
        clients = {key: await a.tcp(request("sub", key, "30")) for key in keys}
        for client in clients.values():
            assert await client.read(len(BEAT)) == BEAT

        b = await cluster.join("b")
        delivery = await b.push(*keys)  # at once

        got = [await clients[key].read_ids(1) for key in keys]
        assert got == [[id_] for id_ in delivery.ids]


async def test_a_ring_that_changes_and_changes_back_leaves_no_key_at_the_wrong_owner() -> None:
    """Also if that happens while a comet is busy with the change before, and clients come meanwhile."""
    config = changed(FAST, "cluster", move_legacy=False)
    async with open_cluster("a", "b", config=config) as cluster:
        a, b = cluster.worlds["a"].comet, cluster.worlds["b"].comet
        third = Node(Role.COMET, "c", 1, weight=0)
        key = next(key for key in map(str, range(99)) if cluster.owner(key).comet is b)
        client = await cluster.worlds["a"].subscriber(key, version="1")
        for number in range(100 * STEP):  # so that it is busy for a while
            a.live.hub.open(Key("", str(number), "user"))

        await cluster.registry.register(third)
        await cluster.registry.withdraw(b.node)
        a.membership.find_home(cluster.worlds["a"].channel(key))  # as for a client that comes now
        await cluster.registry.register(b.node)
        assert a.membership.settled < cluster.registry.view.version - 2, "it was not busy"
        await settled(cluster)
        await until_online(cluster, key, 1)

        delivery = await cluster.worlds["b"].push(key)
        assert await client.read_ids(1) == [delivery.ids[0]]


async def test_drain_moves_everybody_and_loses_nobody() -> None:
    """Draining: off the ring, everybody is sent to the others, pushes go on meanwhile."""
    async with open_cluster("a", "b") as cluster:
        a, b = cluster.worlds["a"], cluster.worlds["b"]
        keys = [f"k{number}" for number in range(50)]
        clients = {key: await a.subscriber(key) for key in keys}
        first = await b.push(*keys, ttl=60)

        await cluster.change("a", state=State.DRAINING)
        with trio.fail_after(LIMIT):
            await a.comet.membership.left_ring()
            second = await a.push(*keys, ttl=60)  # passed on
            await a.comet.hand_over(trio.current_time() + 5)

        handover = a.comet.status.handover
        assert handover is not None
        assert (handover.moved, handover.left, handover.lost) == (50, 0, 0)
        for number, key in enumerate(keys):
            got = await clients[key].read_until(b"-x ")
            seen = [id_ for id_ in (first.ids[number], second.ids[number]) if b"%d" % id_ in got]
            again = await b.subscriber(key, after=seen[-1] if seen else 0)
            missing = [id_ for id_ in (first.ids[number], second.ids[number]) if id_ not in seen]
            third = await b.push(key, ttl=60)
            assert await again.read_ids(len(missing) + 1) == [*missing, third.ids[0]]


async def test_an_operators_drain_ends_the_process_and_can_be_taken_back() -> None:
    """The registry says that we drain and we did not: everybody is moved, then the node asks to leave."""
    async with open_cluster("a", "b") as cluster:
        a = cluster.worlds["a"]
        left = trio.Event()
        a.comet.on_drained = left.set
        await a.subscriber("k")

        announced = msgspec.structs.replace(a.comet.node, state=State.DRAINING)
        await cluster.registry.register(announced)  # as an operator's wish shows

        with trio.fail_after(LIMIT):
            await left.wait()
        assert a.comet.live.hub.subscribers == 0
        assert a.comet.reception.draining


async def test_what_others_still_do_when_a_comet_ends_is_no_error() -> None:
    """All its loops are cancelled at once, and each runs to its next wait."""
    async with open_cluster("a", "b") as cluster:
        await cluster.stranger("k").subscriber()
        owner = cluster.owner("k").comet
        [holder] = owner.forwarding.holders

    holder.add(Message(1, b"{}", stored=False), parse_key("k"), 0)
    assert owner.attachments.books(Node(Role.COMET, "new", 1)).is_empty
    assert holder.has_mail


async def test_a_standby_holds_and_never_owns() -> None:
    """The second process of a name serves clients through the first, and takes over without a key moved."""
    async with open_cluster("a") as cluster:
        first = cluster.worlds["a"]
        standby = Node(Role.COMET, "a", 2, state=State.STANDBY)

        view = first.comet.membership.standing().view
        seen = msgspec.structs.replace(view, nodes=(*view.nodes, standby))
        own, other = Standing(first.comet.node, seen), Standing(standby, seen)
        key = Key("", "k", "")
        assert own.owns(key)
        assert not other.owns(key)
        assert other.elsewhere(key) == first.comet.node


async def test_a_comet_that_stood_still_gives_no_ids_of_its_own_for_a_moment() -> None:
    """Others may own its keys by now; what is stored gets its id from the store, and goes on."""
    async with open_cluster("a", "b") as cluster:
        owner = cluster.owner("k")
        owner.comet._standstill.turn(
            trio.current_time() - 60
        )  # as if the wheel had not turned since

        live = await owner.try_push("k")
        stored = await owner.push("k", ttl=60)

        assert isinstance(live, Unavailable)
        assert stored.stored
