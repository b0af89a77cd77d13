"""A WebSocket that carries a session: packets both ways, the upgrade to it, and how it ends."""

import ssl
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.units import Duration, Size
from appmodel.io.listener import tls_context
from comet.config import CometConfig
from comet.io.engine_socket import EngineSocket
from comet.io.line import READ
from comet.protocol.engineio import Framing, framed
from tests.comet.engine_world import EngineClient, EngineWorld, open_engine
from tests.comet.world import changed, client_frame, pass_time

CERTIFICATE = Path(__file__).parents[2] / "data" / "localhost.pem"
DEFAULTS = CometConfig()


async def probing(world: EngineWorld, revision: int = 4) -> tuple[EngineClient, EngineClient, str]:
    """A polling session with a WebSocket that has been probed: both connections, and the target."""
    client, target = await world.begin(revision)
    socket = await world.connect()
    await socket.upgrade(target.replace("polling", "websocket"))
    await socket.say("2probe")
    assert await socket.hear() == "3probe"
    return client, socket, target


@pytest.mark.parametrize(("revision", "binary"), [(3, b"\4\1\2\3"), (4, b"\1\2\3")])
async def test_packets_go_both_ways(revision: int, binary: bytes) -> None:
    """Text in text frames, bytes in binary ones, as the revision has them; base64 is understood too."""
    async with open_engine() as world:
        client = await world.websocket(revision)

        await client.say("4hello")
        assert await client.hear() == "4hello"
        await client.say(binary)
        assert await client.hear() == binary
        await client.say("b4AQID" if revision == 3 else "bAQID")
        assert await client.hear() == binary

        assert world.speaker.messages == ["hello", b"\1\2\3", b"\1\2\3"]


@pytest.mark.parametrize("cut", [1, 2, 5, 6, 7])
async def test_frames_may_come_in_pieces_and_together(cut: int) -> None:
    """TCP keeps no boundaries; and a socket with nothing half-read keeps no reader."""
    async with open_engine() as world:
        client = await world.websocket()
        [session] = world.engine.sessions.values()
        line = session.carrier
        assert isinstance(line, EngineSocket)
        data = client_frame(b"4a") + client_frame(b"4b")

        await client.send(data[:cut])
        await wait_all_tasks_blocked(0.01)
        assert line._reader is not None
        await client.send(data[cut:] + data)

        assert [await client.hear() for _ in range(4)] == ["4a", "4b", "4a", "4b"]
        assert line._reader is None


async def test_what_comes_with_the_handshake_is_heard() -> None:
    """A client need not wait for the 101."""
    async with open_engine() as world:
        client = await world.connect()
        head = (
            "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

        await client.send(head.encode() + client_frame(b"4early"))
        await client.reply()

        assert str(await client.hear()).startswith("0{")
        assert await client.hear() == "4early"


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        ("abc", 1002),
        ("", 1002),
        ("7", 1002),
        ("b!", 1002),
        ("2", 1002),  # only servers ping in revision 4
        ("1", 1000),
    ],
)
async def test_a_packet_that_cannot_be_ends_the_session(packet: str, code: int) -> None:
    """So does `1`, politely."""
    async with open_engine() as world:
        client = await world.websocket()

        await client.say(packet)

        assert await client.hear() == f"close {code}"
        assert len(world.speaker.ends) == 1
        assert world.speaker.messages == []
        await client.stream.aclose()
        await world.comet.until(lambda: not world.engine.sessions)


async def test_a_binary_packet_of_revision_3_has_its_type() -> None:
    """Bytes without it are no packet."""
    async with open_engine() as world:
        client = await world.websocket(3)

        await client.say(b"\x02abc")

        assert await client.hear() == "close 1002"


async def test_frames_that_break_the_protocol_end_the_session_with_their_code() -> None:
    """Too large before it is read, not masked, not UTF-8."""
    async with open_engine(changed(DEFAULTS, "socketio", max_payload=Size(100))) as world:
        for data, code in (
            (client_frame(b"4" * 101), 1009),
            (b"\x81\x024a", 1002),
            (client_frame(b"4\xff"), 1007),
            (b"\x82\xff" + b"\x7f" + b"\xff" * 11, 1009),
        ):
            client = await world.websocket()
            await client.send(data)
            assert await client.hear() == f"close {code}"


async def test_control_frames_are_answered() -> None:
    """A ping by a pong with the same bytes, a close by a close; a pong means life and no more."""
    async with open_engine() as world:
        client = await world.websocket()

        await client.send(client_frame(b"abc", 0x89))
        assert await client.hear() == "control 0x8a b'abc'"
        await client.send(client_frame(b"", 0x8A))
        await client.send(client_frame(b"\x03\xe9", 0x88))

        assert await client.hear() == "close 1001"
        assert world.speaker.ends == ["client closed"]


