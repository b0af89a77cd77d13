"""Mpush: `GET /phone?title=x` to a device that is there and acknowledges, until the caller reads `ok`.

    closed    1 connection, and 50: each asks again when it was answered         pushes/s, CPU of a push
    open      200 pushes a second over the same, whatever became of those before     p50 and p99 from when each was due

All servers are up at the same time, each with its own device, and take turns (A B C, A B C), so what else happens on
the machine happens to all. The way of a push: caller, server, device, acknowledgement, server, caller.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import monotonic

from bench.fanout import named
from bench.machine import disk_yardstick
from bench.mpush_load import Load
from bench.mpush_servers import OURS, MpushServer, alone, node_ws, of_a_cluster
from bench.scale import Bench
from bench.tables import Report, Table, Verdict, percentiles, spread
from tools.servers.daemon import Missing

RATE = 200.0  # pushes a second of the open loop
CONNECTIONS = (1, 50)
P99_BAR = 10.0  # ms


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one load on one server."""

    took: Sequence[float]  # seconds, of each push
    seconds: float
    cpu: float  # seconds, of all its processes

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU of a push, microseconds."""
        return self.cpu / len(self.took) * 1e6

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return quantiles(self.took, n=100, method="inclusive")[98] * 1000


@dataclass(frozen=True, slots=True)
class Turns:
    """All that one server did over so many connections."""

    closed: list[Run] = field(default_factory=list)
    open: list[Run] = field(default_factory=list)


def answers(bench: Bench) -> Report:
    """Pushes/s and CPU of a push as fast as they are answered; latency at a steady rate."""
    tables, verdicts = [], []
    with _servers(bench) as (servers, missing):
        for connections in CONNECTIONS:
            played, synced = _play(bench, servers, connections)
            notes = [
                f"meanwhile the disk took {percentiles(synced)} ms for 8 KB (p50/p99).",
                *missing,
            ]
            tables.append(_table(played, connections, bench.scale.mpush_rounds, notes))
            verdicts.append(_verdict(played[OURS], connections))
    return Report(tables, verdicts)


def starts(bench: Bench) -> Sequence[AbstractContextManager[MpushServer]]:
    """Ours, and the others."""
    ours = alone(bench.cores)
    return [ours, of_a_cluster(bench.cores), node_ws(bench.cores)] if bench.peers else [ours]


@contextmanager
def _servers(bench: Bench) -> Iterator[tuple[Sequence[MpushServer], Sequence[str]]]:
    """Those that run, and why others do not."""
    with ExitStack() as stack:
        found, missing = [], []
        for start in starts(bench):
            try:
                found.append(stack.enter_context(start))
            except Missing as error:
                missing.append(f"not run: {error}")
        yield found, missing


def _play(
    bench: Bench, servers: Sequence[MpushServer], connections: int
) -> tuple[dict[str, Turns], Sequence[float]]:
    """What each did, and the seconds that syncs of the disk took before each round."""
    scale = bench.scale
    played = {server.name: Turns() for server in servers}
    synced: list[float] = []
    with ExitStack() as stack:
        loads = [stack.enter_context(Load.opened(server, connections)) for server in servers]
        for number in range(1 + scale.mpush_rounds):  # the first one warms up
            synced += disk_yardstick()
            for server, load in zip(servers, loads, strict=True):
                with named(server.name):
                    closed = _run(server, load, scale.mpush_seconds, None)
                    steady = _run(server, load, scale.mpush_seconds, RATE)
                if number:
                    played[server.name].closed.append(closed)
                    played[server.name].open.append(steady)
        for server, load in zip(servers, loads, strict=True):
            with named(server.name):
                load.check()
    return played, synced


def _run(server: MpushServer, load: Load, seconds: float, rate: float | None) -> Run:
    cpu, began = server.cpu, monotonic()
    took = load.push_steadily(seconds, rate) if rate else load.push_as_answered(seconds)
    return Run(took, monotonic() - began, server.cpu - cpu)


def _table(played: dict[str, Turns], connections: int, rounds: int, notes: Sequence[str]) -> Table:
    plural = "s" if connections > 1 else ""
    columns = (
        "server",
        "pushes/s",
        "ms p50/p99",
        "CPU µs/push",
        f"at {RATE:g}/s ms p50/p99",
        "p99 of each round",
        "CPU µs/push",
    )
    rows = [
        [
            name,
            spread([run.per_second for run in turns.closed], 0),
            percentiles([took for run in turns.closed for took in run.took]),
            spread([run.cpu_us for run in turns.closed], 0),
            percentiles([took for run in turns.open for took in run.took]),
            spread([run.p99 for run in turns.open], 1),
            spread([run.cpu_us for run in turns.open], 0),
        ]
        for name, turns in played.items()
    ]
    title = f"Mpush: GET /phone?title=x until `ok`, {connections} connection{plural}, {rounds} rounds in turn"
    return Table(title, columns, rows, notes)


def _verdict(turns: Turns, connections: int) -> Verdict:
    """The median of the rounds: one moment in which the machine was busy elsewhere does not decide."""
    p99 = median(run.p99 for run in turns.open)
    plural = "s" if connections > 1 else ""
    what = f"{OURS}: GET /name?title=x, {RATE:g} a second, {connections} connection{plural}"
    return Verdict(what, f"p99 {p99:.1f} ms", f"p99 <= {P99_BAR:g} ms", p99 <= P99_BAR)
