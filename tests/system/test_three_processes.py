"""comet, message and web as processes of their own: the same node, with RPC in between."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import appmsg_client
import httpx
import pytest
import trio

from tools.servers.ports import free_port

PATIENCE = 60.0  # seconds for the whole test; it takes three
CONFIG = """
[rpc]
secret = "a cluster secret of the tests, long enough"
[[registry.nodes]]
role = "message"
name = "m1"
rpc = "127.0.0.1:{message_rpc}"
[[registry.nodes]]
role = "comet"
name = "c1"
rpc = "127.0.0.1:{comet_rpc}"
ws = ["127.0.0.1:{websocket}"]
[message]
rpc.port = {message_rpc}
ops.port = 0
[comet]
websocket.port = {websocket}
tcp.port = 0
socketio.port = 0
mpush.port = 0
stat.port = 0
rpc.port = {comet_rpc}
[web]
public.port = 0
admin.port = 0
app.port = 0
api.port = 0
lightpush.port = 0
mpush.port = 0
"""


@contextmanager
def process(part: str, name: str, folder: Path) -> Iterator[dict[str, str]]:
    """`appmsg PART` as a process until the block ends; yields its addresses. It must stop by itself."""
    running = subprocess.Popen(
        [
            *[sys.executable, "-c", "from appmodel.runtime.cli import main; main()", part],
            *["--config", "cluster.toml", "--set", f"node.name={name}", "--set", "log.format=json"],
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    lines: list[str] = []
    try:
        for line in running.stderr:
            lines.append(line)
            if '"event":"ready"' in line:
                break
        else:
            raise AssertionError("".join(lines))
        yield json.loads(lines[-1])["addresses"]
    finally:
        running.send_signal(signal.SIGTERM)
        _, rest = running.communicate(timeout=30)
        assert running.returncode == 0, "".join(lines) + rest


@pytest.mark.slow
async def test_a_push_crosses_all_processes(tmp_path: Path) -> None:
    """REST to web, RPC to the comet, RPC to the store, and out to a client; and a client resumes."""
    ports = {name: free_port() for name in ("message_rpc", "comet_rpc", "websocket")}
    (tmp_path / "cluster.toml").write_text(CONFIG.format(**ports))
    with trio.fail_after(PATIENCE), ExitStack() as processes:
        processes.enter_context(process("message", "m1", tmp_path))
        processes.enter_context(process("comet", "c1", tmp_path))
        web = processes.enter_context(process("web", "w1", tmp_path))

        async with httpx.AsyncClient(trust_env=False) as http:
            ids = [await push(http, web["web.api"], number) for number in range(2)]
            async with appmsg_client.subscribe("k", web=web["web.public"], mid=ids[0]) as messages:
                assert (await anext(messages)).mid == ids[1]
                ids.append(await push(http, web["web.api"], 2))
                assert (await anext(messages)).mid == ids[2]
            fetched = await http.get(web["web.public"] + "/1/msg/get", params={"k": "k", "m": 0})

        assert [message["mid"] for message in fetched.json()["data"]["msgs"]] == ids


async def push(http: httpx.AsyncClient, url: str, number: int) -> int:
    """The id of a stored push to k."""
    answer = await http.post(url + "/v2/push", json={"to": "k", "msg": number, "ttl": 600})
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    assert result["stored"]
    message_id: int = result["id"]
    return message_id
