"""An S3 server on loopback: moto's, as a process of its own.

    with s3_server(folder) as server:
        server.url                      "http://127.0.0.1:34567"
        server.make_bucket("files")

It keeps everything in memory, and takes any key: who may do what is not tested by it.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from tools.servers.daemon import Daemon, Missing, accepts, running
from tools.servers.ports import free_port

ACCESS_KEY, SECRET_KEY = "tests", "a key of the tests"


@dataclass(frozen=True, slots=True)
class Server:
    """A running one."""

    url: str
    daemon: Daemon

    def make_bucket(self, name: str) -> None:
        """An empty one."""
        with urlopen(Request(f"{self.url}/{name}", method="PUT"), timeout=10) as answer:
            answer.read()


@contextmanager
def s3_server(folder: Path) -> Iterator[Server]:
    """Until the block ends.

    Raises:
        Missing: moto is not installed.
    """
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask_cors") is None:
        raise Missing("moto's server is not installed (the development dependencies)")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log=folder / "s3.log", ready=lambda: accepts(port)) as daemon:
        yield Server(f"http://127.0.0.1:{port}", daemon)
