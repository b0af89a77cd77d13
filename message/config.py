"""[message]: the node that keeps what was not delivered."""

from typing import Annotated, Literal

import msgspec

from appmodel.core.names import Key
from appmodel.core.units import Duration, Size
from appmodel.runtime.config import Count, Password, Port, Section, Share


def _host_port(text: str) -> tuple[str, int]:
    """From "host:port" or "[::1]:6379"."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(f"addresses: got {text!r}, expected host:port")
    return host.strip("[]"), int(port)


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


class RedisConfig(Section, frozen=True):
    """[message.redis]. One server, a Cluster, or a master that Sentinel watches."""

    mode: Literal["single", "cluster", "sentinel"] = "single"
    addresses: tuple[str, ...] = (
        "127.0.0.1:6379",
    )  # host:port of the server, of some nodes of the Cluster, or of the Sentinels
    master: str = "mymaster"  # the name by which Sentinel knows it
    database: Share = 0  # of a single server or of Sentinel's master
    username: str = ""  # of an ACL user; empty = the default user
    password: Password = Password()
    sentinel_password: Password = Password()  # of the Sentinels themselves
    tls: bool = False
    ca: str = ""  # PEM file of who signed the servers' certificates; empty = the system's
    certificate: str = ""  # PEM file that we show to servers that ask for one
    key: str = ""  # its private key
    prefix: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$")] = (
        "appmsg"  # of the names of all that we keep there
    )
    buckets: Annotated[int, msgspec.Meta(ge=0, le=1024)] = (
        0  # parts that can lie on different nodes of a Cluster; fixed by the first start; 0 = 16 there, else 1
    )
    replicas: Share = 0  # a save is answered when so many replicas have it: survives a fail-over
    timeout: Duration = Duration(2)  # of one exchange with a server; below half of rpc.call_timeout
    connect_timeout: Duration = Duration(1)  # to connect, and again for TLS and login
    max_retry_pause: Duration = Duration(5)  # between two attempts to connect; begins at 50 ms
    feed_limit: Count = 100_000  # entries of the feed, each with up to 32 marks; a comet reads it once a second, and after 10 s without it compares all its keys
    original: bool = False  # also read what gopush-cluster left in this database

    def __post_init__(self) -> None:
        if not self.hosts:
            raise ValueError("addresses: expected at least one")
        if self.mode == "single" and len(self.hosts) > 1:
            raise ValueError('addresses: expected one, or mode = "cluster" or "sentinel"')
        if self.mode == "cluster" and self.original:
            raise ValueError(
                'original: expected false with mode = "cluster", which it never ran on'
            )
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together")

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """Host and port of each address."""
        return [_host_port(text) for text in self.addresses]


class SqlConfig(Section, frozen=True):
    """[message.sql]. A PostgreSQL or MariaDB database; several message nodes may share it."""

    url: Password = Password()  # postgresql://user:password@host:port/database, or mariadb://...
    create_tables: bool = True  # false: an operator makes them; a start says what is missing
    readers: Annotated[int, msgspec.Meta(ge=1, le=16)] = (
        1  # connections that answer fetches, each with a thread; one more writes
    )
    connect_timeout: Duration = Duration(2)  # to connect and log in
    timeout: Duration = Duration(
        4
    )  # of a call: half to wait for its turn, half for its transaction
    retry_pause: Duration = Duration(0.1)  # before the first attempt to reconnect, at most; doubles
    max_retry_pause: Duration = Duration(5)  # up to here


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
    store: Literal["sqlite", "redis", "sql", "memory"] = (
        "sqlite"  # memory: nothing survives the process
    )
    sqlite: SqliteConfig = SqliteConfig()
    redis: RedisConfig = RedisConfig()
    sql: SqlConfig = SqlConfig()
    depth: Count = 1000  # newest messages kept per key (gopush-cluster: 20)
    queue_depth: Count = 100_000  # the same for a device of Mpush, whose messages wait until they are acknowledged or expire
    memory_limit: Size = Size(256 * 1024**2)  # of store "memory": above it pushes are refused
    queue_limit: Size = Size(64 * 1024**2)  # saves waiting for the disk; above it they are refused
    round_limit: Size = Size(4 * 1024**2)  # saves in one transaction: how much fails together
    page_limit: Size = Size(1024**2)  # bodies in one answer to a reader
    sweep_interval: Duration = Duration(5)  # between two looks for what has expired
    sweep_slice: Count = 250  # messages freed in one transaction: how long it keeps others waiting

    def depth_of(self, key: Key) -> int:
        """Newest messages that are kept of `key`."""
        return self.queue_depth if key.is_queue else self.depth
