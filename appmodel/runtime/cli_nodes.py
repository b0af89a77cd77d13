"""`appmsg node`: what operators see of a cluster, and what they wish of its comets.

    ROLE   NAME  STATE  WEIGHT  CONNECTIONS  KEYS  ATTACHED  AGE  ADDRESSES
    comet  c1    ready       1         4980  4803       120  2h   rpc=10.0.0.1:6970 ws=10.0.0.1:6968

What is wished is laid in ZooKeeper, beside the comet's processes (core/znodes.py): every node sees it
there, and it ends when the last process of that name has gone.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
import trio
import typer

from appmodel.core.cluster import ClusterView, Handover, Node, Role, Status
from appmodel.core.news import news
from appmodel.core.units import Duration
from appmodel.core.znodes import MAX_WEIGHT, Wish
from appmodel.errors import BadInput, PushError
from appmodel.io.calls import STATUS
from appmodel.io.peers import Peers
from appmodel.io.registry_zookeeper import ZooKeeperRegistry
from appmodel.io.rpc_link import RpcLimits
from appmodel.runtime.cli_config import Files, Overrides, load
from appmodel.runtime.config import load_secret
from appmodel.runtime.logs import configure_logs
from appmodel.runtime.registries import open_shared_registry
from appmodel.runtime.settings import Settings

ASK = 2.0  # seconds for a comet's answer
ASK_AT_ONCE = 50  # comets
LOOK = 0.5  # seconds between two looks at a comet that drains

T = TypeVar("T")

app = typer.Typer(help="The nodes of a cluster.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A comet, as `appmsg node list` has it.")]


@app.command("list")
def list_nodes(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Print all registered nodes; comets are asked how much they hold.

    A "?" is what could not be asked or was not said.

    Example: `appmsg node list --config conf/cluster.toml`
    """

    async def look(cluster: Cluster) -> list[Row]:
        nodes = cluster.registry.view.nodes
        statuses = await cluster.ask(nodes)
        return [Row.of(*pair) for pair in zip(nodes, statuses, strict=True)]

    rows = in_cluster(look, load(files, overrides))
    if as_json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False))
    else:
        _print_table(rows)


