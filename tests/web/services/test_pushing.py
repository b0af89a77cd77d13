"""From keys to owners and back: who is called how often, and what the caller is told."""

from collections.abc import Callable, Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from appmodel.core.cluster import ClusterView, Node, Role
from appmodel.core.interfaces import Pusher
from appmodel.core.message import Delivery, Presence, Push
from appmodel.core.names import Key
from appmodel.errors import (
    NoNode,
    NotOwner,
    NotStored,
    OutcomeUnknown,
    PushError,
    Unavailable,
)
from web.services.pushing import Pushing

LATER = 2_000_000_000.0
Answer = Delivery | PushError


def done(push: Push) -> Answer:
    """What a healthy comet answers."""
    size = len(push.keys)
    return Delivery((17,) * size, (1,) * size, push.expires_at > 0)


class Comet:
    """Answers each call by the next of its script, then as a healthy comet does."""

    def __init__(self, *script: Callable[[Push], Answer] | PushError | None) -> None:
        self._script = list(script)
        self.calls: list[list[Push]] = []

    async def push(self, pushes: Sequence[Push], *, passed_on: bool = False) -> list[Answer]:
        """None in the script: no answer for ever."""
        self.calls.append(list(pushes))
        await trio.lowlevel.checkpoint()
        step = self._script.pop(0) if self._script else done
        if step is None:
            return await _never()
        if isinstance(step, PushError):
            raise step
        return [step(push) for push in pushes]

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        raise NotImplementedError


async def _never() -> list[Answer]:
    await trio.sleep_forever()
    raise AssertionError


class Cluster:
    """A registry and peers of scripted comets; `views` follow one another when waited for."""

    def __init__(self, **comets: Comet) -> None:
        self.comets = comets
        self.view = self.view_of(*comets)
        self.next_views: list[ClusterView] = []
        self.trouble: str | None = None

    def view_of(self, *names: str, version: int = 1) -> ClusterView:
        return ClusterView(version, tuple(Node(Role.COMET, name) for name in names))

    async def register(self, node: Node) -> None:
        raise NotImplementedError

    async def withdraw(self, node: Node) -> None:
        raise NotImplementedError

    async def wait_newer(self, version: int) -> ClusterView:
        if not self.next_views:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        self.view = self.next_views.pop(0)
        return self.view

    def pusher(self, node: Node) -> Pusher:
        return self.comets[node.name]

    def pushing(self) -> Pushing:
        return Pushing(self, self, timeout=5.0)


def keys(count: int) -> tuple[Key, ...]:
    return tuple(Key("", f"u{i}", "user") for i in range(count))


def push(count: int = 1, *, push_id: bytes = b"p" * 16, expires_at: float = LATER) -> Push:
    return Push(push_id, keys(count), b"{}", expires_at)


async def test_many_keys_are_one_call_per_owner() -> None:
    """10,000 keys are as many calls as there are owners, and each key has its own answer."""
    cluster = Cluster(a=Comet(), b=Comet(), c=Comet())

    (outcome,) = await cluster.pushing().push([push(10_000)])

    assert {name: len(comet.calls) for name, comet in cluster.comets.items()} == {
        "a": 1,
        "b": 1,
        "c": 1,
    }
    assert not outcome.failed
    assert set(outcome.sent) == set(keys(10_000))


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    names=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True),
)
async def test_every_key_reaches_its_owner_once(sizes: list[int], names: list[str]) -> None:
    """Whatever the batch and the ring: each key of each push is sent once, to the node that owns it."""
    cluster = Cluster(**{name: Comet() for name in names})
    pushes = [push(size, push_id=bytes([i]) * 16) for i, size in enumerate(sizes)]

    outcomes = await cluster.pushing().push(pushes)

    sent = [
        (part.push_id, key, name)
        for name, comet in cluster.comets.items()
        for call in comet.calls
        for part in call
        for key in part.keys
    ]
    assert len(sent) == sum(sizes)
    owner = cluster.view.ring.owner
    assert all(owner(key.routed) == name for _, key, name in sent)
    assert {(p, k) for p, k, _ in sent} == {(p.push_id, k) for p in pushes for k in p.keys}
    assert [list(outcome.sent) for outcome in outcomes if len(names) == 1] == [
        list(p.keys) for p in pushes if len(names) == 1
    ]


async def test_a_moved_key_is_asked_again_at_its_new_owner(autojump_clock: MockClock) -> None:
    """NotOwner: the newer view names the owner, and the push keeps its id."""
    cluster = Cluster(a=Comet(lambda p: NotOwner(p.keys[0], "b")))
    cluster.comets["b"] = Comet()
    cluster.next_views = [cluster.view_of("b", version=2)]

    (outcome,) = await cluster.pushing().push([push()])

    assert not outcome.failed
    (second,) = cluster.comets["b"].calls
    assert [p.push_id for p in second] == [push().push_id]


