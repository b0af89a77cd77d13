"""Each store behind a message node, asked over RPC as comets and web ask it: saves, and what fetches wait.

    saves       8 comets with one batch of 256 pushes under way each, as in bench/node_saves.py
    fetch       a key's 10 messages, one reader at a time; 16 readers; and one beside the saves

The node, the database and this process share both cores, as they would. The servers are as Debian ships them,
Redis with appendonly and fsync every second; what each store calls durable is said in its module.
"""

import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Save
from appmodel.core.names import Key
from appmodel.errors import PushError
from appmodel.io.calls import RemoteStore
from appmodel.io.rpc_client import RpcClient
from bench.load import LoadFailed
from bench.machine import running_on
from bench.node_saves import BODY, PATIENCE, Load, Running, running
from bench.scale import Bench, Scale
from bench.tables import Report, Table, Verdict, percentiles
from tools.servers.daemon import Missing

BARS = {"redis": 30_000, "postgresql": 8_000}  # saves a second
COMETS = 8
BATCH = 256
READ_KEYS = [Key("", f"r{number}", "user") for number in range(500)]
READ_DEPTH = 10  # messages of each
READERS = 16
TTL = 3_600.0  # seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """One store."""

    saved: int
    seconds: float
    node: float  # CPU seconds of the message node while it saved
    server: float  # and of the database
    save_waits: Sequence[float]  # seconds of each call
    beside: Sequence[float]  # of each fetch beside them
    alone: Sequence[float]
    crowded: Sequence[float]

    @property
    def per_second(self) -> float:
        return self.saved / self.seconds


def stores(bench: Bench) -> Report:
    """Saves/s, CPU of a save, and latencies of each store that is installed here."""
    rows, notes, verdicts = [], [], []
    for kind in bench.scale.store_kinds:
        must = f">= {BARS[kind]:,}/s" if kind in BARS else ""
        what = f"saves through a message node, {kind}"
        try:
            with running_on(bench.cores.all), tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                folder.chmod(0o755)  # the servers' users go through it
                with running(kind, folder) as node:
                    measured = _run(node, bench.scale)
        except Missing as error:
            notes.append(f"not run: {error}")
            verdicts += [Verdict.not_measured(what, must, f"{error}")] if must else []
            continue
        rows.append(_row(kind, measured))
        if must:
            reached = measured.per_second >= BARS[kind]
            verdicts.append(Verdict(what, f"{measured.per_second:,.0f}/s", must, reached))
    table = Table(
        f"Stores behind a message node: {COMETS} comets save {BATCH} pushes a call",
        (
            "store",
            "saves/s",
            "CPU µs/save: node",
            "server",
            "ms/call p50/p99",
            "fetch ms p50/p99: alone",
            f"{READERS} readers",
            "beside saves",
            f"fetches/s, {READERS} readers",
        ),
        rows,
        [f"A fetch reads {READ_DEPTH} messages of one key.", *notes],
    )
    return Report([table], verdicts)


def _run(node: Running, scale: Scale) -> Measured:
    """Raises LoadFailed: a call was not answered, or not with what it should."""
    try:
        return trio.run(_measure, node, scale)
    except* (LoadFailed, PushError) as group:
        raise LoadFailed(f"{group.exceptions[0]}") from group


async def _measure(node: Running, scale: Scale) -> Measured:
    async with _asked(node) as store:
        await _fill(store)
        alone = await _read(store, 1, scale.store_seconds)
        crowded = await _read(store, READERS, scale.store_seconds)
        load = Load(BATCH)
        async with trio.open_nursery() as nursery:
            for _ in range(COMETS):
                nursery.start_soon(load.comet, node.address)
            await trio.sleep(scale.store_seconds / 4)
            load.waits.clear()
            before = (time.monotonic(), load.saved, *node.cpu())
            beside = await _read(store, 1, scale.store_seconds)
            after = (time.monotonic(), load.saved, *node.cpu())
            nursery.cancel_scope.cancel()
    seconds, saved, ours, server = (b - a for a, b in zip(before, after, strict=True))
    return Measured(int(saved), seconds, ours, server, load.waits, beside, alone, crowded)


@asynccontextmanager
async def _asked(node: Running) -> AsyncIterator[OfflineStore]:
    """The store, over a connection of its own."""
    client = RpcClient(node.address, secret=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        yield RemoteStore(client, PATIENCE)
        nursery.cancel_scope.cancel()


async def _fill(store: OfflineStore) -> None:
    for _ in range(READ_DEPTH):
        now = time.time()
        push_id = random.randbytes(16)
        await store.save([Save(push_id, int(now * 1e6), tuple(READ_KEYS), BODY, now + TTL)])


async def _read(store: OfflineStore, readers: int, seconds: float) -> list[float]:
    """Fetch for so long; how many seconds each took."""
    waits: list[float] = []
    end = time.monotonic() + seconds

    async def read() -> None:
        while (began := time.monotonic()) < end:
            page = await store.fetch(random.choice(READ_KEYS), 0, limit=READ_DEPTH)
            waits.append(time.monotonic() - began)
            if len(page.messages) != READ_DEPTH:
                raise LoadFailed(f"a fetch found {len(page.messages)} messages")

    async with trio.open_nursery() as nursery:
        for _ in range(readers):
            nursery.start_soon(read)
    return waits


def _row(kind: str, measured: Measured) -> list[str]:
    saved = measured.saved
    return [
        kind,
        f"{measured.per_second:,.0f}",
        f"{measured.node / saved * 1e6:.1f}",
        f"{measured.server / saved * 1e6:.1f}",
        percentiles(measured.save_waits),
        percentiles(measured.alone),
        percentiles(measured.crowded),
        percentiles(measured.beside),
        f"{len(measured.crowded) * READERS / sum(measured.crowded):,.0f}",
    ]
