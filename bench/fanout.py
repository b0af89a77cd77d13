"""One push to many subscribers of one key: alone, and 64 at once.

Each server holds its subscribers for the whole benchmark and rounds alternate (A B C A B C), so what
else the machine does meets all alike. The next push (or burst) goes in when the last subscriber has
the one before, so no server is ever ahead of its clients. A message is 100 bytes of JSON; ours puts
its envelope around it (some 40 bytes), the others send it bare.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from bench import servers
from bench.entry import Entry
from bench.load import LoadFailed, Subscribers
from bench.messages import SIZE, body
from bench.scale import Bench, Scale
from bench.servers import LONG, Server, Start
from bench.tables import Report, Table, Verdict, percentiles, spread
from tools.servers.daemon import Missing

PEER = "Node ws"
COLUMNS = (
    "server",
    "CPU µs/delivery",
    "offered",
    "delivered",
    "1/s",
    "server",
    "load",
    "ms to last p50/p99",
)
NOTE = "server, load: share of its core that the server and the load generator used."

Batches = Sequence[Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of one server cost."""

    deliveries: int
    cpu: float  # seconds of the server
    load_cpu: float  # seconds of this process
    seconds: float
    to_last: Sequence[float]  # seconds from each push (or burst) to its last subscriber

    @property
    def per_delivery(self) -> float:
        """Server's CPU, microseconds."""
        return self.cpu / self.deliveries * 1e6


class Contestant:
    """One server with its subscribers and its rounds so far."""

    def __init__(self, server: Server, subscribers: Subscribers, entry: Entry) -> None:
        self.server = server
        self.rounds: list[Round] = []
        self._subscribers = subscribers
        self._entry = entry
        self._message = self._learn_size()

    def play(self, batches: Batches) -> None:
        """One round: every batch goes in at once, the next when everybody has it."""
        cpu, load_cpu, start = self.server.cpu, time.process_time(), time.monotonic()
        to_last = []
        for index, batch in enumerate(batches):
            pushed = time.monotonic()
            self._entry.push(batch)
            self._receive(batch, look=index in {0, len(batches) - 1})
            to_last.append(time.monotonic() - pushed)
            self._entry.confirm()
        deliveries = sum(len(batch) for batch in batches) * len(self._subscribers)
        self.rounds.append(
            Round(
                deliveries,
                self.server.cpu - cpu,
                time.process_time() - load_cpu,
                time.monotonic() - start,
                to_last,
            )
        )

    def _receive(self, batch: Sequence[bytes], *, look: bool) -> None:
        size = self._message * len(batch)
        if not look:
            self._subscribers.receive(size)
            return
        self._subscribers.keep()
        self._subscribers.receive(size)
        for text in set(self._subscribers.kept()):  # all alike, so this is cheap
            if any(text.count(message) != 1 for message in batch):
                raise LoadFailed(f"a subscriber got something else: {text!r}")

    def _learn_size(self) -> int:
        self._subscribers.receive_for(self.server.chatter)
        self._entry.push([body(0)])
        size = self._subscribers.receive_alike()
        self._entry.confirm()
        return size


def contestants(bench: Bench, stack: ExitStack) -> tuple[list[Contestant], list[str]]:
    """Every server that can run here, with its subscribers; and what is missing, why."""
    starts: list[Start] = [bench.ours]
    if bench.peers:
        starts += [*servers.PEERS, servers.floor]
    found, missing = [], []
    for start in starts:
        try:
            server = stack.enter_context(start(bench.cores))
        except Missing as error:
            missing.append(f"not run: {error}")
            continue
        with named(server.name):
            dialogues = (server.dialogue("bench", LONG) for _ in range(bench.scale.subscribers))
            subscribers = stack.enter_context(Subscribers.connect(server.port, dialogues))
            entry = server.entry(SIZE, bench.scale.at_once)
            stack.callback(entry.close)
            found.append(Contestant(server, subscribers, entry))
    return found, missing


def one(bench: Bench) -> Report:
    """Each message written by itself."""
    scale = bench.scale
    return _compare(
        bench,
        lambda first: [[body(first + number)] for number in range(scale.pushes)],
        f"one push to {scale.subscribers:,} subscribers, {scale.pushes} one after the other",
        0.75,
    )


def many(bench: Bench) -> Report:
    """Messages that are due together may be written together."""
    scale = bench.scale
    return _compare(
        bench,
        lambda first: list(bursts(first, scale)),
        f"{scale.at_once} pushes at once to {scale.subscribers:,} subscribers, {scale.bursts} times",
        0.12,
    )


def bursts(first: int, scale: Scale) -> Iterator[list[bytes]]:
    """What goes in at once, again and again; numbers from `first` on."""
    for burst in range(scale.bursts):
        start = first + burst * scale.at_once
        yield [body(start + number) for number in range(scale.at_once)]


def _compare(bench: Bench, batches: Callable[[int], Batches], title: str, bar: float) -> Report:
    with ExitStack() as stack:
        found, missing = contestants(bench, stack)
        for number in range(bench.scale.rounds):
            for contestant in found:
                with named(contestant.server.name):
                    contestant.play(batches(1 + number * 100_000))
    table = Table(
        f"Fan-out: {title}, {bench.scale.rounds} rounds in turn",
        COLUMNS,
        [row(contestant.server.name, contestant.rounds) for contestant in found],
        [NOTE, *missing],
    )
    peers = next((each.rounds for each in found[1:] if each.server.name == PEER), None)
    return Report([table], [verdict(title, found[0].rounds, peers, peer=PEER, bar=bar)])


@contextmanager
def named(server: str) -> Iterator[None]:
    """Say in a failure whose it was."""
    try:
        yield
    except LoadFailed as error:
        raise LoadFailed(f"{server}: {error}") from None


def row(server: str, rounds: Sequence[Round]) -> list[str]:
    """What it says in COLUMNS."""
    deliveries = sum(played.deliveries for played in rounds)
    seconds = sum(played.seconds for played in rounds)
    return [
        server,
        spread([played.per_delivery for played in rounds]),
        f"{deliveries:,}",
        f"{deliveries:,}",  # a round ends when each subscriber has every byte, or not at all
        f"{deliveries / seconds:,.0f}",
        f"{sum(played.cpu for played in rounds) / seconds:.0%}",
        f"{sum(played.load_cpu for played in rounds) / seconds:.0%}",
        percentiles([time for played in rounds for time in played.to_last]),
    ]


def verdict(
    title: str,
    ours: Sequence[Round],
    peers: Sequence[Round] | None,
    *,
    peer: str,
    bar: float,
) -> Verdict:
    """Round by round, ours against the peer's that was played right beside it."""
    must = f"CPU per delivery <= {bar:g} of {peer}"
    if peers is None:
        return Verdict.not_measured(title, must, f"{peer} did not run")
    shares = [a.per_delivery / b.per_delivery for a, b in zip(ours, peers, strict=True)]
    return Verdict(title, spread(shares, 3), must, median(shares) <= bar)
