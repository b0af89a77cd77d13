"""Clients of Socket.IO: what one costs that has nothing to say, and what it costs to come.

Each server is started anew for each round. First clients come that stay at rest, in one namespace and two rooms
each: one that all are in, one for ten of them. Memory is what the server's Rss grows by, divided by
them. When they have gone, as many come again and join nothing: that is timed, from the TCP connect to the server's
`ok`, 256 on the way at once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.fanout import named
from bench.load import Dialogue, Subscribers
from bench.scale import Bench
from bench.servers import Server, Start
from bench.socketio import PEER, ours_of, starts
from bench.socketio_client import ROOM, arrival, member
from bench.tables import Report, Table, Verdict, spread
from tools.servers.daemon import Missing

WARM = 200  # clients that come and go first
TOGETHER = 10  # in a room of a few
MEMORY_BAR, SHARE_BAR = 5.0, 0.3  # KB, and of the peer's
QUIET = 0.025  # CPU seconds in half a second: a node at rest looks at its books a few times


@dataclass(frozen=True, slots=True)
class Stay:
    """One server's round."""

    kilobytes: float  # a client at rest
    connects: float  # a second
    connect_cpu: float  # µs each


def clients(bench: Bench) -> Report:
    """Memory of clients at rest, connects a second, and CPU of a connect."""
    rounds: dict[str, list[Stay]] = {}
    missing: dict[str, None] = {}
    for _ in range(bench.scale.socketio_rounds):
        for start in starts(bench):
            try:
                name, stay = _stay(bench, start)
            except Missing as error:
                missing[f"not run: {error}"] = None
                continue
            rounds.setdefault(name, []).append(stay)
    count = bench.scale.socketio_clients
    table = Table(
        f"Socket.IO: {count:,} clients in two rooms each, at rest; {count:,} connects over WebSocket",
        ("server", "clients", "KB/client", "connects/s", "CPU µs/connect"),
        [
            [
                name,
                f"{count:,}",
                spread([each.kilobytes for each in stays]),
                spread([each.connects for each in stays], 0),
                spread([each.connect_cpu for each in stays], 0),
            ]
            for name, stays in rounds.items()
        ],
        list(missing),
    )
    verdicts = [
        verdict
        for ours in ours_of(rounds)
        for verdict in _verdicts(ours, rounds[ours], rounds.get(PEER), count)
    ]
    return Report([table], verdicts)


def _stay(bench: Bench, start: Start) -> tuple[str, Stay]:
    count = bench.scale.socketio_clients
    with start(bench.cores) as server, named(server.name):
        with Subscribers.connect(server.port, _members(server, WARM)):
            pass
        _wait_quiet(server)
        before = server.resident()
        with Subscribers.connect(server.port, _members(server, count)):
            each = (server.resident() - before) / count / 1000
        _wait_quiet(server)
        cpu, began = server.cpu, time.monotonic()
        with Subscribers.connect(server.port, _arrivals(server, count)):
            seconds = time.monotonic() - began
            cpu = server.cpu - cpu
        return server.name, Stay(each, count / seconds, cpu / count * 1e6)


def _members(server: Server, count: int) -> list[Dialogue]:
    return [
        member(server.port, f"c{number}", [ROOM, f"g{number // TOGETHER}"])
        for number in range(count)
    ]


def _arrivals(server: Server, count: int) -> list[Dialogue]:
    return [arrival(server.port, f"c{number}") for number in range(count)]


def _wait_quiet(server: Server) -> None:
    """Until those who left are gone for the server, too."""
    used = QUIET
    while used >= QUIET:
        before = server.cpu
        time.sleep(0.5)
        used = server.cpu - before


def _verdicts(
    ours: str, stays: Sequence[Stay], peers: Sequence[Stay] | None, count: int
) -> list[Verdict]:
    memory = f"{ours}: memory per idle client, {count:,} clients"
    each = median([stay.kilobytes for stay in stays])
    verdicts = [Verdict(memory, f"{each:.2f} KB", f"<= {MEMORY_BAR:g} KB", each <= MEMORY_BAR)]
    rows: list[tuple[str, Callable[[Stay], float], str, Callable[[float], bool]]] = [
        (memory, lambda stay: stay.kilobytes, f"<= {SHARE_BAR:g} of {PEER}", SHARE_BAR.__ge__),
        (f"{ours}: connects/s", lambda stay: stay.connects, f">= {PEER}", (1.0).__le__),
        (f"{ours}: CPU per connect", lambda stay: stay.connect_cpu, f"<= {PEER}", (1.0).__ge__),
    ]
    for what, value, must, is_reached in rows:
        if peers is None:
            verdicts.append(Verdict.not_measured(what, must, f"{PEER} did not run"))
            continue
        shares = [value(a) / value(b) for a, b in zip(stays, peers, strict=True)]
        verdicts.append(Verdict(what, spread(shares, 3), must, is_reached(median(shares))))
    return verdicts
