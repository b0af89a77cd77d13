"""MariaDB on loopback: one server with its data in a folder.

    with mariadb(folder) as server:
        server.url("shop")              "mariadb://root:secret@127.0.0.1:34567/shop?..."
        server.execute("CREATE DATABASE shop")
        server.daemon.stop(), .start()  a restart; server.kill() is a crash

Durable as Debian ships it (innodb_flush_log_at_trx_commit = 1). Root runs it as the user of the Debian
package, so the parents of `folder` must let that user through.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from tools.servers.daemon import Daemon, find
from tools.servers.ports import free_port
from tools.servers.postgres import runs_as

PACKAGE = "mariadb-server"
PASSWORD = "secret"  # of root in the database; it listens on loopback only
HASTY = ["--debug-no-sync", "--innodb-flush-method=nosync"]  # 2 s instead of 7 on a busy disk
ROOT = "root.sql"  # run at each start: the installer gives root no password and no TCP


class MariaDb:
    """One server. Its data survive a stop and a crash."""

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        """`settings` as on its command line, without the dashes: "max_connections=20".

        Raises:
            Missing: it is not installed, or root has no user to run it as.
        """
        self.port = free_port()
        user = runs_as("mysql", PACKAGE)
        data = folder / "data"
        if not data.exists():
            _make_data(folder, user)
        options = [f"datadir={data}", f"port={self.port}", "bind-address=127.0.0.1"]
        options += [f"socket={folder / 'socket'}", f"pid-file={folder / 'pid'}"]
        options += [f"init-file={folder / ROOT}", "skip-name-resolve"]
        options += [f"tmpdir={folder}"]  # one that starts empties it of what others have there
        options += ["innodb-buffer-pool-size=64M", *settings]
        command = [find("mariadbd", PACKAGE), "--no-defaults", *(f"--{o}" for o in options)]
        self.daemon = Daemon(command, log=folder / "mariadb.log", ready=self._answers, user=user)

    def url(self, database: str = "mysql", *, user: str = "root", password: str = PASSWORD) -> str:
        """Where clients find a database. Without TLS: PyMySQL needs 25 ms to prepare for it."""
        place = f"127.0.0.1:{self.port}/{database}"
        return f"mariadb://{user}:{password}@{place}?ssl_disabled=true"

    def execute(self, statement: str, database: str = "mysql") -> list[tuple[Any, ...]]:
        """Run one statement as root; its rows."""
        connection = pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            password=PASSWORD,
            database=database,
            autocommit=True,
            connect_timeout=10,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL: what a crash of the machine leaves of it."""
        self.daemon.kill()

    def signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP, SIGCONT."""
        self.daemon.signal(number)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except pymysql.OperationalError:
            return False
        return True


@contextmanager
def mariadb(folder: Path, settings: Sequence[str] = ()) -> Iterator[MariaDb]:
    """A server that keeps its data in `folder`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    server = MariaDb(folder, settings)
    server.daemon.start()
    try:
        yield server
    finally:
        server.daemon.stop()


def _make_data(folder: Path, user: str | None) -> None:
    if user is not None:
        shutil.chown(folder, user, user)
    (folder / ROOT).write_text(
        f"CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
        "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n"
    )
    command = [find("mariadb-install-db", PACKAGE), "--no-defaults", f"--datadir={folder / 'data'}"]
    command += ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-log-bin"]
    command += HASTY
    if user is not None:
        command.append(f"--user={user}")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
