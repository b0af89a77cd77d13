"""SIGTERM: whoever listens is told at once, and no client can hold the process up."""

import socket
import threading
from pathlib import Path

import httpx
import pytest

from tests.comet.world import BEAT, request
from tests.node import Node, running_node

PATIENCE = 25.0  # seconds for one answer: less than the 30 that a client may stall in its replay
MISSED = 60 * 60_000  # bytes: more than the kernel's buffers and ours take


def connect(node: Node, sent: bytes, *, receive_buffer: int = 0) -> socket.socket:
    """A TCP client that has sent `sent`."""
    host, _, port = node.url("comet.tcp").removeprefix("tcp://").rpartition(":")
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(PATIENCE)
    client.connect((host, int(port)))
    client.sendall(sent)
    return client


def read_all(client: socket.socket) -> bytes:
    """Everything to the server's end."""
    received = b""
    while data := client.recv(65536):
        received += data
    return received


@pytest.mark.slow
def test_no_client_holds_up_a_node_that_stops(tmp_path: Path) -> None:
    """One stalls in the middle of its replay, one in the middle of its request; both stay connected."""
    settings = {"APPMSG_COMET__LIVE__SEND_BUFFER": "4KiB"}
    with running_node(tmp_path, settings) as node:
        with httpx.Client(base_url=node.url("web.api"), trust_env=False) as http:
            for _ in range(60):
                order = {"to": "large", "msg": "x" * (MISSED // 60), "ttl": 600}
                assert http.post("/v2/push", json=order).status_code == 200
        stalled = connect(node, request("sub", "large", "30", "", "2", "0"), receive_buffer=4096)
        half = connect(node, request("sub", "k", "30")[:-4])
        listening = connect(node, request("sub", "k", "30", "", "2"))
        with stalled, half, listening:
            assert stalled.recv(len(BEAT)) == listening.recv(len(BEAT)) == BEAT

            ends: list[int] = []
            stopping = threading.Thread(target=lambda: ends.append(node.stop()))
            stopping.start()

            assert read_all(listening) == b"-x 1001 going away\r\n"
            listening.close()
            stopping.join()
            assert ends == [0]
