"""The Redis store behind its contract: what lies there, what others put there, and what Redis refuses."""

import random
from collections import defaultdict
from collections.abc import Iterator

import pytest
import trio
from structlog.testing import capture_logs

from appmodel.core.message import DEDUPE_WINDOW, Save
from appmodel.core.names import Key
from appmodel.errors import ConfigError, NotStored, OutcomeUnknown, Unavailable
from message.core.retention import MAX_AHEAD_US
from message.stores.redis import RedisStore
from message.stores.redis_keys import GRACE
from tests.contract.saves import NOW, START, A, B, C, Time, ids, push
from tests.message.stores.redis_opening import new_prefix, open_on, or_skip
from tools.servers.redis import Server, redis_server

MANY = [Key("", f"u{number}", "user") for number in range(5000)]
PERMANENT = {"layout", "marks", "highest", "feed"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of this file: each has a prefix of its own."""
    with or_skip(), redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Of a test's keys."""
    return new_prefix()


def names(server: Server, prefix: str) -> dict[str, int]:
    """What lies there under our prefix, and in how many ms Redis frees it; -1 = never."""
    base = f"{{{prefix}:0}}:"
    found = [key for key in server.cli("KEYS", "*") if key.startswith(base.encode())]
    return {key.decode("latin-1").removeprefix(base): server.cli("PTTL", key) for key in found}


async def test_everything_but_marks_and_feed_expires(server: Server, prefix: str) -> None:
    """Redis frees bodies and keys after their messages, receipts and answers after their window."""
    async with open_on(server, prefix=prefix) as store:
        await store.save([push(1, [A, B]), push(2, [A], expires_at=START + 600)])
        await store.remember(b"name", b"value", kept_until=START + 90)

    left = names(server, prefix)

    assert {name for name, ms in left.items() if ms < 0} == PERMANENT
    lives: dict[str, list[float]] = defaultdict(list)  # by kind, in seconds
    for name, ms in left.items():
        lives[name.partition(":")[0]].append(ms / 1000 - GRACE)
    assert sorted(round(life, -1) for life in lives["body"]) == [60, 600]
    assert [round(life, -1) for life in lives["live"]] == [60]
    assert min(lives["key"]) > 50
    assert {round(life, -2) for life in lives["push"]} == {DEDUPE_WINDOW}
    assert [round(life, -1) for life in lives["answer"]] == [90]


async def test_a_key_lives_as_long_as_its_last_message(server: Server, prefix: str) -> None:
    """Whichever was saved first; and no longer than an eighth more."""
    place, lives = f"{{{prefix}:0}}:key:a@user", []
    async with open_on(server, prefix=prefix) as store:
        for number, ttl in enumerate([60, 6000, 60]):
            await store.save([push(number, expires_at=START + ttl)])
            lives.append(server.cli("PTTL", place) / 1000)

    assert 60 < lives[0] < 200
    assert [6000 < life < 7000 for life in lives[1:]] == [True, True]


async def test_receipts_live_as_long_as_the_longest_needs(server: Server, prefix: str) -> None:
    """A later save of the push, to another key and for a shorter time, takes nothing from the first."""
    time, place = Time(), f"{{{prefix}:0}}:push:{(1).to_bytes(16, 'big').decode()}"
    async with open_on(server, prefix=prefix, now=time) as store:
        [first] = await store.save([push(1, [A], expires_at=START + 3 * DEDUPE_WINDOW)])
        await store.save([push(1, [B], at=NOW + 5)])
        assert server.cli("PTTL", place) / 1000 > 3 * DEDUPE_WINDOW
        time.now += 2 * DEDUPE_WINDOW

        assert await store.save([push(1, [A], at=NOW + 9)]) == [first]


async def test_a_busy_key_does_not_fill_with_what_has_expired(server: Server, prefix: str) -> None:
    """Though it never reaches its depth, the expired go, a few at a time."""
    time, place = Time(), f"{{{prefix}:0}}:key:a@user"
    async with open_on(server, prefix=prefix, now=time) as store:
        for number in range(200):
            await store.save([push(number, at=NOW + number, expires_at=time.now + 10)])
            time.now += 5

    assert server.cli("ZCARD", place) < 20


async def test_a_body_is_kept_once_and_as_long_as_it_is_needed(server: Server, prefix: str) -> None:
    """However many keys; it goes with the last message that has it."""

    def bodies() -> int:
        return sum(name.startswith("body:") for name in names(server, prefix))

    counts = []
    tails = [b'"t":"1 %d"' % number for number in range(3)]
    async with open_on(server, prefix=prefix, depth=2) as store:
        await store.save([push(1, [A, B, C], body=b'{"n":1}', tails=tails)])
        counts.append(bodies())
        await store.delete(A)
        await store.save([push(2, [B]), push(3, [B])])  # trims the first
        counts.append(bodies())
        await store.delete(C, [NOW])
        counts.append(bodies())
        await store.delete(B)
        counts.append(bodies())

    assert counts == [1, 3, 2, 0]
    assert not any(name.startswith(("live:", "key:")) for name in names(server, prefix))


async def test_a_full_key_keeps_the_newest_that_live(server: Server) -> None:
    """Any mix of lifetimes, much over the depth: always the newest `depth` that have not expired."""
    chance, time = random.Random(7), Time()
    live: list[tuple[int, float]] = []
    async with open_on(server, now=time, depth=20) as store:
        for number in range(1, 250):
            expires_at = time.now + chance.choice([3, 30, 300])
            [saved] = await store.save([push(number, at=NOW + number, expires_at=expires_at)])
            live = [m for m in live if m[1] > time.now]
            live = [*live, (saved.ids[0], expires_at)][-20:]
            if chance.random() < 0.1:
                gone = chance.choice(live)
                await store.delete(A, [gone[0]])
                live.remove(gone)
            time.now += chance.choice([0, 0, 1, 5])

            shown = [mid for mid, expires_at in live if expires_at > time.now]
            assert ids(await store.fetch(A, 0, limit=100)) == shown


async def test_two_message_nodes_chain_up_on_one_key(server: Server, prefix: str) -> None:
    """Two stores, each with owners of its own: ids rise, each prev is the id before, retries agree."""
    chain: list[tuple[int, int]] = []
    seen: dict[Key, int] = {}

    async def own(store: RedisStore, other: RedisStore, owner: int) -> None:
        for number in range(40):
            save = push(owner * 100 + number, [A, B], at=NOW + number * 10 + owner)
            [saved] = await store.save([save])
            assert await other.save([save]) == [saved]
            chain.append((saved.ids[0], saved.prevs[0]))

    async with open_on(server, prefix=prefix) as one, open_on(server, prefix=prefix) as two:
        async with trio.open_nursery() as nursery:
            for owner, (store, other) in enumerate([(one, two), (two, one)] * 2):
                nursery.start_soon(own, store, other, owner)
        position = 0
        while (feed := await two.feed(position, limit=7)).position > position:
            position, seen = feed.position, seen | dict(feed.marks)

        chain.sort()
        assert [prev for _, prev in chain] == [0, *[mid for mid, _ in chain[:-1]]]
        assert ids(await one.fetch(A, 0, limit=200)) == [mid for mid, _ in chain]
        assert seen == {A: chain[-1][0], B: (await one.marks([B]))[0]}


async def test_one_push_to_thousands_of_keys(server: Server, prefix: str) -> None:
    """Longer than what Lua can unpack, or one entry of the feed holds."""
    async with open_on(server, prefix=prefix) as store:
        begin = (await store.feed(-1, limit=1)).position
        [first] = await store.save([push(1, MANY)])
        [again] = await store.save([push(1, [*MANY, A])])

        assert again.ids == (*first.ids, NOW)
        entries = server.cli("XRANGE", f"{{{prefix}:0}}:feed", "-", "+")
        assert max(len(fields) for _, fields in entries) == 32
        assert await store.marks(MANY) == list(first.ids)
        marks: dict[Key, int] = {}
        while (feed := await store.feed(begin, limit=100)).position > begin:
            assert len(feed.marks) <= 100
            begin, marks = feed.position, marks | dict(feed.marks)
        assert marks == dict.fromkeys([*MANY, A], NOW)


async def test_the_feed_is_bounded(server: Server) -> None:
    """Redis drops its oldest entries, about; the newest are there."""
    async with open_on(server, feed_limit=10) as store:
        for number in range(1, 500):
            await store.save([push(number, at=NOW + number)])

        end = (await store.feed(-1, limit=1)).position
        begin = (await store.feed(0, limit=1)).position
        last = await store.feed(end - 1, limit=10)

    assert last.marks == ((A, NOW + 499),)
    assert 10 <= end - begin < 150


async def test_positions_grow_though_all_is_lost(server: Server, prefix: str) -> None:
    """Who was further in the feed than a server that has lost its data sees what comes after."""
    time = Time()
    async with open_on(server, prefix=prefix, now=time) as store:
        await store.save([push(number, MANY[:300]) for number in range(1, 10)])
        before = (await store.feed(-1, limit=1)).position
        server.cli("DEL", *[f"{{{prefix}:0}}:{name}" for name in ("feed", "marks")])
        time.now += 1

        await store.save([push(20, [A], at=int(time.now * 1e6))])

        assert dict((await store.feed(before, limit=10)).marks) == {A: int(time.now * 1e6)}


async def test_anything_else_at_a_key_refuses_its_saves_only(server: Server, prefix: str) -> None:
    """One log line, a counter; the other calls of the round are stored; the foreign data stay."""
    outcomes: dict[int, object] = {}
    others = [A, *MANY[:700], C]  # more than one run of the script

    async def save(store: RedisStore, number: int, key: Key) -> None:
        try:
            outcomes[number] = await store.save([push(number, [key])])
        except NotStored as error:
            outcomes[number] = str(error)

    place = f"{{{prefix}:0}}:key:b@user"
    with capture_logs() as logs:
        async with open_on(server, prefix=prefix) as store:
            server.cli("SET", place, "theirs")
            async with trio.open_nursery() as nursery:
                for number, key in enumerate([B, *others, B]):
                    nursery.start_soon(save, store, number, key)
            with pytest.raises(Unavailable, match="another program"):
                await store.fetch(B, 0, limit=1)
            with pytest.raises(NotStored, match="another program"):
                await store.delete(B)

            refused = [number for number, outcome in outcomes.items() if isinstance(outcome, str)]
            assert sorted(refused) == [0, len(others) + 1]
            assert place in str(outcomes[0])
            assert await store.marks([B, *others]) == [0, *[NOW] * len(others)]
            assert store.notices.foreign >= 4
    assert server.cli("GET", place) == b"theirs"
    assert [line["place"] for line in logs if line["event"] == "foreign data in the store"].count(
        place
    ) == 1


async def test_buckets_that_do_not_agree_leave_a_save_in_doubt(server: Server, prefix: str) -> None:
    """A part is stored and can be seen, so it is not called "not stored"; what fits is."""
    async with open_on(server, prefix=prefix, buckets=5) as store:
        place = store.lanes.of(b"u1@user").bucket.key(b"u1@user")
        server.cli("SET", place, "theirs")

        with pytest.raises(OutcomeUnknown, match="a part of it"):
            await store.save([push(1, MANY[:50])])
        with pytest.raises(NotStored, match="another program"):
            await store.save([push(2, [MANY[1]])])

        assert (await store.marks(MANY[:50])).count(0) < 25


async def test_a_clock_that_ran_away_is_refused_in_all_buckets(server: Server) -> None:
    """Nothing of the batch is kept anywhere; a mark in any bucket vouches for a key in another."""
    far = NOW + MAX_AHEAD_US
    async with open_on(server, buckets=5) as store:
        with pytest.raises(NotStored, match="proposed_id"):
            await store.save([push(1, MANY[:50]), push(2, [MANY[7]], at=far + 1)])
        assert await store.marks(MANY[:50]) == [0] * 50

        await store.save([push(3, [A], at=far)])
        assert await store.save([push(4, MANY[:50], at=far + 9)])


@pytest.mark.parametrize("name", ["marks", "feed", "highest"])
async def test_anything_else_at_the_heart_refuses_all(
    server: Server, prefix: str, name: str
) -> None:
    """Nothing is written, in whatever order the script comes to it."""
    async with open_on(server, prefix=prefix) as store:
        server.cli("RPUSH", f"{{{prefix}:0}}:{name}", "theirs")

        with pytest.raises(NotStored, match="another program"):
            await store.save([push(1)])

        assert set(names(server, prefix)) == {"layout", name}


async def test_members_of_others_are_skipped(server: Server, prefix: str) -> None:
    """Counted, said once; what is ours is read and trimmed as if they were not there."""
    base = f"{{{prefix}:0}}:"
    with capture_logs() as logs:
        async with open_on(server, prefix=prefix) as store:
            await store.save([push(1)])
            server.cli(
                "ZADD", base + "key:a@user", NOW + 1, "theirs", NOW + 2, "1 2", NOW + 3, "\xff"
            )
            server.cli("XADD", base + "feed", "*", "their", "news")
            server.cli("ZADD", base + "revoked", 7, "theirs", 8, "a b c")
            server.cli("SET", base + "answer:name", "theirs")
            server.cli("HSET", base + "marks", "b@user", "theirs")

            assert ids(await store.fetch(A, 0, limit=10)) == [NOW]
            assert ids(await store.fetch(A, 0, limit=10)) == [NOW]
            assert (await store.feed(0, limit=10)).marks == ((A, NOW),)
            assert await store.revocations(0) == []
            assert await store.recall(b"name") is None
            assert await store.marks([B]) == [0]
            with pytest.raises(NotStored, match="another program"):
                await store.save([push(2, [B])])
            assert store.notices.foreign == 3 + 3 + 1 + 2 + 1
    lines = [line["place"] for line in logs if line["event"] == "foreign data in the store"]
    assert len(lines) == len(set(lines)) == 4


async def test_a_body_that_vanished_is_skipped(server: Server, prefix: str) -> None:
    """An eviction policy can take it: the message is not there, and the operator hears of it."""
    async with open_on(server, prefix=prefix) as store:
        await store.save([push(1), push(2)])
        oldest = min(name for name in names(server, prefix) if name.startswith("body:"))
        server.cli("DEL", f"{{{prefix}:0}}:{oldest}")

        assert ids(await store.fetch(A, 0, limit=10)) == [NOW + 1]
        assert store.notices.foreign == 1


async def test_full_memory_refuses_clearly_and_ends(server: Server) -> None:
    """OOM: nothing is stored, reads go on, and the sweep notices when there is room again."""
    async with open_on(server) as store:
        await store.save([push(1)])
        try:
            server.cli("CONFIG", "SET", "maxmemory", 1)
            with pytest.raises(NotStored, match="maxmemory"):
                await store.save([push(2, [A, B])])
            trouble = store.trouble
            assert ids(await store.fetch(A, 0, limit=10)) == [NOW]
            with pytest.raises(NotStored, match="OOM"):
                await store.sweep(limit=1)
        finally:
            server.cli("CONFIG", "SET", "maxmemory", 0)
        await store.sweep(limit=1)

        assert trouble is not None
        assert "OOM" in trouble
        assert store.trouble is None
        assert await store.marks([A, B]) == [NOW, 0]
        assert store.notices.failures == 1
        await store.save([push(2, [A, B])])


async def test_scripts_and_connections_that_are_gone_come_back(server: Server) -> None:
    """SCRIPT FLUSH, and a server that hangs up on the idle: the next call just works."""
    async with open_on(server) as store:
        first = await store.save([push(1)])
        server.cli("SCRIPT", "FLUSH")
        assert await store.save([push(1)]) == first
        assert ids(await store.fetch(A, 0, limit=1)) == [NOW]
        server.cli("CLIENT", "KILL", "TYPE", "normal")

        assert await store.save([push(1)]) == first
        assert ids(await store.fetch(A, 0, limit=1)) == [NOW]


async def test_too_few_replicas_leave_a_save_in_doubt(server: Server) -> None:
    """It is stored here, and might be lost by a fail-over: so it is not called stored."""
    async with open_on(server, replicas=1, timeout=0.5) as store:
        with pytest.raises(OutcomeUnknown, match="0 of 1 replicas"):
            await store.save([push(1)])


async def test_no_answer_in_time_is_in_doubt(server: Server) -> None:
    """A frozen server: saves end in doubt, reads are refused, both within the deadline; a retry settles."""
    async with open_on(server, timeout=1) as store:
        await store.save([push(2, [B])])
        server.cli("CLIENT", "PAUSE", 3000)

        with trio.fail_after(40):
            with pytest.raises(OutcomeUnknown):
                await store.save([push(1)])
            with pytest.raises(Unavailable):
                await store.fetch(A, 0, limit=1)
        server.cli("PING")  # answered when the pause is over
        await _until_served(store)

        [saved] = await store.save([push(1, at=NOW + 9)])
        assert saved.prevs == (0,)
        assert ids(await store.fetch(A, 0, limit=10)) == list(saved.ids)


async def test_other_buckets_are_another_layout(server: Server, prefix: str) -> None:
    """The number of buckets is fixed by who came first: keys would be looked for elsewhere."""
    async with open_on(server, prefix=prefix, buckets=3):
        pass

    with pytest.raises(ConfigError, match=r"message.redis.buckets = 2.*'1 3'"):
        async with open_on(server, prefix=prefix, buckets=2):
            pass


async def test_forgetful_servers_are_named_at_start(server: Server) -> None:
    """One line on persistence, one on eviction; a replica is told from a master."""
    with capture_logs() as logs:
        async with open_on(server):
            pass
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "redis keeps nothing on its disk: a restart loses every message and mark"
    ]
    try:
        server.cli("CONFIG", "SET", "save", "60 1", "maxmemory-policy", "allkeys-lru")
        with capture_logs() as logs:
            async with open_on(server):
                pass
    finally:
        server.cli("CONFIG", "SET", "save", "", "maxmemory-policy", "noeviction")
    events = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert len(events) == 2
    assert "snapshots only" in events[0]
    assert "evict" in events[1]


