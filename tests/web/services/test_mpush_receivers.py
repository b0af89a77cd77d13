"""Errands of Mpush: each copy is brought once, in order, by one node at a time, whatever happens on the way."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.lightpush_records import Hidden
from appmodel.core.message import Page, Save
from appmodel.core.mpush import Body, device_key, write_body
from appmodel.core.mpush_steps import Step, copy_words, step
from appmodel.core.mpush_stores import AckNews, Errand, Receiver, ReceiverKind
from appmodel.core.mpush_waits import Awaited
from appmodel.core.names import Key
from appmodel.core.sealing import Sealing
from appmodel.errors import Unavailable
from appmodel.io.database import Database
from appmodel.io.mpush_books import SqlAckBook, SqlDevices, SqlReceivers
from appmodel.orm.mpush import MpushReceiver
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.web.mpush_desk import Ears
from web.core.mpush_copies import Copy
from web.gateways.interface import DELIVERED, Kind, Receipt
from web.services import mpush_wants
from web.services.mpush_bringing import MANY, Bringing, BringingLimits
from web.services.mpush_receivers import Errands
from web.services.mpush_wants import Wants

LIMIT = 30.0  # seconds: a test that hangs says where
NOW = 1_800_000_000.0  # seconds
SEALING = Sealing(b"s" * 32)
LIMITS = BringingLimits(lease=60, retry=3, max_retry=60, hold=600)
HOOK, PHONE, BROWSER = ReceiverKind.WEBHOOK, ReceiverKind.FCM, ReceiverKind.WEBPUSH
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@dataclass
class Pretended:
    """A `Way` that gives out receipts, then delivers; it waits at its gate."""

    receipts: deque[Receipt | Exception] = field(default_factory=deque)
    brought: list[tuple[str, str]] = field(default_factory=list)  # device, title
    gate: trio.Event | None = None
    under_way: list[str] = field(default_factory=list)  # devices
    news: trio.Event = field(default_factory=trio.Event)

    async def bring(self, receiver: Receiver, copy: Copy) -> Receipt:
        assert receiver.name not in self.under_way, "one copy at a time"
        self.under_way.append(receiver.name)
        self._tell()
        try:
            await trio.lowlevel.checkpoint()
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.under_way.remove(receiver.name)
        self.brought.append((receiver.name, copy.title))
        self._tell()
        receipt = self.receipts.popleft() if self.receipts else DELIVERED
        if isinstance(receipt, Exception):
            raise receipt
        return receipt

    async def until(self, is_so: Callable[["Pretended"], bool]) -> None:
        """Wait for it."""
        with trio.fail_after(LIMIT):
            while not is_so(self):
                await self.news.wait()

    async def brings(self, count: int) -> list[tuple[str, str]]:
        """What was brought, once it is so much."""
        await self.until(lambda way: len(way.brought) >= count)
        return self.brought

    def _tell(self) -> None:
        self.news.set()
        self.news = trio.Event()


class Watched(SqlReceivers):
    """Counts how often nodes look for errands."""

    claims = 0

    async def claim(
        self,
        *,
        now: int,
        lease: int,
        limit: int,
        kinds: Collection[ReceiverKind] = tuple(ReceiverKind),
    ) -> Sequence[Errand]:
        self.claims += 1
        return await super().claim(now=now, lease=lease, limit=limit, kinds=kinds)


@dataclass
class Town:
    """The books, the store, and as many web nodes as a test opens. `now` stands still."""

    database: Database
    ears: Ears = field(default_factory=Ears)
    now: float = NOW
    is_away: bool = False  # the store

    def __post_init__(self) -> None:
        self.store = MemoryStore(MessageConfig(store="memory"), lambda: self.now)
        self.devices, self.acks = SqlDevices(self.database), SqlAckBook(self.database)
        self.receivers = Watched(self.database, SEALING)

    async def page(self, key: Key, after: int, limit: int) -> Page:
        if self.is_away:
            raise Unavailable("the store is away")
        return await self.store.fetch(key, after, limit=limit)

    async def receiver(self, name: str, kind: ReceiverKind = HOOK, address: str = "x") -> Receiver:
        """A device with this receiver."""
        await self.devices.register(name, now=self.ms)
        receiver = Receiver(name, kind, address, Hidden(""), self.ms)
        await self.receivers.add(receiver, cursor=0, now=self.ms)
        return receiver

    async def push(self, name: str, *titles: str) -> list[int]:
        """Stored, and wanted."""
        ids: list[int] = []
        for title in titles:
            body = write_body(Body("", title=title))
            push_id = f"{name}/{title}".encode()
            save = Save(push_id, round(self.now * 1e6), (device_key(name),), body, 4e9)
            [saved] = await self.store.save([save])
            ids.append(saved.ids[0])
        await self.receivers.want({name: ids[-1]}, now=self.ms)
        return ids

    @property
    def ms(self) -> int:
        return round(self.now * 1000)

    def bringing(self, way: Pretended, limits: BringingLimits = LIMITS) -> Bringing:
        """By one way for all kinds."""
        ways = dict.fromkeys(ReceiverKind, way)
        return Bringing(
            ways, self.receivers, self.acks, self.ears, self, limits, now=lambda: self.now
        )

    @asynccontextmanager
    async def node(
        self,
        way: Pretended,
        *,
        at_once: int = 8,
        kinds: Sequence[ReceiverKind] = tuple(ReceiverKind),
    ) -> AsyncIterator[Errands]:
        """One web node; it dies, politely, when the block ends."""
        errands = Errands(
            self.receivers,
            self.bringing(way),
            kinds,
            at_once=at_once,
            poll=0.01,
            lease=LIMITS.lease,
            now=lambda: self.now,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(errands.run)
            yield errands
            nursery.cancel_scope.cancel()

    async def looked_for(self) -> None:
        """Nodes have looked for errands, a few times, and begun what they found."""
        looks = self.receivers.claims + 6
        with trio.fail_after(LIMIT):
            while self.receivers.claims < looks:  # noqa: ASYNC110  a count tells nobody
                await trio.sleep(0.01)


@pytest.fixture
def town(database: Database) -> Town:
    return Town(database)


async def test_nodes_that_share_errands_bring_each_copy_once_and_in_order(town: Town) -> None:
    """Whoever is pushed what while."""
    names = [f"d{number}" for number in range(6)]
    for name in names:
        await town.receiver(name)
    way = Pretended()

    async with town.node(way), town.node(way):
        for number in range(5):
            for name in names:
                await town.push(name, f"t{number}")
        brought = list(await way.brings(30))
        await town.looked_for()

    assert way.brought == brought
    for name in names:
        assert [title for who, title in brought if who == name] == [f"t{n}" for n in range(5)]


async def test_who_dies_leaves_the_rest_to_another_at_the_end_of_the_lease(town: Town) -> None:
    """Not before, lest a copy overlaps another; and behind what was brought."""
    await town.receiver("d")
    ids = await town.push("d", "one", "two", "three")
    [errand] = await town.receivers.claim(now=town.ms, lease=60_000, limit=1)
    assert await town.receivers.advance(errand, ids[0], until=town.ms + 60_000)
    way = Pretended()

    async with town.node(way):
        town.now += 59.9
        await town.looked_for()
        assert way.brought == []

        town.now += 0.2
        assert await way.brings(2) == [("d", "two"), ("d", "three")]


async def test_a_node_that_stops_gives_back_what_it_has(town: Town) -> None:
    """Another goes on at once, not at the end of the lease."""
    await town.receiver("d")
    await town.push("d", "one")
    stuck, way = Pretended(gate=trio.Event()), Pretended()
    async with town.node(stuck):
        await stuck.until(lambda it: it.under_way == ["d"])

    async with town.node(way):
        assert await way.brings(1) == [("d", "one")]


async def test_a_node_that_drains_ends_behind_the_copy_in_hand(town: Town) -> None:
    """That one is not brought again; the next is another's."""
    await town.receiver("d")
    await town.push("d", "one", "two")
    first, second = Pretended(gate=trio.Event()), Pretended()
    async with town.node(first) as errands:
        await first.until(lambda it: it.under_way == ["d"])
        errands.stop()
        assert first.gate is not None
        first.gate.set()
        with trio.fail_after(LIMIT):
            while errands.busy:  # noqa: ASYNC110  a count tells nobody
                await trio.sleep(0.01)

    async with town.node(second):
        await second.brings(1)
    assert (first.brought, second.brought) == ([("d", "one")], [("d", "two")])


