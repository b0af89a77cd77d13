"""A welcomed client: what it may say, what it is owed, and how it ends; and that it costs nobody else."""

import contextlib
import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.names import parse_key
from appmodel.core.units import Duration, Size
from appmodel.io.listener import tls_context
from comet.config import CometConfig
from comet.io.line import READ
from comet.io.subscriber import Subscriber
from comet.protocol.native import GOING_AWAY, SLOW
from tests.comet.world import (
    BEAT,
    Client,
    World,
    changed,
    client_frame,
    open_comet,
    pass_time,
    request,
    text_frame,
)

CERTIFICATE = Path(__file__).parents[2] / "data" / "localhost.pem"
DEFAULTS = CometConfig()
SMALL_BUFFER = changed(DEFAULTS, "live", send_buffer=Size(4096))
GRACE = DEFAULTS.live.heartbeat_grace
GOODBYE = DEFAULTS.live.goodbye_timeout + 0.5  # seconds, with a tick of the wheel
PING = client_frame(b"?", 0x89)
WS = "/sub?key=k&heartbeat=30&ver=2"


@pytest.mark.parametrize("transport", ["ws", "tcp"])
async def test_a_silent_client_is_dropped_after_the_grace(
    transport: str, mock_clock: MockClock
) -> None:
    """A client that promised a beat every 30 s has 35 s, and no more than a tick above."""
    async with open_comet() as world:
        if transport == "ws":
            client = await world.ws("/sub?key=k&heartbeat=30")
            await client.read(6)
        else:
            client = await world.subscriber(version="")
        hub = world.comet.live.hub

        await pass_time(mock_clock, 30 + GRACE - 0.1)
        assert hub.subscribers == 1
        await pass_time(mock_clock, 0.6)

        assert await client.read_all() == b""
        assert hub.subscribers == 0


async def test_a_beat_gives_another_term(mock_clock: MockClock) -> None:
    """Counted from the beat, and answered."""
    async with open_comet() as world:
        client = await world.subscriber()

        await pass_time(mock_clock, 30)
        await client.send(b"h")
        assert await client.read(4) == BEAT
        await pass_time(mock_clock, 30 + GRACE - 0.1)

        assert world.comet.live.hub.subscribers == 1


async def test_a_node_that_stood_still_hears_its_clients_before_it_judges_them(
    mock_clock: MockClock,
) -> None:
    """Their beats may lie unread in our sockets: they have the grace again, and no more."""
    async with open_comet() as world:
        client = await world.subscriber()

        mock_clock.jump(100)
        await wait_all_tasks_blocked(0.05)
        assert world.member().is_open
        await pass_time(mock_clock, GRACE + 1)

        assert await client.read_all() == b"-x 4002 heartbeat missed\r\n"


@pytest.mark.parametrize("version", ["", "2"])
async def test_a_slow_client_is_let_go_and_costs_nobody_else(version: str) -> None:
    """It hears why if it speaks version 2; everybody else has every message."""
    config = changed(SMALL_BUFFER, "live", outbox_limit=Size(64 * 1024))
    async with open_comet(config) as world:
        slow = await world.tcp(request("sub", "k", "30", "", version))
        await world.until(lambda: world.comet.live.hub.subscribers == 1)
        quick = await world.subscriber(version="1")
        body = b'"%b"' % (b"x" * 30_000)

        while world.comet.live.hub.subscribers == 2:
            delivery = await world.push("k", body=body)
            assert await quick.read_ids(1) == list(delivery.ids)

        assert world.comet.live.counts.ended == {"slow": 1}
        end = await slow.read_all()
        assert end.endswith(b"-x 4001 slow\r\n") == (version == "2")


