"""light-push's REST at a steady rate: from a push's request to its last client.

A push every 50 ms, whatever became of the one before, into a room of 1,000 clients of Socket.IO: the time runs
from the send of the request until the last byte of the last client was read. It is ours alone: the others
have no such REST. The node is the all-in-one on SQLite, and everything else of it goes on meanwhile.
"""

import time
from contextlib import closing
from statistics import quantiles

from bench.entry import Entry
from bench.fanout import named
from bench.load import LoadFailed, Subscribers
from bench.messages import SIZE, body
from bench.scale import Bench
from bench.servers import LONG
from bench.socketio_servers import light_push
from bench.tables import Report, Table, Verdict, percentiles

RATE = 20  # pushes a second
BAR = 60.0  # ms
WARM = 20  # pushes before anything counts


def latency(bench: Bench) -> Report:
    """ms from the request to the last client."""
    scale = bench.scale
    with light_push(bench.cores) as server, named(server.name):
        dialogues = (server.dialogue(f"c{number}", LONG) for number in range(scale.subscribers))
        with (
            Subscribers.connect(server.port, dialogues) as clients,
            closing(server.entry(SIZE, 1)) as entry,
        ):
            entry.push([body(0)])
            size = clients.receive_alike()
            entry.confirm()
            _push_steadily(clients, entry, size, WARM)
            cpu, began = server.cpu, time.monotonic()
            seconds = _push_steadily(clients, entry, size, scale.latency_pushes)
            share = (server.cpu - cpu) / (time.monotonic() - began)
    title = f"POST /api/auth/push to a room of {scale.subscribers:,}, {RATE} a second"
    p99 = quantiles(seconds, n=100, method="inclusive")[98] * 1000
    table = Table(
        f"Socket.IO: {title}",
        ("server", "pushes", "delivered", "ms to last p50/p99", "worst ms", "CPU of a core"),
        [
            [
                server.name,
                f"{len(seconds):,}",
                f"{len(seconds) * scale.subscribers:,}",
                percentiles(seconds),
                f"{max(seconds) * 1000:.1f}",
                f"{share:.0%}",
            ]
        ],
    )
    bar = f"p99 <= {BAR:g} ms"
    return Report([table], [Verdict(title, f"p99 {p99:.1f} ms", bar, p99 <= BAR)])


def _push_steadily(clients: Subscribers, entry: Entry, size: int, count: int) -> list[float]:
    """Seconds that each took. One that is late does not move the next: its time runs from when it was due."""
    start = time.monotonic()
    took = []
    for number in range(count):
        due = start + number / RATE
        if clients.receive_for(due - time.monotonic()):
            raise LoadFailed("a client got something between two pushes")
        entry.push([body(number)])
        clients.receive(size)
        took.append(time.monotonic() - due)
        entry.confirm()
    return took
