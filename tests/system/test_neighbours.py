"""Bad neighbours of real processes, with the secret and without: a line, a counter, and nothing else."""

import re
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any

import appmsg_client
import httpx
import pytest
import trio

from appmodel.errors import BadInput
from appmodel.io.calls import Call
from appmodel.io.rpc_link import RpcLimits
from tests.appmodel.io.loopback import calling
from tests.comet.io.test_neighbours import NONSENSE
from tests.message.io.test_rpc_api import NONSENSE as NONSENSE_OF_STORES
from tests.system.test_three_processes import CONFIG, process, push
from tools.servers.ports import free_port

PATIENCE = 60.0  # seconds for the whole test; it takes five
SECRET = b"a cluster secret of the tests, long enough"
OF_COMETS = [(method, argument) for method, _, argument in NONSENSE]
GARBAGE = [b"", b"\0" * 1000, b"\xff" * 8, b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x05hello"]


@pytest.mark.slow
async def test_a_cluster_outlives_its_neighbours(tmp_path: Path) -> None:
    """A client that was there before gets what comes after; the counters say what was refused."""
    ports = {name: free_port() for name in ("message_rpc", "comet_rpc", "websocket")}
    (tmp_path / "cluster.toml").write_text(CONFIG.format(**ports))
    with trio.fail_after(PATIENCE), ExitStack() as processes:
        message = processes.enter_context(process("message", "m1", tmp_path))
        comet = processes.enter_context(process("comet", "c1", tmp_path))
        web = processes.enter_context(process("web", "w1", tmp_path))
        async with httpx.AsyncClient(trust_env=False) as http, AsyncExitStack() as clients:
            seen = await push(http, web["web.api"], 0)
            subscription = appmsg_client.subscribe("k", web=web["web.public"], mid=seen)
            messages = await clients.enter_async_context(subscription)
            before = await push(http, web["web.api"], 1)
            assert (await anext(messages)).mid == before

            for port, nonsense in (
                (ports["comet_rpc"], OF_COMETS),
                (ports["message_rpc"], NONSENSE_OF_STORES),
            ):
                await tell(port, nonsense)
                for garbage in GARBAGE:
                    await knock(port, garbage)

            after = await push(http, web["web.api"], 2)
            assert (await anext(messages)).mid == after
            for ops, asked in (
                (comet["comet.stat"], OF_COMETS),
                (message["message.ops"], NONSENSE_OF_STORES),
            ):
                refused = await counted(http, ops)
                assert refused["nonsense"] == len(asked)
                assert refused["garbage"] == 4
                assert not refused.keys() & {"bug"}


async def tell(port: int, nonsense: list[tuple[str, Any]]) -> None:
    """All of it, as a node that knows the secret; each is refused."""
    limits = RpcLimits(max_waiting=1024**3)
    async with calling(f"127.0.0.1:{port}", secret=SECRET, limits=limits) as client:
        for method, argument in nonsense:
            with pytest.raises(BadInput):
                await client.call(Call[Any, Any](method), argument, timeout=PATIENCE)


async def knock(port: int, garbage: bytes) -> None:
    """Send it, and stay until the other side has had enough."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(garbage)
            await stream.send_eof()
            while await stream.receive_some():
                pass


async def counted(http: httpx.AsyncClient, url: str) -> dict[str, float]:
    """Who was refused by the node at `url`, by reason."""
    metrics = (await http.get(str(httpx.URL(url).copy_with(path="/metrics", query=None)))).text
    found = re.findall(r'^rpc_refused_total\{reason="(\w+)"\} ([0-9.]+)$', metrics, re.MULTILINE)
    return {reason: float(count) for reason, count in found}
