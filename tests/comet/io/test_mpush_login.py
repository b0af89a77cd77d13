"""One device, one connection: the newest wins, whichever comets they are on, whoever is dead, whatever is away."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import trio

from appmodel.core.cluster import Node, State
from appmodel.core.message import Revocation
from appmodel.core.mpush import device_key
from appmodel.core.mpush_tokens import OWN, issue
from appmodel.core.mpush_waits import Awaited
from appmodel.core.names import Key
from appmodel.core.realms import Claimant
from appmodel.core.revocations import token_subject
from appmodel.core.units import Duration
from appmodel.errors import NotStored, Unavailable
from appmodel.io.calls import Caller
from appmodel.io.database import Database
from comet.config import MpushConfig
from comet.io.revoked import Revoked
from tests.comet.devices import QUICK, Place, open_mpush
from tests.comet.several import FAST, settled, until_online
from tests.comet.world import LIMIT, changed

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    async with open_mpush(database) as place:
        yield place


@pytest.fixture
async def places(database: Database) -> AsyncIterator[Place]:
    """Three comets."""
    async with open_mpush(database, "a", "b", "c") as place:
        await settled(place.cluster)
        yield place


def others(place: Place, name: str = "test") -> tuple[str, str, str]:
    """The owner of a device, and the two that are not."""
    owner = place.owner(name)
    first, second = sorted({"a", "b", "c"} - {owner})
    return owner, first, second


async def test_a_second_login_closes_the_first_and_gets_what_waits(place: Place) -> None:
    """An empty close frame for the loser, the backlog for the winner; nothing is online twice."""
    first = await place.device("test")
    mid = await place.push("test")
    assert await first.mids(1) == [mid]

    second = await place.device("test")

    assert await first.ends() == b""
    assert await second.mids(1) == [mid]
    assert (await place.delivery("test")).online == (1,)


async def test_three_quick_takeovers_of_dead_peers_leave_the_third_online(place: Place) -> None:
    """Which connection ends is told by its identity: the original's flag marks the living one offline."""
    dead = [await place.device("test") for _ in range(3)]  # none of them reads its close frame

    mid = await place.push("test")
    assert await dead[-1].mids(1) == [mid]
    for phone in dead[:-1]:
        await phone.ends()
        await phone.stream.aclose()

    assert (await place.delivery("test")).online == (1,)
    assert place.served["a"].devices == 1


async def test_many_at_once_leave_one(place: Place) -> None:
    """All have the token and the name; one is the device in the end, and works."""
    phones = [await place.phone() for _ in range(10)]
    for phone in phones:
        await phone.say("mpush")
        await phone.say("test")

    await until_online(place.cluster, "test@mpush", 1)
    mid = await place.push("test")
    living = []
    for phone in phones:
        async with trio.open_nursery():
            while (found := await phone.frame())[0] == 0x1:
                if mid in found[1].decode():
                    living.append(phone)
                    break

    assert len(living) == 1
    assert (await place.delivery("test")).online == (1,)


async def test_a_device_works_on_every_comet(places: Place) -> None:
    """Pushed at any comet, acknowledged at any, heard by who waits at the owner; unread mail follows it."""
    for comet in others(places):
        phone = await places.device("test", comet)
        mid = await places.push("test", comet="b")
        assert await phone.mids(1) == [mid]
        await phone.acks(mid)
        assert await places.is_acked("test", mid, comet="c")
        await places.written()
    waiting = await places.push("test")
    await phone.mids(1)

    near, *_ = others(places)
    again = await places.device("test", near)

    assert await again.mids(1) == [waiting]


@pytest.mark.parametrize("at", range(6))
async def test_the_newest_wins_across_comets(places: Place, at: int) -> None:
    """In any order of owner and strangers, at once: the losers hear an empty close frame."""
    owner, first, second = others(places)
    order = [(owner, first), (first, owner), (first, second), (second, first), (first, first)]
    order.append((owner, owner))
    loser = await places.device("test", order[at][0])

    winner = await places.device("test", order[at][1])

    with trio.fail_after(LIMIT):
        assert await loser.ends() == b""
    mid = await places.push("test")
    assert await winner.mids(1) == [mid]
    await until_online(places.cluster, "test@mpush", 1)


async def test_who_is_greeted_is_online_for_whoever_pushes(places: Place) -> None:
    """At once, on whichever comet it is: nobody hears `offline` of a device that has read LOGIN."""
    for name in ("one", "two", "three"):
        for comet in places.served:
            await places.device(name, comet)

            delivery = await places.delivery(name, comet=places.owner(name))

            assert delivery.online[0] >= 1, (name, comet)


async def test_three_quick_takeovers_across_comets_leave_the_third(places: Place) -> None:
    """Nobody reads; the owner decides."""
    await places.device("test", "a")
    await places.device("test", "b")
    third = await places.device("test", "c")

    await until_online(places.cluster, "test@mpush", 1)
    mid = await places.push("test")

    assert await third.mids(1) == [mid]
    assert [mpush.devices for mpush in places.served.values()] == [0, 0, 1]


