"""What a message node saves in each store: batches over RPC, in a process of its own, servers as shipped.

    python -m bench.node_saves [sqlite redis postgresql mariadb] [--seconds 8] [--comets 8] [--batch 256]

Each "comet" has one batch under way, as a real one does: so many pushes of 100 bytes, each to a key of its
own. CPU is that of the node, of the database server with all its processes, and of the load, each per
message. Redis has appendonly on, with fsync every second. The aims of issue 3: 30,000 saves/s on Redis,
8,000 on PostgreSQL with fsync and synchronous_commit on.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog
import trio

from appmodel.core.message import Save
from appmodel.core.names import Key
from appmodel.io.calls import RemoteStore
from appmodel.io.rpc_client import RpcClient
from bench.machine import cpu_seconds, describe
from tools.servers.databases import DATABASES
from tools.servers.ports import free_port
from tools.servers.redis import redis_server

ROOT = Path(__file__).parents[1]
KEYS = [Key("", f"u{number}", "user") for number in range(100_000)]
BODY = b'"' + b"x" * 98 + b'"'
TTL = 3600.0  # seconds
PATIENCE = 30.0  # seconds for one call
READY = 30.0  # seconds until a node must answer
WARM = 1.0  # seconds before the measurement


@dataclass(frozen=True, slots=True)
class Running:
    """A message node, and the server that its store lies on."""

    address: str
    node: int  # process id
    server: int | None

    def cpu(self) -> tuple[float, float]:
        """Seconds used by the node, and by the server with its children."""
        return cpu_seconds(self.node), sum(map(cpu_seconds, _family(self.server)))


def _family(parent: int | None) -> list[int]:
    if parent is None:
        return []
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [parent, *(int(child) for task in tasks for child in task.read_text().split())]


@contextmanager
def running(kind: str, folder: Path) -> Iterator[Running]:
    """A message node on a new store of that kind."""
    with ExitStack() as servers:
        settings, server = {}, None
        if kind == "redis":
            redis = servers.enter_context(redis_server(folder / kind, persistent=True))
            settings["APPMSG_MESSAGE__REDIS__ADDRESSES"] = f'["{redis.address}"]'
            server = redis.daemon.pid
        elif kind in DATABASES:
            database = servers.enter_context(DATABASES[kind](folder / kind))
            database.execute("CREATE DATABASE bench")
            settings["APPMSG_MESSAGE__SQL__URL"] = database.url("bench")
            server = database.daemon.pid
        settings["APPMSG_MESSAGE__STORE"] = "sql" if kind in DATABASES else kind
        node, port = servers.enter_context(_node(settings, folder))
        yield Running(f"127.0.0.1:{port}", node, server)


@contextmanager
def _node(settings: dict[str, str], folder: Path) -> Iterator[tuple[int, int]]:
    rpc, ops = free_port(), free_port()
    ports = {"APPMSG_MESSAGE__RPC__PORT": str(rpc), "APPMSG_MESSAGE__OPS__PORT": str(ops)}
    command = [str(Path(sys.executable).with_name("appmsg")), "message"]
    with (folder / "node.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **ports, **settings}, stderr=log, stdout=log
        )
    try:
        _await_ready(f"http://127.0.0.1:{ops}/readyz", process, folder / "node.log")
        yield process.pid, rpc
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"the node is not ready:\n{log.read_text()[-2000:]}")


class Load:
    """Comets that save as fast as they are answered."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._next_key = 0
        self.saved = 0
        self.waits: list[float] = []  # seconds per call

    async def comet(self, address: str) -> None:
        """Save until cancelled."""
        client = RpcClient(address, secret=None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            store = RemoteStore(client, PATIENCE)
            while True:
                began = time.monotonic()
                await store.save(self._pushes())
                self.waits.append(time.monotonic() - began)
                self.saved += self._batch

    def _pushes(self) -> list[Save]:
        now = time.time()
        first, self._next_key = self._next_key, self._next_key + self._batch
        keys = (KEYS[at % len(KEYS)] for at in range(first, first + self._batch))
        return [Save(os.urandom(16), int(now * 1e6), (key,), BODY, now + TTL) for key in keys]


async def measure(kind: str, node: Running, comets: int, batch: int, seconds: float) -> None:
    """Print one row."""
    load = Load(batch)
    async with trio.open_nursery() as nursery:
        for _ in range(comets):
            nursery.start_soon(load.comet, node.address)
        await trio.sleep(WARM)
        load.waits.clear()
        begin = (time.monotonic(), load.saved, *node.cpu(), time.process_time())
        await trio.sleep(seconds)
        end = (time.monotonic(), load.saved, *node.cpu(), time.process_time())
        nursery.cancel_scope.cancel()
    wall, saved, ours, servers, mine = (b - a for a, b in zip(begin, end, strict=True))
    waits = sorted(load.waits)
    print(
        f"{kind:11} {saved / wall:9,.0f} /s {ours / saved * 1e6:8.1f} {servers / saved * 1e6:8.1f} "
        f"{mine / saved * 1e6:8.1f} {waits[len(waits) // 2] * 1e3:8.1f} {waits[-1] * 1e3:8.1f}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.node_saves", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("kinds", nargs="*", default=["sqlite", "redis", "postgresql", "mariadb"])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--comets", type=int, default=8)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    print(describe())
    print(f"{options.comets} comets, {options.batch} pushes a call")
    print("               saves/s  node µs  server µs  load µs   p50 ms   max ms")
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)  # the servers' users go through it
            with running(kind, folder) as node:
                trio.run(measure, kind, node, options.comets, options.batch, options.seconds)


if __name__ == "__main__":
    main()
