"""What gopush-cluster left in Redis is read with ours, counts for ids, and is never changed."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from appmodel.core.message import Page, Saved
from appmodel.core.names import Key
from tests.contract.saves import NOW, START, Time, ids, push
from tests.message.stores.redis_opening import open_on, or_skip
from tools.servers.redis import Server, redis_server

FORK, FIRST, PLAIN = Key("", "fork", "user"), Key("", "first", ""), Key("", "plain", "user")
LIVE, DEAD = int(START) + 60, int(START) - 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a key as the fork keeps it (µs), and one as the first gopush-cluster does (100 ns)."""
    with or_skip(), redis_server(tmp_path_factory.mktemp("redis")) as server:
        for mid, text, expire in [
            (NOW - 30, "1", LIVE),
            (NOW - 20, '"two"', LIVE),
            (NOW - 10, "3", DEAD),
        ]:
            server.cli("ZADD", "fork@user", mid, member(text, expire))
        for mid, text in [
            (NOW * 10 - 305, '{"a": 1}'),
            (NOW * 10 - 204, "2"),
            (NOW * 10 - 102, "3"),
        ]:
            server.cli("ZADD", "first", mid, member(text, LIVE))
        server.cli("SET", "plain@user", "of somebody else")
        yield server


def member(text: str, expire: int) -> str:
    """As Go's encoder writes it."""
    return f'{{"msg":{text},"expire":{expire}}}'


def bodies(page: Page) -> list[bytes]:
    """The messages' texts."""
    return [message.body for message in page.messages]


async def test_its_messages_are_read(server: Server) -> None:
    """In µs, whatever they were counted in; without what has expired; between the same bounds."""
    async with open_on(server, original=True) as store:
        fork, first = await store.fetch(FORK, 0, limit=9), await store.fetch(FIRST, 0, limit=9)

        assert (ids(fork), bodies(fork)) == ([NOW - 30, NOW - 20], [b"1", b'"two"'])
        assert fork.messages[0].expires_at == LIVE
        assert ids(first) == [NOW - 31, NOW - 21, NOW - 11]
        assert bodies(first) == [b'{"a": 1}', b"2", b"3"]
        assert ids(await store.fetch(FORK, NOW - 30, limit=9)) == [NOW - 20]
        assert ids(await store.fetch(FIRST, NOW - 31, limit=9, until=NOW - 21)) == [NOW - 21]
        page = await store.fetch(FIRST, 0, limit=2)
        assert (ids(page), page.more) == ([NOW - 31, NOW - 21], True)


async def test_its_marks_count(server: Server) -> None:
    """Our first id of a key follows the original's last, and names it as its predecessor."""
    async with open_on(server, original=True) as store:
        assert await store.marks([FORK, FIRST, PLAIN]) == [NOW - 10, NOW - 11, 0]

        [saved] = await store.save([push(1, [FIRST, FORK, PLAIN], at=NOW - 50)])
        [again] = await store.save([push(1, [FORK], at=NOW)])

        assert saved == Saved((NOW - 10, NOW - 9, NOW - 50), (NOW - 11, NOW - 10, 0))
        assert again == Saved((NOW - 9,), (NOW - 10,))
        assert await store.marks([FORK, FIRST, PLAIN]) == [NOW - 9, NOW - 10, NOW - 50]
        assert ids(await store.fetch(FORK, 0, limit=9)) == [NOW - 30, NOW - 20, NOW - 9]
        assert ids(await store.fetch(PLAIN, 0, limit=9)) == [NOW - 50]


async def test_tails_and_its_marks_go_together(server: Server) -> None:
    """Each key has its own of both, in a round where not all saves have tails."""
    tails = [b'"t":1', b'"t":2']
    async with open_on(server, original=True) as store:
        saved = await store.save(
            [
                push(1, [PLAIN], at=NOW - 50),
                push(2, [FORK, FIRST], at=NOW - 50, body=b'{"n":1}', tails=tails),
            ]
        )

        assert saved[1] == Saved((NOW - 9, NOW - 10), (NOW - 10, NOW - 11))
        assert bodies(await store.fetch(PLAIN, 0, limit=9)) == [b'"body"']
        assert bodies(await store.fetch(FORK, NOW - 10, limit=9)) == [
            b'{"n":1,"toUserKey":"fork@user","t":1}'
        ]
        assert bodies(await store.fetch(FIRST, NOW - 11, limit=9)) == [
            b'{"n":1,"toUserKey":"first","t":2}'
        ]


async def test_it_is_left_as_it_is(server: Server) -> None:
    """Saves, deletions, depth and sweeps are ours alone."""
    before = [server.cli("DUMP", name) for name in ("fork@user", "first", "plain@user")]
    async with open_on(server, original=True, depth=2) as store:
        await store.save([push(number, [FORK, FIRST, PLAIN]) for number in range(5)])
        assert await store.delete(FORK) == 2
        await store.sweep(limit=100)

        assert ids(await store.fetch(FORK, 0, limit=9)) == [NOW - 30, NOW - 20]

    assert [server.cli("DUMP", name) for name in ("fork@user", "first", "plain@user")] == before


async def test_without_being_asked_nobody_looks(server: Server) -> None:
    """A database may hold anything under a bare key."""
    async with open_on(server) as store:
        assert await store.marks([FORK]) == [0]
        assert ids(await store.fetch(FORK, 0, limit=9)) == []


async def test_members_that_are_no_messages_are_skipped(server: Server) -> None:
    """One log line, a counter."""
    odd = Key("", "odd", "")
    server.cli(
        "ZADD", "odd", NOW, "no json", NOW + 1, '{"msg":1}', NOW + 2, member("4", LIVE), -5, "x"
    )
    server.cli("ZADD", "odd", "inf", member("5", LIVE))
    with capture_logs() as logs:
        async with open_on(server, original=True, now=Time()) as store:
            assert ids(await store.fetch(odd, 0, limit=9)) == [NOW + 2]
            assert ids(await store.fetch(odd, 0, limit=9)) == [NOW + 2]

            assert store.notices.foreign == 4
    lines = [line for line in logs if line["event"] == "foreign data in the store"]
    assert [line["place"] for line in lines] == ["odd"]
