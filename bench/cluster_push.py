"""A push on its way through a cluster of 1, 2 and 3 comets: web, the owner, Redis behind a message node.

    busy    16 callers, each with one push under way: pushes/s
    calm    200 pushes a second: the time from the REST call to the last of the key's subscribers

120 keys with three subscribers each, all at the comet that owns the key, as web would send them. With two
cores all nodes of ours share one: more comets cannot be faster here, they only cost what a cluster costs.
What they would do with a core each is told by the process that has most to do for a push (the last column): it
is what limits them. Every message is counted, and its id must rise.
"""

import select
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass

from appmodel.core.cluster import Role
from bench.callers import Callers
from bench.load import LoadFailed, Subscribers
from bench.messages import Numbers, check_order
from bench.nodes import Nodes, cluster, names_of
from bench.scale import Bench, Scale
from bench.servers import LONG, subscription
from bench.tables import Report, Table, Verdict, percentiles
from tools.servers.daemon import Missing

CALLERS = 16
EACH = 3  # subscribers of a key
TTLS = (0, 60)  # seconds
RATE = 200.0  # pushes a second of a calm run
SILENCE = 5.0  # seconds without anything new after which something is missing


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the load has seen."""

    pushes: int
    seconds: float
    to_last: Sequence[float]  # seconds from each call to its last subscriber
    cpu: Mapping[str, float]  # seconds by process


class Load:
    """The callers of one run, and those who listen."""

    def __init__(
        self, names: Sequence[str], listeners: Sequence[Subscribers], callers: Callers, ttl: int
    ) -> None:
        self._names, self._listeners, self._callers, self._ttl = names, listeners, callers, ttl
        self._missing: Counter[int] = Counter()  # deliveries, by number of the push
        self._heard: defaultdict[tuple[int, int], Numbers] = defaultdict(Numbers)
        self.to_last: list[float] = []
        self._poller = select.epoll()
        for each in listeners:
            self._poller.register(each, select.EPOLLIN)
        self._poller.register(callers, select.EPOLLIN)

    def run(self, seconds: float, rate: float | None) -> None:
        """Push for so long, `rate` a second or as fast as they are answered; then wait for the last.

        Raises:
            LoadFailed: a push was refused, or a delivery is missing.
        """
        with self._poller:
            for _ in self._rounds(seconds, rate):
                self._poller.poll(0.001 if rate else 0.1)
                self._hear()
            heard = time.monotonic()
            while self._missing or self._callers.answered < len(self._callers.sent_at):
                self._poller.poll(0.1)
                if self._hear():
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE:
                    raise LoadFailed(f"{len(self._missing)} pushes did not reach everybody")

    def _rounds(self, seconds: float, rate: float | None) -> Iterator[None]:
        """Push what is due, then let the caller listen."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            due = passed * rate if rate else float("inf")
            while self._callers.are_idle and len(self._callers.sent_at) < due:
                number = len(self._callers.sent_at)
                self._missing[number] = EACH
                self._callers.push(self._names[number % len(self._names)], self._ttl)
            yield

    def _hear(self) -> bool:
        self._callers.collect()
        heard = False
        for index, listeners in enumerate(self._listeners):
            for fd, text in listeners.receive_each():
                heard = True
                for number in self._heard[index, fd].receive(text):
                    self._count(number)
        return heard

    def _count(self, number: int) -> None:
        self._missing[number] -= 1
        if not self._missing[number]:
            del self._missing[number]
            self.to_last.append(time.monotonic() - self._callers.sent_at[number])


def cluster_push(bench: Bench) -> Report:
    """Pushes/s, latency and CPU by process; with one more comet each time."""
    rows = []
    counts = bench.scale.cluster_comets
    what = f"pushes through a cluster of {', '.join(map(str, counts))} comets"
    try:
        with cluster(bench.cores, comets=1, redis=True) as nodes:
            for number in range(1, max(counts) + 1):
                if number > 1:
                    nodes.start(Role.COMET, f"c{number}")
                    nodes.wait_agreed()
                if number in counts:
                    rows += [_row(nodes, number, ttl, bench.scale) for ttl in TTLS]
    except Missing as error:
        return Report([], [Verdict.not_measured(what, "(for information)", f"{error}")])
    table = Table(
        f"Cluster: push/private, {CALLERS} callers, {bench.scale.cluster_keys} keys with {EACH} "
        "subscribers each, Redis",
        (
            "comets",
            "ttl",
            "pushes/s",
            "busy ms p50/p99",
            f"at {RATE:.0f}/s ms p50/p99",
            "CPU µs/push: web",
            "comets",
            "message",
            "redis",
            "with a core each",
        ),
        rows,
        [
            "ms: from the REST call to the last subscriber.",
            "Our nodes share one core, so more comets are not faster here;",
            "with a core each: pushes/s of the process that has most to do for one.",
        ],
    )
    return Report([table])


def _row(nodes: Nodes, comets: int, ttl: int, scale: Scale) -> list[str]:
    with ExitStack() as stack:
        owned = {
            f"c{n + 1}": names_of(f"c{n + 1}", comets, scale.cluster_keys // comets)
            for n in range(comets)
        }
        listeners = [
            stack.enter_context(_connected(nodes, owner, names)) for owner, names in owned.items()
        ]
        names = [name for each in zip(*owned.values(), strict=True) for name in each]
        _run(
            nodes, names, listeners, ttl, scale.cluster_seconds / 4, None
        )  # all has been used once
        busy = _run(nodes, names, listeners, ttl, scale.cluster_seconds, None)
        calm = _run(nodes, names, listeners, ttl, scale.cluster_seconds, RATE)
    each = {name: cpu / busy.pushes * 1e6 for name, cpu in busy.cpu.items()}
    return [
        str(comets),
        str(ttl),
        f"{busy.pushes / busy.seconds:,.0f}",
        percentiles(busy.to_last),
        percentiles(calm.to_last),
        f"{each['w1']:.0f}",
        f"{sum(cpu for name, cpu in each.items() if name.startswith('c')):.0f}",
        f"{each['m1']:.0f}",
        f"{each['redis']:.0f}",
        f"{1e6 / max(each.values()):,.0f}/s, {max(each, key=each.__getitem__)}",
    ]


def _connected(
    nodes: Nodes, owner: str, names: Sequence[str]
) -> AbstractContextManager[Subscribers]:
    port = nodes[owner].port("websocket")
    dialogue = subscription(port)
    return Subscribers.connect(port, (dialogue(name, LONG) for name in names for _ in range(EACH)))


def _run(
    nodes: Nodes,
    names: Sequence[str],
    listeners: Sequence[Subscribers],
    ttl: int,
    seconds: float,
    rate: float | None,
) -> Run:
    for each in listeners:
        each.keep()
    with closing(Callers(nodes["w1"].port("admin"), CALLERS)) as callers:
        load = Load(names, listeners, callers, ttl)
        began, before = time.monotonic(), nodes.cpu()
        load.run(seconds, rate)
        cpu = {name: used - before[name] for name, used in nodes.cpu().items()}
        run = Run(callers.answered, time.monotonic() - began, load.to_last, cpu)
    if sum(check_order(text) for each in listeners for text in each.kept()) != EACH * run.pushes:
        raise LoadFailed("a subscriber got a message twice")
    return run