async def test_a_client_that_reads_late_gets_everything_it_is_owed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the kernel does not take stays, within the limit, and goes out when it takes it again."""
    config = changed(SMALL_BUFFER, "live", outbox_limit=Size(8 * 1024**2))
    async with open_comet(config) as world:
        client = await world.subscriber()
        member = world.member()
        body = b'"%b"' % (b"x" * 100_000)
        ids: list[int] = []
        while len(member.owed) < 3 * len(body):  # so that pieces are queued behind a piece
            ids += (await world.push("k", body=body)).ids

        assert await client.read_ids(len(ids)) == ids
        await world.until(lambda: not member.owed)
        turns: list[Subscriber] = []  # nobody asks any more whether the kernel takes bytes
        monkeypatch.setattr(Subscriber, "on_writable", lambda client: turns.append(client))
        ids = [(await world.push("k")).ids[0]]
        assert await client.read_ids(1) == ids
        assert turns == []


async def test_acknowledgements_are_shown() -> None:
    """The highest one of the key; and none of an id that nobody was ever given."""
    async with open_comet() as world:
        client = await world.ws(WS)
        await client.read(6)
        ids = [(await world.push("nobody")).ids[0] for _ in range(3)]

        for acknowledged in ([ids[0], ids[2], ids[1]], [ids[1]], [2**53 - 1]):
            await client.send(client_frame(json.dumps({"ack": acknowledged}).encode()))
        await client.send(client_frame(b"h"))
        await client.read(6)

        [presence] = await world.comet.pusher.presence([parse_key("k")])
        assert (presence.online, presence.acknowledged) == (1, ids[2])
        assert world.comet.live.counts.acknowledgements == 3


async def test_a_silent_client_keeps_no_reader() -> None:
    """Law 5: a parser lives from the first byte of something to its last."""
    async with open_comet() as world:
        client = await world.subscriber()
        member = world.member()
        readers = [member._reader]

        await client.send(b'{"ack":[5')
        await world.until(lambda: member._reader is not None)
        await client.send(b"]}\r\nhh")
        assert await client.read(8) == BEAT * 2
        readers.append(member._reader)

        assert readers == [None, None]
        assert world.comet.live.counts.acknowledgements == 1


# One turn of a client is one read, and one write


class Writes:
    """Counts the system calls that write to one socket."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.watched: socket.socket | None = None
        send = socket.socket.send

        def note(sock: socket.socket, *arguments: Any) -> int:
            self.count += sock is self.watched
            return send(sock, *arguments)

        monkeypatch.setattr(socket.socket, "send", note)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    """Of the socket that is `watched`."""
    return Writes(monkeypatch)


async def talker(world: World, transport: str) -> tuple[Client, bytes, bytes]:
    """A subscriber, what it may say without end, and the answer to it."""
    if transport == "tcp":
        return await world.subscriber(), b"h", BEAT
    client = await world.ws(WS)
    assert await client.read(6) == text_frame(BEAT)
    return client, PING, b"\x8a\x01?"


@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_what_came_in_one_read_is_answered_in_one_write(
    transport: str, writes: Writes
) -> None:
    """Whatever it was, and each of it is answered."""
    async with open_comet() as world:
        client, unit, answer = await talker(world, transport)
        writes.watched = world.member().socket

        await client.send(unit * 60)

        assert await client.read(len(answer) * 60) == answer * 60
        assert writes.count == 1


@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_a_flood_is_one_client_of_many(transport: str, writes: Writes) -> None:
    """64 KiB at once cost it as many turns as they are reads; others have theirs in between."""
    async with open_comet() as world:
        client, unit, answer = await talker(world, transport)
        other = await world.subscriber("other")
        count = 64 * 1024 // len(unit)
        writes.watched = world.member().socket

        await client.send(unit * count)
        await other.send(b"h")

        assert await other.read(4) == BEAT
        assert writes.count < 64 * 1024 // READ  # it was served before the flood had ended
        assert await client.read(len(answer) * count) == answer * count
        assert writes.count <= 2 * 64 * 1024 // READ  # a read may bring less


@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_a_flood_that_reads_no_answer_is_slow(transport: str) -> None:
    """What it is owed has the bound of all."""
    config = changed(SMALL_BUFFER, "live", outbox_limit=Size(64 * 1024))
    async with open_comet(config) as world:
        client, unit, _ = await talker(world, transport)

        with contextlib.suppress(trio.BrokenResourceError):
            while world.comet.live.hub.subscribers:
                await client.send(unit * 1000)

        assert world.comet.live.counts.ended == {"slow": 1}


