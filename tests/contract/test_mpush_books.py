"""What the books of Mpush keep to, on each kind of database."""

import threading
from functools import partial

import pytest
import sqlalchemy as sa
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush_keys import PublicKeys, public_text
from appmodel.core.mpush_stores import (
    MAX_DONE,
    AckNews,
    AckState,
    Delayed,
    Device,
    Errand,
    Receiver,
    ReceiverKind,
)
from appmodel.core.sealing import Sealing
from appmodel.errors import LimitReached, NotFound
from appmodel.io.database import Database
from appmodel.io.mpush_books import MpushBounds, SqlAckBook, SqlDelays, SqlDevices, SqlReceivers
from appmodel.io.mpush_keys import SqlKeys
from appmodel.orm import mpush_receiver_queries
from appmodel.orm.mpush import MpushDelayed, MpushDone, MpushKey, MpushReceiver
from tests.databases import PATIENCE

NOW = 4_102_444_800_000  # ms
BOUNDS = MpushBounds(devices=5, receivers=2, delayed=4, delayed_per_target=2)
SEALING = Sealing(b"s" * 32)
ODD = ["Name", "name", "name ", "a@b@mpush", "дверь 🚪", "a/b?c=d%20", "x" * 200]
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
on_servers = pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)


def a_hook(name: str = "d", address: str = "https://a/", secrets: str = "{}") -> Receiver:
    return Receiver(name, ReceiverKind.WEBHOOK, address, Hidden(secrets), NOW)


def later(number: int, target: str = "d", *, after: int = 0, is_group: bool = False) -> Delayed:
    return Delayed(
        f"{number:032x}", target, NOW + after, b'{"content":"\xc3\xa9"}', 60, is_group, NOW
    )


@pytest.fixture
def devices(database: Database) -> SqlDevices:
    return SqlDevices(database, BOUNDS)


@pytest.fixture
def acks(database: Database) -> SqlAckBook:
    return SqlAckBook(database)


@pytest.fixture
def receivers(database: Database) -> SqlReceivers:
    return SqlReceivers(database, SEALING, BOUNDS)


@pytest.fixture
def delays(database: Database) -> SqlDelays:
    return SqlDelays(database, BOUNDS)


