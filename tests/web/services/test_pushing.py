"""From keys to owners and back: who is called how often, and what the caller is told."""

from collections.abc import Callable, Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from appmodel.core.cluster import ClusterView, Node, Role
from appmodel.core.interfaces import Pusher
from appmodel.core.message import Delivery, Presence, Push, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import (
    ConfigError,
    LimitReached,
    NoNode,
    NotOwner,
    NotStored,
    OutcomeUnknown,
    PushError,
    Unavailable,
)
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from web.core.orders import Outcome
from web.services.pushing import SAVE_SIZE, Pushing

NOW = 1_900_000_000.0
LATER = 2_000_000_000.0
TIMEOUT, FALLBACK_AFTER = 5.0, 2.0  # seconds
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


class Store(MemoryStore):
    """Saves as a memory store does, after the troubles of its script. None: no answer for ever."""

    def __init__(self, *script: PushError | None) -> None:
        super().__init__(MessageConfig(store="memory"), now=lambda: NOW)
        self._script = list(script)
        self.batches: list[list[Save]] = []
        self.asked = 0

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        self.asked += 1
        if self._script:
            trouble = self._script.pop(0)
            if trouble is None:
                await trio.sleep_forever()
            else:
                await trio.lowlevel.checkpoint()
                raise trouble
        self.batches.append(list(saves))
        return await super().save(saves)


class Cluster:
    """A registry and peers of scripted comets; `views` follow one another when waited for."""

    def __init__(self, *stores: Store, **comets: Comet) -> None:
        self.store = stores[0] if stores else Store()
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
        return Pushing(
            self,
            self,
            lambda: self.store,
            timeout=TIMEOUT,
            fallback_after=FALLBACK_AFTER,
            now=lambda: NOW,
        )


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

    (outcome,) = await cluster.pushing().push([push(100, expires_at=0.0)])

    owner = cluster.view.ring.owner
    assert {owner(key.routed) for key in outcome.failed} == {"a"}
    assert {owner(key.routed) for key in outcome.sent} == {"b"}
    assert {type(error) for error in outcome.failed.values()} == {Unavailable}


async def test_at_the_deadline_what_was_never_done_is_unavailable(
    autojump_clock: MockClock,
) -> None:
    """Every try was refused before anything happened: the caller may safely do it otherwise."""
    cluster = Cluster(a=Comet(*[Unavailable("away")] * 1000))

    (outcome,) = await cluster.pushing().push([push(expires_at=0.0)])

    with pytest.raises(Unavailable, match="away"):
        outcome.check()


@pytest.mark.parametrize(
    ("script", "expires_at"),
    [
        ([None], 0.0),
        ([Unavailable("away"), None], 0.0),
        ([OutcomeUnknown("cut"), NotStored("full")], LATER),
        ([OutcomeUnknown("cut"), lambda _: NotOwner("k", None), NotStored("full")], LATER),
    ],
)
async def test_a_doubt_is_never_called_a_refusal(
    script: list[PushError | None], expires_at: float, autojump_clock: MockClock
) -> None:
    """Law 7 of the cluster: if any try may have happened, the answer is "unknown"."""
    cluster = Cluster(a=Comet(*script))

    (outcome,) = await cluster.pushing().push([push(expires_at=expires_at)])

    with pytest.raises(OutcomeUnknown):
        outcome.check()


async def test_a_doubt_outlives_a_change_of_the_ring(autojump_clock: MockClock) -> None:
    """The parts of a push that was taken apart are all in the doubt that it was in."""
    cluster = Cluster(a=Comet(OutcomeUnknown("cut"), NotStored("full")))
    cluster.comets["b"] = Comet(NotStored("full"))
    cluster.next_views = [cluster.view_of("a", "b", version=2)]

    (outcome,) = await cluster.pushing().push([push(100)])

    assert len(cluster.comets["b"].calls) == 1
    assert len(outcome.failed) == 100
    assert {type(error) for error in outcome.failed.values()} == {OutcomeUnknown}


