r"""Byte dialogues of subscribing clients: every row of spec/gopush.md 1.1, 1.2, 1.3 and 1.12.

">" what the client sends, "<" what the server must answer; "<." the server ends the connection.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.cluster import Node, Role
from appmodel.core.names import parse_key
from appmodel.core.units import Duration, Size
from appmodel.io.listener import tls_context
from comet.config import CometConfig
from tests.comet.world import (
    HANDSHAKE,
    UPGRADED,
    Client,
    World,
    changed,
    client_frame,
    open_comet,
    pass_time,
    request,
    text_frame,
)

BEAT = b"+h\r\n"
CERTIFICATE = Path(__file__).parents[1] / "data" / "localhost.pem"
TWO_NODES = [Node(Role.COMET, "node1"), Node(Role.COMET, "node2")]
MINE, NOT_MINE = "user@user", "t1"  # on a ring of node1 and node2
NO_PATIENCE = changed(CometConfig(), "live", ring_timeout=Duration(0))


@dataclass(frozen=True)
class Row:
    """One row of a table: what a client sends, and what it gets until the server ends."""

    name: str
    sent: bytes
    answer: bytes


TCP_REFUSALS = [
    # 1.1 row 1, and the parsing rules of 1.3
    Row("row 1: not a request", b"GET / HTTP/1.1\r\n\r\n", b""),
    Row("count 0", b"*0\r\n", b""),
    Row("count above the limit", b"*7\r\n", b""),
    Row("count not a number", b"*x\r\n", b""),
    Row("header line without CR", b"*3\n", b""),
    Row("header line too short", b"*\r\n", b""),
    Row("wrong mark", b"*1\r\n*3\r\nsub\r\n", b""),
    Row("data longer than its length", b"*1\r\n$3\r\nsubs\r\n", b""),
    Row("data shorter than its length", b"*1\r\n$5\r\nsub\r\n$$\r\n", b""),
    Row("S6: a negative length", b"*1\r\n$-1\r\n\n", b""),
    Row("endless line", b"*" + b"1" * 64, b""),
    # 1.1 rows 2 to 6
    Row("row 2: unknown command", request("pub", "k", "30"), b"-p\r\n"),
    Row("row 2: SUB in capitals", request("SUB", "k", "30"), b"-p\r\n"),
    Row("row 3: no heartbeat", request("sub", "k"), b"-p\r\n"),
    Row("row 3: no key", request("sub"), b"-p\r\n"),
    Row("row 4: empty key", request("sub", "", "30"), b"-p\r\n"),
    Row("row 4: key is not UTF-8", b"*3\r\n$3\r\nsub\r\n$1\r\n\xff\r\n$2\r\n30\r\n", b"-p\r\n"),
    Row("row 5: heartbeat is no number", request("sub", "k", "abc"), b"-p\r\n"),
    Row("row 5: heartbeat is a fraction", request("sub", "k", "30.5"), b"-p\r\n"),
    Row("row 5: heartbeat is empty", request("sub", "k", ""), b"-p\r\n"),
    Row("row 6: heartbeat under 30", request("sub", "k", "29"), b"-p\r\n"),
    Row("row 6: negative heartbeat", request("sub", "k", "-30"), b"-p\r\n"),
    # 1.12: what is not a heartbeat ends the connection without a word
    Row("a byte other than h", request("sub", "k", "30") + b"x", BEAT),
    Row("CR is no heartbeat", request("sub", "k", "30") + b"h\r\n", BEAT * 2),
    # version 2 is told why
    Row(
        "version 2, row 6",
        request("sub", "k", "29", "", "2"),
        b"-p\r\n-x 4400 heartbeat: got '29', expected at least 30 seconds\r\n",
    ),
    Row(
        "version 2, bad byte",
        request("sub", "k", "30", "", "2") + b"x",
        BEAT + b"-x 4400 byte 0x78 is not a heartbeat\r\n",
    ),
]


@pytest.mark.parametrize("row", TCP_REFUSALS, ids=lambda row: row.name)
async def test_tcp_refusals(row: Row) -> None:
    """The reply of each check, in the original's order, and then the end."""
    async with open_comet() as world:
        client = await world.tcp(row.sent)

        assert await client.read_all() == row.answer


