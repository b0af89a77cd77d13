"""Behind HAProxy as conf/haproxy.cfg sets it up: the only way to balance gopush's TCP protocol."""

from pathlib import Path

import pytest
import trio

from tests.comet.world import BEAT, HANDSHAKE, Client, request, text_frame
from tests.node import running_node
from tools.servers.daemon import Missing
from tools.servers.haproxy import EXAMPLE, check_configuration, running_haproxy
from tools.servers.ports import free_port

PATIENCE = 40.0  # seconds


def test_the_example_is_right() -> None:
    """HAProxy itself says so, without a warning."""
    try:
        assert check_configuration(EXAMPLE) == ""
    except Missing as missing:
        pytest.skip(str(missing))


async def test_clients_reach_a_comet_that_lives(tmp_path: Path) -> None:
    """TCP and WebSocket, by an address behind which two of three comets have closed their doors.

    Their health is that of the third one, as of a comet that drains: still answered, and good.
    """
    tcp, clients, dead = free_port(), free_port(), free_port()
    with running_node(tmp_path) as node, trio.fail_after(PATIENCE):
        at = {
            name: node.url(f"comet.{name}").rpartition(":")[2].partition("/")[0]
            for name in ("tcp", "websocket", "stat")
        }
        changes = {
            "maxconn 200000": "maxconn 1000",  # it refuses to start with fewer descriptors
            "bind :6969": f"bind 127.0.0.1:{tcp}",
            "bind :8080": f"bind 127.0.0.1:{clients}",
            "bind 127.0.0.1:8094": f"bind 127.0.0.1:{free_port()}",
            "comet1 192.0.2.11:6969": f"comet1 127.0.0.1:{at['tcp']}",
            "comet1 192.0.2.11:6968": f"comet1 127.0.0.1:{at['websocket']}",
            "port 6972": f"port {at['stat']}",
            "192.0.2.12:": f"127.0.0.1:{dead} #",
            "192.0.2.13:": f"127.0.0.1:{dead} #",
        }
        try:
            with running_haproxy(tmp_path, changes, port=tcp):
                await converse(tcp, clients)
        except Missing as missing:
            pytest.skip(str(missing))


async def converse(tcp: int, clients: int) -> None:
    """An old client of each kind; more often than there are comets."""
    for _ in range(4):
        async with await trio.open_tcp_stream("127.0.0.1", tcp) as stream:
            client = Client(stream)
            await client.send(request("sub", "k", "30"))
            assert await client.read(len(BEAT)) == BEAT
        async with await trio.open_tcp_stream("127.0.0.1", clients) as stream:
            client = Client(stream)
            target = HANDSHAKE.format(target="/sub?key=k&heartbeat=30", host="127.0.0.1")
            await client.send(target.encode())
            assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            assert await client.read(6) == text_frame(BEAT)
