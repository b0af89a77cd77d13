"""How fast a cluster heals, and that nobody loses by it: `python -m bench.cluster_recovery [name ...]`.

    kill        SIGKILL of a comet with 2,000 clients of version 2, while it is pushed to
    drain       an operator drains a comet with 5,000
    zookeeper   all of ZooKeeper is frozen for 60 s

Real processes: 3 comets, 2 message and 2 web nodes, ZooKeeper with a session of 4 s, Redis. Clients and
callers are those of tests/cluster, and every run is judged by its checker: a violation is an error,
not a slow result. They share the machine with the cluster, so times are what the whole took.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from bench.machine import Bystanders, cpu_seconds, describe, raise_open_files
from bench.tables import Report, Table, Verdict, verdict_table
from tests.cluster.cluster import SESSION, Cluster, Outside, in_thread, running_cluster
from tests.cluster.history import Asked, Broken, Received, Welcomed
from tests.cluster.outside import Servers, redis_store, running_servers
from tests.cluster.storm import Load, Size, storm
from tools.servers.daemon import Missing

SEED = 1
BEFORE = 200  # keys of orders accepted before anything breaks
PATIENCE = 90.0  # seconds for a drain
SAMPLE = 0.05  # seconds between two looks at the CPU of the nodes
AWAY = 60.0  # seconds without ZooKeeper
KILLED = Size(keys=200, clients=10, legacy=0, library=0, most=4, looks_up=0, waiting=0, at="c1")
DRAINED = Size(keys=500, clients=10, legacy=0, library=0, most=4, looks_up=0, waiting=0, at="c1")

Benchmark = Callable[[Cluster, Servers], Awaitable[Report]]


async def kill(cluster: Cluster, servers: Servers) -> Report:
    """From SIGKILL until everybody is back; and until all that was accepted in the session has come."""
    async with storm(cluster, SEED, KILLED) as load:
        await load.until_accepted(BEFORE)
        with load.broken("c1 is killed"):
            async with cpu_used(cluster, "c2", "c3") as cpu:
                began = time.monotonic()
                cluster["c1"].kill()
                await load.until_back()
                back = time.monotonic() - began
                # pushes go on until the dead owner leaves the ring
                await trio.sleep(max(0.0, SESSION - back))
                load.hush()
                await load.until_arrived()
                caught_up = time.monotonic() - began
                await in_thread(cluster["c1"].start)
    count = len(load.clients)
    table = Table(
        f"SIGKILL of a comet with {count:,} clients of version 2; session 4 s",
        ("", "s"),
        [("all are back", f"{back:.1f}"), ("all have caught up", f"{caught_up:.1f}")],
        notes=[f"CPU s of the comets that took them: {shown(cpu)}", _pushed(load)],
    )
    what = f"kill -9 of a comet with {count:,} ver=2 clients: back and caught up"
    return Report([table], [Verdict(what, f"{caught_up:.1f} s", "10 s", caught_up <= 10)])


async def drain(cluster: Cluster, servers: Servers) -> Report:
    """From the operator's command to the end of the process; nobody loses, nothing comes twice."""
    async with storm(cluster, SEED, DRAINED) as load:
        await load.until_accepted(BEFORE)
        with load.broken("c1 is drained"):
            async with cpu_used(cluster, "c1", "c2", "c3") as cpu:
                began = time.monotonic()
                await in_thread(cluster.drain, "c1", PATIENCE)
                gone = time.monotonic() - began
                await load.until_back()
                back = time.monotonic() - began
        await in_thread(cluster["c1"].start)
    broken = sum(why == "broken" for why in load.endings())
    count = len(load.clients)
    table = Table(
        f"drain of a comet with {count:,} clients of version 2",
        ("", "s"),
        [("the process has gone", f"{gone:.1f}"), ("all are back", f"{back:.1f}")],
        notes=[
            f"clients back in the busiest second: {_peak(load):,}; cut off without a word: {broken}",
            f"CPU s meanwhile: {shown(cpu)}",
            _pushed(load),
        ],
    )
    what = f"drain of a comet with {count:,} ver=2 clients: lost, duplicated"
    return Report([table], [Verdict(what, f"0, 0 ({broken} cut off)", "0, 0", broken == 0)])


async def zookeeper(cluster: Cluster, servers: Servers) -> Report:
    """Connections stay and pushes go on while nobody can ask ZooKeeper, and when it is back."""
    async with storm(cluster, SEED) as load:
        await load.until_accepted(BEFORE)
        with load.broken("all ZooKeepers are frozen"):
            before = load.accepted
            with servers.zookeepers_away():
                await trio.sleep(AWAY)
                during = load.accepted - before
            await load.until_accepted(BEFORE)
    ended, refused = len(load.endings()), len(load.refusals())
    table = Table(
        f"ZooKeeper away for {AWAY:g} s",
        ("", ""),
        [
            ("keys pushed to meanwhile", f"{during:,}"),
            ("refused, or in doubt", f"{refused}"),
            ("clients disconnected", f"{ended}"),
        ],
    )
    what = f"ZooKeeper away for {AWAY:g} s: disconnected; pushes go on"
    reached = ended == 0 and during > 0
    return Report([table], [Verdict(what, f"{ended}; {during:,}", "0; yes", reached)])


BENCHMARKS: dict[str, Benchmark] = {"kill": kill, "drain": drain, "zookeeper": zookeeper}


@asynccontextmanager
async def cpu_used(cluster: Cluster, *names: str) -> AsyncIterator[dict[str, float]]:
    """CPU seconds that these nodes use in the block, by name; of one that ends, up to 50 ms less."""
    pids = {name: cluster[name].pid for name in names}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    used: dict[str, float] = {}

    async def sample() -> None:
        while True:
            for name, pid in pids.items():
                with suppress(OSError):  # it has ended
                    used[name] = cpu_seconds(pid) - before[name]
            await trio.sleep(SAMPLE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sample)
        yield used
        nursery.cancel_scope.cancel()


def shown(cpu: dict[str, float]) -> str:
    """c2 1.2, c3 0.9"""
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in cpu.items())


def _peak(load: Load) -> int:
    """How many clients were welcomed in the busiest second after something broke."""
    began = next(event.at for event in load.history if isinstance(event, Broken))
    seconds = Counter(
        int(event.at - began)
        for event in load.history
        if isinstance(event, Welcomed) and event.at > began
    )
    return max(seconds.values(), default=0)


def _pushed(load: Load) -> str:
    calls = sum(isinstance(event, Asked) for event in load.history)
    received = sum(isinstance(event, Received) for event in load.history)
    refused = len(load.refusals(stored=True))
    return (
        f"{calls:,} calls, {received:,} deliveries, 0 violations of the seven laws; "
        f"{refused} calls with a ttl refused or in doubt"
    )


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster_recovery", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    raise_open_files()
    print(describe())
    verdicts: list[Verdict] = []
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers = stack.enter_context(running_servers(folder, redis_store))
        except Missing as missing:
            print(missing)
            return 1
        outside = Outside(servers.registry, servers.store.settings, servers.mend)
        cluster = stack.enter_context(running_cluster(folder, outside))
        for name in names:
            meanwhile = Bystanders()
            report = trio.run(partial(BENCHMARKS[name], cluster, servers))
            print(*report.tables, meanwhile, sep="\n", end="\n\n", flush=True)
            verdicts += report.verdicts
    print(verdict_table(verdicts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