async def test_two_that_slipped_through_are_found_and_the_youngest_stays(
    database: Database,
) -> None:
    """While views differ, or an owner cannot be asked, each comet may let one in."""
    values = {"claim_timeout": 0.2, "claim_proof": 0.1, "lease": 0.6}
    hasty = changed(FAST, "cluster", **{name: Duration(value) for name, value in values.items()})
    async with open_mpush(database, "a", "b", "c", comet=hasty) as places:
        await settled(places.cluster)
        owner, first, second = others(places)
        for comet in (first, second):
            _deafen(places, comet, owner)
        older = await places.device("test", first)
        younger = await places.device("test", second)

        assert await older.ends() == b""
        await until_online(places.cluster, "test@mpush", 1)
        mid = await places.push("test")
        assert await younger.mids(1) == [mid]


async def test_an_unread_acknowledgement_of_http_reaches_the_socket(places: Place) -> None:
    """What web notes as acknowledged is not sent again, wherever the device is; its caller hears `ok`."""
    owner, first, _ = others(places)
    for comet in (owner, first):
        phone = await places.device("test", comet)
        mid = await places.push("test")
        assert await phone.mids(1) == [mid]

        await places.waits["c"].note([_awaited("test", mid)])

        session = places.served[comet]._login.here[device_key("test")]
        assert session.delivery is not None
        with trio.fail_after(LIMIT):
            while len(session.delivery.window):
                await trio.lowlevel.checkpoint()
        assert await places.is_acked("test", mid)
        await places.written()


async def test_what_is_acknowledged_before_it_was_sent_is_never_sent(database: Database) -> None:
    """By HTTP, or on an earlier connection: while the window is full it waits in the store, and then it is done."""
    async with open_mpush(database, config=_with(window=1, frame=1)) as place:
        phone = await place.device("test")
        first, second, third = [await place.push("test") for _ in range(3)]
        assert await phone.mids(1) == [first]

        await place.waits["a"].note([_awaited("test", second)])
        await phone.acks(first)

        assert await phone.mids(1) == [third]
        await phone.acks(third)
        assert await place.is_acked("test", third)
        await place.written()
        [state] = (await place.books.acks.states(["test"])).values()
        assert state.floor == int(third) * 1000


async def test_who_goes_while_its_claim_is_asked_for_leaves_nothing(database: Database) -> None:
    """No claim, no channel, no device."""
    slow = changed(FAST, "cluster", claim_timeout=Duration(3), claim_proof=Duration(0.1))
    async with open_mpush(database, "a", "b", comet=slow) as places:
        await settled(places.cluster)
        owner = places.owner("test")
        [stranger] = {"a", "b"} - {owner}
        _deafen(places, stranger, owner)
        phone = await places.phone(stranger)
        await phone.say("mpush")
        await phone.say("test")
        await phone.packet("AUTH")
        world = places.world(stranger)
        await world.until(lambda: len(world.comet.claims) == 1)

        await phone.stream.aclose()

        await world.until(lambda: not places.served[stranger].sessions)
        await world.until(lambda: len(world.comet.live.hub) == 0)
        assert len(world.comet.claims) == 0
        assert places.served[stranger].devices == 0


async def test_a_ring_change_keeps_the_device(places: Place) -> None:
    """Its connection stays where it is, attached to the new owner; who comes then still wins."""
    owner, first, second = others(places)
    phone = await places.device("test", first)
    await places.cluster.change(owner, state=State.DRAINING)  # it owns nothing any more
    await settled(places.cluster)
    await until_online(places.cluster, "test@mpush", 1)

    mid = await places.push("test")
    assert await phone.mids(1) == [mid]
    await phone.acks(mid)
    assert await places.is_acked("test", mid)
    await places.device("test", second)

    assert await phone.ends() == b""
    await until_online(places.cluster, "test@mpush", 1)


async def test_a_comet_that_dies_loses_no_message(places: Place) -> None:
    """What was not acknowledged comes on the next connection, on another comet."""
    phone = await places.device("test", "b")
    mids = [await places.push("test") for _ in range(3)]
    await phone.mids(3)
    await phone.acks(mids[0])
    assert await places.is_acked("test", mids[0])
    await places.written()

    await places.cluster.registry.withdraw(places.world("b").comet.node)
    await settled(places.cluster)
    again = await places.device("test", "c")

    assert await again.mids(2) == mids[1:]


async def test_a_database_that_is_away_refuses_a_login_politely(place: Place) -> None:
    """A close frame and no trace: when it is back, the same name comes in."""
    before = place.books.devices.register

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("away")

    place.books.devices.register = away  # type: ignore[method-assign, assignment]
    phone = await place.phone()
    await phone.say("mpush")
    await phone.say("test")
    await phone.packet("AUTH")

    assert await phone.ends() == b""
    assert place.served["a"].devices == 0
    assert (await place.delivery("test")).online == (0,)
    place.books.devices.register = before  # type: ignore[method-assign]
    await place.device("test")


