"""Long polling: what a GET waits for, what a POST brings, and how each ends."""

import json
from contextlib import suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from appmodel.core.units import Duration, Size
from comet.config import CometConfig
from comet.io.engine_polls import PROBE_PATIENCE, Polls
from comet.protocol.engineio import framed
from tests.comet.engine_world import EngineClient, EngineWorld, open_engine
from tests.comet.world import changed

SAID_4, SAID_3 = b"4hello\x1ebAQIDBA==", b"6:4hello10:b4AQIDBA=="
NOOP, CLOSE = {3: b"1:6", 4: b"6"}, {3: b"1:1", 4: b"1"}


async def hold(world: EngineWorld, target: str) -> EngineClient:
    """A poll that waits."""
    client = await world.connect()
    await client.ask("GET", target)
    await world.comet.until(lambda: world.engine.polls == 1)
    return client


async def is_unknown(world: EngineWorld, target: str) -> bool:
    """Whether the session is gone."""
    reply = await (await world.connect()).get(target)
    return reply.status == 400 and json.loads(reply.body)["code"] == 1


@pytest.mark.parametrize(("revision", "payload"), [(3, SAID_3), (4, SAID_4)])
async def test_what_is_posted_is_heard_and_what_is_said_is_polled(
    revision: int, payload: bytes
) -> None:
    """In order, each revision in its own payload, binaries as base64 for who asked for that."""
    async with open_engine() as world:
        client, target = await world.begin(revision, "&b64=1")

        posted = await client.post(target, payload)
        polled = await client.get(target)

        assert (posted.status, posted.body) == (200, b"ok")
        assert posted.headers["content-type"] == "text/html"
        assert polled.body == payload
        assert world.speaker.messages == ["hello", b"\x01\x02\x03\x04"]


async def test_binaries_go_as_bytes_to_a_client_of_revision_3_that_can_read_them() -> None:
    """Text stays text: only a payload with a binary packet changes its form."""
    async with open_engine() as world:
        client, target = await world.begin(3)
        await client.post(target, SAID_3)

        mixed = await client.get(target)
        await client.post(target, b"6:4hello")
        text = await client.get(target)

        assert mixed.body == b"\0\6\xff4hello\1\5\xff\4\1\2\3\4"
        assert mixed.headers["content-type"] == "application/octet-stream"
        assert (text.body, text.headers["content-type"]) == (
            b"6:4hello",
            "text/plain; charset=UTF-8",
        )


async def test_a_post_of_bytes_is_understood_in_revision_3_only() -> None:
    """Revision 4 has no such form: the session is closed."""
    body = b"\0\6\xff4hello\1\5\xff\4\1\2\3\4"
    headers = {"Content_Type": "application/octet-stream"}
    async with open_engine() as world:
        for revision, status in ((3, 200), (4, 400)):
            client, target = await world.begin(revision)
            assert (await client.post(target, body, **headers)).status == status
        assert world.heard[0].messages == ["hello", b"\1\2\3\4"]
        assert world.heard[1].ends == [
            "protocol: payload: got application/octet-stream, expected text: revision 4"
        ]


async def test_jsonp_is_a_script_that_calls_the_client() -> None:
    """Handshake, poll and form, with the line ends of the client's form and of JavaScript."""
    async with open_engine() as world:
        client = await world.connect()
        first = await client.get("EIO=3&transport=polling&j=7")
        assert first.body.startswith(b"___eio[7](")
        assert first.headers["content-type"] == "text/javascript; charset=UTF-8"
        sid = next(iter(world.engine.sessions))
        target = f"EIO=3&transport=polling&j=8&sid={sid}"

        form = b"d=" + "5%3A4a%5Cnb\u2028".encode()  # a\nb as the client writes it, and a separator
        assert (await client.post(target, form)).body == b"ok"
        second = await client.get(target)

        assert world.speaker.messages == ["a\nb\u2028"]
        assert second.body == b'___eio[8]("5:4a\\nb\\u2028");'


@pytest.mark.parametrize("revision", [3, 4])
async def test_a_poll_waits_for_what_is_said(revision: int) -> None:
    """Without a task, a timer or a connection of the front door; and its connection goes on."""
    async with open_engine() as world:
        client, target = await world.begin(revision)
        await client.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)
        await world.comet.until(lambda: world.door.open_connections == 0)
        transport = world.speaker.transport

        transport.offer(framed(transport.framing, "due"))
        transport.offer(framed(transport.framing, "later"))

        assert (await client.reply()).body.endswith(b"4due")
        assert (await client.get(target)).body.endswith(b"4later")
        assert world.engine.polls == 0


