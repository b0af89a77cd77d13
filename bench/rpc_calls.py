"""What a call between two nodes costs: an empty one, many in flight, two processes over loopback.

    python -m bench.rpc_calls [seconds]

CPU is that of both processes together, per call. The aim is 60 µs with 64 in flight.
"""

import argparse
import subprocess
import sys
import time

import structlog
import trio

from appmodel.io.calls import Call
from appmodel.io.listener import open_sockets
from appmodel.io.rpc_client import RpcClient
from appmodel.io.rpc_server import serve_rpc
from bench.machine import cpu_seconds, describe

NOTHING = Call[None, None]("bench.nothing")
SECRET = b"bench"


async def nothing(_: None) -> None:
    """The emptiest handler."""


async def serve() -> None:
    """The server process: says its port, serves until its parent closes its standard input."""
    sockets = open_sockets("127.0.0.1", 0)
    print(sockets[0].getsockname()[1], flush=True)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_parent_leaves, stop)
        await serve_rpc(sockets, dict([NOTHING.answered_by(nothing)]), secret=SECRET, stop=stop)


async def until_parent_leaves(stop: trio.Event) -> None:
    """Set `stop` at the end of standard input."""
    while await trio.lowlevel.FdStream(sys.stdin.fileno()).receive_some(1):
        pass
    stop.set()


async def measure(port: int, server: int, in_flight: int, seconds: float) -> None:
    """Print one row."""
    client = RpcClient(f"127.0.0.1:{port}", secret=SECRET)
    calls = 0

    async def caller() -> None:
        nonlocal calls
        while True:
            await client.call(NOTHING, None, timeout=5)
            calls += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        await client.call(NOTHING, None, timeout=5)
        for _ in range(in_flight):
            nursery.start_soon(caller)
        await trio.sleep(0.3)
        begin = time.perf_counter(), time.process_time(), cpu_seconds(server), calls
        await trio.sleep(seconds)
        end = time.perf_counter(), time.process_time(), cpu_seconds(server), calls
        nursery.cancel_scope.cancel()
    wall, ours, theirs, done = (after - before for before, after in zip(begin, end, strict=True))
    mine, other = ours / done * 1e6, theirs / done * 1e6
    print(f"{in_flight:9} {done / wall:9.0f} {mine:11.1f} {other:11.1f} {mine + other:9.1f}")


def main() -> None:
    """Both processes, or with --serve the server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=float, nargs="?", default=3.0)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    if options.serve:
        trio.run(serve)
        return
    print(describe())
    print("in flight   calls/s   client µs   server µs   both µs")
    command = [sys.executable, "-m", "bench.rpc_calls", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        for in_flight in (1, 8, 64, 512):
            trio.run(measure, port, server.pid, in_flight, options.seconds)


if __name__ == "__main__":
    main()