async def test_a_store_that_is_away_at_the_login_loses_nothing(place: Place) -> None:
    """LOGIN comes all the same; the messages come as soon as it answers."""
    mids = [await place.push("test") for _ in range(2)]
    store = place.world().store
    before = store.fetch

    async def away(*_: object, **__: object) -> None:
        raise NotStored("away")

    store.fetch = away  # type: ignore[method-assign, assignment]
    phone = await place.device("test")
    with trio.fail_after(LIMIT):
        delivery = next(iter(place.served["a"].sessions)).delivery
        assert delivery is not None
        while delivery._busy:
            await trio.lowlevel.checkpoint()
    store.fetch = before  # type: ignore[method-assign]
    mids.append(await place.push("test"))

    assert await phone.mids(3) == mids


async def test_a_registry_that_is_full_refuses_new_devices_only(place: Place) -> None:
    """Those that are there still come in."""
    await place.books.devices.preregister([f"d{n}" for n in range(100)], now=0)

    phone = await place.phone()
    await phone.say("mpush")
    await phone.say("one more")
    await phone.packet("AUTH")

    assert await phone.ends() == b""
    await place.device("d7")


async def test_a_device_is_not_kept_waiting_by_a_login_that_hangs(database: Database) -> None:
    """Its 30 s end it, and nothing of it is left."""
    async with open_mpush(database, config=_with(auth_timeout=Duration(0.3))) as place:
        before = place.books.devices.register

        async def hangs(*_: object, **__: object) -> None:
            await trio.sleep_forever()

        place.books.devices.register = hangs  # type: ignore[method-assign, assignment]
        phone = await place.phone()
        await phone.say("mpush")
        await phone.say("test")
        await phone.packet("AUTH")

        assert await phone.ends() == b""
        place.books.devices.register = before  # type: ignore[method-assign]
        await place.device("test")


async def test_too_much_during_a_login_ends_it(database: Database) -> None:
    """What waits is bounded."""
    async with open_mpush(database, config=_with(backlog=3)) as place:

        async def hangs(*_: object, **__: object) -> None:
            await trio.sleep_forever()

        place.books.devices.register = hangs  # type: ignore[method-assign, assignment]
        phone = await place.phone()
        await phone.say("mpush")
        await phone.packet("AUTH")
        for text in ("test", "1", "2", "3", "4"):
            await phone.say(text)

        assert await phone.ends() == b""


async def test_a_revoked_token_ends_its_connections(place: Place) -> None:
    """A token for some devices lets those in, and no others; once it is revoked they go."""
    world = place.world()
    token, grant = issue(world.credentials, OWN, ["pi-*"], now=world.now(), ttl=60)
    phone = await place.phone()
    await phone.say(token)
    await phone.packet("AUTH")
    await phone.say("other")
    assert (await phone.packet("AUTH"))["code"] == 403
    await phone.say("pi-1")
    assert await phone.packet("LOGIN") == {"name": "pi-1"}

    comet, revocation = world.comet, _note_revoked(place, grant.id)
    Revoked(comet.live.hub, comet.revocations, comet.spawn).hear(revocation)

    assert await phone.ends() == b""


@pytest.mark.parametrize("is_asked", [False, True])
async def test_a_token_that_is_revoked_during_a_login_lets_nobody_in(
    place: Place, is_asked: bool
) -> None:
    """Before its device is named, or while the claim is on its way: nobody else would look for it later.

    Who has the device already is ousted by a good token only.
    """
    world = place.world()
    token, grant = issue(world.credentials, OWN, ["pi-1"], now=world.now(), ttl=60)
    await place.device("pi-1")
    phone = await place.phone()
    await phone.say(token)
    await phone.packet("AUTH")

    if is_asked:
        _revoke_at_the_claim(place, grant.id)
    else:
        _note_revoked(place, grant.id)
    await phone.say("pi-1")

    assert await phone.ends() == b""
    has_ousted = is_asked  # it was good then
    assert len(world.comet.claims) == (0 if has_ousted else 1)
    assert (await place.delivery("pi-1")).online == (0 if has_ousted else 1,)


def _note_revoked(place: Place, token_id: str) -> Revocation:
    """The comet has heard of it."""
    now = place.world().now()
    revocation = Revocation(1, token_subject(token_id), now + 1, now + 600)
    place.world().comet.revocations.add(revocation)
    return revocation


def _revoke_at_the_claim(place: Place, token_id: str) -> None:
    """Once the next claim is granted."""
    claims = place.world().comet.claims
    take = claims.take

    async def granted(key: Key, claimant: Claimant) -> bool:
        is_granted = await take(key, claimant)
        _note_revoked(place, token_id)
        return is_granted

    claims.take = granted  # type: ignore[method-assign]


def _with(**values: object) -> MpushConfig:
    """Other settings."""
    return msgspec.structs.replace(QUICK, **values)


def _awaited(name: str, mid: str) -> Awaited:
    return Awaited(device_key(name), int(mid) * 1000)


def _deafen(places: Place, comet: str, owner: str) -> None:
    """From now on the one does not reach the other about claims."""
    claims, address = places.world(comet).comet.claims, places.world(owner).comet.node.rpc
    before = claims._caller

    def caller(node: Node) -> Caller:
        if node.rpc == address:
            raise Unavailable(f"{node.name} is deaf")
        return before(node)

    claims._caller = caller