TCP_WELCOMES = [
    Row("minimal", b"*3\r\n$3\r\nsub\r\n$9\r\nTerry-Mao\r\n$2\r\n30\r\n", BEAT),
    Row(
        "empty token and version 1.0",
        b"*5\r\n$3\r\nsub\r\n$9\r\nTerry-Mao\r\n$2\r\n30\r\n$0\r\n\r\n$3\r\n1.0\r\n",
        BEAT,
    ),
    Row("explicit signs", b"*+3\r\n$+3\r\nsub\r\n$1\r\nk\r\n$3\r\n+30\r\n", BEAT),
    Row("length in bytes", request("sub", "中文", "30"), BEAT),
    Row("two heartbeats, two answers", request("sub", "k", "30") + b"hh", BEAT * 3),
]


@pytest.mark.parametrize("row", TCP_WELCOMES, ids=lambda row: row.name)
async def test_tcp_welcomes(row: Row) -> None:
    """Rows 11 and 12, and the worked traces of 1.4."""
    async with open_comet() as world:
        client = await world.tcp(row.sent)

        assert await client.read(len(row.answer)) == row.answer
        assert world.comet.live.hub.subscribers == 1


async def test_the_first_tcp_request_has_five_seconds(mock_clock: MockClock) -> None:
    """Counted from accept, not from the last byte."""
    async with open_comet() as world:
        client = await world.tcp(b"*3\r\n$3\r\n")
        await wait_all_tasks_blocked(0.05)
        mock_clock.jump(3)
        await client.send(b"sub\r\n")
        await wait_all_tasks_blocked(0.05)
        mock_clock.jump(2.1)

        assert await client.read_all() == b""


async def test_row_7_another_comets_key() -> None:
    """`-n` on both transports, if comets shall not serve each other's keys; version 2 is served."""
    config = changed(CometConfig(), "cluster", wrong_node="refuse", attach_timeout=Duration(0))
    async with open_comet(config, nodes=TWO_NODES) as world:
        tcp = await world.tcp(request("sub", NOT_MINE, "30"))
        ws = await world.ws(f"/sub?key={NOT_MINE}&heartbeat=30")
        native = await world.ws(f"/sub?key={NOT_MINE}&heartbeat=30&ver=2")

        assert await tcp.read_all() == b"-n\r\n"
        assert await ws.read_all() == text_frame(b"-n\r\n")
        assert await native.read(6) == text_frame(BEAT)


async def test_row_7_nobodys_key() -> None:
    """`-n` also where no comet is registered; version 2 hears that the key is elsewhere."""
    async with open_comet(NO_PATIENCE, nodes=[]) as world:
        native = await world.ws("/sub?key=k&heartbeat=30&ver=2")

        assert await native.read_all() == text_frame(b"-n\r\n") + b"\x88\x07\x0f\xa0moved"


async def test_rows_8_and_9_tickets() -> None:
    """`-a` for a bad ticket. `-c` is never sent: a key needs no channel before its first client."""
    async with open_comet(auth=True) as world:
        ticket = world.credentials.issue_ticket(parse_key("k"), now=world.now(), ttl=60)
        none = await world.tcp(request("sub", "k", "30"))
        wrong = await world.ws("/sub?key=other&heartbeat=30&token=" + ticket)
        right = await world.ws("/sub?key=k&heartbeat=30&token=" + ticket)

        assert await none.read_all() == b"-a\r\n"
        assert await wrong.read_all() == text_frame(b"-a\r\n")
        assert await right.read(6) == text_frame(BEAT)


async def test_row_10_too_many_connections_of_a_key() -> None:
    """Dropped without a reply, on WebSocket after a successful upgrade."""
    async with open_comet(changed(CometConfig(), "limits", per_key=1)) as world:
        first = await world.ws("/sub?key=k&heartbeat=30")
        await first.read(6)

        tcp = await world.tcp(request("sub", "k", "30"))
        ws = await world.ws("/sub?key=k&heartbeat=30")

        assert await tcp.read_all() == b""
        assert await ws.read_all() == b""