async def test_an_owner_that_hangs_costs_the_deadline_and_no_more(
    autojump_clock: MockClock,
) -> None:
    """The others' answers are there, and the call ends within its time."""
    cluster = Cluster(a=Comet(None), b=Comet())
    began = trio.current_time()

    (outcome,) = await cluster.pushing().push([push(100, expires_at=0.0)])

    assert trio.current_time() - began == pytest.approx(TIMEOUT)
    assert {type(error) for error in outcome.failed.values()} == {OutcomeUnknown}
    assert len(outcome.sent) + len(outcome.failed) == 100


async def test_owners_do_not_wait_for_one_another(autojump_clock: MockClock) -> None:
    """While one hangs, the other is asked again and answers."""
    cluster = Cluster(a=Comet(None), b=Comet(Unavailable("restarting")))
    answered: list[float] = []

    def answer(push: Push) -> Answer:
        answered.append(trio.current_time())
        return done(push)

    cluster.comets["b"] = Comet(Unavailable("restarting"), answer)
    began = trio.current_time()
    await cluster.pushing().push([push(100)])

    assert answered[0] - began < FALLBACK_AFTER


@pytest.mark.parametrize(
    "script",
    [
        [Unavailable("away")] * 1000,
        [None],
        [OutcomeUnknown("cut"), *[Unavailable("away")] * 1000],
        [OutcomeUnknown("cut"), None],
    ],
)
async def test_without_its_owner_a_push_is_saved_here(
    script: list[PushError | None], autojump_clock: MockClock
) -> None:
    """In time for its caller, under its own push id, so a late success of the owner is the same message."""
    cluster = Cluster(a=Comet(*script))
    pushing = cluster.pushing()
    began = trio.current_time()

    (outcome,) = await pushing.push([push()])

    [[save]] = cluster.store.batches
    [late] = await cluster.store.save([Save(save.push_id, 0, save.keys, save.body, LATER)])
    assert save.push_id == push().push_id
    assert outcome.sent == {keys(1)[0]: (late.ids[0], True, 0)}
    assert not outcome.failed
    assert trio.current_time() - began == pytest.approx(FALLBACK_AFTER)
    assert pushing.counts.fallbacks == 1


async def test_only_what_has_no_verdict_is_saved_here(autojump_clock: MockClock) -> None:
    """Keys of other owners are theirs, and what an owner refused stays refused."""
    poisoned = push(100, push_id=b"x" * 16)
    script = [lambda p: NotStored("full") if p.push_id == poisoned.push_id else done(p)]
    cluster = Cluster(a=Comet(None), b=Comet(*script))
    owner = cluster.view.ring.owner

    refused, sent = await cluster.pushing().push([poisoned, push(100)])

    saved = [key for batch in cluster.store.batches for save in batch for key in save.keys]
    assert {owner(key.routed) for key in saved} == {"a"}
    assert {owner(key.routed) for key in refused.failed} == {"b"}
    assert {type(error) for error in refused.failed.values()} == {NotStored}
    assert len(sent.sent) == 100


async def test_pushes_to_one_key_are_saved_in_their_order(autojump_clock: MockClock) -> None:
    """Also when the ring moved meanwhile and they were taken apart."""
    cluster = Cluster(a=Comet(*[Unavailable("away")] * 1000))
    cluster.comets["b"] = Comet(*[Unavailable("away")] * 1000)
    cluster.next_views = [cluster.view_of("a", "b", version=2)]
    pushes = [push(size, push_id=bytes([n]) * 16) for n, size in enumerate([50, 1, 20, 50, 7])]

    outcomes = await cluster.pushing().push(pushes)

    assert all(set(outcome.sent) == set(outcome.push.keys) for outcome in outcomes)
    for key in keys(50):
        ids = [outcome.sent[key].id for outcome in outcomes if key in outcome.sent]
        assert ids == sorted(set(ids))


async def test_what_has_no_ttl_is_never_saved_here(autojump_clock: MockClock) -> None:
    """It goes on being asked for, to the deadline, while the others of its batch are saved."""
    cluster = Cluster(a=Comet(*[Unavailable("away")] * 1000))
    began = trio.current_time()

    brief, kept = await cluster.pushing().push(
        [push(expires_at=0.0, push_id=b"0" * 16), push(push_id=b"1" * 16)]
    )

    assert isinstance(brief.failed[keys(1)[0]], Unavailable)
    assert kept.sent
    assert [[save.push_id for save in batch] for batch in cluster.store.batches] == [[b"1" * 16]]
    assert trio.current_time() - began == pytest.approx(TIMEOUT)


