"""A session of Engine.IO over time: heartbeats of both revisions, signs of life, and its end."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.units import Duration
from comet.config import CometConfig
from comet.protocol.engineio import framed
from comet.protocol.websocket import frame
from tests.comet.engine_world import QUICK, EngineClient, EngineWorld, open_engine
from tests.comet.world import LIMIT, changed, client_frame, pass_time

DEFAULTS = CometConfig()
INTERVAL, TIMEOUT = DEFAULTS.socketio.ping_interval, DEFAULTS.socketio.ping_timeout
TICK = 0.3  # seconds: what the wheel may be late


async def poll(world: EngineWorld, target: str) -> EngineClient:
    """A poll that waits."""
    client = await world.connect()
    await client.ask("GET", target)
    await world.comet.until(lambda: world.engine.polls == 1)
    return client


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_a_client_of_revision_4_is_pinged_and_answers(
    way: str, mock_clock: MockClock
) -> None:
    """Every interval after its last pong, as long as it lives."""
    async with open_engine() as world:
        socket = await world.websocket() if way == "websocket" else None
        client, target = (None, "") if socket else await world.begin()
        for _ in range(3):
            waiting = None if socket else await poll(world, target)
            await pass_time(mock_clock, INTERVAL - TICK)
            assert world.engine.polls == (0 if socket else 1)
            await pass_time(mock_clock, 2 * TICK)
            if socket:
                assert await socket.hear() == "2"
                await socket.say("3")
            else:
                assert waiting is not None
                assert client is not None
                assert (await waiting.reply()).body == b"2"
                assert (await client.post(target, b"3")).body == b"ok"
            beats = world.comet.comet.live.counts
            await world.comet.until(lambda beats=beats: beats.heartbeats > 0)  # type: ignore[misc]  # a default
            beats.heartbeats = 0
        assert world.speaker.ends == []


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_a_client_of_revision_3_pings_and_is_answered(
    way: str, mock_clock: MockClock
) -> None:
    """Any packet is another term of interval and timeout."""
    async with open_engine() as world:
        socket = await world.websocket(3) if way == "websocket" else None
        client, target = (None, "") if socket else await world.begin(3)
        for packet in ("2", "4a", "2"):
            await pass_time(mock_clock, INTERVAL + TIMEOUT - 0.1)
            assert world.speaker.ends == []
            answer = "3" if packet == "2" else packet
            if socket:
                await socket.say(packet)
                assert await socket.hear() == answer
            else:
                assert client is not None
                await client.post(target, f"{len(packet)}:{packet}".encode())
                assert (await client.get(target)).body.endswith(answer.encode())
        await pass_time(mock_clock, INTERVAL + TIMEOUT + TICK)
        assert world.speaker.ends == ["ping timeout"]


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_a_client_that_does_not_answer_a_ping_is_gone(
    way: str, mock_clock: MockClock
) -> None:
    """After the timeout, and it is told."""
    async with open_engine() as world:
        if way == "websocket":
            client = await world.websocket()
        else:
            client, target = await world.begin()
            await client.ask("GET", target)

        await pass_time(mock_clock, INTERVAL + TICK)
        assert b"2" in (await client.read_until(b"2"))
        await pass_time(mock_clock, TIMEOUT - 2 * TICK)
        assert world.speaker.ends == []
        await pass_time(mock_clock, 3 * TICK)

        assert world.speaker.ends == ["ping timeout"]
        if way == "websocket":
            assert await client.hear() == "close 1000"
        await pass_time(mock_clock, 2)
        assert world.engine.sessions == {}


async def test_a_timeout_may_be_longer_than_the_interval(mock_clock: MockClock) -> None:
    """As in engine.io 3 (25 and 60 s): the next ping is not late for it, and patience is whole."""
    settings = changed(DEFAULTS, "socketio", ping_timeout=Duration(60))
    async with open_engine(settings) as world:
        client = await world.websocket()
        for _ in range(3):
            await pass_time(mock_clock, INTERVAL + TICK)
            assert await client.hear() == "2"
            await client.say("3")
            await world.comet.until(lambda: world.comet.comet.live.counts.heartbeats > 0)
            world.comet.comet.live.counts.heartbeats = 0

        await pass_time(mock_clock, INTERVAL + 60 - TICK)
        assert world.speaker.ends == []
        await pass_time(mock_clock, 5 * TICK)

        assert world.speaker.ends == ["ping timeout"]


async def test_a_client_of_revision_4_that_speaks_is_not_gone(mock_clock: MockClock) -> None:
    """Its pong may stand behind a large message of its own."""
    async with open_engine() as world:
        client = await world.websocket()
        await pass_time(mock_clock, INTERVAL + TICK)
        assert await client.hear() == "2"

        for _ in range(3):
            await pass_time(mock_clock, TIMEOUT - 2 * TICK)
            await client.say("4a")
            assert await client.hear() == "4a"

        assert world.speaker.ends == []


async def test_a_node_that_stood_still_hears_its_clients_before_it_judges_them(
    mock_clock: MockClock,
) -> None:
    """Their packets may lie unread in our sockets."""
    async with open_engine() as world:
        await world.websocket(3)
        _, target = await world.begin(3)

        mock_clock.jump(100)
        await wait_all_tasks_blocked(0.05)
        assert [speaker.ends for speaker in world.heard] == [[], []]
        client = await world.connect()
        assert (await client.post(target, b"1:2")).status == 200
        await pass_time(mock_clock, DEFAULTS.live.heartbeat_grace + 1)

        assert [speaker.ends for speaker in world.heard] == [["ping timeout"], []]


@pytest.mark.parametrize("revision", [3, 4])
async def test_who_comes_after_the_time_finds_nobody(revision: int, mock_clock: MockClock) -> None:
    """To the moment, though the wheel looks only now and then."""
    async with open_engine(QUICK) as world:
        client, target = await world.begin(revision)

        mock_clock.jump(0.49)
        assert (await client.post(target, b"4a" if revision == 4 else b"2:4a")).status == 200
        mock_clock.jump(0.5)

        assert (await client.get(target)).body == b'{"code":1,"message":"Session ID unknown"}'
        assert world.speaker.ends == ["ping timeout"]


async def test_a_ping_that_went_out_late_has_its_whole_time(mock_clock: MockClock) -> None:
    """Whoever asks meanwhile is not judged by the time of the last packet alone."""
    async with open_engine(QUICK) as world:
        client, target = await world.begin()
        await client.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)

        mock_clock.jump(0.45)  # the wheel looks but now
        assert (await client.reply()).body == b"2"
        mock_clock.jump(0.1)

        assert (await client.post(target, b"3")).body == b"ok"
        assert world.speaker.ends == []


async def test_quick_heartbeats_are_quick() -> None:
    """A client of engine.io-client hangs up if no ping comes within interval and timeout."""
    patient = changed(QUICK, "socketio", ping_timeout=Duration(LIMIT))
    async with open_engine(patient) as world:
        client = await world.websocket()
        for _ in range(2):
            began = trio.current_time()
            assert await client.hear() == "2"
            assert trio.current_time() - began >= 0.25
            await client.say("3")


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_a_client_that_lives_can_show_it(way: str) -> None:
    """To a control frame, or by polling again; nothing that its application would see."""
    async with open_engine() as world:
        results: list[bool] = []

        async def ask() -> None:
            results.append(await world.speaker.transport.shows_life(5))

        if way == "websocket":
            client = await world.websocket()
        else:
            client, target = await world.begin()
            await client.ask("GET", target)
            await world.comet.until(lambda: world.engine.polls == 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await wait_all_tasks_blocked(0.01)
            assert results == []
            if way == "websocket":
                assert await client.hear() == "control 0x89 b''"
                await client.send(client_frame(b"", 0x8A))
            else:
                assert (await client.reply()).body == b"6"
                await client.ask("GET", target)

        assert results == [True, True]
        assert world.speaker.messages == []


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_a_client_that_is_silent_shows_no_life(way: str) -> None:
    """Nor does one that ends while it is asked, or has ended; and asking again is allowed."""
    async with open_engine() as world:
        if way == "websocket":
            client = await world.websocket()
        else:
            client, target = await world.begin()
            await client.ask("GET", target)
            await world.comet.until(lambda: world.engine.polls == 1)
        transport = world.speaker.transport

        assert not await transport.shows_life(0.02)
        assert not await transport.shows_life(0.02)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.shows_life, 5)
            await wait_all_tasks_blocked(0.01)
            transport.close("enough")
        assert not await transport.shows_life(5)


async def test_a_session_can_be_ended_at_once() -> None:
    """Without a goodbye: another connection has its place."""
    async with open_engine() as world:
        client = await world.websocket()
        polling, target = await world.begin()
        await polling.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)

        for session in list(world.engine.sessions.values()):
            session.drop("another one came")
            session.drop("again")
            session.close("again")

        assert [speaker.ends for speaker in world.heard] == [["another one came"]] * 2
        assert await client.hear() == "end"
        assert await polling.read_all() == b""
        assert world.engine.sessions == {}
        assert len(world.comet.comet.live.poller) == 0


async def test_a_speaker_may_close_while_it_is_told_something() -> None:
    """In the middle of what a client said: the rest is not heard."""

    class Touchy:
        def __init__(self, transport: object, heard: list[object]) -> None:
            self.transport, self.messages, self.ends = transport, [], []  # type: ignore[var-annotated]  # a fake
            heard.append(self)

        def opened(self) -> bytes:
            return b""

        def receive(self, message: str | bytes) -> None:
            self.messages.append(message)
            self.transport.close("touched")  # type: ignore[attr-defined]  # a Transport

        def reframed(self) -> None: ...

        def closed(self, reason: str) -> None:
            self.ends.append(reason)
            assert not self.transport.is_open  # type: ignore[attr-defined]  # a Transport
            self.transport.close("again")  # type: ignore[attr-defined]  # a Transport

    async with open_engine(speaker=Touchy) as world:
        client = await world.websocket()
        await client.send(client_frame(b"4a") + client_frame(b"4b"))
        assert await client.hear() == "close 1000"
        polling, target = await world.begin()
        assert (await polling.post(target, b"4a\x1e4b")).body == b"ok"
        assert (await polling.get(target)).body == b"1"

        for speaker in world.heard:
            assert (speaker.messages, speaker.ends) == (["a"], ["touched"])


async def test_what_a_speaker_says_at_its_opening_comes_behind_the_open_packet() -> None:
    """In the same answer, or the same write: a client of 2.x waits for it."""

    class Opening:
        def __init__(self, transport: object, heard: list[object]) -> None:
            self.transport = transport

        def opened(self) -> bytes:
            return framed(self.transport.framing, "0")  # type: ignore[attr-defined]  # a Transport

        def receive(self, message: str | bytes) -> None: ...

        def reframed(self) -> None: ...

        def closed(self, reason: str) -> None: ...

    async with open_engine(speaker=Opening) as world:
        client = await world.connect()
        assert (await client.get("EIO=3&transport=polling")).body.endswith(b"}2:40")
        socket = await world.websocket(3)
        assert await socket.read(4) == frame(1, b"40")


async def test_a_node_that_stops_says_goodbye_to_everybody() -> None:
    """To the WebSocket, to the poll that waits, and to the one that comes late."""
    async with open_engine() as world:
        socket = await world.websocket()
        polling, target = await world.begin()
        await polling.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)
        late, late_target = await world.begin()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.comet.comet.drain)
            assert await socket.hear() == "close 1001"
            await socket.stream.aclose()
            assert (await polling.reply()).body == b"1"
            assert (await late.get(late_target)).body == b"1"

        assert [speaker.ends for speaker in world.heard] == [["going away"]] * 3
        assert world.engine.sessions == {}


async def test_a_bug_in_a_speaker_ends_its_session_and_nothing_else() -> None:
    """Wherever it strikes: in a message, at the end, or at both; it is counted, and logged."""

    class Buggy:
        def __init__(self, transport: object, heard: list[object]) -> None:
            heard.append(self)

        def opened(self) -> bytes:
            return b""

        def receive(self, message: str | bytes) -> None:
            raise KeyError(message)

        def reframed(self) -> None: ...

        def closed(self, reason: str) -> None:
            raise KeyError(reason)

    async with open_engine(speaker=Buggy) as world:
        poller = world.comet.comet.live.poller
        client = await world.websocket()
        await client.say("4a")
        assert await client.hear() == "end"
        await world.comet.until(lambda: not world.engine.sessions)
        assert poller.bugs == 2

        other = await world.websocket()
        [session] = world.engine.sessions.values()
        session.close("enough")
        assert await other.hear() == "close 1000"
        assert poller.bugs == 3
        assert world.comet.comet.live.gate.connections == 1


async def test_a_poll_that_cannot_be_watched_is_held_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system bounds what is watched; the answer needs no watching."""
    async with open_engine() as world:
        client, target = await world.begin()

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(world.comet.comet.live.poller, "add", refuse)
        await client.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)
        world.speaker.transport.offer(b"4due\x1e")

        assert (await client.reply()).body == b"4due"


async def test_a_websocket_that_cannot_be_watched_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And its place is given back; so is one that was to carry a session, which polls on."""
    async with open_engine() as world:
        polling, target = await world.begin()

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(world.comet.comet.live.poller, "add", refuse)
        for wanted in ("EIO=4&transport=websocket", target.replace("polling", "websocket")):
            client = await world.connect()
            await client.upgrade(wanted)
            assert await client.hear() == "end"

        assert world.comet.comet.live.gate.connections == 1
        assert (await polling.post(target, b"4a")).body == b"ok"
        assert (await polling.get(target)).body == b"4a"
