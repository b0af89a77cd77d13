"""What a save costs in each store: rows a second, and CPU time of the whole process.

    python -m bench.store_saves            the load is in the process too: its share is in the numbers

A server's own CPU time is not; bench/node_saves.py has it. Each load runs on a new file (`synchronous =
full`) or server in the folder for temporary files, so the disk there is the disk that is measured;
`sweep` frees what the loads before it have left: nothing in Redis, which frees it by itself.
"""

import logging
import os
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from appmodel.core.message import Save
from appmodel.core.names import Key
from appmodel.core.units import Size
from appmodel.runtime.config import Password
from bench.machine import describe
from message.config import MessageConfig, RedisConfig, SqlConfig, SqliteConfig
from message.stores.memory import MemoryStore
from message.stores.redis import RedisStore, open_redis
from message.stores.sql import SqlStore, open_sql
from message.stores.sqlite import SqliteStore, open_sqlite
from tools.servers.databases import DATABASES
from tools.servers.redis import redis_server

KEYS = tuple(Key("", f"u{number}", "user") for number in range(10_000))
BODY = b'"' + b"x" * 98 + b'"'
TTL = 60.0  # seconds
Store = MemoryStore | SqliteStore | RedisStore | SqlStore
Load = Callable[[Store], Awaitable[int]]  # returns how many messages it saved


class Clock:
    """The time, which the sweep moves on."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def a_push(*keys: Key) -> Save:
    """One push of 100 bytes that expires in a minute."""
    now = time.time()
    return Save(os.urandom(16), int(now * 1e6), keys, BODY, now + TTL)


async def many_keys(store: Store) -> int:
    """One push to 10,000 keys."""
    await store.save([a_push(*KEYS)])
    return len(KEYS)


async def many_tails(store: Store) -> int:
    """One push to 10,000 members of a group, with a tail for each."""
    tails = tuple(b'"toUserName":"%b","activeSessions":[]' % str(key).encode() for key in KEYS)
    save = a_push(*KEYS)
    body = b'{"content":%b}' % BODY
    await store.save([Save(save.push_id, save.proposed_id, KEYS, body, save.expires_at, tails)])
    return len(KEYS)


async def savers_of_one_key(store: Store, savers: int = 16, each: int = 1000) -> int:
    """16 at once, each one push to the same key after the other."""

    async def save() -> None:
        for _ in range(each):
            await store.save([a_push(KEYS[0])])

    async with trio.open_nursery() as nursery:
        for _ in range(savers):
            nursery.start_soon(save)
    return savers * each


async def big_batches(store: Store, batches: int = 60, size: int = 256) -> int:
    """256 pushes a call, each to a key of its own, one call after the other."""
    for batch in range(batches):
        keys = (KEYS[(batch * size + number) % len(KEYS)] for number in range(size))
        await store.save([a_push(key) for key in keys])
    return batches * size


async def one_by_one(store: Store, count: int = 1000) -> int:
    """One push to one key a call, one call after the other: what a hop and a commit cost."""
    for number in range(count):
        await store.save([a_push(KEYS[number])])
    return count


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one load."""

    rows: int
    seconds: float
    cpu: float  # seconds

    def __str__(self) -> str:
        return (
            f"{self.rows:8,} {self.seconds * 1e3:9.1f} ms {self.rows / self.seconds:10,.0f} /s "
            f"{self.cpu / self.rows * 1e6:7.1f} us CPU each"
        )


async def measure(load: Load, store: Store) -> Cost:
    """Run it once."""
    used, began = _cpu(), time.perf_counter()
    rows = await load(store)
    return Cost(rows, time.perf_counter() - began, _cpu() - used)


async def measure_sweep(store: Store, clock: Clock, limit: int) -> tuple[Cost, float]:
    """Free all that has expired; what it cost, and the longest slice in seconds."""
    clock.ahead += 2 * TTL
    longest = 0.0

    async def sweep(store: Store) -> int:
        nonlocal longest
        freed = 0
        while True:
            began = time.perf_counter()
            slice_ = await store.sweep(limit=limit)
            longest = max(longest, time.perf_counter() - began)
            freed += slice_
            if slice_ < limit:
                return freed

    return await measure(sweep, store), longest


@asynccontextmanager
async def open_store(kind: str, folder: Path, clock: Clock) -> AsyncIterator[Store]:
    """A new store."""
    if kind == "memory":
        yield MemoryStore(MessageConfig(memory_limit=Size(2**30)), clock)
    elif kind == "redis":
        with redis_server(folder / f"{time.time_ns()}", persistent=True) as server:
            redis = RedisConfig(addresses=(server.address,))
            async with open_redis(MessageConfig(redis=redis), clock) as store:
                yield store
    elif kind in DATABASES:
        with DATABASES[kind](folder / f"{time.time_ns()}") as database:
            database.execute("CREATE DATABASE bench")
            sql = SqlConfig(url=Password(database.url("bench")))
            async with open_sql(MessageConfig(sql=sql), clock) as store:
                yield store
    else:
        file = SqliteConfig(path=str(folder / f"{time.time_ns()}.db"))
        async with open_sqlite(MessageConfig(sqlite=file), clock) as store:
            yield store


LOADS: list[tuple[str, Load]] = [
    ("1 push to 10,000 new keys", many_keys),
    ("1 push to the same 10,000 keys", many_keys),
    ("1 push to 10,000 keys, a tail for each", many_tails),
    ("16 savers, 1 push to 1 key each, the same key", savers_of_one_key),
    ("256 pushes a call", big_batches),
    ("1 push a call, one saver", one_by_one),
]


async def run(kind: str, folder: Path) -> None:
    """All loads on one store, after one another, then the sweep of what they have left."""
    clock = Clock()
    async with open_store(kind, folder, clock) as store:
        for name, load in LOADS:
            print(f"{kind:10} {name:46} {await measure(load, store)}", flush=True)
        if kind == "redis":
            return
        cost, longest = await measure_sweep(store, clock, MessageConfig().sweep_slice)
        print(f"{kind:10} {'sweep':46} {cost}; longest slice {longest * 1e3:.1f} ms", flush=True)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table, three times: the machine is shared."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the servers' users go through it
        for _ in range(3):
            for kind in ("sqlite", "redis", *DATABASES, "memory"):
                trio.run(run, kind, Path(folder))


if __name__ == "__main__":
    main()