async def test_a_replica_is_refused_with_advice(server: Server, tmp_path: object) -> None:
    """READONLY names the setting that is wrong."""
    async with open_on(server) as store:
        try:
            server.cli("REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(NotStored, match=r"READONLY: .*message.redis.addresses"):
                await store.save([push(1)])
        finally:
            server.cli("REPLICAOF", "NO", "ONE")
        await store.save([push(1)])


async def test_numbers_out_of_range_harm_nobody(server: Server) -> None:
    """Times that are no times, positions and ids beyond all: other calls go on."""
    nan, inf = float("nan"), float("inf")
    async with open_on(server) as store:
        for number, expires_at in enumerate([inf, nan, -inf, 1e300, 0.0]):
            await store.save([push(number, [B], expires_at=expires_at)])
        await store.save([Save(b"", -5, (A,), b"", START + 60)])
        for position in (2**64, 10**30, -7):
            await store.feed(position, limit=10)
        await store.revocations(10**30)
        assert await store.delete(A, [-5, 0, 10**30]) == 0
        await store.remember(b"\xff\r\n", b"\x00", kept_until=inf)
        assert await store.recall(b"\xff\r\n") == b"\x00"

        assert ids(await store.fetch(A, 0, limit=10)) == [1]


async def _until_served(store: RedisStore) -> None:
    with trio.fail_after(30):
        while True:
            try:
                await store.sweep(limit=1)
                await store.marks([A])
            except (Unavailable, OutcomeUnknown):
                await trio.sleep(0.05)
            else:
                return
