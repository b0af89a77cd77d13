"""What strangers may send to Engine.IO: it costs them their session, and nobody else anything."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from appmodel.core.units import Duration
from comet.config import CometConfig
from tests.comet.engine_world import EngineClient, EngineWorld, open_engine
from tests.comet.world import changed, client_frame

DEFAULTS = CometConfig()
FEW = settings(max_examples=25, deadline=None)
SOON = Duration(0.05)
VALUES = st.sampled_from(
    ["polling", "websocket", "3", "4", "", "x", "0", "%00", "%ff", "__proto__", "9" * 50, "%C3%A9"]
)
NAMES = st.sampled_from(["EIO", "transport", "sid", "j", "b64", "t", ""])
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "DELETE"])
PACKETS = st.one_of(
    st.sampled_from(["2probe", "5", "2", "3", "1", "4a", "6", "0", "b", "bAQ", "b4AQ", ""]),
    st.text(max_size=5),
    st.binary(max_size=5),
)
DEEDS = st.sampled_from(["poll", "post", "knock", "probe", "upgrade", "hang up", "close"])


async def still_works(world: EngineWorld) -> None:
    """A client of good will is served, and there was no bug."""
    client, target = await world.begin()
    assert (await client.post(target, b"4a")).body == b"ok"
    assert (await client.get(target)).body == b"4a"
    assert world.comet.comet.live.poller.bugs == 0
    assert world.door.refused["bug"] == 0


@FEW
@given(asked=st.lists(st.tuples(METHODS, QUERIES), max_size=10))
async def test_any_query_is_answered(asked: list[tuple[str, str]]) -> None:
    """With a session or a refusal, never with a failure of ours."""
    async with open_engine() as world:
        for method, query in asked:
            client = await world.connect()
            await client.ask(method, query, b"4x" if method == "POST" else b"")
            assert (await client.reply()).status in {200, 204, 400}
        await still_works(world)


@FEW
@given(bodies=st.lists(st.tuples(st.binary(max_size=30), st.booleans()), min_size=1, max_size=5))
async def test_any_post_is_answered(bodies: list[tuple[bytes, bool]]) -> None:
    """In both revisions, as text, bytes or a form; and whoever is refused has no session any more."""
    async with open_engine() as world:
        for body, is_binary in bodies:
            for revision, more in ((3, ""), (4, ""), (3, "&j=1")):
                client, target = await world.begin(revision, more)
                kind = "application/octet-stream" if is_binary else "text/plain"
                reply = await client.post(target, body, Content_Type=kind)
                assert reply.status in {200, 400}
                assert reply.status == 200 or world.speaker.ends != []
        await still_works(world)


@FEW
@given(packets=st.lists(PACKETS, min_size=1, max_size=6), revision=st.sampled_from([3, 4]))
async def test_any_packet_is_survived(packets: list[str | bytes], revision: int) -> None:
    """On a WebSocket that carries a session, and on one that is to."""
    async with open_engine() as world:
        _, target = await world.begin(revision)
        probing = await world.connect()
        await probing.upgrade(target.replace("polling", "websocket"))
        for client in (probing, await world.websocket(revision)):
            try:
                for packet in packets:
                    await client.say(packet)
            except trio.BrokenResourceError:
                pass  # an earlier one ended it
        await wait_all_tasks_blocked(0.01)
        await still_works(world)


@FEW
@given(deeds=st.lists(st.tuples(DEEDS, st.integers(0, 2)), max_size=12))
async def test_any_order_of_deeds_is_survived(deeds: list[tuple[str, int]]) -> None:
    """Polls, posts, probes and upgrades of one session by three connections, in any order.

    However it ends, it ends once, and every place, poll and socket is given back.
    """
    async with open_engine() as world:
        first, target = await world.begin()
        hands = [await world.connect() for _ in range(3)]
        for deed, number in deeds:
            if deed == "close":
                world.speaker.transport.close("enough")
            else:
                hands[number] = await do(deed, hands[number], target, world)
            await wait_all_tasks_blocked(0.001)
        for hand in (first, *hands):
            await hand.stream.aclose()
        world.speaker.transport.close("the end")
        for session in list(world.engine.sessions.values()):
            session.drop("the end")
        await world.comet.until(lambda: len(world.comet.comet.live.poller) == 0)

        assert len(world.speaker.ends) == 1
        assert world.engine.polls == 0
        assert world.comet.comet.live.gate.connections == 0
        await still_works(world)


async def do(deed: str, hand: EngineClient, target: str, world: EngineWorld) -> EngineClient:
    """One deed, after which the hand may be another one."""
    try:
        match deed:
            case "poll":
                await hand.ask("GET", target)
            case "post":
                await hand.ask("POST", target, b"4a")
            case "knock":
                await hand.ask("GET", target.replace("polling", "websocket"), b"", **UPGRADE)
            case "probe":
                await hand.say("2probe")
            case "upgrade":
                await hand.say("5")
            case _:
                await hand.stream.aclose()
                return await world.connect()
    except trio.BrokenResourceError:
        return await world.connect()  # the server has ended it
    return hand


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def test_half_requests_have_their_time_and_no_more() -> None:
    """Of a head, and of a post; a session whose post never ends is closed."""
    async with open_engine(head_timeout=SOON, body_timeout=SOON) as world:
        head = await world.connect()
        await head.send(b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHo")
        _, target = await world.begin()
        post = await world.connect()
        await post.send(
            f"POST /engine.io/?{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n4".encode()
        )

        assert (await head.reply()).status == 408
        assert (await post.reply()).status == 408
        assert world.speaker.ends == ["connection lost"]
        await still_works(world)


async def test_a_body_beside_a_handshake_is_not_read() -> None:
    """However large it says it is."""
    async with open_engine() as world:
        for target in ("EIO=4&transport=polling", "EIO=4&transport=polling&sid=x"):
            for method in ("GET", "POST"):
                client = await world.connect()
                head = f"{method} /engine.io/?{target} HTTP/1.1\r\nHost: a\r\n"
                await client.send(head.encode() + b"Content-Length: 999999999999\r\n\r\n4")
                reply = await client.reply()
                assert reply.status in {400, 413}
                assert reply.headers["connection"] == "close"
        assert world.engine.sessions == {}
        await still_works(world)


async def test_a_flood_of_guessed_sids_finds_nobody() -> None:
    """And costs no session, no place and no memory."""
    async with open_engine() as world:
        _, target = await world.begin()
        client = await world.connect()

        for number in range(200):
            guess = await client.get(f"EIO=4&transport=polling&sid={number}")
            assert guess.status == 400
        near = target[:-4] + "xxxx"

        assert (await client.get(near)).status == 400
        assert len(world.engine.sessions) == 1


async def test_a_flood_of_sessions_meets_the_limits_of_its_address() -> None:
    """Others are not hindered: here, those that have one."""
    async with open_engine(changed(DEFAULTS, "limits", per_address=5)) as world:
        client, target = await world.begin()
        flood = await world.connect()

        replies = [(await flood.get("EIO=4&transport=polling")).status for _ in range(20)]

        assert replies.count(200) == 4
        assert set(replies[4:]) == {503}
        assert (await client.post(target, b"4a")).status == 200


async def test_a_post_of_very_many_packets_is_refused_whole() -> None:
    """Before any of them counts."""
    settings = changed(DEFAULTS, "socketio", packets_per_second=100)
    async with open_engine(settings) as world:
        client, target = await world.begin()

        reply = await client.post(target, b"\x1e".join([b"4a"] * 101))

        assert reply.status == 400
        assert world.speaker.messages == []


async def test_posts_in_a_row_count_together() -> None:
    """Too many packets in a second, in however many posts."""
    settings = changed(DEFAULTS, "socketio", packets_per_second=100)
    async with open_engine(settings) as world:
        client, target = await world.begin()

        replies = [await client.post(target, b"\x1e".join([b"4a"] * 60)) for _ in range(2)]

        assert world.speaker.ends in ([], ["too many packets"])  # a second may have begun between
        assert len(world.speaker.messages) in {100, 120}
        assert replies[0].status == 200


@pytest.mark.parametrize("behind", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 10_000])
async def test_bytes_behind_a_poll_do_not_fill_the_memory(behind: bytes) -> None:
    """They are left to the kernel until the poll is answered, then they are judged."""
    async with open_engine() as world:
        _, target = await world.begin()
        client = await world.connect()
        await client.ask("GET", target)
        await world.comet.until(lambda: world.engine.polls == 1)
        poller = world.comet.comet.live.poller

        await client.send(behind)
        await world.comet.until(lambda: len(poller) == 0)
        world.speaker.transport.offer(b"4due\x1e")

        assert (await client.reply()).body == b"4due"
        assert (await client.reply()).status in {400, 404}


async def test_a_fragmented_message_is_bounded_too() -> None:
    """By its parts together."""
    async with open_engine() as world:
        client = await world.websocket()
        part = b"x" * 125

        await client.send(client_frame(b"4", 0x01))
        try:
            for _ in range(100):
                await client.send(client_frame(part, 0x00) * 100)
        except trio.BrokenResourceError:
            pass  # it was closed before we ended

        await world.comet.until(lambda: world.speaker.ends != [])
        assert world.speaker.ends == ["protocol: message over 1000000 bytes"]
