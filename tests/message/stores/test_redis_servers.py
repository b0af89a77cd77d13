"""The Redis store on servers that restart, die, freeze, fail over, move slots, or ask who we are."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any, TypeVar

import pytest
import trio
from structlog.testing import capture_logs

from appmodel.core.names import Key
from appmodel.errors import ConfigError, NotStored, OutcomeUnknown, Unavailable
from appmodel.runtime.config import Password
from message.stores.redis import RedisStore
from message.stores.redis_keys import number_of
from tests.contract.saves import NOW, A, B, ids, push
from tests.message.stores.redis_opening import new_prefix, open_on, or_skip
from tools.servers.redis import Server, Tls, redis_cluster, redis_sentinel, redis_server

PEM = Path(__file__).parents[2] / "data" / "localhost.pem"
T = TypeVar("T")

KEYS = [Key("", f"u{number}", "user") for number in range(200)]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Server]:
    """A server of one's own that keeps its data on the disk before it answers.

    By its own default it does so mostly: not when an fsync takes long, as it does on a busy machine.
    """
    always = ["--appendfsync", "always"]
    with or_skip(), redis_server(tmp_path / "redis", persistent=True, options=always) as server:
        yield server


async def in_the_end(question: Callable[[], Awaitable[T]], patience: float = 60) -> T:
    """The answer, as soon as the store gives one."""
    with trio.fail_after(patience):
        while True:
            try:
                return await question()
            except (Unavailable, OutcomeUnknown):
                await trio.sleep(0.05)


async def test_a_server_that_is_killed_comes_back_with_everything(kept: Server) -> None:
    """Meanwhile saves are refused as not stored and reads as unavailable; then all is as before."""
    async with open_on(kept, timeout=0.5, max_retry_pause=0.2) as store:
        first = await in_the_end(lambda: store.save([push(1, [A, B]), push(2, [A])]))
        await in_the_end(lambda: store.delete(B))
        end = await in_the_end(lambda: store.feed(-1, limit=1))
        kept.daemon.kill()

        with trio.fail_after(40):
            for _ in range(3):  # the server hung up before we sent anything
                with pytest.raises(NotStored):
                    await store.save([push(3)])
            with pytest.raises(Unavailable):
                await store.fetch(A, 0, limit=1)
            with pytest.raises(NotStored):
                await store.remember(b"name", b"value", kept_until=NOW)
        trouble = store.trouble
        assert store.waiting == 0

        kept.daemon.start()
        assert (
            await in_the_end(lambda: store.save([push(1, [A, B], at=NOW + 50), push(2)])) == first
        )
        assert await in_the_end(lambda: store.feed(-1, limit=1)) == end
        assert ids(await in_the_end(lambda: store.fetch(A, 0, limit=10))) == [NOW, NOW + 1]
        assert ids(await in_the_end(lambda: store.fetch(B, 0, limit=10))) == []
        assert "refused" in str(trouble)
        assert store.trouble is None


async def test_a_server_that_dies_with_a_save_leaves_it_in_doubt(kept: Server) -> None:
    """It may have been on the disk already; a retry tells, when the server is back."""
    refusals: list[type[Exception]] = []

    async def save(store: RedisStore) -> None:
        try:
            await store.save([push(1)])
        except (NotStored, OutcomeUnknown) as error:
            refusals.append(type(error))

    async with open_on(kept, max_retry_pause=0.2) as store:
        await store.save([push(2, [B])])
        kept.cli("CLIENT", "PAUSE", 60_000, "WRITE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(save, store)
            await in_the_end(lambda: _has_arrived(kept))
            kept.daemon.kill()
        kept.daemon.start()

        assert refusals == [OutcomeUnknown]
        await in_the_end(lambda: store.save([push(1, at=NOW + 9)]))
        await in_the_end(lambda: store.marks([A]))
        assert len(ids(await store.fetch(A, 0, limit=9))) == 1


async def test_a_store_opens_before_its_server(kept: Server) -> None:
    """A node starts, says that it is in trouble, and serves when the server is there."""
    kept.daemon.stop()

    with capture_logs() as logs:
        async with open_on(kept, timeout=1, max_retry_pause=0.2) as store:
            trouble = store.trouble
            with pytest.raises(NotStored):
                await store.save([push(1)])
            kept.daemon.start()

            await in_the_end(lambda: store.save([push(1)]))
            await in_the_end(lambda: store.fetch(A, 0, limit=1))
            assert "refused" in str(trouble)
            assert store.trouble is None
    events = [line["event"] for line in logs if line["log_level"] != "warning"]
    assert sorted(set(events)) == ["redis does not serve", "redis serves again"]
    assert len(events) <= 4  # once for the writer and once for the reader


async def test_who_waits_for_a_frozen_server_is_refused_in_time(kept: Server) -> None:
    """However many wait: nobody longer than a few exchanges, and a retry tells what became of it."""
    outcomes: dict[int, type[Exception] | None] = {}

    async def save(store: RedisStore, number: int) -> None:
        try:
            await store.save([push(number, [KEYS[number]])])
        except (NotStored, OutcomeUnknown) as error:
            outcomes[number] = type(error)

    # each save is a round of its own: a hundred rounds that wait would take a minute
    options: dict[str, Any] = {"timeout": 0.4, "connect_timeout": 0.4, "round_limit": 1}
    async with open_on(kept, max_retry_pause=0.2, **options) as store:
        await store.save([push(999, [A])])
        kept.daemon.signal(SIGSTOP)
        try:
            with trio.fail_after(40):
                async with trio.open_nursery() as nursery:
                    for number in range(100):
                        nursery.start_soon(save, store, number)
        finally:
            kept.daemon.signal(SIGCONT)
        assert len(outcomes) == 100
        await in_the_end(lambda: store.marks([A]))
        stored = dict(zip(KEYS, await store.marks(KEYS), strict=True))

        refused = [number for number, kind in outcomes.items() if kind is NotStored]
        assert [number for number in refused if stored[KEYS[number]]] == []
        for number in range(100):
            await in_the_end(lambda n=number: store.save([push(n, [KEYS[n]])]))  # type: ignore[misc]  # mypy has no type for a default of a lambda
            assert ids(await store.fetch(KEYS[number], 0, limit=9)) == [NOW]


async def test_a_fail_over_keeps_what_was_answered(tmp_path: Path) -> None:
    """With `replicas` each answered save is on the replica that Sentinel promotes; the store follows."""
    answered: dict[int, int] = {}

    async def save_on(store: RedisStore, enough: trio.Event) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            try:
                [saved] = await store.save([push(number, [KEYS[number % 200]], at=NOW + number)])
                answered[number] = saved.ids[0]
            except (NotStored, OutcomeUnknown):
                await trio.sleep(0.02)

    with or_skip(), redis_sentinel(tmp_path) as watched:
        options: dict[str, Any] = {"mode": "sentinel", "timeout": 0.5, "max_retry_pause": 0.2}
        options["prefix"] = new_prefix()
        async with open_on(*watched.sentinels, replicas=1, **options) as store:
            enough = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(save_on, store, enough)
                await in_the_end(lambda: _has(answered, 50))
                watched.master.daemon.kill()
                await in_the_end(lambda: _promoted(watched.replica))
                enough.set()

        async with open_on(*watched.sentinels, **options) as store:
            await in_the_end(lambda: store.save([push(10_000)]))  # when the Sentinels agree
            await in_the_end(lambda: store.marks([A]))
            for number, mid in answered.items():
                page = await store.fetch(KEYS[number % 200], mid - 1, limit=1)
                assert ids(page) == [mid]


async def test_a_frozen_node_of_a_cluster_stops_its_own_keys_only(tmp_path: Path) -> None:
    """The others' saves are as quick as before; the feed of all goes on, and misses nothing in the end."""
    with or_skip(), redis_cluster(tmp_path) as servers:
        options: dict[str, Any] = {"timeout": 1, "connect_timeout": 1, "max_retry_pause": 0.2}
        async with open_on(*servers, mode="cluster", buckets=6, **options) as store:
            await store.save([push(1, KEYS)])
            begin = (await store.feed(-1, limit=1)).position
            # the first bucket holds the feed of all, so another node is to freeze
            by_node = _keys_by_node(store, servers)
            shared, *here = by_node.pop(_node_of(store, servers, 0))
            frozen, there = by_node.popitem()
            ended: list[type[Exception]] = []

            async def save_on_both() -> None:
                try:
                    await store.save([push(2, [shared, there[0]], at=NOW + 2)])
                except OutcomeUnknown as error:
                    ended.append(type(error))

            frozen.daemon.signal(SIGSTOP)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(save_on_both)
                    for number in range(3, 20):
                        await store.save([push(number, here, at=NOW + number)])
                    assert ended == []
                assert ended == [OutcomeUnknown]
                news = await store.feed(begin, limit=10_000)
            finally:
                frozen.daemon.signal(SIGCONT)
            assert dict(news.marks) == {shared: NOW + 2} | dict.fromkeys(here, NOW + 19)

            await in_the_end(lambda: store.save([push(2, [shared, there[0]], at=NOW + 2)]))
            assert dict((await store.feed(news.position, limit=100)).marks) == {there[0]: NOW + 2}
            assert store.trouble is None


