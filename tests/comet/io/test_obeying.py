"""Orders of web reach the clients of a realm on every comet, and nobody else; in the order they were given."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.realms import Direction, Obeyed, RealmHost, Transfer, room_key
from appmodel.errors import BadInput, PushError, Unavailable
from appmodel.io.peers import Peers
from appmodel.io.realm_orders import DISMISS, TRANSFER, ClusterOrders
from comet.core.rules import Accept, Client, Effect, Effects, Emit, Event, Join, Leave
from tests.comet.several import Cluster, open_cluster
from tests.comet.talking import Phone, Script

DEMO = "/demo"
JOIN, LEAVE = Direction.JOIN, Direction.LEAVE


@dataclass
class Halls(Script):
    """Rules with rooms: a client names those that it wants to be in when it connects."""

    moved: list[tuple[str, str]] = field(default_factory=list)  # client, target
    settlements: list[list[str]] = field(default_factory=list)  # clients of each order
    trouble: PushError | None = None  # of the books

    async def connect(self, client: Client, asked: dict[str, object]) -> Effects:
        """Let everybody in."""
        self.clients.append(client)
        rooms = str(asked.get("rooms", "")).split()
        return [Accept(str(asked["id"])), *[Join(room_key(DEMO, room)) for room in rooms]]

    def event(self, client: Client, event: Event) -> Effects:
        """The one event that there is."""
        return [Join(room_key(DEMO, event.arguments[0]))]

    def transferred(self, client: Client, order: Transfer) -> Effects:
        """As light-push does it, but for the books."""
        self.moved.append((client.sid, order.target))
        key = room_key(order.realm, order.target)
        move: Effect = Join(key) if order.direction is JOIN else Leave(key)
        return [move, Emit(f"{order.direction}Room", ({"targetRoom": order.target},))]

    async def settled(self, clients: Sequence[Client]) -> None:
        """Its books: who was moved, when the order is answered."""
        await trio.lowlevel.checkpoint()
        self.settlements.append([client.sid for client in clients])
        if self.trouble is not None:
            raise self.trouble


@dataclass
class Place:
    """Comets with such rules, and a web node that gives orders."""

    cluster: Cluster
    rules: dict[str, Halls]
    orders: ClusterOrders

    async def enter(self, comet: str, name: str, *rooms: str, realm: str = DEMO) -> Phone:
        """A client of that comet, in these rooms."""
        phone = Phone(self.cluster.worlds[comet].comet.socketio.talks)
        asked = json.dumps({"id": name, "rooms": " ".join(rooms)})
        phone.say(f"0{realm},{asked}")
        assert await phone.hears() == f'0{realm},{{"sid":"{name}"}}'
        [client] = [one for one in self.rules[comet].clients if one.sid == name]
        await self.cluster.worlds[comet].until(lambda: len(client.keys) == len(rooms))
        return phone

    async def transfer(self, direction: Direction, target: str, *sources: str) -> Obeyed:
        """Give that order."""
        return await self.orders.transfer(Transfer(DEMO, target, sources, direction))


@asynccontextmanager
async def open_place(*names: str) -> AsyncIterator[Place]:
    """Comets of these names."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(open_cluster(*names))
        peers = await stack.enter_async_context(Peers(cluster.registry))
        rules = {name: Halls() for name in names}
        for name, world in cluster.worlds.items():
            world.comet.socketio.rules.serve(DEMO, rules[name])
        yield Place(cluster, rules, ClusterOrders(cluster.registry, peers.host))


def told(kind: Direction, target: str) -> str:
    """What a client that was moved hears."""
    return f'2{DEMO},["{kind}Room",{{"targetRoom":"{target}"}}]'


async def test_members_of_the_sources_are_moved_on_every_comet() -> None:
    """Each once, however many of the sources it is in; and only who is not there yet is told."""
    async with open_place("a", "b", "c") as place:
        both = await place.enter("a", "both", "r1", "r2")
        one = await place.enter("b", "one", "r2")
        there = await place.enter("c", "there", "r1", "hall")
        other = await place.enter("c", "other", "r3")

        done = await place.transfer(JOIN, "hall", "r1", "r2")

        assert done == Obeyed(3)
        assert [await both.hears(), await one.hears()] == [told(JOIN, "hall")] * 2
        assert there.heard == other.heard == []
        hall = room_key(DEMO, "hall")
        inside = {c.sid for r in place.rules.values() for c in r.clients if hall in c.keys}
        assert inside == {"both", "one", "there"}


async def test_the_target_may_be_a_source() -> None:
    """So a room is emptied: also the last one of a client (W16), and all of them, not some (W28)."""
    async with open_place("a", "b") as place:
        phones = [await place.enter(comet, f"{comet}{n}", "r1") for comet in "ab" for n in range(3)]

        done = await place.transfer(LEAVE, "r1", "r1")

        assert done == Obeyed(6)
        assert [await phone.hears() for phone in phones] == [told(LEAVE, "r1")] * 6
        assert not any(client.keys for rules in place.rules.values() for client in rules.clients)


async def test_a_users_room_brings_all_his_devices() -> None:
    """It is a source like any other."""
    async with open_place("a", "b") as place:
        phones = [await place.enter(comet, f"u1-{comet}", "user_u1") for comet in "ab"]
        await place.enter("a", "u2", "user_u2")

        await place.transfer(JOIN, "r1", "user_u1")

        assert [await phone.hears() for phone in phones] == [told(JOIN, "r1")] * 2
        assert {name for rules in place.rules.values() for name, _ in rules.moved} == {
            "u1-a",
            "u1-b",
        }


