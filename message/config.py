"""[message]: the node that keeps what was not delivered."""

from typing import Annotated, Literal

import msgspec

from appmodel.core.units import Duration, Size
from appmodel.runtime.config import Count, Port, Section


class SqliteConfig(Section, frozen=True):
    """[message.sqlite]. One file, and one writer in it."""

    path: str = "var/messages.db"  # made if missing; -wal, -shm and -lock lie beside it
    synchronous: Literal["full", "normal"] = (
        "full"  # normal: a power cut (not a crash) may lose the last pushes
    )
    cache: Size = Size(
        64 * 1024**2
    )  # pages kept in memory by the writer, and as much by the reader
    known_keys: Annotated[int, msgspec.Meta(ge=1000)] = (
        200_000  # keys whose mark is kept in memory: 300 B each
    )


class RpcConfig(Section, frozen=True):
    """[message.rpc]. Where comet and web nodes call; an all-in-one node needs none."""

    host: str = "127.0.0.1"
    port: Port = 8070  # rpc.bind of the original
    advertise: str = ""  # host:port that other nodes dial; empty = the bound address


class OpsConfig(Section, frozen=True):
    """[message.ops]. /metrics /healthz /readyz."""

    host: str = "127.0.0.1"
    port: Port = 8071


class MessageConfig(Section, frozen=True):
    """[message]. Which store, what it keeps, and how much may wait for it."""

    rpc: RpcConfig = RpcConfig()
    ops: OpsConfig = OpsConfig()
    store: Literal["sqlite", "memory"] = "sqlite"  # memory: nothing survives the process
    sqlite: SqliteConfig = SqliteConfig()
    depth: Count = 1000  # newest messages kept per key (gopush-cluster: 20)
    memory_limit: Size = Size(256 * 1024**2)  # of store "memory": above it pushes are refused
    queue_limit: Size = Size(64 * 1024**2)  # saves waiting for the disk; above it they are refused
    round_limit: Size = Size(4 * 1024**2)  # saves in one transaction: how much fails together
    page_limit: Size = Size(1024**2)  # bodies in one answer to a reader
    sweep_interval: Duration = Duration(5)  # between two looks for what has expired
    sweep_slice: Count = 250  # messages freed in one transaction: how long it keeps others waiting