async def test_what_has_no_ttl_is_delivered_when_its_owner_is_back(
    autojump_clock: MockClock,
) -> None:
    """After the fallback's time too, and while the store hangs."""
    cluster = Cluster(Store(None), a=Comet())
    back_at = trio.current_time() + FALLBACK_AFTER + 1

    def away_until_then(push: Push) -> Answer:
        return done(push) if trio.current_time() >= back_at else Unavailable("away")

    cluster.comets["a"] = Comet(*[away_until_then] * 1000)
    brief, kept = await cluster.pushing().push(
        [push(expires_at=0.0, push_id=b"0" * 16), push(push_id=b"1" * 16)]
    )

    assert brief.sent
    assert isinstance(kept.failed[keys(1)[0]], OutcomeUnknown)


async def test_one_that_cannot_be_repeated_is_unknown_when_its_call_was_left(
    autojump_clock: MockClock,
) -> None:
    """It waited in one call with a push that is saved now: nobody would know it again."""
    cluster = Cluster(a=Comet(None))

    brief, kept = await cluster.pushing().push(
        [push(expires_at=0.0, push_id=b"0" * 16), push(push_id=b"1" * 16)]
    )

    assert isinstance(brief.failed[keys(1)[0]], OutcomeUnknown)
    assert kept.sent
    assert len(cluster.comets["a"].calls) == 1


async def test_owner_and_store_are_asked_in_turns(autojump_clock: MockClock) -> None:
    """Whoever is back first does it; a store that refuses is no last word while the owner may come."""
    cluster = Cluster(Store(NotStored("away")), a=Comet(None, lambda p: done(p)))

    (outcome,) = await cluster.pushing().push([push()])

    assert outcome.sent == {keys(1)[0]: (17, True, 1)}
    assert cluster.store.asked == 1


@pytest.mark.parametrize(
    ("comet", "store", "verdict"),
    [
        (Unavailable("no comet"), NotStored("no store"), Unavailable),
        (Unavailable("no comet"), None, OutcomeUnknown),
        (Unavailable("no comet"), OutcomeUnknown("cut"), OutcomeUnknown),
        (OutcomeUnknown("cut"), NotStored("no store"), OutcomeUnknown),
        (None, NotStored("no store"), OutcomeUnknown),
    ],
)
async def test_when_nobody_answers_the_verdict_is_true(
    comet: PushError | None,
    store: PushError | None,
    verdict: type[PushError],
    autojump_clock: MockClock,
) -> None:
    """Refused only if neither an owner nor the store may have it."""
    cluster = Cluster(Store(*[store] * 1000), a=Comet(*[comet] * 1000))
    began = trio.current_time()

    (outcome,) = await cluster.pushing().push([push()])

    assert isinstance(error_of(outcome), verdict)  # NotStored is an Unavailable
    assert trio.current_time() - began == pytest.approx(TIMEOUT)


def error_of(outcome: Outcome) -> PushError:
    """Why its only key failed."""
    [error] = outcome.failed.values()
    return error


async def test_in_doubt_of_the_registry_an_unreachable_owner_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    """Nobody would say that it is gone for good. What has no ttl is asked for as ever."""
    cluster = Cluster(a=Comet(*[Unavailable("refused")] * 1000), b=Comet(None))
    cluster.trouble = "ZooKeeper is away"
    owner = cluster.view.ring.owner
    mine = tuple(key for key in keys(100) if owner(key.routed) == "a")
    others = tuple(key for key in keys(100) if owner(key.routed) == "b")
    pushing = cluster.pushing()
    began = trio.current_time()

    (outcome,) = await pushing.push([Push(b"1" * 16, mine, b"{}", LATER)])
    after = trio.current_time() - began
    (hanging,) = await pushing.push([Push(b"2" * 16, others, b"{}", LATER)])

    assert set(outcome.sent) == set(mine)
    assert after == 0.0
    assert set(hanging.sent) == set(others)
    assert trio.current_time() - began == pytest.approx(FALLBACK_AFTER)


