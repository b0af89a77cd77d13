"""What a request costs at the front door: a 110-byte JSON POST, parsed, answered.

    python -m bench.front_door [--seconds 3] [--fallback]

The server is pinned to core 0 and `wrk -t1 -c16` to core 1. CPU is the server process's own, from the
kernel's accounting, so a busy machine changes it little; requests per second are for orientation. The
load generator is not the bottleneck while the server's core is fully used ("busy" near 100 %).
"""

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import trio

from appmodel.io.http import FrontDoor
from appmodel.io.listener import open_sockets
from appmodel.protocol.http import Request, Response, Route

BODY = b'{"to":["u1@user"],"msg":{"from":"u2@user","text":"a message of the usual length, neither long"},"ttl":3600}'
WRK = """wrk.method = "POST"
wrk.body = '%s'
wrk.headers["Content-Type"] = "application/json"
"""
HEADERS = [("Content-Type", "application/json;charset=utf-8")]


class Push(msgspec.Struct):
    """The parsed request."""

    to: list[str]
    msg: msgspec.Raw
    ttl: int


decoder = msgspec.json.Decoder(Push)


async def answer(request: Request) -> Response:
    """The least that a push handler does."""
    decoder.decode(request.body)
    return Response(headers=HEADERS, body=b'{"ret":0}')


async def serve() -> None:
    """The server process: prints its port, then on SIGTERM its CPU seconds and its answers."""
    sockets = open_sockets("127.0.0.1", 0)
    door = FrontDoor([Route(method="POST", path="/push", handler=answer)])
    stop = trio.Event()
    print(sockets[0].getsockname()[1], flush=True)

    async def watch() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1) as signals:
            async for number in signals:
                usage = resource.getrusage(resource.RUSAGE_SELF)
                cpu = usage.ru_utime + usage.ru_stime
                print(cpu, door.answered["2xx"], door.answered["4xx"], flush=True)
                if number == signal.SIGTERM:
                    stop.set()
                    return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await door.serve(sockets, stop=stop)


def read_usage(server: "subprocess.Popen[str]", number: signal.Signals) -> tuple[float, int]:
    """CPU seconds and answers so far."""
    server.send_signal(number)
    assert server.stdout is not None
    cpu, good, bad = server.stdout.readline().split()
    assert bad == "0", "the server refused requests"
    return float(cpu), int(good)


def main() -> None:
    """Run both sides and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--connections", type=int, default=16)
    options.add_argument("--serve", action="store_true")
    given = options.parse_args()
    if given.serve:
        trio.run(serve)
        return
    command = [sys.executable, "-m", "bench.front_door", "--serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            ["taskset", "-c", "0", *command], stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdout is not None
        port = int(server.stdout.readline())
        script = Path(folder, "post.lua")
        script.write_text(WRK % BODY.decode())
        wrk = [
            "taskset",
            "-c",
            "1",
            "wrk",
            "-t1",
            f"-c{given.connections}",
            "--latency",
            "-s",
            str(script),
        ]
        target = f"http://127.0.0.1:{port}/push"
        subprocess.run([*wrk, "-d1", target], check=True, stdout=subprocess.DEVNULL)
        cpu_before, before = read_usage(server, signal.SIGUSR1)
        started = time.monotonic()
        report = subprocess.run(
            [*wrk, f"-d{given.seconds}", target], check=True, capture_output=True, text=True
        ).stdout
        elapsed = time.monotonic() - started
        cpu_after, after = read_usage(server, signal.SIGTERM)
    requests, cpu = after - before, cpu_after - cpu_before
    latency = dict(re.findall(r"(50|99)%\s+(\S+)", report))
    print(
        f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, trio {trio.__version__}, wrk -t1 -c{given.connections}"
    )
    print("requests/s  CPU/request  busy   p50      p99")
    print(
        f"{requests / elapsed:10,.0f}  {cpu / requests * 1e6:8.1f} µs  {cpu / elapsed:4.0%}"
        f"   {latency.get('50', '?'):8} {latency.get('99', '?')}"
    )
    if "Socket errors" in report or "Non-2xx" in report:
        print(report)


if __name__ == "__main__":
    main()
