"""Moving 10,000 clients: to a comet that joins, and away from one that stops.

    join    c1 has everybody; c2 joins, and owns all their keys from then on: `move_rate` a second
    drain   c2 gets a SIGTERM and hands everybody over to c1 before its time is up

The clients' keys are chosen so that all of them move. They speak version 2, resume from their last id at once,
and get messages with a ttl meanwhile: each must come once and in order, whoever held the client when it was
pushed. CPU is that of our processes from the beginning to the last client that is welcome at the new
comet; starting a process is not in it, the few pushes are.
"""

import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from appmodel.core.cluster import Role
from bench.callers import Callers
from bench.load import LoadFailed
from bench.nodes import Node, Nodes, cluster, names_of
from bench.nomads import Nomad, Nomads
from bench.scale import Bench
from bench.tables import Report, Table, Verdict
from tools.servers.daemon import Missing

TTL = 600  # seconds
RATE = 50  # pushes a second, each to one client
PRIME = 7_919  # clients apart are those of two pushes
CALLERS = 4
STALL = 30.0  # seconds in which somebody must arrive
DRAIN = 20  # seconds: node.drain_timeout
LOST = "no message lost, none twice"


@dataclass(frozen=True, slots=True)
class Move:
    """How it went."""

    what: str
    seconds: float  # from the first client that arrived to the last
    peak: int  # arrivals in the busiest second
    cpu: Mapping[str, float]  # seconds by node


class Crowd:
    """The clients, and who pushes to them meanwhile."""

    def __init__(self, nomads: Nomads, callers: Callers) -> None:
        self.nomads, self._callers = nomads, callers
        self._began = time.monotonic()
        self.told: list[Nomad] = []  # by number of the push: whom it was for

    def live(self, seconds: float) -> None:
        """Push what is due, and listen for so long."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            while self._callers.are_idle and len(self.told) < (now - self._began) * RATE:
                clients = self.nomads.clients
                client = clients[len(self.told) * PRIME % len(clients)]
                self.told.append(client)
                self._callers.push(client.key, TTL)
            self.nomads.roam(0.005)
            self._callers.collect()

    def settle(self) -> tuple[int, int]:
        """Push no more, and wait for the last message; how many were lost, how many came twice.

        A client never takes an id twice or out of order, so what came twice would have two ids.
        """
        end = time.monotonic() + STALL
        clients = self.nomads.clients
        while time.monotonic() < end and (self._callers.is_waiting or missing(self.told, clients)):
            self.nomads.roam(0.1)
            self._callers.collect()
        lost = missing(self.told, clients)
        return lost, sum(len(client.received) for client in clients) - (len(self.told) - lost)


def moving(bench: Bench) -> Report:
    """Time, CPU and peak rate of a join and of a drain; what was lost."""
    count = bench.scale.moved_clients
    titles = [
        f"{count:,} clients move to a comet that joins",
        f"{count:,} clients leave a comet that stops",
    ]
    names = names_of("c2", 2, count)
    settings = {"APPMSG_NODE__DRAIN_TIMEOUT": str(DRAIN)}
    try:
        with cluster(bench.cores, comets=1, settings=settings) as nodes:
            c1, web = nodes["c1"].port("websocket"), nodes["w1"].port("admin")
            with Nomads.connect(names, c1) as nomads, closing(Callers(web, CALLERS)) as callers:
                crowd = Crowd(nomads, callers)
                join = _join(nodes, crowd)
                drain = _drain(nodes, crowd)
                lost, twice = crowd.settle()
    except Missing as error:
        return Report([], [Verdict.not_measured(title, LOST, f"{error}") for title in titles])
    table = Table(
        f"Moving {count:,} version 2 clients, {RATE} pushes/s with a ttl meanwhile",
        ("", "seconds", "peak clients/s", "CPU µs/client: c1", "c2", "message", "web"),
        [_row(move, count) for move in (join, drain)],
        [f"Of {len(crowd.told):,} messages {lost} were lost, {twice} came twice."],
    )
    measured = f"{lost} lost, {twice} twice"
    verdicts = [
        Verdict(title, f"{move.seconds:.1f} s, {measured}", LOST, not lost and not twice)
        for title, move in zip(titles, (join, drain), strict=True)
    ]
    return Report([table], verdicts)


def _join(nodes: Nodes, crowd: Crowd) -> Move:
    """A second comet comes, and everybody goes there."""
    joining = nodes.add(Role.COMET, "c2")
    before = {name: node.cpu for name, node in nodes.by_name.items() if node is not joining}
    joining.spawn()
    while not joining.is_ready:
        crowd.live(0.05)
    before["c2"] = joining.cpu
    return _wait_moved("a comet joins", nodes, crowd, joining, before)


def _drain(nodes: Nodes, crowd: Crowd) -> Move:
    """The second comet stops, and everybody goes back."""
    crowd.nomads.moves.clear()
    before = {name: node.cpu for name, node in nodes.by_name.items()}
    nodes["c2"].daemon.signal(signal.SIGTERM)
    return _wait_moved("a comet stops", nodes, crowd, nodes["c1"], before)


def _wait_moved(
    what: str, nodes: Nodes, crowd: Crowd, target: Node, before: Mapping[str, float]
) -> Move:
    """Return when everybody is welcome at `target`. Raises LoadFailed if they stay away."""
    nomads, port = crowd.nomads, target.port("websocket")
    used = dict(before)
    began = time.monotonic()
    while nomads.at.get(port, 0) < len(nomads.clients):
        crowd.live(0.05)
        used.update(
            {name: node.cpu for name, node in nodes.by_name.items() if node.daemon.is_running}
        )
        if time.monotonic() - max([began, *nomads.moves[-1:]]) > STALL:
            raise LoadFailed(f"{nomads.at} of {len(nomads.clients)} clients: nobody moves any more")
    cpu = {name: seconds - before[name] for name, seconds in used.items()}
    return Move(what, nomads.moves[-1] - nomads.moves[0], peak(nomads.moves), cpu)


def _row(move: Move, clients: int) -> list[str]:
    cpu = [move.cpu[name] / clients * 1e6 for name in ("c1", "c2", "m1", "w1")]
    return [move.what, f"{move.seconds:.1f}", f"{move.peak:,}", *(f"{each:.0f}" for each in cpu)]


def missing(told: Sequence[Nomad], clients: Sequence[Nomad]) -> int:
    """Messages that did not reach whom they were for; `told` has him by number of the push."""
    got = {(client.key, number) for client in clients for number in client.received}
    return sum((client.key, number) not in got for number, client in enumerate(told))


def peak(moves: Sequence[float]) -> int:
    """The most moves within a second."""
    first = peak = 0
    for last, moment in enumerate(moves):
        while moment - moves[first] > 1.0:
            first += 1
        peak = max(peak, last - first + 1)
    return peak
