"""One client id, one connection, whichever comets are asked, in whatever state they are."""

import random

import pytest
import trio

from appmodel.core.cluster import Node, State
from appmodel.core.names import Key
from appmodel.core.realms import client_key
from appmodel.core.units import Duration
from appmodel.errors import Unavailable
from appmodel.io.calls import Caller
from comet.config import ClusterConfig
from tests.comet.claimants import CLIENT, Visitor, arrive
from tests.comet.several import FAST, Cluster, open_cluster, settled
from tests.comet.world import World, changed, open_comet

PATIENT = changed(FAST, "cluster", claim_proof=Duration(0.1))
BRIEF = changed(PATIENT, "cluster", claim_timeout=Duration(0.2))
HASTY = changed(BRIEF, "cluster", lease=Duration(0.6))  # looks for two of one id at once


def others(cluster: Cluster) -> tuple[World, World, World]:
    """The owner of the client's key, and two that are not."""
    owner = cluster.registry.view.owner(CLIENT)
    assert owner is not None
    near = cluster.worlds[owner.name]
    first, second = (world for world in cluster.worlds.values() if world is not near)
    return near, first, second


def deafen(world: World, deaf: World) -> None:
    """From now on the one does not reach the other about claims."""
    claims, address = world.comet.claims, deaf.comet.node.rpc
    before = claims._caller

    def caller(node: Node) -> Caller:
        if node.rpc == address:
            raise Unavailable(f"{node.name} is deaf")
        return before(node)

    claims._caller = caller


async def slip_through(cluster: Cluster, *visitors: Visitor) -> None:
    """All of them come in, for the owner cannot be asked; then it hears of all of them."""
    near, *_ = others(cluster)
    for visitor in visitors:
        deafen(visitor.world, near)
        assert await visitor.claim()
    for visitor in visitors:
        await visitor.join()


async def claim_at_once(*visitors: Visitor) -> list[bool]:
    """All of them in one round; what each heard."""
    heard: dict[int, bool] = {}

    async def ask(number: int, visitor: Visitor) -> None:
        heard[number] = await visitor.claim()

    async with trio.open_nursery() as nursery:
        for number, visitor in enumerate(visitors):
            nursery.start_soon(ask, number, visitor)
    return [heard[number] for number in range(len(visitors))]


async def test_the_second_of_two_is_refused_while_the_first_lives() -> None:
    """On every comet, also the one that has it; and when the first has gone, nobody is in the way."""
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        for home in others(cluster):
            first = await arrive(home)

            assert [await Visitor(world).come_in() for world in others(cluster)] == [False] * 3
            assert not first.was_ousted

            first.go()


async def test_a_claim_is_there_before_its_client_is() -> None:
    """While the rules still ask somebody whether it may come in, another one is refused (W30)."""
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        near, far, farther = others(cluster)
        first = Visitor(far)
        assert await first.claim()

        assert not await Visitor(farther).claim()
        assert not await Visitor(near).claim()
        first.go()

        assert await Visitor(farther).claim()


@pytest.mark.parametrize("silent", [True, False])
async def test_of_several_at_once_one_comes_in(silent: bool) -> None:
    """Whether or not a dead one has to be put away first."""
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        worlds = others(cluster)
        ghosts = [await arrive(worlds[1])] if silent else []
        for ghost in ghosts:
            ghost.is_alive = False
        visitors = [Visitor(world) for world in (*worlds, *worlds)]

        heard = await claim_at_once(*visitors)

        assert heard.count(True) == 1
        assert [ghost.was_ousted for ghost in ghosts] == [True] * len(ghosts)
        assert not any(visitor.was_ousted for visitor in visitors)


async def test_who_shows_no_life_makes_room() -> None:
    """On every comet, for a client of every comet; it is gone before the new one is told yes."""
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        for home in others(cluster):
            for world in others(cluster):
                ghost = await arrive(home)
                ghost.is_alive = False
                newer = Visitor(world)

                assert await newer.come_in()

                assert ghost.was_ousted
                assert not newer.was_ousted
                newer.go()


async def test_who_was_silent_while_it_waited_is_not_let_in() -> None:
    """Another one came, asked it for a proof, and has its place: the owner's yes was for that comet."""
    async with open_cluster("a", "b", "c", config=PATIENT) as cluster:
        _, far, farther = others(cluster)
        ghost = await arrive(farther)
        ghost.is_alive, ghost.proof = False, trio.Event()
        slow, quick = Visitor(far, is_alive=False), Visitor(far)
        heard: list[bool] = []

        async def ask_slowly() -> None:
            heard.append(await slow.claim())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_slowly)
            await ghost.asked_for.wait()

            assert await quick.claim()

        assert heard == [False]
        assert slow.was_ousted
        assert len(far.comet.claims) == 1


async def test_releasing_what_another_one_has_changes_nothing() -> None:
    """A connection that was ousted ends later than its successor begins."""
    async with open_comet() as world:
        ghost = await arrive(world)
        ghost.is_alive = False
        newer = await arrive(world)

        world.comet.claims.release(CLIENT, ghost)

        assert not await Visitor(world).claim()
        assert not newer.was_ousted


async def test_a_cancelled_claim_leaves_nothing() -> None:
    """Its client has gone while the owner was asked."""
    async with open_cluster("a", "b", "c", config=PATIENT) as cluster:
        near, far, farther = others(cluster)
        holder = await arrive(near)
        holder.proof = trio.Event()
        gone = Visitor(far)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gone.claim)
            await holder.asked_for.wait()
            nursery.cancel_scope.cancel()
        holder.go()

        assert len(far.comet.claims) == 0
        assert await Visitor(farther).claim()


