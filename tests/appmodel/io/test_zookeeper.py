"""kazoo seen from trio: it never holds up our loop, whatever the servers do."""

import signal
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from appmodel.core.znodes import Znode
from appmodel.errors import OutcomeUnknown, PushError, Unavailable
from appmodel.io.registry_zookeeper import open_zookeeper
from appmodel.io.zookeeper import Link, ZooKeeperClient, open_client
from tests.shared_zookeeper import new_roots, options
from tools.servers.daemon import Missing
from tools.servers.zookeeper import Server, zookeeper

PATIENCE = 30.0  # seconds
WOULD_BLOCK = 278  # bytes, one a call, that the socket to kazoo's thread holds
GRANTED = struct.pack(">iiiqi16s", 36, 0, 4000, 7, 16, b"p" * 16)  # a session
UNASKED = struct.pack(">iiqi", 16, 5, 0, 0)  # the answer to a call that nobody made: kazoo's end


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for these tests: they freeze it."""
    try:
        with zookeeper(tmp_path_factory.mktemp("zookeeper")) as server:
            yield server
    except Missing as missing:
        pytest.skip(str(missing))


class Heard:
    """What a client told."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.changes: list[str | None] = []
        self._news = trio.Event()

    def link(self, link: Link) -> None:
        self.links.append(link)
        self._tell()

    def change(self, path: str | None) -> None:
        self.changes.append(path)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until_connected(self) -> None:
        with trio.fail_after(PATIENCE):
            while self.links[-1:] != [Link.CONNECTED]:
                await self._news.wait()

    async def until_changed(self) -> None:
        with trio.fail_after(PATIENCE):
            while not self.changes:
                await self._news.wait()


async def test_what_is_read_is_watched_once(server: Server) -> None:
    """However often it was read before it changed."""
    heard, place = Heard(), new_roots().comet
    async with open_client(
        options(server.hosts), on_link=heard.link, on_change=heard.change
    ) as client:
        await heard.until_connected()
        assert await client.read([place]) == [None]
        assert await client.make(place)
        for _ in range(3):
            assert await client.children([place]) == [[]]

        assert await client.announce(place, b"x")

        await heard.until_changed()
        ((name,),) = await client.children([place])  # type: ignore[misc]  # it is there
        assert await client.read([f"{place}/{name}"]) == [Znode(b"x", client.session or 0)]
        assert heard.changes == [place]


async def test_an_entry_is_made_with_all_that_is_above_it(server: Server) -> None:
    """And deleted from below only."""
    heard, place = Heard(), new_roots().comet
    async with open_client(
        options(server.hosts), on_link=heard.link, on_change=heard.change
    ) as client:
        await heard.until_connected()

        assert await client.announce(f"{place}/c1", b"x")

        assert not await client.delete(f"{place}/c1")
        assert await client.delete(f"{place}/c1/0000000000")
        assert await client.delete(f"{place}/c1")
        assert await client.delete(f"{place}/c1")
        assert not await client.rewrite(f"{place}/c1", b"")


async def test_a_frozen_server_is_owed_no_more_than_so_many_answers(server: Server) -> None:
    """Each call ends in time, those beyond the bound at once, and the loop goes on turning."""
    heard, place = Heard(), new_roots().comet
    errors: list[PushError] = []

    async def ask(client: ZooKeeperClient) -> None:
        try:
            await client.read([f"{place}/{i}" for i in range(20)])
        except PushError as error:
            errors.append(error)

    async with open_client(
        options(server.hosts, call_timeout=0.5), on_link=heard.link, on_change=heard.change
    ) as client:
        await heard.until_connected()
        server.daemon.signal(signal.SIGSTOP)
        try:
            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    for _ in range(100):
                        nursery.start_soon(ask, client)
        finally:
            server.daemon.signal(signal.SIGCONT)

    assert len(errors) == 100
    asked = [error for error in errors if isinstance(error, OutcomeUnknown)]
    assert 0 < len(asked) * 20 <= WOULD_BLOCK
    assert sum(isinstance(error, Unavailable) for error in errors) == 100 - len(asked)


async def test_who_leaves_while_the_servers_are_frozen_is_not_held_up(server: Server) -> None:
    """The end of the session is waited for, but not for ever."""
    server.daemon.signal(signal.SIGCONT)
    with trio.fail_after(PATIENCE / 2):
        async with open_zookeeper(options(server.hosts, call_timeout=0.5), new_roots()):
            server.daemon.signal(signal.SIGSTOP)
    server.daemon.signal(signal.SIGCONT)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\4abcd" * 9, b"", GRANTED, GRANTED + UNASKED],
)
async def test_a_server_that_is_no_zookeeper_is_none(answer: bytes, tmp_path: Path) -> None:
    """Whatever it says: the start ends in time, with where it was looked for."""

    async def chatter(stream: trio.SocketStream) -> None:
        with trio.move_on_after(1):
            await stream.send_all(answer)
            await stream.receive_some()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, chatter, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]

        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"), trio.fail_after(PATIENCE):
            async with open_zookeeper(options((f"127.0.0.1:{port}",)), start_timeout=1.0):
                pass
        nursery.cancel_scope.cancel()