@pytest.mark.parametrize("revision", [3, 4])
async def test_two_polls_at_once_close_the_session(revision: int) -> None:
    """The first hears so, the second is refused, a third finds nobody."""
    async with open_engine() as world:
        _, target = await world.begin(revision)
        first = await hold(world, target)

        second = await (await world.connect()).get(target)

        assert second.status == 400
        assert (await first.reply()).body == CLOSE[revision]
        assert await is_unknown(world, target)
        assert world.speaker.ends == ["protocol: two polls at once"]


async def test_a_poll_that_is_given_up_closes_the_session() -> None:
    """Nobody can know what of its answer would have arrived."""
    async with open_engine() as world:
        _, target = await world.begin()
        client = await hold(world, target)

        await client.stream.aclose()
        await world.comet.until(lambda: not world.engine.sessions)

        assert await is_unknown(world, target)
        assert world.speaker.ends == ["connection lost"]
        assert world.engine.polls == 0


@pytest.mark.parametrize("revision", [3, 4])
async def test_a_client_that_closes_ends_its_own_poll(revision: int) -> None:
    """With a noop; then nobody is there. Packets behind its `1` are not heard."""
    async with open_engine() as world:
        client, target = await world.begin(revision)
        waiting = await hold(world, target)

        body = b"1:12:4a" if revision == 3 else b"1\x1e4a"
        assert (await client.post(target, body)).body == b"ok"

        assert (await waiting.reply()).body == NOOP[revision]
        assert await is_unknown(world, target)
        assert world.speaker.ends == ["client closed"]
        assert world.speaker.messages == []


@pytest.mark.parametrize("revision", [3, 4])
async def test_a_poll_that_left_together_with_the_close_is_ended_too(revision: int) -> None:
    """Nobody can say which of two connections arrives first."""
    async with open_engine() as world:
        client, target = await world.begin(revision)
        other = await world.connect()

        await client.ask("POST", target, b"1" if revision == 4 else b"1:1")
        await wait_all_tasks_blocked()
        await other.ask("GET", target)

        assert (await other.reply()).body == NOOP[revision]
        assert (await client.reply()).body == b"ok"
        assert await is_unknown(world, target)


@pytest.mark.parametrize("body", [b"1", b"x", b"2"])
async def test_who_ended_the_session_itself_finds_nobody(body: bytes) -> None:
    """By a close, or by what no client says: there is no goodbye to fetch."""
    async with open_engine() as world:
        client, target = await world.begin()

        await client.post(target, body)

        assert world.engine.sessions == {}
        assert await is_unknown(world, target)


@pytest.mark.parametrize("waits", [True, False])
async def test_a_session_that_we_close_says_what_it_owed_and_goodbye(waits: bool) -> None:
    """To the poll that waits, else to the next one, within the time for goodbyes."""
    async with open_engine() as world:
        client, target = await world.begin()
        speaker = world.speaker
        if waits:
            client = await hold(world, target)
        else:
            speaker.transport.offer(framed(speaker.transport.framing, "owed"))

        speaker.transport.close("a reason")
        assert speaker.ends == ["a reason"]
        assert not speaker.transport.is_open
        assert not speaker.transport.offer(b"4more\x1e")
        speaker.transport.close("again")

        reply = await client.reply() if waits else await client.get(target)
        assert reply.body == (b"1" if waits else b"4owed\x1e1")
        assert await is_unknown(world, target)
        assert speaker.ends == ["a reason"]


async def test_a_goodbye_that_nobody_fetches_is_forgotten() -> None:
    """After the time for goodbyes."""
    async with open_engine() as world:
        await world.begin()

        world.speaker.transport.close("a reason")
        assert len(world.engine.sessions) == 1

        await world.comet.until(lambda: not world.engine.sessions)
        assert world.comet.comet.live.gate.connections == 0


async def test_a_client_that_does_not_poll_is_owed_so_much_and_no_more() -> None:
    """Then it is slow, and closed; what it could not fetch is in the store already."""
    async with open_engine(changed(CometConfig(), "live", outbox_limit=Size(1000))) as world:
        client, target = await world.begin()
        transport = world.speaker.transport

        taken = 0
        while transport.offer(framed(transport.framing, "x" * 100)):
            taken += 1

        assert taken == 9
        assert world.speaker.ends == ["slow"]
        reply = await client.get(target)
        assert reply.body == (b"4" + b"x" * 100 + b"\x1e") * 9 + b"1"