WS_CONVERSATIONS = [
    # 1.1 rows 4 to 6: after the upgrade, as a text frame
    Row("row 4: no key", b"/sub?heartbeat=30", text_frame(b"-p\r\n")),
    Row("row 4: empty key", b"/sub?key=&heartbeat=30", text_frame(b"-p\r\n")),
    Row("row 5: no heartbeat", b"/sub?key=k", text_frame(b"-p\r\n")),
    Row("row 5: heartbeat is no number", b"/sub?key=k&heartbeat=x", text_frame(b"-p\r\n")),
    Row("row 6: heartbeat under 30", b"/sub?key=k&heartbeat=29", text_frame(b"-p\r\n")),
    Row("no parameters", b"/sub", text_frame(b"-p\r\n")),
    Row("key is not UTF-8", b"/sub?key=%FF&heartbeat=30", text_frame(b"-p\r\n")),
    Row(
        "version 2 is told why",
        b"/sub?key=k&heartbeat=29&ver=2",
        text_frame(b"-p\r\n")
        + b"\x88\x33\x11\x30heartbeat: got '29', expected at least 30 seconds",
    ),
]


@pytest.mark.parametrize("row", WS_CONVERSATIONS, ids=lambda row: row.name)
async def test_websocket_refusals(row: Row) -> None:
    """The reply in a text frame, then the connection is dropped."""
    async with open_comet() as world:
        client = await world.ws(row.sent.decode())

        assert await client.read_all() == row.answer


WELCOME = "/sub?key=k&heartbeat=30"
WS_FRAMES = [
    # 1.2: client frames in the steady state; 1.12: what is sent before the end
    Row("text heartbeat", client_frame(b"h"), text_frame(BEAT)),
    Row("binary heartbeat", client_frame(b"h", 0x82), text_frame(BEAT)),
    Row(
        "fragmented heartbeat", client_frame(b"", 0x01) + client_frame(b"h", 0x80), text_frame(BEAT)
    ),
    Row("ping is answered and is no heartbeat", client_frame(b"?", 0x89), b"\x8a\x01?"),
    Row("unsolicited pong", client_frame(b"", 0x8A) + client_frame(b"h"), text_frame(BEAT)),
    Row("two in one segment", client_frame(b"h") * 2, text_frame(BEAT) * 2),
]
WS_ENDS = [
    Row("any other message: dropped without a close frame", client_frame(b"x"), b""),
    Row("an empty message", client_frame(b""), b""),
    Row("two bytes", client_frame(b"hh"), b""),
    Row(
        "an unmasked frame gets 1002 first",
        b"\x81\x01h",
        b"\x88\x1c\x03\xeaclient frame is not masked",
    ),
    Row("the client closes", client_frame(b"\x03\xe8", 0x88), b"\x88\x02\x03\xe8"),
    Row("the client closes without a code", client_frame(b"", 0x88), b"\x88\x00"),
]


@pytest.mark.parametrize("row", WS_FRAMES, ids=lambda row: row.name)
async def test_websocket_frames(row: Row) -> None:
    """What is answered, and the connection stays."""
    async with open_comet() as world:
        client = await world.ws(WELCOME)
        assert await client.read(6) == text_frame(BEAT)

        await client.send(row.sent)

        assert await client.read(len(row.answer)) == row.answer
        assert world.comet.live.hub.subscribers == 1


@pytest.mark.parametrize("row", WS_ENDS, ids=lambda row: row.name)
async def test_websocket_ends(row: Row) -> None:
    """What is sent before the end."""
    async with open_comet() as world:
        client = await world.ws(WELCOME)
        assert await client.read(6) == text_frame(BEAT)

        await client.send(row.sent)

        assert await client.read_all() == row.answer


async def test_the_first_value_of_a_repeated_parameter_wins() -> None:
    """With normal percent-decoding."""
    async with open_comet() as world:
        client = await world.ws("/sub?key=a%40user&key=b&heartbeat=30&heartbeat=x")

        assert await client.read(6) == text_frame(BEAT)
        assert world.comet.live.hub.get(parse_key("a@user")) is not None


HANDSHAKES = [
    ("any path but /sub", "GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("not GET", "POST /sub HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405),
    ("no upgrade", "GET /sub HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (
        "a foreign origin",
        HANDSHAKE.format(target="/sub", host="127.0.0.1").replace(
            "\r\n\r\n", "\r\nOrigin: http://evil\r\n\r\n"
        ),
        403,
    ),
    (
        "two protocols",
        HANDSHAKE.format(target="/sub", host="127.0.0.1").replace(
            "\r\n\r\n", "\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"
        ),
        400,
    ),
    ("version 8", HANDSHAKE.format(target="/sub", host="127.0.0.1").replace(": 13", ": 8"), 400),
]