async def test_what_a_hook_takes_is_acknowledged(town: Town) -> None:
    """In the book, for as many as there may be, and for who waits."""
    await town.receiver("d")
    ids = await town.push("d", "one", "two")
    way = Pretended()

    async with town.node(way):
        await way.brings(2)
        with trio.fail_after(LIMIT):
            assert await town.ears.wait([Awaited(device_key("d"), ids[1])], LIMIT) == (True,)

    state = (await town.acks.states(["d"]))["d"]
    assert (state.floor, state.done) == (ids[1], frozenset())


@pytest.mark.parametrize(("kind", "word"), [(PHONE, Step.FCM_SENT), (BROWSER, Step.WEBPUSH_SENT)])
async def test_what_a_provider_takes_is_not_acknowledged(
    town: Town, kind: ReceiverKind, word: Step
) -> None:
    """A copy went out beside the socket, which has its own; who waits is told the word, and the next one."""
    await town.receiver("d", kind)
    [message_id] = await town.push("d", "one")
    way, ids, kinds = Pretended(), {"d": message_id, "e": 1000}, {"d": [kind]}
    before = await copy_words(town.ears, ids, kinds)

    async with town.node(way):
        await way.brings(1)
        with trio.fail_after(LIMIT):
            await town.ears.wait([step("d", word, message_id)], LIMIT)

    assert before == {"d": f"{kind}-wait"}
    assert await copy_words(town.ears, ids, kinds) == {"d": word}
    assert not (await town.acks.states(["d"]))["d"].has(message_id)
    await town.ears.note([step("d", Step.WEBPUSH_SHOWN, message_id)])
    shown = {"d": "webpush-ok"} if kind is BROWSER else {"d": "fcm-send"}
    assert await copy_words(town.ears, ids, kinds) == shown