@pytest.mark.parametrize(
    ("revision", "body"),
    [
        (4, b"abc"),
        (4, b""),
        (4, b"4\xff"),
        (4, b"7"),
        (4, b"bA"),
        (3, b"abc"),
        (3, b"9:4a"),
        (3, b"x:4a"),
        (3, b"99999999999:4"),
        (3, b"2:9a"),
    ],
)
async def test_a_post_that_is_no_payload_closes_the_session(revision: int, body: bytes) -> None:
    """Whoever sends it is told, and what waits ends."""
    async with open_engine() as world:
        client, target = await world.begin(revision)
        waiting = await hold(world, target)

        assert (await client.post(target, body)).status == 400

        assert (await waiting.reply()).body == CLOSE[revision]
        assert await is_unknown(world, target)
        assert world.speaker.messages == []


@pytest.mark.parametrize(
    ("revision", "body", "reason"),
    [
        (4, b"2", "protocol: heartbeat in the wrong direction"),
        (3, b"1:3", "protocol: heartbeat in the wrong direction"),
    ],
)
async def test_a_heartbeat_in_the_wrong_direction_closes_the_session(
    revision: int, body: bytes, reason: str
) -> None:
    """The client speaks another revision than it says."""
    async with open_engine() as world:
        client, target = await world.begin(revision)

        await client.post(target, body)

        assert world.speaker.ends == [reason]


@pytest.mark.parametrize("packet", [b"0{}", b"5", b"6", b"3"])
async def test_packets_that_mean_nothing_here_are_passed_over(packet: bytes) -> None:
    """As in the original."""
    async with open_engine() as world:
        client, target = await world.begin()

        assert (await client.post(target, packet + b"\x1e4a")).body == b"ok"

        assert world.speaker.messages == ["a"]


async def test_two_posts_at_once_close_the_session() -> None:
    """Nobody could say which was first."""
    async with open_engine() as world:
        client, target = await world.begin()
        session = next(iter(world.engine.sessions.values()))
        slow = await world.connect()
        head = f"POST /engine.io/?{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4"
        await slow.send(head.encode())
        polls = session.carrier
        assert isinstance(polls, Polls)
        await world.comet.until(lambda: polls.is_posting)

        assert (await client.post(target, b"4b")).status == 400
        await slow.send(b"a")

        assert (await slow.reply()).status == 400
        assert world.speaker.messages == []
        assert world.speaker.ends == ["protocol: two posts at once"]


async def test_a_post_that_breaks_off_closes_the_session() -> None:
    """Nobody can know what its client believes to have said."""
    async with open_engine() as world:
        _, target = await world.begin()
        client = await world.connect()
        head = f"POST /engine.io/?{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n4"
        await client.send(head.encode())

        await client.stream.aclose()

        await world.comet.until(lambda: world.speaker.ends != [])
        assert world.speaker.messages == []


@pytest.mark.parametrize("said", [True, False])
async def test_a_post_that_is_too_large_closes_the_session(said: bool) -> None:
    """By its length before it is read, or as soon as it is over."""
    async with open_engine(changed(CometConfig(), "socketio", max_payload=Size(1000))) as world:
        client, target = await world.begin()
        if said:
            await client.ask("POST", target, b"4" + b"x" * 1000)
        else:
            head = f"POST /engine.io/?{target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
            await client.send(head.encode() + b"\r\n\r\n3e9\r\n4" + b"x" * 1000)

        reply = await client.reply()

        assert (reply.status, json.loads(reply.body)["code"]) == (413, 3)
        assert world.speaker.ends == ["protocol: post: over 1000 bytes"]
        assert world.speaker.messages == []


async def test_a_message_as_large_as_is_allowed_goes_both_ways() -> None:
    """A million bytes: more than the kernel takes at once."""
    async with open_engine(changed(CometConfig(), "live", outbox_limit=Size(2_000_000))) as world:
        client, target = await world.begin()
        waiting = await hold(world, target)
        body = b"4" + b"x" * 999_999

        assert (await client.post(target, body)).status == 200

        assert (await waiting.reply()).body == body


async def test_a_request_behind_a_poll_is_answered_behind_it() -> None:
    """A proxy may put several on one connection; the second poll waits in its turn."""
    async with open_engine() as world:
        _, target = await world.begin()
        client = await world.connect()
        await client.ask("GET", target)
        await client.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)
        transport = world.speaker.transport

        transport.offer(b"4one\x1e")
        assert (await client.reply()).body == b"4one"
        await world.comet.until(lambda: world.engine.polls == 1)
        transport.offer(b"4two\x1e")

        assert (await client.reply()).body == b"4two"
        assert world.speaker.ends == []


