"""PostgreSQL on loopback: one server with its data in a folder.

    with postgres(folder) as server:
        server.url("shop")              "postgresql://postgres:secret@127.0.0.1:34567/shop"
        server.execute("CREATE DATABASE shop")
        server.daemon.stop(), .start()  a restart; server.kill() is a crash of all its processes

Durable as Debian ships it (fsync and synchronous_commit are on). PostgreSQL refuses to run as root:
root runs it as the user of the Debian package, so the parents of `folder` must let that user through.
"""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tools.servers.daemon import Daemon, Missing, find, send
from tools.servers.ports import free_port

PACKAGE = "postgresql"
USER, PASSWORD = "postgres", "secret"  # of the superuser; it listens on loopback only


class Postgres:
    """One server. Its data survive a stop and a crash."""

    def __init__(
        self,
        folder: Path,
        settings: Sequence[str] = (),
        *,
        port: int | None = None,
        password: str = PASSWORD,
    ) -> None:
        """
        Args:
            settings: as in postgresql.conf: "max_connections=20".
            port: of loopback; None takes a free one.
            password: of the superuser, from the first start on.

        Raises:
            Missing: it is not installed, or root has no user to run it as.
        """
        self.port = free_port() if port is None else port
        self._password = password
        user = runs_as(USER, PACKAGE)
        self._data = folder / "data"
        if not (self._data / "PG_VERSION").exists():
            _make_cluster(folder, user, password)
        options = [f"port={self.port}", "listen_addresses=127.0.0.1"]
        options += [f"unix_socket_directories={folder}", *settings]
        command = [_program("postgres"), "-D", str(self._data)]
        command += [part for option in options for part in ("-c", option)]
        self.daemon = Daemon(
            command,
            log=folder / "postgres.log",
            ready=self._answers,
            user=user,
            stop_signal=signal.SIGINT,  # "fast": cuts the clients instead of waiting for them
        )

    def url(self, database: str = "postgres", *, user: str = USER, password: str = "") -> str:
        """Where clients find a database; without a password of its own, with the superuser's."""
        return f"postgresql://{user}:{password or self._password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the superuser; its rows."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """SIGKILL to all its processes at once: what a crash of the machine leaves of them."""
        children = self._children()
        self.daemon.kill()
        send(signal.SIGKILL, children)

    def signal(self, number: int) -> None:
        """Send all its processes a signal: SIGSTOP, SIGCONT."""
        send(number, [self.daemon.pid, *self._children()])

    def _children(self) -> list[int]:
        parent = self.daemon.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return [int(child) for child in children.split()]

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres(folder: Path, settings: Sequence[str] = ()) -> Iterator[Postgres]:
    """A server that keeps its data in `folder`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Postgres(folder, settings)
    server.daemon.start()
    try:
        yield server
    finally:
        server.daemon.stop()


def runs_as(user: str, package: str) -> str | None:
    """The user as whom root starts a server; None if we are not root and it runs as us.

    Raises:
        Missing: there is no such user: the Debian package makes it.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        raise Missing(f"no user {user} to run a server as (Debian package {package})") from None


def _make_cluster(folder: Path, user: str | None, secret: str) -> None:
    if user is not None:
        shutil.chown(folder, user, user)
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text(secret)
    if user is not None:
        shutil.chown(password, user, user)
    command = [_program("initdb"), "-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256"]
    command += ["--pwfile", str(password), "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    done = subprocess.run(
        command, cwd=folder, user=user, group=user, capture_output=True, text=True, check=False
    )
    password.unlink()
    if done.returncode:
        raise RuntimeError(f"initdb failed:\n{done.stderr}")


def _program(name: str) -> str:
    """The newest one that is installed: Debian keeps each version in a folder of its own."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return find(name, PACKAGE, *map(str, folders))


def _version(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0
