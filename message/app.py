"""The message node: keeps what was not delivered, and the facts that all nodes share.

    8070 message.rpc    store and ledger for comet and web nodes; not in a node that is all alone
    8071 message.ops    /metrics /healthz /readyz

All-in-one, the other parts get the store itself. Stopping: calls that have begun end, then what
waits for the store is written, then the store is closed.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Protocol

import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.interfaces import Ledger, OfflineStore
from appmodel.io.http import FrontDoor, HttpLimits
from appmodel.io.listener import bound_to, open_sockets
from appmodel.runtime.config import require_safe
from appmodel.runtime.ops import ops_routes
from appmodel.runtime.registries import announce_stop
from appmodel.runtime.service import Address, Context, NodePart
from message.config import MessageConfig
from message.io.alone import register_alone
from message.io.rpc_api import serve_calls
from message.io.sweeper import sweep_for_ever
from message.stores.memory import MemoryStore
from message.stores.notices import Notices
from message.stores.sqlite import open_sqlite


class Store(OfflineStore, Ledger, Protocol):
    """What every store is: both contracts, and something to observe."""

    @property
    def notices(self) -> Notices:
        """Its counters."""

    @property
    def trouble(self) -> str | None:
        """Why it does not serve, until it does."""

    @property
    def waiting(self) -> int:
        """Bytes of the calls that wait."""


async def serve(
    context: Context, stop: trio.Event, *, task_status: trio.TaskStatus[list[Address]]
) -> None:
    """The life of a message node.

    Raises:
        ConfigError: the store cannot be opened or is not shared, or an address is taken.
    """
    config = context.settings.section(MessageConfig)
    async with open_store(config) as store, trio.open_nursery() as nursery:
        context.peers.provide_store(store, store)
        observe(context, store)
        sweep = partial(sweep_for_ever, interval=config.sweep_interval, limit=config.sweep_slice)
        nursery.start_soon(sweep, store)
        async with trio.open_nursery() as listeners:
            addresses = [open_ops(context, config, stop, listeners)]
            announced = Node(Role.MESSAGE, context.settings.node.name, incarnation=time.time_ns())
            if context.parts == {NODE.name} or context.settings.registry.kind != "embedded":
                addresses.append(open_calls(context, config, store, stop, listeners))
                dialled = config.rpc.advertise or addresses[-1].url.removeprefix("rpc://")
                announced = Node(Role.MESSAGE, announced.name, announced.incarnation, rpc=dialled)
            await register_alone(context.registry, announced, config.store)
            task_status.started(addresses)
            await stop.wait()
            await announce_stop(context.registry, announced)
        await context.registry.withdraw(announced)
        nursery.cancel_scope.cancel()


NODE = NodePart("message", serve)


@contextlib.asynccontextmanager
async def open_store(config: MessageConfig) -> AsyncIterator[Store]:
    """The configured store, until the block ends."""
    match config.store:
        case "memory":
            yield MemoryStore(config)
        case "redis":
            # imported here: redis-py takes 8 MB and 70 ms from those who do not use it
            from message.stores.redis import open_redis

            async with open_redis(config) as store:
                yield store
        case "sql":
            # SQLAlchemy takes 20 MB and 250 ms
            from message.stores.sql import open_sql

            async with open_sql(config) as store:
                yield store
        case _:
            async with open_sqlite(config) as store:
                yield store


def observe(context: Context, store: Store) -> None:
    """Let operators see the store."""
    notices, metrics = store.notices, context.metrics
    context.health.add("store", lambda: store.trouble)
    metrics.counter("message_saved", "Messages stored, one per key.", lambda: notices.saved)
    metrics.counter("message_swept", "Freed for their time had passed.", lambda: notices.swept)
    metrics.counter("message_trimmed", "Dropped alive, over the depth.", lambda: notices.trimmed)
    metrics.counter("message_runaways", "Saves with an impossible id.", lambda: notices.runaways)
    metrics.counter("message_foreign", "Data of others in the store.", lambda: notices.foreign)
    metrics.counter("message_failures", "Saves that could not be stored.", lambda: notices.failures)
    metrics.gauge("message_queue_bytes", "Calls waiting for the disk.", lambda: store.waiting)


def open_ops(
    context: Context, config: MessageConfig, stop: trio.Event, nursery: trio.Nursery
) -> Address:
    """Start the listener for operators."""
    require_safe("message.ops", config.ops.host, context.settings.auth)
    sockets = open_sockets(config.ops.host, config.ops.port)
    limits = HttpLimits(drain_timeout=context.settings.node.drain_timeout)
    door = FrontDoor(ops_routes(context), limits=limits)
    nursery.start_soon(partial(door.serve, sockets, stop=stop))
    return Address("message.ops", f"http://{bound_to(sockets)}/metrics")


def open_calls(
    context: Context, config: MessageConfig, store: Store, stop: trio.Event, nursery: trio.Nursery
) -> Address:
    """Start the listener for other nodes."""
    sockets = open_sockets(config.rpc.host, config.rpc.port)
    nursery.start_soon(
        partial(
            serve_calls,
            sockets,
            store,
            store,
            secret=context.rpc_secret,
            limits=context.rpc_limits,
            counts=context.rpc_counts,
            stop=stop,
        )
    )
    return Address("message.rpc", f"rpc://{bound_to(sockets)}")
