"""What an attachment costs: the same pushes to clients of the owner, and to clients of another comet.

    local      push ──> c1, the owner ──> 1,000 subscribers at c1
    attached   push ──> c1, the owner ──> c2 ──> 1,000 subscribers at c2

One key with 1,000 subscribers is one item on its way; 1,000 keys with one subscriber each are 1,000 keys of
it. All clients stay connected for the whole benchmark, and local and attached rounds take turns; the next push
goes in when the last subscriber has the one before. CPU is that of both comets together. The process that
calls, web, and the store in memory are not in it.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from statistics import median

from bench.entry import OrderEntry
from bench.load import Subscribers
from bench.messages import body
from bench.nodes import Node, Nodes, cluster, names_of
from bench.scale import Bench, Scale
from bench.servers import LONG, subscription
from bench.tables import Report, Table, Verdict, spread
from tools.servers.daemon import Missing

BAR = 1.4  # times the CPU of a local delivery
TTLS = (0, 60)  # seconds
MUST = f"<= {BAR} times the CPU of a local delivery"


@dataclass(slots=True)
class Side:
    """Clients at one comet, and what a delivery to them has cost in each round."""

    names: Sequence[str]  # that are pushed to
    clients: Subscribers
    costs: dict[int, list[float]] = field(default_factory=dict)  # by ttl: CPU µs per delivery

    def play(self, nodes: Nodes, ttl: int, pushes: int) -> None:
        """One round."""
        with closing(OrderEntry(nodes["w1"].port("api"), self.names, ttl)) as caller:
            caller.push(body(0))
            caller.confirm()  # first: a refusal tells more than silence
            size = self.clients.receive_alike()
            before = _cpu(nodes)
            for number in range(pushes):
                caller.push(body(1 + number))
                self.clients.receive(size)
                caller.confirm()
            cost = (_cpu(nodes) - before) / (pushes * len(self.clients)) * 1e6
        self.costs.setdefault(ttl, []).append(cost)


def hop(bench: Bench) -> Report:
    """CPU per delivery, local and attached, of one key and of many."""
    count = bench.scale.subscribers
    titles = {
        f"{count:,} subscribers of one key": (1, count),
        f"{count:,} keys, one subscriber each": (count, 1),
    }
    rows: list[Sequence[str]] = []
    verdicts: list[Verdict] = []
    try:
        with cluster(bench.cores, comets=2) as nodes:
            for title, (keys, each) in titles.items():
                local, attached = _play(nodes, keys, each, bench.scale)
                for ttl in TTLS:
                    ratios = [
                        b / a for a, b in zip(local.costs[ttl], attached.costs[ttl], strict=True)
                    ]
                    costs = [spread(side.costs[ttl]) for side in (local, attached)]
                    rows.append([f"{title}, ttl {ttl}", *costs, spread(ratios)])
                    if not ttl:
                        reached = median(ratios) <= BAR
                        verdicts.append(_verdict(title, spread(ratios), reached))
    except Missing as error:
        return Report(
            [], [Verdict.not_measured(_what(title), MUST, f"{error}") for title in titles]
        )
    scale = bench.scale
    table = Table(
        f"Attachment hop: {scale.hop_pushes} pushes one after the other, {scale.hop_rounds} rounds in turn",
        ("", "local µs/delivery", "attached µs/delivery", "ratio"),
        rows,
        ["CPU of the owner and the holder together."],
    )
    return Report([table], verdicts)


def _play(nodes: Nodes, keys: int, each: int, scale: Scale) -> tuple[Side, Side]:
    """All rounds of one load; those who were connected hang up at the end."""
    names = names_of("c1", 2, 2 * keys)
    with (
        _connected(nodes["c1"], names[:keys], each) as at_owner,
        _connected(nodes["c2"], names[keys:], each) as elsewhere,
    ):
        local, attached = Side(names[:keys], at_owner), Side(names[keys:], elsewhere)
        for ttl in TTLS:
            for _ in range(scale.hop_rounds):
                local.play(nodes, ttl, scale.hop_pushes)
                attached.play(nodes, ttl, scale.hop_pushes)
    return local, attached


def _connected(comet: Node, names: Sequence[str], each: int) -> AbstractContextManager[Subscribers]:
    port = comet.port("websocket")
    dialogue = subscription(port)
    return Subscribers.connect(port, (dialogue(name, LONG) for name in names for _ in range(each)))


def _cpu(nodes: Nodes) -> float:
    return sum(comet.cpu for comet in nodes.comets)


def _what(title: str) -> str:
    return f"attachment hop, {title}"


def _verdict(title: str, measured: str, reached: bool) -> Verdict:
    return Verdict(_what(title), measured, MUST, reached)