async def test_what_the_device_has_acknowledged_is_taken_back(town: Town) -> None:
    """As the book has it, below its floor and above, and what is not written there yet."""
    await town.receiver("d", BROWSER)
    ids = await town.push("d", *"abcde")
    await town.acks.acknowledge([AckNews("d", floor=ids[0], done=(ids[2],))])
    await town.ears.note([Awaited(device_key("d"), ids[3])])
    way = Pretended()

    async with town.node(way):
        assert await way.brings(2) == [("d", "b"), ("d", "e")]


async def test_what_is_acknowledged_while_it_waits_is_taken_back(town: Town) -> None:
    """Behind a first failure, say."""
    await town.receiver("d", BROWSER)
    ids = await town.push("d", "one", "two")
    way = Pretended(deque([Receipt(Kind.RETRY, "busy")]))
    async with town.node(way):
        await way.brings(1)
        await town.acks.acknowledge([AckNews("d", done=(ids[0],))])
        with trio.fail_after(LIMIT):
            while len(way.brought) < 2:
                town.now += 1
                await trio.sleep(0.01)

    assert way.brought == [("d", "one"), ("d", "two")]


async def test_a_failure_waits_longer_each_time(town: Town) -> None:
    """3 s, then doubled up to a minute; a push does not shorten it, and what the other end asks for counts."""
    receiver = await town.receiver("d")
    await town.push("d", "one")
    busy = Receipt(Kind.RETRY, "busy")
    way = Pretended(deque([busy] * 6 + [Receipt(Kind.RETRY, "later", after=300)]))
    pauses: list[float] = []
    for _ in range(7):
        [errand] = await town.receivers.claim(now=town.ms, lease=60_000, limit=1)
        assert errand.receiver == receiver
        await town.bringing(way).run(errand, lambda: True)
        await town.push("d", f"more {len(pauses)}")
        pauses.append(await next_due(town))
        town.now += pauses[-1]

    assert pauses == [3, 6, 12, 24, 48, 60, 300]
    assert set(way.brought) == {("d", "one")}


