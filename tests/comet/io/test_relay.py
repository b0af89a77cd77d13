"""A session lives on one comet; its requests may come in on any, and nobody can tell the difference."""

import os
import socket
import ssl
from contextlib import closing, suppress
from pathlib import Path
from unittest.mock import Mock

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from appmodel.core.cluster import Node, Role
from appmodel.core.units import Duration, Size
from appmodel.io.listener import tls_context
from appmodel.io.wire import Wire
from comet.core.relaying import process_tag
from comet.protocol.websocket import BINARY, frame
from tests.comet.engine_world import EngineClient
from tests.comet.several import Cluster, settled
from tests.comet.site import ON, open_site
from tests.comet.world import changed, client_frame

CERTIFICATE = Path(__file__).parents[2] / "data" / "localhost.pem"
UPGRADE = (
    "GET /engine.io/?{target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
BURST = 200  # more than a comet hears strangers of one address
PACKETS = {3: "6:4hello", 4: "4hello"}


@pytest.mark.parametrize("revision", [3, 4])
async def test_requests_of_one_session_may_land_anywhere(revision: int) -> None:
    """Each on another comet and another connection, as a balancer that knows nothing sends them."""
    async with open_site("a", "b", "c") as site:
        target = await site.begin("a", revision)

        for turn in range(6):
            poster, poller = "abc"[turn % 3], "bca"[turn % 3]
            posted = await (await site.connect(poster)).post(target, PACKETS[revision].encode())
            polled = await (await site.connect(poller)).get(target)

            assert (posted.status, posted.body) == (200, b"ok")
            assert polled.body == PACKETS[revision].encode()
        assert len(site.heard) == 1
        assert site.heard[0].messages == ["hello"] * 6


async def test_one_connection_may_carry_requests_of_many_sessions() -> None:
    """As that of an HTTP balancer to a comet does."""
    async with open_site("a", "b", "c") as site:
        targets = [await site.begin(name) for name in "abc"]
        client = await site.connect("a")

        for turn in range(9):
            target, said = targets[turn % 3], f"4turn {turn}".encode()
            assert (await client.post(target, said)).body == b"ok"
            assert (await client.get(target)).body == said

        assert [len(echo.messages) for echo in site.heard] == [3, 3, 3]
        relay = site.world("a").comet.socketio.relay
        assert (relay.relayed, relay.failed) == (12, 0)


async def test_a_poll_waits_where_it_landed_without_a_task() -> None:
    """And is answered when something is due."""
    async with open_site("a", "b") as site:
        target = await site.begin("a")
        client = await site.connect("b")
        relay = site.world("b").comet.socketio.relay
        await wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living

        await client.ask("GET", target)
        await site.world("a").until(lambda: site.world("a").comet.socketio.engine.polls == 1)

        await wait_all_tasks_blocked()
        assert len(relay.exchanges) == 1
        # the client's connection had a task before the request, and the tunnel brought none
        assert trio.lowlevel.current_statistics().tasks_living <= before
        site.heard[0].transport.offer(b"4news\x1e")
        assert (await client.reply()).body == b"4news"
        assert not relay.exchanges


async def test_a_client_that_hangs_up_is_noticed_at_home() -> None:
    """As if its poll had landed there."""
    async with open_site("a", "b") as site:
        target = await site.begin("a")
        client = await site.connect("b")
        await client.ask("GET", target)
        await site.world("a").until(lambda: site.world("a").comet.socketio.engine.polls == 1)

        await client.stream.aclose()

        await site.world("a").until(lambda: site.heard[0].ends == ["connection lost"])
        assert not site.world("b").comet.socketio.relay.exchanges
        assert not site.world("a").comet.socketio.engine.sessions


async def test_tunnels_are_used_again() -> None:
    """A request costs no connection between comets."""
    async with open_site("a", "b") as site:
        target = await site.begin("a")
        client = await site.connect("b")

        for _ in range(5):
            await client.post(target, b"4hello")
            await client.get(target)

        tunnels = site.world("b").comet.socketio.relay.tunnels
        assert tunnels.idle(site.world("a").comet.node) == 1


async def test_a_tunnel_that_was_closed_is_not_used_again() -> None:
    """The other comet may have let go of it meanwhile."""
    async with open_site("a", "b") as site:
        target = await site.begin("a")
        client = await site.connect("b")
        await client.post(target, b"4hello")
        [[(wire, _)]] = site.world("b").comet.socketio.relay.tunnels._idle.values()
        for connection in tuple(
            site.world("a").comet.socketio.relay_entrance._front._service.connections
        ):
            connection._wire.close()
        await site.world("b").until(lambda: wire.receive_nowait(1) == b"")

        assert (await client.get(target)).body == b"4hello"


@pytest.mark.parametrize("revision", [3, 4])
async def test_an_upgrade_may_land_anywhere(revision: int) -> None:
    """Then both sockets are one, without a task; what is said goes both ways."""
    async with open_site("a", "b") as site:
        target = await site.begin("a", revision)
        client = await site.connect("b")
        await wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living

        await site.move_to_websocket(client, target)
        for said in ("4hello", "4" + "x" * 1000):
            await client.say(said[:120])
            assert await client.hear() == said[:120]

        relay = site.world("b").comet.socketio.relay
        assert (relay.spliced, relay.upgraded) == (1, 1)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living <= before
        await client.stream.aclose()
        await site.world("b").until(lambda: relay.spliced == 0)
        await site.world("a").until(lambda: site.heard[0].ends == ["client closed"])


async def test_a_session_that_ends_closes_its_websocket_with_a_goodbye() -> None:
    """The close frame comes through, and nothing is left."""
    async with open_site("a", "b") as site:
        target = await site.begin("a")
        client = await site.connect("b")
        await site.move_to_websocket(client, target)
        await client.say("4hello")
        await client.hear()

        site.heard[0].transport.close("enough")

        assert await client.hear() == "close 1000"
        assert await client.hear() == "end"
        await client.stream.aclose()
        await site.world("b").until(lambda: site.world("b").comet.socketio.relay.spliced == 0)
        await site.world("a").until(lambda: not site.world("a").comet.socketio.engine.sessions)


async def test_much_that_is_said_at_once_arrives() -> None:
    """The session's own brake works through a splice (test_splice.py): nobody is taken for slow."""
    small = changed(ON, "live", send_buffer=Size(64 * 1024), receive_buffer=Size(64 * 1024))
    async with open_site("a", "b", config=small) as site, trio.open_nursery() as nursery:
        target = await site.begin("a")
        client = await site.connect("b")
        await site.move_to_websocket(client, target)
        await client.say("4hello")
        await client.hear()
        transport = site.heard[0].transport
        big = bytes(900_000)  # below what a session may owe

        async def send_much() -> None:
            for _ in range(8):
                await transport.drained()
                assert transport.offer(frame(BINARY, big))

        nursery.start_soon(send_much)

        for _ in range(8):
            assert await client.hear() == big
        assert transport.is_open


async def test_what_a_client_says_behind_its_request_is_not_lost() -> None:
    """It need not wait for the 101."""
    async with open_site("a", "b") as site:
        target = (await site.begin("a")).replace("polling", "websocket")
        client = await site.connect("b")
        await client.send(UPGRADE.format(target=target).encode() + client_frame(b"2probe"))

        assert (await client.reply()).status == 101
        assert await client.hear() == "3probe"


async def test_what_a_comet_says_behind_its_101_is_not_lost() -> None:
    """Both may come in one read."""
    async with open_site("a", "b") as site:
        relay, answer = (
            site.world("b").comet.socketio.relay,
            b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
        )
        with closing(socket.create_server(("127.0.0.1", 0))) as listening:

            async def answer_at_once(node: Node, purpose: str, /) -> Wire:
                stream = await trio.open_tcp_stream(*listening.getsockname())
                home, _ = listening.accept()
                home.sendall(answer + b"\x81\x03hey")
                homes.append(home)
                return Wire(socket.socket(fileno=stream.socket.detach()))

            homes: list[socket.socket] = []
            relay.tunnels._open_tunnel = answer_at_once
            target = (await site.begin("a")).replace("polling", "websocket")
            client = await site.connect("b")
            await client.send(UPGRADE.format(target=target).encode())

            assert (await client.reply()).status == 101
            assert await client.hear() == "hey"
            homes[0].close()


async def test_tls_ends_where_the_client_is() -> None:
    """What OpenSSL has read with the request is not forgotten when the sockets become one."""
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    async with open_site("a", "b", tls=tls_context(CERTIFICATE, CERTIFICATE)) as site:
        target = await site.begin("a", tls=trusting)
        client = await site.connect("b", trusting)
        assert (await client.post(target, b"4hello")).body == b"ok"
        assert (await client.get(target)).body == b"4hello"

        await site.move_to_websocket(client, target)
        for size in (10, 70_000, 200_000):
            data = bytes(size)
            await client.send(masked(b"4" + b"x" * 50) + masked(data, 0x82))
            assert await client.hear() == "4" + "x" * 50
            assert await client.hear() == data

        assert site.world("b").comet.socketio.relay.spliced == 1


def masked(payload: bytes, first: int = 0x81) -> bytes:
    """A client's frame of any size; the mask is zero."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    return bytes([first]) + length + bytes(4) + payload


async def test_a_session_that_is_nowhere_is_unknown_everywhere() -> None:
    """Its comet has gone, or never was; or has forgotten it."""
    async with open_site("a", "b") as site:
        gone = Node(Role.COMET, "gone", 1)
        for sid in ("x", f"x.{process_tag(gone)}", "x." + process_tag(site.world("a").comet.node)):
            client = await site.connect("b")

            reply = await client.get(f"EIO=4&transport=polling&sid={sid}")

            assert (reply.status, reply.body) == (
                400,
                b'{"code":1,"message":"Session ID unknown"}',
            )


async def test_an_upgrade_of_an_unknown_session_is_refused() -> None:
    """Its comet says so; the connection can ask again."""
    async with open_site("a", "b") as site:
        sid = "x." + process_tag(site.world("a").comet.node)
        client = await site.connect("b")

        for _ in range(2):
            await client.ask(
                "GET",
                f"EIO=4&transport=websocket&sid={sid}",
                Upgrade="websocket",
                Connection="Upgrade",
                Sec_WebSocket_Version="13",
                Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
            )
            assert (await client.reply()).status == 400


async def test_a_comet_that_leaves_ends_what_waits_for_it() -> None:
    """The client hears an error at once, and begins anew."""
    async with open_site("a", "b") as site:
        target = await site.begin("a")
        client = await site.connect("b")
        await client.ask("GET", target)
        await site.world("a").until(lambda: site.world("a").comet.socketio.engine.polls == 1)

        site.world("a").comet.live.poller.close()

        assert (await client.reply()).status == 502
        await cluster_without(site.cluster, "a")
        assert (await client.get(target)).status == 400


async def cluster_without(cluster: Cluster, name: str) -> None:
    """That comet is not in the registry any more."""
    await cluster.registry.withdraw(cluster.worlds[name].comet.node)
    del cluster.worlds[name]
    await settled(cluster)


async def test_a_comet_that_hangs_is_waited_for_as_long_as_a_poll_may_take() -> None:
    """Then the client hears an error."""
    async with open_site("a", "b") as site:
        relay = site.world("b").comet.socketio.relay
        with closing(socket.create_server(("127.0.0.1", 0))) as silent:

            async def hang(node: Node, purpose: str, /) -> Wire:
                stream = await trio.open_tcp_stream(*silent.getsockname())
                return Wire(socket.socket(fileno=stream.socket.detach()))

            relay.tunnels._open_tunnel = hang
            client = await site.connect("b")
            await client.ask("GET", await site.begin("a"))
            await site.world("b").until(lambda: len(relay.exchanges) == 1)
            [exchange] = relay.exchanges
            due = exchange.due_at()
            assert due is not None
            assert due - trio.current_time() > relay.patience

            exchange.expire(due)

            assert (await client.reply()).status == 502
            assert exchange.due_at() is None


async def test_a_comet_that_stops_ends_what_it_relays() -> None:
    """It waits for nobody."""
    async with open_site("a", "b") as site:
        poll, upgraded = await site.begin("a"), await site.begin("a")
        polling, carried = await site.connect("b"), await site.connect("b")
        await polling.ask("GET", poll)
        await site.move_to_websocket(carried, upgraded)
        relay = site.world("b").comet.socketio.relay
        await site.world("b").until(lambda: (len(relay.exchanges), relay.spliced) == (1, 1))

        relay.close()

        assert (await polling.reply()).status == 502
        with suppress(trio.BrokenResourceError):
            assert await carried.hear() == "end"
        assert (len(relay.exchanges), relay.spliced) == (0, 0)


async def test_too_long_a_post_ends_its_session_wherever_it_lands() -> None:
    """As at home; with one byte less it is a post like any other."""
    config = changed(ON, "socketio", max_payload=Size(5000))
    async with open_site("a", "b", config=config) as site:
        target = await site.begin("a")
        good = await (await site.connect("b")).post(target, b"4" + b"x" * 4999)
        bad = await (await site.connect("b")).post(target, b"4" + b"x" * 5000)

        assert (good.status, bad.status) == (200, 413)
        await site.world("a").until(lambda: not site.world("a").comet.socketio.engine.sessions)
        assert site.heard[0].ends == ["protocol: post: over 5000 bytes"]
        relay = site.world("b").comet.socketio.relay
        await site.world("b").until(lambda: not relay.exchanges)


async def test_what_cannot_be_watched_is_not_relayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing stays of it: its tunnel is closed, and its place at the limit free."""
    async with open_site("a", "b") as site:
        target = await site.begin("a")
        relay = site.world("b").comet.socketio.relay
        client = await site.connect("b")
        with monkeypatch.context() as patch:
            patch.setattr(relay.live.poller, "add", Mock(side_effect=OSError("no space left")))
            refused = await client.get(target)

        assert refused.status == 400
        assert not relay.exchanges
        await site.world("a").until(lambda: site.heard[0].ends == ["connection lost"])


async def test_a_client_that_cannot_be_watched_has_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That it hangs up is noticed late; nothing else is lost."""
    async with open_site("a", "b") as site:
        target = await site.begin("a")
        relay = site.world("b").comet.socketio.relay
        client = await site.connect("b")
        add = relay.live.poller.add
        with monkeypatch.context() as patch:
            patch.setattr(relay.live.poller, "add", Mock(side_effect=[None, OSError("no space")]))
            patch.setattr(relay.live.poller, "remove", Mock())
            await client.ask("GET", target)
            await site.world("b").until(lambda: relay.live.poller.add.call_count == 2)  # type: ignore[attr-defined]  # the mock
        [exchange] = relay.exchanges
        add(exchange._wire, exchange)

        site.heard[0].transport.offer(b"4news\x1e")

        assert (await client.reply()).body == b"4news"
        assert not relay.exchanges


async def test_there_is_a_limit() -> None:
    """Of what other comets' sessions may cost this one."""
    few = changed(ON, "cluster", relayed=1)
    async with open_site("a", "b", config=few) as site:
        first, second = await site.begin("a"), await site.begin("a")
        client, other = await site.connect("b"), await site.connect("b")
        await client.ask("GET", first)
        await site.world("a").until(lambda: site.world("a").comet.socketio.engine.polls == 1)

        assert (await other.get(second)).status == 503


async def test_all_that_come_at_once_are_relayed() -> None:
    """As after a push that has answered all polls: tunnels are opened a few at a time, and none is refused."""
    async with open_site("a", "b") as site:
        targets = [await site.begin("a") for _ in range(BURST)]
        clients = [await site.connect("b") for _ in targets]
        for client, target in zip(clients, targets, strict=True):
            request = f"GET /engine.io/?{target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            assert isinstance(client.stream, trio.SocketStream)
            os.write(client.stream.socket.fileno(), request.encode())  # all before any is read

        engine = site.world("a").comet.socketio.engine
        await site.world("a").until(lambda: engine.polls == BURST)

        assert site.world("b").comet.socketio.relay.failed == 0


async def test_posts_that_are_never_whole_hold_nothing() -> None:
    """A byte now and then is no reason to wait, also where the session is not; then the place is free."""
    config = changed(ON, "socketio", body_timeout=Duration(0.3))
    async with open_site("a", "b", config=config) as site:
        target = await site.begin("a")
        relay = site.world("b").comet.socketio.relay
        client = await site.connect("b")
        head = (
            f"POST /engine.io/?{target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n"
        )
        await client.send(head.encode())
        async with trio.open_nursery() as dribbling:
            dribbling.start_soon(dribble, client)

            assert (await client.reply()).status == 408
            dribbling.cancel_scope.cancel()

        assert relay._coming == relay._bodies.held == 0
        assert (
            site.heard[0].ends == []
        )  # whoever knows the sid could do so, but nobody has heard it


async def dribble(client: EngineClient) -> None:
    """A byte, and again a byte."""
    with suppress(trio.BrokenResourceError):
        while True:
            await client.send(b"x")
            await trio.sleep(0.01)  # of its body, and not to synchronise


async def test_posts_for_other_comets_share_a_bound() -> None:
    """Strangers may send as many as they like with sids that they made up: no more is kept of them than that."""
    config = changed(ON, "socketio", max_payload=Size(5000), bodies=Size(8000))
    async with open_site("a", "b", config=config) as site:
        relay = site.world("b").comet.socketio.relay
        sid = "made-up." + process_tag(site.world("a").comet.node)
        target = f"EIO=4&transport=polling&sid={sid}"
        half = (
            f"POST /engine.io/?{target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n"
        )
        first, second = await site.connect("b"), await site.connect("b")
        await first.send(half.encode() + b"4" * 4999)
        await site.world("b").until(lambda: relay._bodies.held == 4999)

        refused = await second.post(target, b"4" * 5000)
        await first.send(b"4")

        assert refused.status == 503
        assert (await first.reply()).status == 400
        assert relay._bodies.held == 0


async def test_who_is_refused_by_another_comet_does_not_go_on() -> None:
    """Its connection was taken from those that are counted when it waited: sids that are made up are no way around."""
    async with open_site("a", "b") as site:
        client = await site.connect("b")
        sid = "made-up." + process_tag(site.world("a").comet.node)

        refused = await client.get(f"EIO=4&transport=polling&sid={sid}")

        assert (refused.status, refused.headers["connection"]) == (400, "close")
        assert await client.read_until(b"never") == b""