async def test_a_comet_that_is_gone_takes_its_claims_along() -> None:
    """Nobody waits for an answer of a process that the registry has lost."""
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        _, far, farther = others(cluster)
        lost = await arrive(far)
        await cluster.registry.withdraw(far.comet.node)
        await settled(cluster)

        assert await Visitor(farther).claim()
        assert lost.asked == 0


async def test_a_holder_that_does_not_answer_proves_nothing() -> None:
    """Its client is let in elsewhere, within the time of a proof."""
    async with open_cluster("a", "b", "c", config=PATIENT) as cluster:
        near, far, farther = others(cluster)
        await arrive(far)
        deafen(near, far)

        assert await Visitor(farther).claim()


async def test_an_owner_that_does_not_answer_keeps_nobody_out() -> None:
    """After `claim_timeout`: and it is counted."""
    async with open_cluster("a", "b", "c", config=BRIEF) as cluster:
        near, far, _ = others(cluster)
        deafen(far, near)

        assert await Visitor(far).claim()
        assert far.comet.claims.unasked == 1


@pytest.mark.parametrize(("elder_at", "younger_at"), [(0, 1), (1, 0), (1, 2)])
async def test_two_that_slipped_through_become_one(elder_at: int, younger_at: int) -> None:
    """Whichever comets they are on, the owner of their key included; the younger one goes."""
    async with open_cluster("a", "b", "c", config=HASTY) as cluster:
        worlds = others(cluster)
        elder, younger = Visitor(worlds[elder_at]), Visitor(worlds[younger_at])
        await slip_through(cluster, elder, younger)

        await younger.world.until(lambda: younger.was_ousted)

        assert not elder.was_ousted


async def test_of_two_the_dead_one_goes_though_it_is_the_elder() -> None:
    """What counts is who can be reached."""
    async with open_cluster("a", "b", "c", config=HASTY) as cluster:
        _, far, farther = others(cluster)
        elder, younger = Visitor(far), Visitor(farther)
        await slip_through(cluster, elder, younger)
        elder.is_alive = False

        await far.until(lambda: elder.was_ousted)

        assert not younger.was_ousted


async def test_a_new_owner_knows_who_is_there() -> None:
    """After the ring has changed, as soon as holders have attached."""
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        near, far, farther = others(cluster)
        first = await arrive(far)
        await cluster.change(near.comet.node.name, state=State.DRAINING)
        await settled(cluster)
        assert first.channel is not None
        await far.comet.attachments.told(first.channel)

        assert not await Visitor(farther).claim()


async def test_grants_that_nobody_made_use_of_are_forgotten() -> None:
    """The book of an owner does not grow by those who were refused afterwards."""
    async with open_cluster("a", "b", "c", config=HASTY) as cluster:
        near, far, _ = others(cluster)
        visitor = Visitor(far)
        assert await visitor.claim()
        visitor.go()
        book = near.comet.claims._book
        assert CLIENT in book.granted

        await near.until(lambda: not book.granted)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_one_lives_and_nobody_is_kept_out_by_a_ghost(seed: int) -> None:
    """Arrivals in crowds, on all comets, while others go, or fall silent: two keys, many histories."""
    chance = random.Random(seed)
    keys = [client_key("/demo", f"/demo#u{n}#web-d1") for n in range(2)]
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        inside: list[Visitor] = []
        for _ in range(40):
            crowd = [Visitor(chance.choice(list(cluster.worlds.values())), k) for k in keys * 2]
            for visitor in inside:
                match chance.randrange(4):
                    case 0:
                        visitor.go()
                    case 1:
                        visitor.is_alive = False
            inside = [visitor for visitor in inside if visitor.channel is not None]
            living = {visitor.key for visitor in inside if visitor.is_alive}

            async with trio.open_nursery() as nursery:
                for visitor in crowd:
                    nursery.start_soon(visitor.come_in)

            inside = [visitor for visitor in (*inside, *crowd) if visitor.channel is not None]
            for key in keys:
                here = [visitor for visitor in inside if visitor.key == key]
                assert len(here) == 1, "exactly one, whoever was there before"
                assert here[0].is_alive
                assert (here[0] in crowd) is (key not in living)


def test_a_proof_fits_into_the_time_of_a_claim() -> None:
    """Else every claim of an id that somebody has would end as granted."""
    with pytest.raises(ValueError, match="claim_timeout"):
        ClusterConfig(claim_proof=Duration(4))


async def test_the_newest_of_a_device_wins_whoever_calls_last() -> None:
    """On every comet, in any order; nobody is asked for life, and the loser hears it."""
    device = Key("", "test@mpush", "")
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        worlds = list(cluster.worlds.values())
        visitors = [Visitor(world) for world in (*worlds, *reversed(worlds), worlds[1])]

        for before, visitor in zip([None, *visitors], visitors, strict=False):
            assert await visitor.world.comet.claims.take(device, visitor)
            assert before is None or before.was_ousted
            assert not visitor.was_ousted


async def test_of_devices_that_come_at_once_one_is_left() -> None:
    """Whoever was told that it has the key, and is not, has been ousted."""
    device = Key("", "test@mpush", "")
    async with open_cluster("a", "b", "c", config=FAST) as cluster:
        visitors = [Visitor(world) for world in cluster.worlds.values() for _ in range(4)]
        heard: dict[int, bool] = {}

        async def take(number: int, visitor: Visitor) -> None:
            heard[number] = await visitor.world.comet.claims.take(device, visitor)

        async with trio.open_nursery() as nursery:
            for number, visitor in enumerate(visitors):
                nursery.start_soon(take, number, visitor)

        assert sum(heard[n] and not v.was_ousted for n, v in enumerate(visitors)) == 1
        assert sum(len(world.comet.claims) for world in cluster.worlds.values()) == 1