async def next_due(town: Town) -> float:
    """Seconds until the first errand is due."""
    due_at: int | None = await town.database.read(
        lambda session: session.scalar(sa.select(sa.func.min(MpushReceiver.due_at)))
    )
    assert due_at is not None
    return (due_at - town.ms) / 1000


async def test_a_failure_behind_successes_is_a_first_one(town: Town) -> None:
    """Failures are counted in a row."""
    await town.receiver("d")
    await town.push("d", "one", "two")
    way = Pretended(deque([Receipt(Kind.RETRY, "busy")] * 4 + [DELIVERED, Receipt(Kind.RETRY, "")]))
    for pause in (3, 6, 12, 24, 3):
        [errand] = await town.receivers.claim(now=town.ms, lease=60_000, limit=1)
        await town.bringing(way).run(errand, lambda: True)
        assert await next_due(town) == pause
        town.now += pause


async def test_receipts_decide_how_it_goes_on(town: Town) -> None:
    """Who is gone is removed; what is refused is left out; a wrong configuration is waited for, longer."""
    gone = await town.receiver("gone")
    for name in ("gone", "refused", "wrong"):
        if name != "gone":
            await town.receiver(name)
        await town.push(name, "one", "two")
    outcomes = {
        "gone": Receipt(Kind.GONE, "410"),
        "refused": Receipt(Kind.REFUSED, "413"),
        "wrong": Receipt(Kind.MISCONFIGURED, "no key"),
    }
    for errand in await town.receivers.claim(now=town.ms, lease=60_000, limit=9):
        way = Pretended(deque([outcomes[errand.receiver.name]]))
        await town.bringing(way).run(errand, lambda: True)
        count = 2 if errand.receiver.name == "refused" else 1
        assert len(way.brought) == count

    assert await town.receivers.of([gone.name]) == {}
    assert await next_due(town) == LIMITS.hold


async def test_secrets_that_cannot_be_opened_are_no_reason_to_forget_somebody(
    town: Town, database: Database
) -> None:
    """auth.secret may be wrong on one node only."""
    await town.receiver("d", BROWSER)
    await town.push("d", "one")
    stranger = Town(database)
    stranger.store = town.store
    stranger.receivers = Watched(database, Sealing(b"t" * 32))
    way = Pretended()

    [errand] = await stranger.receivers.claim(now=town.ms, lease=60_000, limit=1)
    await stranger.bringing(way).run(errand, lambda: True)

    assert way.brought == []
    assert await next_due(town) == LIMITS.hold
    assert (await town.receivers.of(["d"]))["d"]


async def test_a_store_that_is_away_is_waited_for(town: Town) -> None:
    """Nothing is lost, and nothing spins."""
    await town.receiver("d")
    await town.push("d", "one")
    way = Pretended()
    town.is_away = True
    [errand] = await town.receivers.claim(now=town.ms, lease=60_000, limit=1)
    await town.bringing(way).run(errand, lambda: True)
    town.is_away = False
    assert await next_due(town) == LIMITS.retry

    town.now += LIMITS.retry
    async with town.node(way):
        assert await way.brings(1) == [("d", "one")]


async def test_a_way_that_hangs_is_given_up_within_the_lease(town: Town) -> None:
    """Whatever its own deadlines are: no copy overlaps the next."""
    await town.receiver("d")
    await town.push("d", "one")
    way = Pretended(gate=trio.Event())
    limits = BringingLimits(lease=0.03, retry=3, max_retry=60, hold=600)
    [errand] = await town.receivers.claim(now=town.ms, lease=30, limit=1)

    with trio.fail_after(LIMIT):
        await town.bringing(way, limits).run(errand, lambda: True)

    assert await next_due(town) == 3