async def test_a_client_that_just_goes_is_noticed() -> None:
    """Once, and its place is free."""
    async with open_engine() as world:
        client = await world.websocket()

        await client.stream.aclose()
        await world.comet.until(lambda: not world.engine.sessions)

        assert world.speaker.ends == ["client closed"]
        assert not world.speaker.transport.is_open
        assert not world.speaker.transport.offer(b"x")


async def test_a_message_is_one_write() -> None:
    """What fits into the kernel's buffer is sent at once, and nothing is kept."""
    async with open_engine() as world:
        client = await world.websocket()
        transport = world.speaker.transport
        assert transport.framing is Framing.WEBSOCKET_4
        [session] = world.engine.sessions.values()
        line = session.carrier
        assert isinstance(line, EngineSocket)

        assert transport.offer(framed(transport.framing, "due"))

        assert line.owed == b""
        assert await client.hear() == "4due"


async def test_a_slow_client_is_let_go() -> None:
    """It owes its attention: past the limit its session is closed, and it is told."""
    settings = changed(DEFAULTS, "live", outbox_limit=Size(64 * 1024), send_buffer=Size(4096))
    async with open_engine(settings) as world:
        client = await world.websocket()
        transport = world.speaker.transport

        count = 0
        while transport.offer(framed(transport.framing, "x" * 30_000)):
            count += 1

        assert world.speaker.ends == ["slow"]
        for _ in range(count):
            assert len(await client.hear()) == 30_001
        assert await client.hear() in {"close 4001", "4" + "x" * 30_000}


async def test_who_waits_until_nothing_is_owed_waits_for_the_client() -> None:
    """And is woken when it has read, or is gone."""
    settings = changed(DEFAULTS, "live", outbox_limit=Size(8 * 1024**2), send_buffer=Size(4096))
    async with open_engine(settings) as world:
        client = await world.websocket()
        transport = world.speaker.transport
        [session] = world.engine.sessions.values()
        line = session.carrier
        assert isinstance(line, EngineSocket)
        message = framed(transport.framing, "x" * 100_000)

        def owe() -> None:
            while not line.owed:
                transport.offer(message)

        await transport.drained()
        owe()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.drained)
            nursery.start_soon(transport.drained)
            while line.owed:
                await client.hear()
        owe()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.drained)
            await wait_all_tasks_blocked(0.01)
            await trio.aclose_forcefully(client.stream)


@pytest.mark.parametrize("revision", [3, 4])
async def test_a_session_moves_to_a_websocket(revision: int) -> None:
    """Its speaker learns the new framing; what it was owed comes first, in that framing."""
    async with open_engine() as world:
        _, socket, _ = await probing(world, revision)
        transport = world.speaker.transport
        transport.offer(framed(transport.framing, "owed"))
        transport.offer(framed(transport.framing, b"\1\2"))

        await socket.say("5")
        await socket.say("4hello")

        binary = b"\4\1\2" if revision == 3 else b"\1\2"
        assert [await socket.hear() for _ in range(3)] == ["4owed", binary, "4hello"]
        polling, websocket = world.speaker.framings
        assert (polling.name, websocket.name) == (f"POLLING_{revision}", f"WEBSOCKET_{revision}")
        assert transport.framing is websocket
        assert world.engine.upgraded == 1
        assert world.comet.comet.live.gate.connections == 1


async def test_only_one_websocket_may_probe_a_session() -> None:
    """Another one is closed behind its handshake, before and after the upgrade; the first goes on."""
    async with open_engine() as world:
        _, socket, target = await probing(world)

        for packet in ("5", "4hello"):
            other = await world.connect()
            await other.upgrade(target.replace("polling", "websocket"))
            assert await other.hear() == "close 1000"
            await socket.say(packet)

        assert await socket.hear() == "4hello"
        assert world.speaker.ends == []


