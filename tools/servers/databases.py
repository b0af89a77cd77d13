"""The SQL databases that a store may lie in, by the name that their URLs begin with.

with DATABASES["mariadb"](folder) as server: server.execute("CREATE DATABASE shop")
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from tools.servers.daemon import Daemon
from tools.servers.mariadb import mariadb
from tools.servers.postgres import postgres


class DatabaseServer(Protocol):
    """A server of any of these kinds."""

    daemon: Daemon
    port: int

    def url(self, database: str = ..., *, user: str = ..., password: str = ...) -> str:
        """Where clients find a database."""

    def execute(self, statement: str, database: str = ...) -> list[tuple[Any, ...]]:
        """Run one statement as its superuser; its rows."""

    def kill(self) -> None:
        """SIGKILL to all its processes."""

    def signal(self, number: int) -> None:
        """Send all its processes a signal."""


class Start(Protocol):
    """Runs a server for the length of a block."""

    def __call__(
        self, folder: Path, settings: Sequence[str] = ...
    ) -> AbstractContextManager[DatabaseServer]:
        """`settings` in the server's own words. Raises Missing."""


DATABASES: Mapping[str, Start] = {"postgresql": postgres, "mariadb": mariadb}