async def test_in_doubt_of_the_registry_an_owner_that_answers_has_the_word(
    autojump_clock: MockClock,
) -> None:
    """Nothing is saved past an owner that is there, whatever it says."""
    cluster = Cluster(a=Comet(lambda _: Unavailable("busy"), LimitReached("full")))
    cluster.trouble = "ZooKeeper is away"

    (outcome,) = await cluster.pushing().push([push()])

    assert isinstance(error_of(outcome), LimitReached)
    assert cluster.store.asked == 0


async def test_saves_fit_into_a_frame(autojump_clock: MockClock) -> None:
    """However large the batch: it is saved in pieces, in order."""
    cluster = Cluster(a=Comet(None))
    body = b"1" * (SAVE_SIZE // 3)
    pushes = [Push(bytes([n]) * 16, keys(1), body, LATER) for n in range(10)]

    outcomes = await cluster.pushing().push(pushes)

    assert [len(batch) for batch in cluster.store.batches] == [2, 2, 2, 2, 2]
    ids = [outcome.sent[keys(1)[0]].id for outcome in outcomes]
    assert ids == sorted(set(ids))


async def test_after_a_piece_that_failed_no_later_one_is_saved(autojump_clock: MockClock) -> None:
    """Else a key would get its messages in the wrong order."""
    cluster = Cluster(Store(NotStored("busy")), a=Comet(*[Unavailable("away")] * 1000))
    body = b"1" * (SAVE_SIZE // 3)
    pushes = [Push(bytes([n]) * 16, keys(1), body, LATER) for n in range(4)]

    outcomes = await cluster.pushing().push(pushes)

    ids = [outcome.sent[keys(1)[0]].id for outcome in outcomes]
    assert ids == sorted(set(ids))
    assert [save.push_id[0] for batch in cluster.store.batches for save in batch] == [0, 1, 2, 3]


def test_the_fallback_needs_time() -> None:
    """A setting that leaves none is refused, and named."""
    cluster = Cluster()
    with pytest.raises(ConfigError, match=r"web\.push\.fallback_after = '5s'.*5 s"):
        Pushing(
            cluster,
            cluster,
            lambda: cluster.store,
            timeout=5,
            fallback_after=5,
            now=lambda: NOW,
        )


@given(
    comet=st.lists(st.sampled_from([*"uxnd-"]), max_size=12),
    store=st.lists(st.sampled_from([*"ux-"]), max_size=4),
    expires_at=st.sampled_from([0.0, LATER]),
)
def test_a_verdict_is_never_a_lie(comet: str, store: str, expires_at: float) -> None:
    """Whatever owner and store do: done means done, refused means that nobody may have done it."""
    told: list[str] = []

    def step(letter: str, log: str) -> Callable[[Push], Answer] | PushError | None:
        def answer(push: Push) -> Answer:
            told.append(letter)
            return {"n": NotStored("full"), "u": Unavailable("busy")}.get(letter) or done(push)

        return {"x": OutcomeUnknown("cut"), "-": None}.get(letter, answer)

    cluster = Cluster(
        Store(*[{"u": NotStored("away"), "x": OutcomeUnknown("cut"), "-": None}[s] for s in store]),
        a=Comet(*[step(letter, "comet") for letter in comet]),
    )

    async def run() -> Outcome:
        (outcome,) = await cluster.pushing().push([push(expires_at=expires_at)])
        return outcome

    outcome = trio.run(run, clock=MockClock(autojump_threshold=0))

    asked = comet[: len(cluster.comets["a"].calls)]
    doubted = {"x", "-"} & {*asked, *store[: cluster.store.asked]}
    is_done = "d" in told or len(asked) < len(cluster.comets["a"].calls) or cluster.store.batches
    if outcome.sent:
        assert is_done
    else:
        assert not is_done
        assert isinstance(error_of(outcome), OutcomeUnknown) == bool(doubted)