@app.command()
def drain(
    name: Name,
    wait: Annotated[bool, typer.Option(help="Until nobody is connected to it.")] = True,
    timeout: Annotated[str, typer.Option(help="To wait at most.")] = "10m",
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Let a comet hand over its keys and its clients; show how far it is.

    Exits with 1 if a client was lost, or some are left when the time is over. The comet stays
    drained until `undrain`, or until its last process has ended.

    Example: `appmsg node drain comet1 --timeout 2m`
    """
    seconds = _seconds("--timeout", timeout)

    async def ask(cluster: Cluster) -> str:
        await cluster.change(name, state="draining")
        return await _watch_drain(cluster, name, seconds) if wait else "draining"

    print(f"{name}: {in_cluster(ask, load(files, overrides))}")


@app.command()
def undrain(name: Name, files: Files = [], overrides: Overrides = []) -> None:
    """Let a comet take its share of the keys again.

    Example: `appmsg node undrain comet1`
    """
    in_cluster(lambda cluster: cluster.change(name, state=None), load(files, overrides))
    print(f"{name}: not draining")


@app.command()
def weight(
    name: Name,
    share: Annotated[int, typer.Argument(min=0, max=MAX_WEIGHT, help="0: no keys.")],
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Change a comet's share of the keys, until its last process has ended.

    Example: `appmsg node weight comet1 3`
    """
    in_cluster(lambda cluster: cluster.change(name, weight=share), load(files, overrides))
    print(f"{name}: weight {share}")


@app.command()
def watch(
    count: Annotated[int, typer.Option(min=0, help="End after so many lines; 0: never.")] = 0,
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Print what happens to nodes, a line each, beginning with those that are there.

    Example: `appmsg node watch`
    """
    in_cluster(lambda cluster: _print_news(cluster.registry, count), load(files, overrides))


@dataclass(frozen=True, slots=True)
class Row:
    """A node, as `list` shows it; what is None is not known."""

    role: str
    name: str
    state: str
    weight: int
    connections: int | None
    keys: int | None
    attached: int | None
    age: float | None  # seconds
    rpc: str
    ws: tuple[str, ...]
    tcp: tuple[str, ...]

    @classmethod
    def of(cls, node: Node, status: Status | None) -> "Row":
        """With what a comet answered."""
        return cls(
            role=node.role.value,
            name=node.name,
            state=node.state.value,
            weight=node.weight,
            connections=status.connections if status else None,
            keys=status.keys if status else None,
            attached=status.attached if status else None,
            age=_age(node.incarnation),
            rpc=node.rpc,
            ws=node.ws,
            tcp=node.tcp,
        )

    @property
    def cells(self) -> list[str]:
        """As texts, in the order of the table."""
        pairs = [("rpc", self.rpc), *(("ws", a) for a in self.ws), *(("tcp", a) for a in self.tcp)]
        addresses = " ".join(f"{kind}={address}" for kind, address in pairs if address)
        numbers = (self.weight, self.connections, self.keys, self.attached)
        counts = ["?" if number is None else str(number) for number in numbers]
        age = "?" if self.age is None else _in_words(self.age)
        return [self.role, self.name, self.state, *counts, age, addresses or "-"]


HEADERS = ["ROLE", "NAME", "STATE", "WEIGHT", "CONNECTIONS", "KEYS", "ATTACHED", "AGE", "ADDRESSES"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that can be looked at, without being a node of it."""

    registry: ZooKeeperRegistry
    peers: Peers

    async def ask(self, nodes: Sequence[Node]) -> list[Status | None]:
        """What each comet answers, in their order; None of those who do not."""
        answers: list[Status | None] = [None] * len(nodes)
        limit = trio.CapacityLimiter(ASK_AT_ONCE)

        async def ask(at: int, node: Node) -> None:
            async with limit:
                try:
                    status = await self.peers.client(node).call(STATUS, None, timeout=ASK)
                    answers[at] = status
                except PushError:
                    pass  # it is as good as not asked: None

        async with trio.open_nursery() as nursery:
            for at, node in enumerate(nodes):
                if node.role is Role.COMET:
                    nursery.start_soon(ask, at, node)
        return answers

    async def change(self, name: str, **wished: object) -> None:
        """Wish this of a comet, besides what is wished already."""
        wish = self.registry.wishes.get(name, Wish())
        await self.registry.wish(name, msgspec.structs.replace(wish, **wished))


def in_cluster(work: Callable[[Cluster], Awaitable[T]], settings: Settings) -> T:
    """Run `work` with the cluster that the settings name. Ctrl-C ends it.

    Raises:
        ConfigError: the settings name no ZooKeeper, or no right one.
        Unavailable: it did not answer within node.start_timeout.
    """
    configure_logs(msgspec.structs.replace(settings.log, level="warning"))
    secret = load_secret("rpc", settings.rpc.secret, settings.rpc.secret_file).encode() or None
    limits = RpcLimits(connect_timeout=settings.rpc.connect_timeout)

    async def run() -> T:
        async with (
            open_shared_registry(settings) as registry,
            Peers(registry, secret=secret, limits=limits) as peers,
        ):
            return await work(Cluster(registry, peers))

    try:
        return trio.run(run)
    except BaseExceptionGroup as group:
        error = _innermost(group)
    except KeyboardInterrupt as interrupt:
        error = interrupt
    raise typer.Exit(130) if isinstance(error, KeyboardInterrupt) else error


def _innermost(error: BaseException) -> BaseException:
    """The one error in groups of groups; the first if there are more."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _watch_drain(cluster: Cluster, name: str, seconds: float) -> str:
    """Print how far it is, until nobody is left or the comet has gone; how it ended.

    Raises:
        PushError: clients were lost, or it is not over in time.
    """
    said: Handover | None = None
    end = trio.current_time() + seconds
    while True:
        view = cluster.registry.view
        processes = [n for n in view.nodes if n.role is Role.COMET and n.name == name]
        answers = [status for status in await cluster.ask(processes) if status is not None]
        now = _sum([status.handover for status in answers if status.handover is not None])
        if now is not None and now != said:
            print(_progress(now), flush=True)
            said = now
        empty = now is not None and len(answers) == len(processes)
        is_over = not processes or (empty and not any(status.connections for status in answers))
        if said is not None and said.lost and is_over:
            raise PushError.with_message(f"{name}: {_progress(said)}")
        if is_over:
            return "drained" if processes else "drained, and gone"
        if trio.current_time() >= end:
            far = _progress(said) if said is not None else "it does not say how far it is"
            raise PushError.with_message(f"{name}: not drained in time: {far}")
        await trio.sleep(LOOK)


def _sum(parts: list[Handover]) -> Handover | None:
    """Of all processes of a name."""
    if not parts:
        return None
    moved, left, lost = (sum(getattr(p, key) for p in parts) for key in ("moved", "left", "lost"))
    return Handover(moved, left, lost, peak=max(part.peak for part in parts))


def _progress(handover: Handover) -> str:
    moved, left, lost, peak = msgspec.structs.astuple(handover)
    return f"moved {moved}, left {left}, lost {lost}, at most {peak}/s"


async def _print_news(registry: ZooKeeperRegistry, count: int) -> None:
    known, printed = ClusterView(0, ()), 0
    while True:
        view = registry.view
        for item in news(known, view, registry.wishes):
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            print(now, item.event, item.node.role.value, item.node.name, item.cause, sep="\t")
            sys.stdout.flush()
            printed += 1
            if printed == count:
                return
        known = view
        await registry.wait_newer(known.version)


def _print_table(rows: Sequence[Row]) -> None:
    lines = [HEADERS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADERS))]
    for line in lines:
        cells = (
            cell.rjust(width) if 3 <= column <= 7 else cell.ljust(width)  # numbers to the right
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def _age(incarnation: int) -> float | None:
    """Seconds since the start of a process; those of the originals do not say when it was."""
    started = incarnation / 1e9
    return round(time.time() - started, 1) if started > 1e9 else None


def _in_words(seconds: float) -> str:
    """In the largest unit: 45s, 12m, 3h, 5d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _seconds(option: str, text: str) -> float:
    try:
        return Duration.parse(text)
    except ValueError:
        raise BadInput(option, text, Duration.EXPECTED) from None
