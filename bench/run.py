"""Run the benchmarks: `python -m bench.run [name ...] [--quick] [--no-peers] [--save FILE]`.

    fanout      one push, and 64 at once, to 1,000 subscribers of one key, beside the peers
    memory      resident memory of 15,000 idle clients, beside the peers
    heartbeats  CPU of 15,000 idle clients
    keys        one push to 10,000 keys
    rest        push/private under wrk
    stream      /v2/push/stream
    hop         the same pushes to clients of the owner, and to clients of another comet
    cluster     pushes/s, latency and CPU by process with 1, 2 and 3 comets
    moving      10,000 clients move to a comet that joins, and away from one that stops
    logins      logins, and the token of each call
    groups      a user's message to groups of 10 to 10,000 members
    stores      saves and fetches of each store behind a message node
    mpush       Mpush: GET until `ok`, 20,000 messages for a device that is away, devices at rest; beside Node
    socketio    Socket.IO: pushes to a room, clients at rest, connects, light-push's REST; beside socket.io

Each prints its tables; the last table says what the issues ask for and whether it was reached. The exit
code is 1 if a benchmark could not run to its end; a number that is missed is not an error.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from bench import (
    cluster_push,
    fanout,
    groups,
    hop,
    idle,
    keys,
    logins,
    moving,
    mpush,
    mpush_queue,
    rest,
    socketio,
    socketio_clients,
    socketio_latency,
    stores,
    stream,
)
from bench.load import LoadFailed
from bench.machine import Bystanders, Cores, describe, raise_open_files
from bench.scale import FULL, QUICK, Bench
from bench.tables import Report, Table, Verdict, verdict_table

Benchmark = Callable[[Bench], Report]

BENCHMARKS: dict[str, Sequence[Benchmark]] = {
    "fanout": (fanout.one, fanout.many),
    "memory": (idle.memory,),
    "heartbeats": (idle.heartbeats,),
    "keys": (keys.one_push,),
    "rest": (rest.push_private,),
    "stream": (stream.push_stream,),
    "hop": (hop.hop,),
    "cluster": (cluster_push.cluster_push,),
    "moving": (moving.moving,),
    "logins": (logins.logins,),
    "groups": (groups.groups,),
    "stores": (stores.stores,),
    "mpush": (mpush.answers, mpush_queue.queue, mpush_queue.idle),
    "socketio": (socketio.fan_out, socketio_clients.clients, socketio_latency.latency),
}
SPARE_FILES = 1_000  # descriptors beside the clients' sockets


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.run", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="small numbers: does it work at all?")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write what is printed there too")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    cores = Cores.split()
    bench = Bench(cores, QUICK if options.quick else FULL, peers=not options.no_peers)
    names = options.names or BENCHMARKS
    said, failed = run(bench, [benchmark for name in names for benchmark in BENCHMARKS[name]])
    if options.save:
        options.save.write_text(f"{said}\n")
    return 1 if failed else 0


def run(bench: Bench, benchmarks: Sequence[Benchmark]) -> tuple[str, bool]:
    """Run them, print as they end; return what was printed, and whether one failed."""
    start = time.monotonic()
    said = [_about(bench)]
    print(said[0], flush=True)
    verdicts: list[Verdict] = []
    failed = False
    os.sched_setaffinity(0, bench.cores.load)
    try:
        for benchmark in benchmarks:
            tables, decided, broke = _attempt(benchmark, bench)
            verdicts += decided
            failed |= broke
            _say(said, *tables)
    finally:
        os.sched_setaffinity(0, bench.cores.all)
    _say(said, verdict_table(verdicts), f"{time.monotonic() - start:.0f} s in all")
    return "\n".join(said), failed


def _attempt(
    benchmark: Benchmark, bench: Bench
) -> tuple[Sequence[Table | str], Sequence[Verdict], bool]:
    """One benchmark. Its failure is reported and does not end the others."""
    bystanders = Bystanders()
    try:
        report = benchmark(bench)
    except (LoadFailed, RuntimeError, OSError, subprocess.SubprocessError) as error:
        name = f"{benchmark.__module__}.{benchmark.__name__}"
        return (
            [f"## {name} FAILED: {str(error).strip()}"],
            [Verdict.not_measured(name, "", "failed")],
            True,
        )
    return [*report.tables, f"{bystanders}"], report.verdicts, False


def _say(said: list[str], *texts: Table | str) -> None:
    for text in texts:
        said.append(f"\n{text}" if isinstance(text, Table) else text)
        print(said[-1], flush=True)


def _about(bench: Bench) -> str:
    allowed = raise_open_files()
    cores = bench.cores
    lines = [
        f"# {describe()}",
        f"server on core {_list(cores.server)}, load generator on core {_list(cores.load)}, loopback only",
        f"open files allowed: {allowed:,}",
    ]
    if allowed < bench.scale.idle_clients + SPARE_FILES:
        lines.append(
            f"NOTE: {bench.scale.idle_clients:,} clients need more: the idle benchmarks will fail"
        )
    if cores.server == cores.load:
        lines.append("NOTE: one core only: server and load generator share it")
    return "\n".join(lines)


def _list(cores: frozenset[int]) -> str:
    return ", ".join(str(core) for core in sorted(cores))


if __name__ == "__main__":
    sys.exit(main())