async def test_a_bug_in_a_way_ends_nothing(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and its errand is due again at the end of the lease; the others go on."""
    await town.receiver("a")
    await town.push("a", "one")
    way = Pretended(deque([KeyError("a bug")]))
    async with town.node(way):
        await way.brings(1)
        await town.receiver("b")
        await town.push("b", "two")
        await way.brings(2)
        town.now += LIMITS.lease

        assert await way.brings(3) == [("a", "one"), ("b", "two"), ("a", "one")]


async def test_one_kind_that_hangs_keeps_no_other_waiting(town: Town) -> None:
    """Push services are strangers'; each kind has its own places."""
    for number in range(5):
        await town.receiver(f"b{number}", BROWSER)
        await town.push(f"b{number}", "x")
    hanging = Pretended(gate=trio.Event())
    hook = Pretended()
    bringing = Bringing(
        {BROWSER: hanging, HOOK: hook},
        town.receivers,
        town.acks,
        town.ears,
        town,
        LIMITS,
        now=lambda: town.now,
    )
    errands = Errands(
        town.receivers,
        bringing,
        [BROWSER, HOOK],
        at_once=2,
        poll=0.01,
        lease=LIMITS.lease,
        now=lambda: town.now,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(errands.run)
        await hanging.until(lambda way: len(way.under_way) == 2)
        await town.receiver("nas")
        await town.push("nas", "y")

        assert await hook.brings(1) == [("nas", "y")]
        assert len(hanging.under_way) == 2
        nursery.cancel_scope.cancel()


async def test_what_this_node_has_no_way_for_is_left_to_others(town: Town) -> None:
    """It may be configured elsewhere."""
    await town.receiver("d", PHONE)
    await town.push("d", "one")
    unable, able = Pretended(), Pretended()

    async with town.node(unable, kinds=[HOOK]):
        await town.looked_for()
        async with town.node(able, kinds=[PHONE]):
            assert await able.brings(1) == [("d", "one")]

    assert unable.brought == []


async def test_a_long_backlog_takes_turns(town: Town) -> None:
    """Who has much waits for who has little, and gets all of it."""
    await town.receiver("much")
    titles = [f"t{number}" for number in range(2 * MANY + 5)]
    await town.push("much", *titles)
    await town.receiver("little")
    way = Pretended(gate=trio.Event())
    async with town.node(way, at_once=1):
        await way.until(lambda it: it.under_way == ["much"])
        await town.push("little", "first")
        town.now += 1
        assert way.gate is not None
        way.gate.set()
        brought = await way.brings(len(titles) + 1)

    assert [title for name, title in brought if name == "much"] == titles
    assert brought.index(("little", "first")) == MANY


async def test_what_is_gone_from_the_store_is_not_waited_for(town: Town) -> None:
    """Expired, deleted, or never stored: the errand is over."""
    await town.receiver("d")
    await town.receivers.want({"d": 5_000_000}, now=town.ms)
    way = Pretended()
    async with town.node(way):
        await town.looked_for()

    assert way.brought == []
    assert await town.receivers.claim(now=town.ms + 10**9, lease=1, limit=1) == []


class Flaky:
    """`KnownReceivers` and the book of them, away as often as it is told."""

    def __init__(self, town: Town, failures: int) -> None:
        self._town, self.failures = town, failures
        self.asked = 0

    async def receivers_of(self, names: Sequence[str]) -> dict[str, Sequence[Receiver]]:
        self.asked += 1
        if self.asked <= self.failures:
            raise Unavailable("the database is away")
        return dict(await self._town.receivers.of(names))


async def test_receivers_hear_of_a_push_even_if_the_database_was_away(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push is stored and answered; they are told when it is back."""
    monkeypatch.setattr(mpush_wants, "PAUSE", 0.01)
    await town.receiver("d")
    ids = await town.push("d", "one")
    known, told = Flaky(town, 2), trio.Event()
    wants = Wants(known, town.receivers, wanted=told.set, now=lambda: town.now)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wants.run)
        await wants.note({"d": ids[0] + 1000, "e": 7000})
        assert not told.is_set()
        await told.wait()
        nursery.cancel_scope.cancel()

    [errand] = await town.receivers.claim(now=town.ms, lease=1000, limit=9)
    assert (errand.receiver.name, errand.wanted) == ("d", ids[0] + 1000)