@pytest.mark.parametrize(("name", "sent", "status"), HANDSHAKES, ids=[h[0] for h in HANDSHAKES])
async def test_handshakes(name: str, sent: str, status: int) -> None:
    """What the original's library answers."""
    async with open_comet() as world:
        client = await world.connect(world.ws_port)
        await client.send(sent.encode())

        head = await client.read_until(b"\r\n")

        assert head.startswith(b"HTTP/1.1 %d " % status), name


async def test_another_websocket_version_hears_ours() -> None:
    """1.2: 400, and the version that we speak: RFC 6455 section 4.2.2."""
    async with open_comet() as world:
        client = await world.connect(world.ws_port)
        handshake = HANDSHAKE.format(target=WELCOME, host="127.0.0.1").replace(": 13", ": 8")
        await client.send(handshake.encode())

        lines = (await client.read_until(b"\r\n\r\n")).split(b"\r\n")

        assert lines[0].startswith(b"HTTP/1.1 400 ")
        assert b"Sec-WebSocket-Version: 13" in lines


async def test_the_upgrade_byte_for_byte() -> None:
    """No extension, no compression, no header that was not asked for but the date."""
    async with open_comet() as world:
        client = await world.connect(world.ws_port)
        await client.send(HANDSHAKE.format(target=WELCOME, host="127.0.0.1").encode())

        head = await client.read_until(b"\r\n\r\n")

        lines = head.split(b"\r\n")
        assert [line for line in lines if not line.startswith(b"Date: ")] == UPGRADED


async def test_early_frames_are_read() -> None:
    """A heartbeat in the segment of the handshake is answered after the welcome."""
    async with open_comet() as world:
        client = await world.connect(world.ws_port)
        await client.send(
            HANDSHAKE.format(target=WELCOME, host="127.0.0.1").encode() + client_frame(b"h")
        )
        await client.read_until(b"\r\n\r\n")

        assert await client.read(12) == text_frame(BEAT) * 2


@pytest.mark.parametrize("transport", ["ws", "tcp"])
async def test_a_missed_heartbeat(transport: str, mock_clock: MockClock) -> None:
    """1.12: no bytes before the end."""
    async with open_comet() as world:
        client = await _subscriber(world, transport)

        await pass_time(mock_clock, 35.5)

        assert await client.read_all() == b""


@pytest.mark.parametrize(("transport", "last"), [("ws", b"}\x88\x02\x03\xe8"), ("tcp", b"}\r\n")])
async def test_a_send_queue_that_overflows(transport: str, last: bytes) -> None:
    """1.12: close 1000 on WebSocket, nothing on TCP; both behind the end of a whole message."""
    config = changed(CometConfig(), "live", send_buffer=Size(4096), outbox_limit=Size(64 * 1024))
    async with open_comet(config) as world:
        client = await _subscriber(world, transport)

        while world.comet.live.hub.subscribers:
            await world.push("k", body=b'"%b"' % (b"x" * 30_000))

        assert (await client.read_all()).endswith(b',"gid":0' + last)


@pytest.mark.parametrize(("transport", "last"), [("ws", b"\x88\x02\x03\xe8"), ("tcp", b"")])
async def test_shutdown(transport: str, last: bytes) -> None:
    """1.12: close 1000 on WebSocket, a plain end on TCP."""
    async with open_comet() as world:
        client = await _subscriber(world, transport)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.comet.drain)

            assert await client.read_all() == last


async def test_over_tls() -> None:
    """The same conversation on TLS listeners: subscribe, beat, a large push, the end."""
    server = tls_context(CERTIFICATE, CERTIFICATE)
    async with open_comet(tls=(server, ssl.create_default_context(cafile=CERTIFICATE))) as world:
        for transport in ("ws", "tcp"):
            client = await _subscriber(world, transport)
            await client.send(b"h" if transport == "tcp" else client_frame(b"h"))
            beat = BEAT if transport == "tcp" else text_frame(BEAT)
            assert await client.read(len(beat)) == beat
            body = b'"%b"' % os.urandom(100_000).hex().encode()
            await world.push("k", body=body)
            received = await client.read_until(b',"gid":0}')
            assert body[1:-1] in received
            await client.stream.aclose()
            await world.until(lambda: world.comet.live.hub.subscribers == 0)


async def _subscriber(world: World, transport: str) -> Client:
    if transport == "ws":
        client = await world.ws(WELCOME)
        assert await client.read(6) == text_frame(BEAT)
    else:
        client = await world.tcp(request("sub", "k", "30"))
        assert await client.read(4) == BEAT
    return client
