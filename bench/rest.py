"""`POST /1/admin/push/private` under wrk: 16 callers, one subscriber, with and without the store.

    wrk -t1 -c16 -d8s -s push.lua http://127.0.0.1:8091/1/admin/push/private?key=bench&expire=60

The subscriber reads while wrk runs and keeps every byte: each push that wrk saw answered must be
there once, ids rising. wrk hangs up at the end with up to 16 answers unread, so there may be so many
more. CPU is that of all our processes: the all-in-one node is one. Beside it in the issue:
gopush-cluster with its three processes and Redis.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.load import LoadFailed, Subscribers
from bench.messages import body, check_order
from bench.scale import Bench
from bench.servers import LONG, Server
from bench.tables import Report, Table, Verdict, spread

CALLERS = 16
BARS = {0: (7_500, 130), 60: (4_000, 230)}  # by expire: pushes/s, CPU µs per push
SILENCE = 1.0  # seconds without a byte after which the subscriber has all
_COUNT = re.compile(r"(\d+) requests in ([\d.]+)(m?s)")
_LATENCY = re.compile(r"(50|99)% +([\d.]+[mu]?s)")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of wrk."""

    answered: int
    delivered: int
    seconds: float
    cpu: float  # seconds of the server
    latency: str  # p50 / p99

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    @property
    def cpu_us(self) -> float:
        """The server's CPU per push that it did, microseconds."""
        return self.cpu / self.delivered * 1e6


def push_private(bench: Bench) -> Report:
    """Pushes/s and CPU per push, expire 0 and 60 in turn."""
    titles = {e: f"push/private, expire {e}, one subscriber, wrk -t1 -c{CALLERS}" for e in BARS}
    if shutil.which("wrk") is None:
        why = "wrk is not installed"
        return Report([], [Verdict.not_measured(titles[e], _must(e), why) for e in BARS])
    runs: dict[int, list[Run]] = {expire: [] for expire in BARS}
    with (
        bench.ours(bench.cores) as server,
        Subscribers.connect(server.port, [server.dialogue("bench", LONG)]) as subscriber,
    ):
        for _ in range(bench.scale.runs):
            for expire in BARS:
                runs[expire].append(_run(bench, server, subscriber, expire))
    columns = ("", "answered", "delivered", "pushes/s", "CPU µs/push", "server", "ms p50/p99")
    table = Table(
        f"REST: push/private under wrk -t1 -c{CALLERS}, {bench.scale.runs} runs each, in turn",
        columns,
        [_row(f"expire {expire}", runs[expire]) for expire in BARS],
        ["server: CPU of all our processes, as a share of one core."],
    )
    return Report([table], [_verdict(titles[expire], expire, runs[expire]) for expire in BARS])


def _run(bench: Bench, server: Server, subscriber: Subscribers, expire: int) -> Run:
    url = f"http://127.0.0.1:{server.ports['admin']}/1/admin/push/private?key=bench&expire={expire}"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "push.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = [[{body(1).decode()}]]\n')
        subscriber.keep()
        cpu = server.cpu
        wrk = subprocess.Popen(
            [
                "wrk",
                "-t1",
                f"-c{CALLERS}",
                f"-d{bench.scale.wrk_seconds}s",
                "--latency",
                "-s",
                script,
                url,
            ],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, bench.cores.load),
        )
        while wrk.poll() is None:
            subscriber.receive_ready(0.1)
        cpu = server.cpu - cpu
        while subscriber.receive_ready(SILENCE):
            pass
    return _judge(wrk.communicate()[0], subscriber.kept()[0], cpu)


def _judge(said: str, received: bytes, cpu: float) -> Run:
    count = _COUNT.search(said)
    if count is None or "Non-2xx" in said or "Socket errors" in said:
        raise LoadFailed(f"wrk: {said.strip()}")
    answered, delivered = int(count[1]), check_order(received)
    if not answered <= delivered <= answered + CALLERS:
        raise LoadFailed(f"{answered} pushes were answered and {delivered} delivered")
    seconds = float(count[2]) / (1000 if count[3] == "ms" else 1)
    latency = " / ".join(time for _, time in _LATENCY.findall(said))
    return Run(answered, delivered, seconds, cpu, latency)


def _row(name: str, runs: Sequence[Run]) -> list[str]:
    return [
        name,
        f"{sum(run.answered for run in runs):,}",
        f"{sum(run.delivered for run in runs):,}",
        spread([run.per_second for run in runs], 0),
        spread([run.cpu_us for run in runs], 1),
        f"{sum(run.cpu for run in runs) / sum(run.seconds for run in runs):.0%}",
        sorted(run.latency for run in runs)[len(runs) // 2],
    ]


def _must(expire: int) -> str:
    rate, cost = BARS[expire]
    return f">= {rate:,}/s and <= {cost} µs CPU"


def _verdict(title: str, expire: int, runs: Sequence[Run]) -> Verdict:
    rate, cost = BARS[expire]
    per_second = median(run.per_second for run in runs)
    cpu = median(run.cpu_us for run in runs)
    reached = per_second >= rate and cpu <= cost
    return Verdict(title, f"{per_second:,.0f}/s and {cpu:.0f} µs CPU", _must(expire), reached)