async def test_two_nodes_that_gather_the_feed_gather_each_mark_once(tmp_path: Path) -> None:
    """Whoever reads gathers what all buckets have new; two at once do not repeat one another."""
    with or_skip(), redis_cluster(tmp_path) as servers:
        options: dict[str, Any] = {"mode": "cluster", "buckets": 3, "prefix": new_prefix()}
        async with open_on(*servers, **options) as one, open_on(*servers, **options) as two:
            for number in range(10):
                await one.save([push(number, KEYS)])
                async with trio.open_nursery() as nursery:
                    for store in (one, two) * 3:
                        nursery.start_soon(lambda store=store: store.feed(-1, limit=1))  # type: ignore[misc]  # mypy has no type for a default of a lambda

            stream = one.lanes.first.bucket.gathered
            entries = _node_of(one, servers, 0).cli("XRANGE", stream, "-", "+")
            assert sum(len(fields) for _, fields in entries) == 10 * len(KEYS)


async def test_a_slot_that_has_moved_is_followed(tmp_path: Path) -> None:
    """MOVED: the store looks up who has the slot now, within the call."""
    with or_skip(), redis_cluster(tmp_path) as servers:
        async with open_on(*servers, mode="cluster", buckets=2) as store:
            [before] = await store.save([push(1, KEYS)])
            base = store.lanes[0].bucket.base
            _move(servers, base, servers.index(_node_of(store, servers, 0)))

            assert await store.save([push(1, KEYS)]) == [before]
            assert await store.marks(KEYS) == list(before.ids)
            [after] = await store.save([push(2, KEYS)])
            assert after.prevs == before.ids
            assert len(ids(await store.fetch(KEYS[0], 0, limit=9))) == 2


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that speaks TLS only, to those whom it knows."""
    users = [
        "user default off",
        "user app on >open-sesame ~{app:* resetchannels -@all +@read +@write +@scripting +select",
        "user stranger on >open-sesame ~other:* +@all",
    ]
    tls = Tls(certificate=PEM, key=PEM, ca=PEM)
    folder = tmp_path_factory.mktemp("guarded")
    with or_skip(), redis_server(folder, users=users, tls=tls) as server:
        yield server


SECURE: dict[str, Any] = {"tls": True, "ca": str(PEM), "prefix": "app", "username": "app"}


async def test_tls_and_an_acl_user_with_no_more_rights_than_needed(guarded: Server) -> None:
    """Reading, writing, scripts; no CONFIG, and so no warning about it."""
    with capture_logs() as logs:
        async with open_on(guarded, password=Password("open-sesame"), **SECURE) as store:
            await store.save([push(1, [A, B])])
            assert ids(await store.fetch(A, 0, limit=1)) == [NOW]
            assert await store.delete(A) == 1
            await store.revoke("token:1", issued_before=1, kept_until=NOW)
            await store.sweep(limit=1)
            await store.feed(0, limit=1)
    assert logs == []


@pytest.mark.parametrize(
    ("options", "setting", "advice"),
    [
        ({"password": Password("wrong-secret")}, "password", "WRONGPASS"),
        ({"username": "", "password": Password()}, "password", "NOAUTH"),
        ({"username": "stranger", "password": Password("open-sesame")}, "username", "NOPERM"),
    ],
)
async def test_who_is_refused_does_not_start(
    guarded: Server, options: dict[str, Any], setting: str, advice: str
) -> None:
    """The error names the setting and shows no secret."""
    with pytest.raises(ConfigError) as caught:
        async with open_on(guarded, **{**SECURE, **options}):
            pass

    assert str(caught.value).startswith(f"message.redis.{setting} = ")
    assert advice in str(caught.value)
    assert "secret" not in str(caught.value).replace("********", "")
    assert "sesame" not in str(caught.value)


async def test_a_certificate_of_a_stranger_is_not_trusted(guarded: Server) -> None:
    """The node starts and says why it does not serve; it sends no password."""
    options: dict[str, Any] = {
        **SECURE,
        "ca": "",
        "password": Password("open-sesame"),
        "timeout": 0.3,
    }
    async with open_on(guarded, **options) as store:
        with pytest.raises(NotStored, match=r"(?i)certificate"):
            await store.save([push(1)])


async def _has(answered: dict[int, int], count: int) -> None:
    if len(answered) < count:
        raise Unavailable("some more")


async def _has_arrived(server: Server) -> None:
    clients = server.cli("CLIENT", "LIST").splitlines()
    if not any(b" flags=b " in client and b" cmd=evalsha " in client for client in clients):
        raise Unavailable("nothing waits there")


async def _promoted(replica: Server) -> None:
    if replica.cli("ROLE")[0] != b"master":
        raise Unavailable("still a replica")


def _node_of(store: RedisStore, servers: list[Server], bucket: int) -> Server:
    slot = servers[0].cli("CLUSTER", "KEYSLOT", store.lanes[bucket].bucket.base)
    for first, last, primary, *_ in servers[0].cli("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return next(server for server in servers if server.port == primary[1])
    raise AssertionError(slot)


def _keys_by_node(store: RedisStore, servers: list[Server]) -> dict[Server, list[Key]]:
    found: dict[Server, list[Key]] = {}
    for key in KEYS:
        bucket = number_of(key.stored.encode(), len(store.lanes))
        found.setdefault(_node_of(store, servers, bucket), []).append(key)
    return found


def _move(servers: list[Server], base: bytes, at: int) -> None:
    """Move the slot of `base` with all its keys from that server to the next."""
    source, target = servers[at], servers[(at + 1) % len(servers)]
    slot = source.cli("CLUSTER", "KEYSLOT", base)
    names = [server.cli("CLUSTER", "MYID") for server in (source, target)]
    target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
    source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
    while keys := source.cli("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.cli("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for server in (target, source, *servers):
        server.cli("CLUSTER", "SETSLOT", slot, "NODE", names[1])