@pytest.mark.parametrize("trouble", [Unavailable("away"), OutcomeUnknown("cut")])
async def test_a_stored_push_is_tried_until_it_is_done(
    trouble: PushError, autojump_clock: MockClock
) -> None:
    """The store knows a push id again, so a doubt is settled by asking again."""
    cluster = Cluster(a=Comet(trouble, lambda _: trouble, trouble))

    (outcome,) = await cluster.pushing().push([push()])

    assert not outcome.failed
    assert len(cluster.comets["a"].calls) == 4
    assert len({p.push_id for call in cluster.comets["a"].calls for p in call}) == 1


async def test_a_doubtful_push_without_ttl_is_not_repeated() -> None:
    """Nobody would know it again: it would be delivered twice."""
    cluster = Cluster(a=Comet(OutcomeUnknown("cut")))

    (outcome,) = await cluster.pushing().push([push(expires_at=0.0)])

    assert isinstance(outcome.failed[keys(1)[0]], OutcomeUnknown)
    assert len(cluster.comets["a"].calls) == 1


async def test_what_the_store_refused_is_refused_at_once() -> None:
    """NotStored is an answer: more tries would only add to the store's trouble."""
    cluster = Cluster(a=Comet(NotStored("disk full")))

    (outcome,) = await cluster.pushing().push([push()])

    with pytest.raises(NotStored, match="disk full"):
        outcome.check()
    assert len(cluster.comets["a"].calls) == 1


async def test_one_bad_push_of_a_batch_spoils_no_other() -> None:
    """Each push of a batch has its own outcome."""
    bad, good = push(push_id=b"b" * 16), push(push_id=b"g" * 16)
    script = [lambda p: NotStored("poisoned") if p.push_id == bad.push_id else done(p)]
    cluster = Cluster(a=Comet(*script))

    first, second = await cluster.pushing().push([bad, good])

    assert first.failed
    assert not first.sent
    assert second.sent
    assert not second.failed


async def test_without_a_comet_nothing_is_waited_for() -> None:
    """An empty ring is an answer (1001), not a crash (C10)."""
    (outcome,) = await Cluster().pushing().push([push(3)])

    assert {type(error) for error in outcome.failed.values()} == {NoNode}


async def test_an_owner_that_is_away_fails_only_its_keys(autojump_clock: MockClock) -> None:
    """Partial failure is per name: the others got it."""
    cluster = Cluster(a=Comet(*[Unavailable("away")] * 100), b=Comet())

    (outcome,) = await cluster.pushing().push([push(100)])

    owner = cluster.view.ring.owner
    assert {owner(key.routed) for key in outcome.failed} == {"a"}
    assert {owner(key.routed) for key in outcome.sent} == {"b"}
    assert {type(error) for error in outcome.failed.values()} == {Unavailable}


async def test_at_the_deadline_what_was_never_done_is_unavailable(
    autojump_clock: MockClock,
) -> None:
    """Every try was refused before anything happened: the caller may safely do it otherwise."""
    cluster = Cluster(a=Comet(*[Unavailable("away")] * 1000))

    (outcome,) = await cluster.pushing().push([push()])

    with pytest.raises(Unavailable, match="away"):
        outcome.check()


@pytest.mark.parametrize(
    "script",
    [
        [None],
        [Unavailable("away"), None],
        [OutcomeUnknown("cut"), *[Unavailable("away")] * 1000],
        [OutcomeUnknown("cut"), NotStored("full")],
    ],
)
async def test_a_doubt_is_never_called_a_refusal(
    script: list[PushError | None], autojump_clock: MockClock
) -> None:
    """Law 7 of the cluster: if any try may have happened, the answer is "unknown"."""
    cluster = Cluster(a=Comet(*script))

    (outcome,) = await cluster.pushing().push([push()])

    with pytest.raises(OutcomeUnknown):
        outcome.check()


async def test_an_owner_that_hangs_costs_the_deadline_and_no_more(
    autojump_clock: MockClock,
) -> None:
    """The others' answers are there, and the call ends within its time."""
    cluster = Cluster(a=Comet(None), b=Comet())
    began = trio.current_time()

    (outcome,) = await cluster.pushing().push([push(100)])

    assert trio.current_time() - began == pytest.approx(5.0)
    assert {type(error) for error in outcome.failed.values()} == {OutcomeUnknown}
    assert len(outcome.sent) + len(outcome.failed) == 100