async def test_who_waits_until_nothing_is_owed_is_woken_by_the_upgrade() -> None:
    """What was owed to the next poll has gone out on the WebSocket."""
    async with open_engine() as world:
        _, socket, _ = await probing(world)
        transport = world.speaker.transport
        transport.offer(framed(transport.framing, "owed"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.drained)
            await wait_all_tasks_blocked(0.01)
            await socket.say("5")

        assert await socket.hear() == "4owed"


async def test_what_is_said_behind_the_end_of_a_probe_is_not_heard() -> None:
    """An upgrade least of all."""
    async with open_engine() as world:
        client, socket, target = await probing(world)

        await socket.send(client_frame(b"1") + client_frame(b"5"))

        assert await socket.hear() == "close 1002"
        await client.post(target, b"4a")
        assert (await client.get(target)).body == b"4a"
        assert world.engine.upgraded == 0


@pytest.mark.parametrize("packet", ["4a", "1", "2", "3", "3probe", "x", "2probeX"])
async def test_a_websocket_that_says_anything_else_is_closed_and_the_session_polls_on(
    packet: str,
) -> None:
    """And another one may try."""
    async with open_engine() as world:
        client, target = await world.begin()
        socket = await world.connect()
        await socket.upgrade(target.replace("polling", "websocket"))

        await socket.say(packet)
        assert await socket.hear() == "close 1002"

        await client.post(target, b"4a")
        assert (await client.get(target)).body == b"4a"
        again = await world.connect()
        await again.upgrade(target.replace("polling", "websocket"))
        await again.say("2probe")
        assert await again.hear() == "3probe"


async def test_a_websocket_that_goes_before_the_upgrade_leaves_the_session_polling() -> None:
    """A poll is not ended early any more."""
    async with open_engine() as world:
        client, socket, target = await probing(world)
        [session] = world.engine.sessions.values()

        await socket.stream.aclose()
        await world.comet.until(lambda: not session.carrier.probed)  # type: ignore[attr-defined]  # Polls

        await client.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)
        world.speaker.transport.offer(b"4due\x1e")
        assert (await client.reply()).body == b"4due"


async def test_an_upgrade_that_is_not_finished_in_time_is_given_up(mock_clock: MockClock) -> None:
    """The WebSocket is closed; the session polls on."""
    settings = changed(DEFAULTS, "socketio", upgrade_timeout=Duration(5))
    async with open_engine(settings) as world:
        client, socket, target = await probing(world)

        await pass_time(mock_clock, 4.9)
        assert len(world.comet.comet.live.poller) == 1
        await pass_time(mock_clock, 0.6)

        assert await socket.hear() == "close 1000"
        await client.post(target, b"4a")
        assert (await client.get(target)).body == b"4a"


async def test_a_session_that_ends_takes_its_probe_along() -> None:
    """Nothing of it is left in the poller."""
    async with open_engine() as world:
        client, socket, target = await probing(world)

        await client.post(target, b"1")

        assert await socket.hear() == "end"
        await world.comet.until(lambda: len(world.comet.comet.live.poller) == 0)
        assert world.speaker.ends == ["client closed"]


async def test_a_session_upgraded_keeps_its_heartbeats(mock_clock: MockClock) -> None:
    """And the time for the upgrade does not count any more."""
    settings = changed(DEFAULTS, "socketio", upgrade_timeout=Duration(1))
    async with open_engine(settings) as world:
        _, socket, _ = await probing(world)
        await socket.say("5")
        await world.comet.until(lambda: world.engine.upgraded == 1)

        await pass_time(mock_clock, 20.5)

        assert await socket.hear() == "2"


async def test_a_flood_of_messages_has_its_turns() -> None:
    """One read a turn, however much is there: others are heard in between."""
    async with open_engine(changed(DEFAULTS, "socketio", packets_per_second=100_000)) as world:
        noisy, quiet = await world.websocket(), await world.websocket()
        flood = client_frame(b"4" + b"x" * 100) * 2000
        assert len(flood) > 10 * READ

        await noisy.send(flood)
        await quiet.say("4quiet")

        assert await quiet.hear() == "4quiet"
        assert [len(await noisy.hear()) for _ in range(2000)] == [101] * 2000


async def test_who_says_too_much_in_a_second_is_closed() -> None:
    """Messages, heartbeats and control frames alike; the rest of what it said is not heard."""
    settings = changed(DEFAULTS, "socketio", packets_per_second=10)
    async with open_engine(settings) as world:
        for first, payload in ((0x81, b"4a"), (0x81, b"3"), (0x89, b""), (0x8A, b"")):
            client = await world.websocket()

            await client.send(client_frame(payload, first) * 30)
            while (heard := str(await client.hear())) and not heard.startswith("close"):
                pass

            assert heard == "close 1000"
            assert world.speaker.ends == ["too many packets"]
            assert len(world.speaker.messages) <= 10


async def test_over_tls_it_is_the_same() -> None:
    """What OpenSSL has read already is heard, too."""
    trust = ssl.create_default_context(cafile=str(CERTIFICATE))
    async with open_engine(tls=tls_context(CERTIFICATE, CERTIFICATE)) as world:
        plain = await world.connect()
        client = EngineClient(trio.SSLStream(plain.stream, trust, server_hostname="localhost"))
        await client.upgrade("EIO=4&transport=websocket")
        await client.hear()

        await client.send(client_frame(b"4a") + client_frame(b"4b") * 2000)

        assert [await client.hear() for _ in range(901)] == ["4a"] + ["4b"] * 900
        assert world.speaker.transport.handshake.secure