async def test_a_tls_client_that_writes_without_end_stops_nobody() -> None:
    """What epoll cannot see is read to the end of a record, not to the end of the flood."""
    tls = ssl.create_default_context(cafile=CERTIFICATE)
    config = changed(DEFAULTS, "live", goodbye_timeout=Duration(60))  # of the attacker, who is slow
    async with open_comet(config, tls=(tls_context(CERTIFICATE, CERTIFICATE), tls)) as world:
        other = await world.subscriber("other")
        attack = Attack(tls, world.tcp_port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, attack.run)
            await world.until(attack.began.is_set)

            for _ in range(20):
                await other.send(b"h")
                assert await other.read(4) == BEAT

            assert not attack.exhausted
            attack.stop()
        await world.until(lambda: world.comet.live.counts.ended.total() == 1)


class Attack:
    """A client in a thread of its own that writes as fast as it can: far more than kernels buffer."""

    def __init__(self, tls: ssl.SSLContext, port: int) -> None:
        plain = socket.create_connection(("127.0.0.1", port))
        self._tls, self._socket = tls, plain
        self.began = threading.Event()
        self.exhausted = False

    def run(self) -> None:
        """Subscribe, and write until it is stopped."""
        with (
            contextlib.suppress(OSError),
            self._tls.wrap_socket(self._socket, server_hostname="localhost") as client,
        ):
            self._socket = client
            client.sendall(request("sub", "k", "30"))
            for _ in range(20_000):
                client.sendall(b"h" * 4096)
                self.began.set()
            self.exhausted = True

    def stop(self) -> None:
        """End a write that waits."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


# The end


@pytest.mark.parametrize("goodbye", [GOING_AWAY, SLOW])
@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_a_client_that_does_not_end_is_dropped_in_time(
    transport: str, goodbye: object, mock_clock: MockClock
) -> None:
    """It has read the last words, and its half of the connection stays open."""
    async with open_comet() as world:
        client, _, _ = await talker(world, transport)
        live = world.comet.live
        world.member().hang_up(goodbye)  # type: ignore[arg-type]
        assert await client.read_until(b"\0never\0")
        assert (len(live.poller), live.gate.connections) == (1, 1)

        await pass_time(mock_clock, GOODBYE)

        await world.until(lambda: live.gate.connections == 0)
        assert len(live.poller) == 0


async def test_last_words_wait_for_what_is_owed(mock_clock: MockClock) -> None:
    """A client that is let go in the middle of a frame hears the rest of it first, if it reads."""
    async with open_comet(SMALL_BUFFER) as world:
        client = await world.subscriber()
        member = world.member()
        body = b'"%b"' % (b"x" * 500_000)
        delivery = await world.push("k", body=body)
        await world.until(lambda: bool(member.owed))

        member.hang_up(GOING_AWAY)

        assert await client.read_ids(1) == list(delivery.ids)
        assert await client.read_all() == b"-x 1001 going away\r\n"
        await world.until(lambda: world.comet.live.gate.connections == 0)


async def test_last_words_wait_for_a_full_kernel() -> None:
    """Nothing of ours is owed, and yet there is no room for them."""
    async with open_comet(SMALL_BUFFER) as world:
        client = await world.subscriber()
        member = world.member()
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += member.socket.send(b"x" * 4096)

        member.hang_up(GOING_AWAY)

        assert await client.read(filled) == b"x" * filled
        assert await client.read_all() == b"-x 1001 going away\r\n"


async def test_last_words_that_nobody_reads_are_thrown_away(mock_clock: MockClock) -> None:
    """A client that owes its reading does not stay for ever."""
    async with open_comet(SMALL_BUFFER) as world:
        await world.subscriber()
        await world.push("k", body=b'"%b"' % (b"x" * 900_000))
        member = world.member()
        await world.until(lambda: bool(member.owed))
        await wait_all_tasks_blocked(0.05)  # the kernel has what it takes
        member.hang_up(GOING_AWAY)

        await pass_time(mock_clock, GOODBYE)

        await world.until(lambda: world.comet.live.gate.connections == 0)


async def test_a_client_that_is_let_go_is_heard_no_more() -> None:
    """What it still says is read, so that its last words arrive, and means nothing."""
    async with open_comet() as world:
        client = await world.subscriber()
        world.member().hang_up(SLOW)

        await client.send(b"h" * 1000 + b'{"ack":[5]}\r\n')

        assert await client.read_all() == b"-x 4001 slow\r\n"
        await world.until(lambda: world.comet.live.gate.connections == 0)
        counts = world.comet.live.counts
        assert (counts.heartbeats, counts.acknowledgements) == (0, 0)