async def test_orders_are_carried_out_in_their_order() -> None:
    """The second sees what the first has changed, though joining takes a moment."""
    async with open_place("a", "b", "c") as place:
        phones = [await place.enter(comet, comet, "r1") for comet in "abc"]
        kinds = (JOIN, JOIN, LEAVE, JOIN, LEAVE, LEAVE)

        for kind in kinds:
            await place.transfer(kind, "hall", "r1")

        heard = [[await phone.hears() for _ in range(4)] for phone in phones]
        assert heard == [[told(kind, "hall") for kind in (JOIN, LEAVE, JOIN, LEAVE)]] * 3
        assert [phone.heard for phone in phones] == [[], [], []]


async def test_an_order_waits_for_what_its_client_is_doing() -> None:
    """Who is joining the target just now is in it when that is decided, and is not told."""
    async with open_place("a", "b") as place:
        phone = await place.enter("a", "u1", "r1")
        phone.say(f'2{DEMO},["joinRoom","hall"]')

        await place.transfer(JOIN, "hall", "r1")

        client = place.rules["a"].clients[0]
        await place.cluster.worlds["a"].until(lambda: len(client.keys) == 2)
        assert place.rules["a"].moved == []


async def test_books_that_are_away_keep_no_order_from_its_clients() -> None:
    """They are asked for all that were moved, and the order is carried out whatever they say."""
    async with open_place("a") as place:
        rules = place.rules["a"]
        rules.trouble = Unavailable("no books")
        phone = await place.enter("a", "u1", "r1")

        assert await place.transfer(JOIN, "hall", "r1") == Obeyed(1)

        assert await phone.hears() == told(JOIN, "hall")
        assert rules.settlements == [["u1"]]


async def test_rooms_of_another_realm_are_not_touched() -> None:
    """Equal names mean nothing."""
    async with open_place("a") as place:
        place.cluster.worlds["a"].comet.socketio.rules.serve("/other", place.rules["a"])
        other = await place.enter("a", "u1", realm="/other")
        client = place.rules["a"].clients[0]
        client.do([Join(room_key("/other", "r1"))])
        await place.cluster.worlds["a"].until(lambda: len(client.keys) == 1)

        assert await place.transfer(JOIN, "hall", "r1") == Obeyed(0)
        assert await place.orders.dismiss(DEMO, "clear") == Obeyed(0)
        assert other.heard == []


async def test_a_realm_without_rooms_has_nobody_to_move() -> None:
    """Also one that no comet knows."""
    async with open_place("a") as place:
        order = Transfer("/unknown", "r1", ("r2",), JOIN)

        assert await place.orders.transfer(order) == Obeyed(0)


async def test_whoever_is_dismissed_hears_it_and_keeps_its_transport() -> None:
    """And the rules hear why."""
    async with open_place("a", "b") as place:
        phones = [await place.enter(comet, comet, "r1") for comet in "ab"]

        assert await place.orders.dismiss(DEMO, "clear") == Obeyed(2)

        assert [await phone.hears() for phone in phones] == [f"1{DEMO},"] * 2
        assert all(phone.is_open for phone in phones)
        assert [rules.gone_for for rules in place.rules.values()] == [["clear"], ["clear"]]
        assert await place.orders.dismiss(DEMO, "clear") == Obeyed(0)


async def test_a_comet_that_cannot_be_asked_is_named() -> None:
    """The others have heard the order."""
    async with open_place("a") as place:
        await place.cluster.registry.register(Node(Role.COMET, "deaf", 1))
        phone = await place.enter("a", "u1", "r1")

        assert await place.transfer(JOIN, "hall", "r1") == Obeyed(1, ("deaf",))
        assert await phone.hears() == told(JOIN, "hall")


async def test_a_comet_of_this_process_is_asked_without_a_call() -> None:
    """It announces no address for calls then."""
    asked: list[object] = []

    class Local:
        async def transfer(self, order: Transfer) -> int:
            await trio.lowlevel.checkpoint()
            asked.append(order)
            return 7

        async def dismiss(self, realm: str, reason: str) -> int:
            await trio.lowlevel.checkpoint()
            asked.append((realm, reason))
            raise Unavailable("not now")

    host: RealmHost = Local()
    me = Node(Role.COMET, "me", 1)
    async with open_place() as place, Peers(place.cluster.registry) as peers:
        await place.cluster.registry.register(me)
        peers.provide_host(me, host)
        orders = ClusterOrders(place.cluster.registry, peers.host)
        order = Transfer(DEMO, "r1", ("r2",), LEAVE)

        assert await orders.transfer(order) == Obeyed(7)
        assert await orders.dismiss(DEMO, "clear") == Obeyed(0, ("me",))
        assert asked == [order, (DEMO, "clear")]


@pytest.mark.parametrize("sources", [(), ("",), ("r" * 101,), ("r",) * 1001])
async def test_an_order_that_is_none_is_refused(sources: Sequence[str]) -> None:
    """Between nodes, too."""
    _, handler = TRANSFER.answered_by(_never)
    order = Transfer(DEMO, "r1", tuple(sources), JOIN)

    with pytest.raises(BadInput, match=r"realm\.transfer"):
        await handler(_raw(TRANSFER.encode(order)))


async def test_a_realm_begins_with_a_slash() -> None:
    """The native keys are nobody's namespace."""

    async def never(asked: tuple[str, str]) -> int:
        raise AssertionError(asked)

    _, handler = DISMISS.answered_by(never)

    with pytest.raises(BadInput, match=r"realm\.dismiss"):
        await handler(_raw(DISMISS.encode(("", "clear"))))


async def _never(order: Transfer) -> int:
    raise AssertionError(order)


def _raw(data: bytes) -> msgspec.Raw:

    return msgspec.Raw(data)