async def test_who_waits_until_nothing_is_owed_waits_for_the_poll() -> None:
    """A replay goes on as fast as its client polls."""
    async with open_engine() as world:
        client, target = await world.begin()
        transport = world.speaker.transport
        transport.offer(b"4one\x1e")
        drained = []

        async def wait() -> None:
            await transport.drained()
            drained.append(True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
            await wait_all_tasks_blocked(0.01)
            assert drained == []
            await client.get(target)
        await transport.drained()

        assert drained == [True, True]


async def test_a_poll_during_an_upgrade_ends_soon() -> None:
    """Its client may say `5` only when no poll is under way."""
    async with open_engine() as world:
        client, target = await world.begin()
        waiting = await hold(world, target)
        socket = await world.connect()
        await socket.upgrade(target.replace("polling", "websocket"))

        await socket.say("2probe")
        assert await socket.hear() == "3probe"
        assert (await waiting.reply()).body == b"6"
        began = trio.current_time()
        assert (await client.get(target)).body == b"6"

        assert trio.current_time() - began >= PROBE_PATIENCE
        await socket.say("5")
        await socket.say("4hello")
        assert await socket.hear() == "4hello"


async def test_a_poll_that_meets_the_end_of_an_upgrade_is_refused() -> None:
    """Whichever of the two comes first: its session is on the WebSocket."""
    async with open_engine() as world:
        client, target = await world.begin()
        socket = await world.connect()
        await socket.upgrade(target.replace("polling", "websocket"))
        await socket.say("2probe")
        assert await socket.hear() == "3probe"
        world.speaker.transport.offer(b"4owed\x1e")

        await client.ask("GET", target)
        await wait_all_tasks_blocked(0.01)
        await socket.say("5")

        assert (await client.reply()).status == 400
        assert await socket.hear() == "4owed"
        assert (await client.get(target)).status == 400
        assert (await client.post(target, b"4a")).status == 400
        await socket.say("4hello")
        assert await socket.hear() == "4hello"
        assert world.speaker.messages == ["hello"]


async def test_a_poll_beside_a_websocket_that_does_not_probe_is_held() -> None:
    """It may never do more: what is due is not kept from the client for it."""
    async with open_engine() as world:
        client, target = await world.begin()
        socket = await world.connect()
        await socket.upgrade(target.replace("polling", "websocket"))

        await client.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)
        world.speaker.transport.offer(b"4due\x1e")

        assert (await client.reply()).body == b"4due"


async def test_a_poll_that_comes_before_a_hasty_upgrade_is_refused_too() -> None:
    """The client said `2probe` and `5` together, and polled before we read them."""
    async with open_engine() as world:
        client, target = await world.begin()
        socket = await world.connect()
        await socket.upgrade(target.replace("polling", "websocket"))

        await client.ask("GET", target)
        await wait_all_tasks_blocked(0.01)
        await socket.say("2probe")
        await socket.say("5")

        assert (await client.reply()).status == 400


async def test_a_poll_that_waits_when_a_hasty_client_upgrades_is_refused() -> None:
    """`5` without a probe, or in spite of the poll: the session goes on all the same."""
    async with open_engine() as world:
        _, target = await world.begin()
        waiting = await hold(world, target)
        socket = await world.connect()
        await socket.upgrade(target.replace("polling", "websocket"))

        await socket.say("5")

        assert (await waiting.reply()).status == 400
        await socket.say("4hello")
        assert await socket.hear() == "4hello"


async def test_an_answer_of_revision_4_has_no_more_packets_than_every_client_takes() -> None:
    """python-engineio hangs up on more than 16: the rest is due at once, and so is the goodbye."""
    async with open_engine() as world:
        client, target = await world.begin()
        transport = world.speaker.transport
        said = [b"4%d" % number for number in range(40)]
        for packet in said:
            transport.offer(packet + b"\x1e")
        transport.close("enough")

        heard: list[bytes] = []
        while heard[-1:] != [b"1"]:
            packets = (await client.get(target)).body.split(b"\x1e")
            assert len(packets) <= 16
            heard += packets

        assert heard == [*said, b"1"]
        assert await is_unknown(world, target)


async def test_a_post_is_whole_in_time_or_its_session_ends() -> None:
    """However steadily a byte comes now and then: it would hold a connection and the session for ever."""
    config = changed(CometConfig(), "socketio", body_timeout=Duration(0.3))
    async with open_engine(config) as world:
        client, target = await world.begin()
        head = (
            f"POST /engine.io/?{target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n"
        )
        await client.send(head.encode())

        async def dribble() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await client.send(b"x")
                    await trio.sleep(0.01)  # of its body, and not to synchronise

        async with trio.open_nursery() as dribbling:
            dribbling.start_soon(dribble)
            assert (await client.reply()).status == 408
            dribbling.cancel_scope.cancel()

        assert world.speaker.ends == ["protocol: post: not whole within 0.3 s"]
        assert world.engine.bodies.held == 0
