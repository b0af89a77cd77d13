"""The servers that a cluster stands on, to be broken: an ensemble of ZooKeepers, and a store.

    with running_servers(folder) as servers:
        with servers.zookeepers_away():     all of them are frozen
        servers.leader().daemon.kill()
        servers.store.restart()             SIGKILL, and back with its data

What a store has confirmed survives SIGKILL: Redis with appendfsync always, PostgreSQL as Debian ships it.
"""

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cluster import zookeeper_settings
from tools.servers.daemon import Daemon
from tools.servers.postgres import postgres
from tools.servers.redis import redis_server
from tools.servers.zookeeper import Server, ensemble, hosts, leader


@dataclass(frozen=True, slots=True)
class Store:
    """A server that keeps messages."""

    daemon: Daemon
    settings: str  # what [message] says of it
    kill: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """What runs."""

    zookeepers: list[Server]
    store: Store

    @property
    def registry(self) -> str:
        """The sections of a registry on them."""
        return zookeeper_settings(hosts(self.zookeepers))

    def leader(self) -> Server:
        """The ZooKeeper that leads now."""
        return leader(self.zookeepers)

    @contextmanager
    def zookeepers_away(self) -> Iterator[None]:
        """All are frozen for the length of the block: nobody can tell them from a broken network."""
        for server in self.zookeepers:
            server.daemon.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for server in self.zookeepers:
                server.daemon.signal(signal.SIGCONT)

    def mend(self) -> None:
        """Everything runs again."""
        for daemon in (*(server.daemon for server in self.zookeepers), self.store.daemon):
            if daemon.is_running:
                with suppress(ProcessLookupError):
                    daemon.signal(signal.SIGCONT)
            else:
                daemon.start()


@contextmanager
def running_servers(
    folder: Path, store: Callable[[Path], AbstractContextManager[Store]], *, zookeepers: int = 3
) -> Iterator[Servers]:
    """All of them until the block ends. Raises Missing: one is not installed here."""
    with ensemble(folder, zookeepers) as members, store(folder) as kept:
        yield Servers(members, kept)


@contextmanager
def redis_store(folder: Path) -> Iterator[Store]:
    """Redis with its append-only file, written through before it answers."""
    options = ["--appendfsync", "always"]
    with redis_server(folder / "redis", persistent=True, options=options) as server:
        settings = f'store = "redis"\nredis.addresses = ["{server.address}"]\n'
        yield Store(server.daemon, settings, server.daemon.kill)


@contextmanager
def sql_store(_: Path) -> Iterator[Store]:
    """PostgreSQL, as Debian ships it. In a folder of its own: its user may not come to pytest's."""
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        yield from _sql_store(Path(home))


def _sql_store(folder: Path) -> Iterator[Store]:
    with postgres(folder / "postgres") as server:
        yield Store(server.daemon, f'store = "sql"\nsql.url = "{server.url()}"\n', server.kill)
