"""What a comet answers for keys of several owners: the truth, also when they disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import trio

from appmodel.core.cluster import ClusterView, Node, Role
from appmodel.core.message import Delivery, Presence, Push
from appmodel.core.names import Key, parse_key
from appmodel.errors import NotStored, OutcomeUnknown, PushError, Unavailable
from comet.core.standing import Standing
from comet.core.standstill import Standstill
from comet.io.passing import CometPusher
from tests.comet.world import open_comet

HERE, THERE = Node(Role.COMET, "a", 1), Node(Role.COMET, "b", 1)


@dataclass
class Elsewhere:
    """Another comet, which answers every push alike."""

    answers: Sequence[Delivery | PushError]

    async def push(
        self, pushes: Sequence[Push], *, passed_on: bool = False
    ) -> list[Delivery | PushError]:
        assert passed_on
        await trio.lowlevel.checkpoint()
        return list(self.answers)

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        raise NotImplementedError


REFUSALS = [NotStored("the store is away"), Unavailable("away"), OutcomeUnknown("no answer")]


@pytest.mark.parametrize("ttl", [0, 60])
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.code)
async def test_a_push_that_some_owners_took_is_not_refused(refusal: PushError, ttl: float) -> None:
    """Its outcome is unknown: a refusal says that the push is nowhere."""
    async with open_comet() as world:
        standing = Standing(HERE, ClusterView(1, (HERE, THERE)))
        pusher = CometPusher(
            world.comet._owner,
            standing=lambda: standing,
            others=lambda _: Elsewhere([refusal]),
            standstill=Standstill(trio.current_time()),
            counts=world.comet.live.counts,
        )
        keys = [f"k{number}" for number in range(9)]
        assert {standing.owns(parse_key(key)) for key in keys} == {True, False}

        [outcome] = await pusher.push([world.make_push(*keys, ttl=ttl)])

        assert isinstance(outcome, OutcomeUnknown)


async def test_a_doubt_outweighs_a_refusal() -> None:
    """One owner has surely not done it, another one perhaps: so perhaps it is somewhere."""
    third = Node(Role.COMET, "c", 1)
    answers = {"b": NotStored("the store is away"), "c": OutcomeUnknown("no answer")}
    async with open_comet() as world:
        standing = Standing(HERE, ClusterView(1, (HERE, THERE, third)))
        pusher = CometPusher(
            world.comet._owner,
            standing=lambda: standing,
            others=lambda node: Elsewhere([answers[node.name]]),
            standstill=Standstill(trio.current_time()),
            counts=world.comet.live.counts,
        )
        names = [f"k{number}" for number in range(30)]
        keys = [name for name in names if not standing.owns(parse_key(name))]

        outcomes = await pusher.push([world.make_push(*keys, ttl=60)])

        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown]