class TestDevices:
    async def test_a_login_makes_the_device_and_later_ones_keep_it(
        self, devices: SqlDevices
    ) -> None:
        """Only the last login and, if one is given, the group change; other nodes see it at once."""
        assert await devices.register("d", now=NOW) == AckState()
        assert await devices.find(["d", "e"]) == {"d": Device("d", "", NOW, NOW)}

        await devices.register("d", group="g", now=NOW + 5)
        await devices.register("d", now=NOW + 9)
        await devices.register("d", now=NOW + 7)
        assert await devices.find(["d"]) == {"d": Device("d", "g", NOW, NOW + 9)}

        await devices.register("d", group="", now=NOW + 10)
        assert await devices.find(["d"]) == {"d": Device("d", "", NOW, NOW + 10)}

    async def test_logins_at_once_are_each_one(self, database: Database) -> None:
        """Of many devices, and of one from two nodes."""
        nodes = [SqlDevices(database), SqlDevices(database)]
        async with trio.open_nursery() as nursery:
            for number in range(40):
                login = partial(
                    nodes[number % 2].register,
                    f"d{number // 2:02}",
                    group=f"g{number % 2}",
                    now=NOW,
                )
                nursery.start_soon(login)

        found = await nodes[0].page(limit=99)
        assert [one.name for one in found] == [f"d{number:02}" for number in range(20)]

    async def test_names_are_what_they_are(self, database: Database) -> None:
        """Compared byte by byte; each is a device of its own."""
        devices = SqlDevices(database)
        for name in ODD:
            await devices.register(name, group=name, now=NOW)

        assert [one.name for one in await devices.page(limit=99)] == sorted(ODD, key=str.encode)
        for name in ODD:
            assert list(await devices.find([name])) == [name]
            assert await devices.members(name, limit=9) == [name]

    async def test_there_are_only_so_many(self, devices: SqlDevices) -> None:
        """A first login above the bound is refused, and changes nothing; who is there still comes in."""
        await devices.preregister(["p1", "p2", "p3"], now=NOW)
        await devices.preregister(["p3", "p2", "p4"], now=NOW + 1)
        await devices.register("d", now=NOW)

        with pytest.raises(LimitReached, match=r"mpush\.devices: 5 .* 1 more .* at most 5"):
            await devices.register("e", now=NOW)
        with pytest.raises(LimitReached, match=r"mpush\.devices"):
            await devices.preregister(["e", "f"], now=NOW)

        await devices.register("p4", now=NOW + 3)
        assert await devices.forget("p1")
        await devices.register("e", now=NOW + 4)
        assert [
            (one.name, one.created_at, one.logged_in_at) for one in await devices.page(limit=9)
        ] == [
            ("d", NOW, NOW),
            ("e", NOW + 4, NOW + 4),
            ("p2", NOW, None),
            ("p3", NOW, None),
            ("p4", NOW + 1, NOW + 3),
        ]

    async def test_one_too_many_costs_the_others_nothing(self, devices: SqlDevices) -> None:
        """Logins that wait together are one transaction, and each has its own answer."""
        refused: list[str] = []

        async def log_in(name: str) -> None:
            try:
                await devices.register(name, now=NOW)
            except LimitReached:
                refused.append(name)

        async with trio.open_nursery() as nursery:
            for number in range(7):
                nursery.start_soon(log_in, f"d{number}")

        there = [one.name for one in await devices.page(limit=9)]
        assert len(there) == 5
        assert sorted(there + refused) == [f"d{number}" for number in range(7)]

    @on_servers
    async def test_nodes_that_register_at_once_keep_the_bound(self, database: Database) -> None:
        """Each counts what the other one makes."""
        nodes = [SqlDevices(database, BOUNDS), SqlDevices(database, BOUNDS)]
        refused: list[int] = []

        async def log_in(number: int) -> None:
            try:
                await nodes[number % 2].register(f"d{number}", now=NOW)
            except LimitReached:
                refused.append(number)

        for start in range(0, 12, 2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(log_in, start)
                nursery.start_soon(log_in, start + 1)

        assert len(await nodes[0].page(limit=99)) == 5
        assert len(refused) == 7

    async def test_a_group_has_whoever_said_so_last(self, devices: SqlDevices) -> None:
        """Page by page; "" is no group."""
        for name in ("a", "b", "c"):
            await devices.register(name, group="g", now=NOW)
        await devices.register("b", group="h", now=NOW + 1)
        await devices.register("d", now=NOW)

        assert await devices.members("g", limit=9) == ["a", "c"]
        assert await devices.members("g", limit=1) == ["a"]
        assert await devices.members("g", after="a", limit=1) == ["c"]
        assert await devices.members("h", limit=9) == ["b"]

    async def test_what_is_forgotten_leaves_nothing(
        self,
        devices: SqlDevices,
        acks: SqlAckBook,
        receivers: SqlReceivers,
        delays: SqlDelays,
        database: Database,
    ) -> None:
        """Neither acknowledgements, also when they come late, nor receivers, nor what waits for its time."""
        for name in ("d", "e"):
            await devices.register(name, now=NOW)
            await acks.acknowledge([AckNews(name, 5000, (9000,))])
            await receivers.add(a_hook(name), cursor=0, now=NOW)
        await delays.put([later(1), later(2, "e"), later(3, is_group=True)])

        assert await devices.forget("d")
        await acks.acknowledge([AckNews("d", 7000, (9000, 10_000))])

        assert not await devices.forget("d")
        assert await devices.register("d", now=NOW) == AckState()
        assert await receivers.of(["d", "e"]) == {"e": [a_hook("e")]}
        counts = await database.read(
            lambda session: [
                session.scalar(sa.select(sa.func.count()).select_from(model))
                for model in (MpushDone, MpushReceiver, MpushDelayed)
            ]
        )
        assert counts == [1, 1, 2]


class TestAckBook:
    async def test_a_floor_never_falls(self, devices: SqlDevices, acks: SqlAckBook) -> None:
        """Whoever tells what in which order, and however often; each device has its own."""
        await devices.register("d", now=NOW)
        await devices.register("e", now=NOW)
        news = [AckNews("d", 5000), AckNews("d", 3000, (8000, 4000)), AckNews("e", 0, (1000,))]

        for _ in range(2):
            await acks.acknowledge(news)
        await acks.acknowledge([AckNews("d", 2000), AckNews("x", 9000, (1000,))])
        await acks.acknowledge([])

        expected = {
            "d": AckState(5000, frozenset({8000})),
            "e": AckState(0, frozenset({1000})),
            "x": AckState(),
        }
        assert await acks.states(["d", "e", "x"]) == expected
        assert await devices.register("d", now=NOW) == expected["d"]

    async def test_what_the_floor_says_is_not_kept_twice(
        self, devices: SqlDevices, acks: SqlAckBook, database: Database
    ) -> None:
        """A floor that reaches ids above it takes them."""
        await devices.register("d", now=NOW)
        await acks.acknowledge([AckNews("d", 1000, (2000, 3000, 5000))])
        await acks.acknowledge([AckNews("d", 3000)])

        kept = await database.read(lambda session: list(session.scalars(sa.select(MpushDone.id))))

        assert kept == [5000]
        assert (await acks.states(["d"]))["d"] == AckState(3000, frozenset({5000}))

    async def test_only_so_many_are_kept_above_a_floor(
        self, devices: SqlDevices, acks: SqlAckBook
    ) -> None:
        """The highest are forgotten: those messages come once more."""
        await devices.register("d", now=NOW)
        ids = range(1000, 1000 * (MAX_DONE + 4), 1000)

        await acks.acknowledge([AckNews("d", 0, tuple(reversed(ids)))])

        assert (await acks.states(["d"]))["d"].done == set(ids[:MAX_DONE])

    @on_sqlite
    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    async def test_any_order_of_news_comes_to_the_same(
        self, devices: SqlDevices, acks: SqlAckBook, data: st.DataObject
    ) -> None:
        """What two comets tell, repeated and mixed, is what a set of ids would say."""
        name = f"d{data.draw(st.integers(0, 2))}"
        await devices.forget(name)
        await devices.register(name, now=NOW)
        one = st.builds(
            AckNews, st.just(name), st.integers(0, 20), st.lists(st.integers(1, 30)).map(tuple)
        )
        told = data.draw(st.lists(st.lists(one, max_size=4), max_size=4))

        for batch in told:
            await acks.acknowledge(batch)

        flat = [news for batch in told for news in batch]
        floor = max((news.floor for news in flat), default=0)
        done = {one for news in flat for one in news.done}
        state = (await acks.states([name]))[name]
        assert state == AckState(floor, frozenset(one for one in done if one > floor))
        assert all(state.has(one) for one in done | set(range(floor + 1)))


class TestReceivers:
    async def test_what_was_added_is_there_until_it_is_removed(
        self, devices: SqlDevices, receivers: SqlReceivers, database: Database
    ) -> None:
        """Its secrets are sealed at rest, and shown by no error; adding it again changes them."""
        await devices.register("d", now=NOW)
        phone = Receiver("d", ReceiverKind.FCM, "t" * 4096, Hidden(""), NOW)
        await receivers.add(a_hook(), cursor=0, now=NOW)
        await receivers.add(phone, cursor=0, now=NOW)

        await receivers.add(a_hook(secrets='{"token":"hush"}'), cursor=0, now=NOW + 9)

        [hook, other] = (await receivers.of(["d", "e"]))["d"]
        if hook != a_hook(secrets='{"token":"hush"}'):
            hook, other = other, hook
        assert (hook, other) == (a_hook(secrets='{"token":"hush"}'), phone)
        assert "hush" not in repr(hook)
        sealed = await database.read(
            lambda session: list(session.scalars(sa.select(MpushReceiver.secrets)))
        )
        assert not [text for text in sealed if "hush" in text]
        stranger = SqlReceivers(database, Sealing(b"t" * 32))
        assert {one.secrets for one in (await stranger.of(["d"]))["d"]} == {None}

        assert await receivers.remove("d", ReceiverKind.WEBHOOK, "https://a/")
        assert not await receivers.remove("d", ReceiverKind.WEBHOOK, "https://a/")
        assert await receivers.of(["d"]) == {"d": [phone]}

    async def test_only_devices_have_receivers_and_only_so_many(
        self, devices: SqlDevices, receivers: SqlReceivers
    ) -> None:
        """Each error names what was wrong."""
        with pytest.raises(NotFound, match="no device 'd'"):
            await receivers.add(a_hook(), cursor=0, now=NOW)
        await devices.register("d", now=NOW)
        for address in ("https://a/", "https://b/", "https://a/"):
            await receivers.add(a_hook(address=address), cursor=0, now=NOW)

        with pytest.raises(LimitReached, match=r"mpush\.receivers: 'd' has 2"):
            await receivers.add(a_hook(address="https://c/"), cursor=0, now=NOW)

    async def test_an_errand_is_run_by_one_at_a_time(
        self, devices: SqlDevices, receivers: SqlReceivers
    ) -> None:
        """From where the receiver is; who dies leaves it to others, behind what was brought."""
        await devices.register("d", now=NOW)
        await receivers.add(a_hook(), cursor=4000, now=NOW)
        await receivers.want({"d": 4000, "x": 9000}, now=NOW)
        assert await receivers.claim(now=NOW, lease=1000, limit=9) == []

        await receivers.want({"d": 6000}, now=NOW)
        await receivers.want({"d": 5000}, now=NOW + 1)
        [errand] = await receivers.claim(now=NOW, lease=1000, limit=9)
        assert errand == Errand(a_hook(), 4000, 6000, 0, errand.lease)
        assert await receivers.claim(now=NOW + 999, lease=1000, limit=9) == []
        assert await receivers.advance(errand, 5000, until=NOW + 2000)
        [taken] = await receivers.claim(now=NOW + 2000, lease=1000, limit=9)

        assert (taken.cursor, taken.wanted) == (5000, 6000)
        assert not await receivers.advance(errand, 6000, until=NOW + 9000)
        assert not await receivers.postpone(errand, until=NOW)
        assert not await receivers.finish(errand, 6000, now=NOW)
        assert await receivers.finish(taken, 6000, now=NOW + 2001)
        assert await receivers.claim(now=NOW + 10**9, lease=1000, limit=9) == []

    async def test_who_can_serve_some_kinds_only_claims_those(
        self, devices: SqlDevices, receivers: SqlReceivers
    ) -> None:
        """The others are left to who can."""
        await devices.register("d", now=NOW)
        phone = Receiver("d", ReceiverKind.FCM, "a token", Hidden(""), NOW)
        for receiver in (a_hook(), phone):
            await receivers.add(receiver, cursor=0, now=NOW)
        await receivers.want({"d": 1000}, now=NOW)

        kinds = [ReceiverKind.FCM, ReceiverKind.WEBPUSH]
        mine = await receivers.claim(now=NOW, lease=1000, limit=9, kinds=kinds)
        others = await receivers.claim(now=NOW, lease=1000, limit=9)

        assert [errand.receiver for errand in mine] == [phone]
        assert [errand.receiver for errand in others] == [a_hook()]

    async def test_what_is_pushed_meanwhile_is_not_forgotten(
        self, devices: SqlDevices, receivers: SqlReceivers
    ) -> None:
        """Who finishes leaves the errand due if more was wanted."""
        await devices.register("d", now=NOW)
        await receivers.add(a_hook(), cursor=0, now=NOW)
        await receivers.want({"d": 1000}, now=NOW)
        [errand] = await receivers.claim(now=NOW, lease=1000, limit=9)
        await receivers.want({"d": 2000}, now=NOW)

        assert await receivers.finish(errand, 1000, now=NOW + 5)

        [again] = await receivers.claim(now=NOW + 5, lease=1000, limit=9)
        assert (again.cursor, again.wanted, again.failures) == (1000, 2000, 0)

    async def test_a_failure_waits_its_time(
        self, devices: SqlDevices, receivers: SqlReceivers
    ) -> None:
        """Pushes do not shorten it, new secrets do; failures are counted until something is brought."""
        await devices.register("d", now=NOW)
        await receivers.add(a_hook(), cursor=0, now=NOW)
        await receivers.want({"d": 1000}, now=NOW)
        for number in range(2):
            [errand] = await receivers.claim(now=NOW + number, lease=1000, limit=9)
            assert errand.failures == number
            assert await receivers.postpone(errand, until=NOW + number + 1)

        [errand] = await receivers.claim(now=NOW + 2, lease=1000, limit=9)
        assert await receivers.postpone(errand, until=NOW + 60_000)
        await receivers.want({"d": 2000}, now=NOW + 3)
        assert await receivers.claim(now=NOW + 59_999, lease=1000, limit=9) == []
        await receivers.add(a_hook(secrets="new"), cursor=9000, now=NOW + 10)
        [errand] = await receivers.claim(now=NOW + 10, lease=1000, limit=9)

        assert errand == Errand(a_hook(secrets="new"), 0, 2000, 0, errand.lease)

    @on_servers
    async def test_of_two_that_read_the_same_errand_one_gets_it(
        self,
        devices: SqlDevices,
        receivers: SqlReceivers,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Both have found it due before either claims it. (SQLite lets only one write at a time.)"""
        both = threading.Barrier(2)
        monkeypatch.setattr(mpush_receiver_queries, "new_token", lambda: str(both.wait(PATIENCE)))
        await devices.register("d", now=NOW)
        await receivers.add(a_hook(), cursor=0, now=NOW)
        await receivers.want({"d": 1000}, now=NOW)
        claimed: list[Errand] = []

        async def claim() -> None:
            claimed.extend(await receivers.claim(now=NOW, lease=1000, limit=1))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(claim)
            nursery.start_soon(claim)

        assert len(claimed) == 1


class TestDelays:
    async def test_each_target_waits_for_itself(self, delays: SqlDelays) -> None:
        """A device and a group of one name are two; one of them may be taken back."""
        both = [later(1, "a", after=9), later(1, "a", after=9, is_group=True), later(1, "b")]
        await delays.put(both)
        await delays.put(both)

        assert await delays.find(both[0].id) == [both[0], both[2], both[1]]
        assert await delays.of("a", limit=9) == [both[0]]
        assert await delays.of("a", is_group=True, limit=9) == [both[1]]

        assert await delays.cancel(both[0].id, target="a") == 1
        assert await delays.cancel(both[0].id, target="a") == 0
        assert await delays.find(both[0].id) == [both[2], both[1]]
        assert await delays.cancel(both[0].id) == 2
        assert await delays.find(both[0].id) == []

    async def test_only_so_many_wait(self, delays: SqlDelays) -> None:
        """In all and for one target; of what is too much nothing is kept, and the limit is named."""
        await delays.put([later(1), later(2)])

        with pytest.raises(LimitReached, match=r"mpush\.delayed_per_target: 2 .* device 'd' .* 2"):
            await delays.put([later(3, "e"), later(4)])
        await delays.put([later(5, is_group=True)])
        with pytest.raises(LimitReached, match=r"mpush\.delayed: 3 .* 2 more .* at most 4"):
            await delays.put([later(6, "e"), later(7, "f")])
        await delays.put([later(2), later(8, "e")])

        assert await delays.of("e", limit=9) == [later(8, "e")]
        assert await delays.of("f", limit=9) == []

    async def test_a_push_is_claimed_when_its_time_has_come(self, delays: SqlDelays) -> None:
        """The longest due first, each by one; then it cannot be taken back, unless it is given back."""
        first, second = later(1, after=1000), later(2, after=500)
        await delays.put([first, second])
        assert await delays.claim(now=NOW + 499, lease=100, limit=9) == []
        assert not await delays.done(first)  # nobody's own

        [claimed] = await delays.claim(now=NOW + 500, lease=10_000, limit=9)
        assert claimed == second
        assert claimed.lease
        assert await delays.cancel(second.id) == 0
        assert await delays.claim(now=NOW + 500, lease=10_000, limit=9) == []
        [dead] = await delays.claim(now=NOW + 1000, lease=10_000, limit=9)
        assert dead == first
        [taken] = await delays.claim(now=NOW + 10_500, lease=10_000, limit=9)

        assert taken == second
        assert not await delays.done(claimed)
        assert not await delays.postpone(claimed, until=NOW)
        assert not await delays.done(second)
        assert await delays.postpone(taken, until=NOW + 20_000)
        assert await delays.cancel(second.id) == 1
        assert await delays.done(dead)
        assert await delays.claim(now=NOW + 10**9, lease=1000, limit=9) == []


class TestKeys:
    def keys(self, database: Database, secret: bytes = b"s" * 32) -> SqlKeys:
        return SqlKeys(database, Sealing(secret), PublicKeys(fcm_project="shop"), webpush=True)

    async def test_all_nodes_have_the_pair_that_the_first_one_made(
        self, database: Database
    ) -> None:
        """Whoever asks first, even at the same time; and after a restart."""
        nodes = [self.keys(database) for _ in range(5)]
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(node.public)

        told = {await node.public() for node in nodes}
        later = self.keys(database)

        assert told == {await later.public()}
        assert public_text(await later.vapid()) == (await later.public()).webpush
        assert (await later.public()).fcm_project == "shop"

    async def test_it_lies_there_sealed(self, database: Database) -> None:
        """A copy of the database is no key; with another auth.secret there is a new one, which stays."""
        mine = await self.keys(database).public()
        [lies] = await database.read(
            lambda session: session.scalars(sa.select(MpushKey.secret)).all()
        )
        other = await self.keys(database, b"t" * 32).public()

        assert lies.startswith("1.")
        assert mine.webpush != other.webpush
        assert await self.keys(database, b"t" * 32).public() == other

    async def test_what_is_switched_off_is_not_told(self, database: Database) -> None:
        """And no pair is made."""
        keys = SqlKeys(database, SEALING, PublicKeys(), webpush=False)

        assert await keys.public() == PublicKeys()
        assert not (await keys.public()).serve(ReceiverKind.WEBPUSH)
        assert await database.read(lambda session: session.scalar(sa.select(MpushKey))) is None
