"""Who is present and what was pushed, in Redis: the contracts; and installations that share a server never meet."""

import signal
from collections.abc import Iterator
from contextlib import closing

import pytest
import trio

from appmodel.core.lightpush_records import AttendanceNews, Overview, Seat
from appmodel.core.lightpush_stores import Attendance, PushBook
from appmodel.errors import ConfigError, OutcomeUnknown, Unavailable
from appmodel.io.lightpush_attendance_redis import RedisAttendance
from appmodel.io.lightpush_pushes_redis import RedisPushBook
from appmodel.io.lightpush_redis import THREADS, RedisLink
from tests.contract.lightpush_attendance import (
    C1,
    PHONE,
    AttendanceContract,
    came,
    went,
)
from tests.contract.lightpush_pushes import BOUNDS, HOUR, NOW, PushBookContract, a_push
from tests.message.stores.redis_opening import new_prefix, or_skip
from tools.servers.redis import Server, redis_server

LONG = 20.0  # seconds


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For all tests here; each has a prefix of its own."""
    with or_skip(), redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def link(server: Server) -> Iterator[RedisLink]:
    """Under a prefix that nobody used."""
    link = open_link(server)
    yield link
    link.close()


def open_link(server: Server) -> RedisLink:
    """Another one, of another installation."""
    return RedisLink(f"redis://{server.address}/0", prefix=new_prefix(), timeout=5)


class TestRedisAttendance(AttendanceContract):
    @pytest.fixture
    def store(self, link: RedisLink) -> Attendance:
        return RedisAttendance(link)

    async def test_nothing_is_left_behind(
        self, store: Attendance, link: RedisLink, server: Server
    ) -> None:
        """When all have gone, no key is."""
        await store.record(C1, came(PHONE, rooms="rs"))
        assert keys(server, link)
        await store.record(C1, went(PHONE))

        assert keys(server, link) == []

    async def test_installations_share_a_server(self, store: Attendance, server: Server) -> None:
        """With other prefixes, and never meet (W22)."""
        await store.record(C1, came(PHONE, rooms="r"))
        other = open_link(server)

        assert await RedisAttendance(other).platform() == Overview()
        await RedisAttendance(other).clear("/a")
        assert await store.platform() == Overview(1, 1, 1)
        other.close()

    async def test_redis_is_away(self, store: Attendance, server: Server) -> None:
        """Nothing is done; and it serves again when Redis does, also over connections that broke."""
        await store.record(C1, came(PHONE, rooms="r"))
        server.daemon.kill()
        with pytest.raises(Unavailable):
            await store.platform()
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await store.record(C1, AttendanceNews(left=[Seat("/a", "r", "p")]))
        server.daemon.start()

        assert await store.platform() == Overview()
        await store.record(C1, came(PHONE, rooms="r"))
        assert await store.platform() == Overview(1, 1, 1)

    async def test_redis_stands_still(self, server: Server) -> None:
        """Who waits hears so in the time of a call or two, however many wait; and it serves again when it goes on."""
        hasty = RedisLink(f"redis://{server.address}/0", prefix=new_prefix(), timeout=0.1)

        async def ask() -> None:
            with pytest.raises(Unavailable):
                await RedisAttendance(hasty).platform()

        with closing(hasty):
            server.daemon.signal(signal.SIGSTOP)
            try:
                with trio.fail_after(
                    LONG
                ):  # one after the other they would take three times as long
                    async with trio.open_nursery() as nursery:
                        for _ in range(round(3 * LONG / 0.1 * THREADS)):
                            nursery.start_soon(ask)
            finally:
                server.daemon.signal(signal.SIGCONT)
            with trio.fail_after(LONG):
                while await platform(hasty) is None:
                    await trio.lowlevel.checkpoint()


class TestRedisPushBook(PushBookContract):
    @pytest.fixture
    def store(self, link: RedisLink) -> PushBook:
        return RedisPushBook(link, BOUNDS)

    async def test_all_but_the_last_id_ends(
        self, store: PushBook, link: RedisLink, server: Server
    ) -> None:
        """Redis forgets by itself; only jobs are forgotten when they are claimed."""
        push_id = await store.create(a_push(), offline_after=5000)
        push = await store.find("/a", push_id, now=NOW)
        assert push is not None
        await store.put_in_inboxes(push, ["c"], now=NOW)

        endless = [key for key in keys(server, link) if server.cli("PTTL", key) < 0]

        assert sorted(key.rpartition(b":")[2] for key in endless) == [b"jobs", b"push_id"]

    async def test_what_a_foreign_key_stops_is_not_called_undone(
        self, store: PushBook, link: RedisLink, server: Server
    ) -> None:
        """The push is there, though its job is not: who were told that nothing was done would push it again."""
        server.cli("SET", link.key("jobs", "/a"), "somebody else's")

        with pytest.raises(OutcomeUnknown):
            await store.create(a_push(), offline_after=0)

        assert len(await store.history("/a", offset=0, limit=9, now=NOW)) == 1
        assert await store.create(a_push("/b"), offline_after=0)
        assert len(await store.claim_jobs(now=NOW, lease=1, limit=9)) == 1

    async def test_an_inbox_may_become_much_smaller(
        self, store: PushBook, link: RedisLink, server: Server
    ) -> None:
        """`lightpush.inbox` was more than Lua's stack: what is too many now goes, and the page is filled."""
        push_id = await store.create(a_push())
        push = await store.find("/a", push_id, now=NOW)
        assert push is not None
        before = [str(part) for number in range(9000) for part in (NOW + HOUR, -number)]
        server.cli("ZADD", link.key("inbox", "/a", "c"), *before)

        await store.put_in_inboxes(push, ["c", "d"], now=NOW)

        assert server.cli("ZCARD", link.key("inbox", "/a", "c")) == BOUNDS.inbox
        assert [one.id for one in await store.take_inbox("/a", "c", now=NOW)] == [push_id]
        assert [one.id for one in await store.take_inbox("/a", "d", now=NOW)] == [push_id]

    async def test_callers_say_what_has_expired(self, store: PushBook, server: Server) -> None:
        """Whose clock is behind that of Redis finds it still, and what is older behind it."""
        now = redis_ms(server)
        old, new = a_push(at=now), a_push(at=now, lives=20)
        ids = [await store.create(old), await store.create(new)]
        while redis_ms(server) <= new.expires_at:
            await trio.lowlevel.checkpoint()

        before = await store.history("/a", offset=0, limit=1, now=now)
        after = await store.history("/a", offset=0, limit=1, now=new.expires_at)

        assert [push.id for push in (*before, *after)] == [ids[1], ids[0]]


async def platform(link: RedisLink) -> Overview | None:
    """Nobody is there; None: Redis had no time."""
    try:
        return await RedisAttendance(link).platform()
    except Unavailable:
        return None


def redis_ms(server: Server) -> int:
    """What its clock says."""
    seconds, micros = server.cli("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def keys(server: Server, link: RedisLink) -> list[bytes]:
    """Those of an installation."""
    found: list[bytes] = server.cli("KEYS", link.key("*"))
    return found


def test_a_wrong_url_ends_the_start() -> None:
    """With the key to set, and without the secret that may stand in it."""
    with pytest.raises(ConfigError, match=r"lightpush\.redis") as refused:
        RedisLink("http://user:secret@localhost", prefix="p", timeout=5)
    assert "secret" not in str(refused.value)
