"""`appmsg comet` as several workers on ZooKeeper: clients subscribe while a worker is killed and all are rolled."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.comet.world import BEAT, HANDSHAKE, request
from tests.shared_zookeeper import new_roots, shared_server

APPMSG = [sys.executable, "-m", "appmodel.runtime.cli"]
PATIENCE = 60.0  # seconds for one thing to happen: the machine may be busy
CONFIG = """
[node]
drain_timeout = "5s"
[rpc]
secret = "a cluster secret of the tests, long enough"
[registry]
kind = "zookeeper"
[registry.zookeeper]
hosts = {hosts}
session_timeout = "4s"
comet_root = "{comet}"
message_root = "{message}"
web_root = "{web}"
[message]
rpc.port = 0
ops.port = 0
[comet]
workers = 2
websocket.port = 0
tcp.port = 0
stat.port = 0
rpc.port = 0
limits.per_key = 100_000
"""


class Process:
    """`appmsg PART`, and its log as far as it was read."""

    def __init__(self, part: str, name: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [
                *[*APPMSG, part, "--config", "cluster.toml"],
                *["--set", f"node.name={name}", "--set", "log.format=json"],
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, Any]] = []

    def until(self, event: str, **fields: object) -> dict[str, Any]:
        """The next line with this event and these fields."""
        assert self._process.stderr is not None
        for text in self._process.stderr:
            assert text.startswith("{"), text + self._process.stderr.read()
            line: dict[str, Any] = json.loads(text)
            self.log.append(line)
            if line["event"] == event and fields.items() <= line.items():
                return line
        raise AssertionError(f"ended without {event!r} {fields}: {self.log}")

    def announced(self, node: str) -> dict[str, str]:
        """The addresses of a worker, which may tell them later than its supervisor says that it is ready."""
        lines = (line for line in self.log if line["event"] == "ready" and line["node"] == node)
        line = next(lines, None) or self.until("ready", node=node)
        addresses: dict[str, str] = line["addresses"]
        return addresses

    def workers(self) -> dict[str, int]:
        """The process of each worker that was ready last, as far as the log was read."""
        ready = [line for line in self.log if line["event"] == "worker ready"]
        return {line["worker"]: line["pid"] for line in ready}

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Stop it; its exit code."""
        self.signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        return self._process.returncode


@contextmanager
def cluster(folder: Path) -> Iterator[Process]:
    """A message node and two workers, until the block ends; they stop in order."""
    roots = new_roots()
    hosts = json.dumps(list(shared_server().hosts))
    (folder / "cluster.toml").write_text(
        CONFIG.format(hosts=hosts, comet=roots.comet, message=roots.message, web=roots.web)
    )
    message, comet = Process("message", "m1", folder), Process("comet", "c1", folder)
    with ExitStack() as ending:
        ending.callback(message.end)
        ending.callback(comet.end)
        message.until("ready", node="m1")
        yield comet
        assert comet.end() == 0


class Subscribers:
    """Threads that subscribe without a pause, each time to another key, until the block ends."""

    def __init__(self, addresses: dict[str, str]) -> None:
        """`addresses` are URLs by listener, as the ready line has them."""
        self._ports = {name: urlsplit(url).port for name, url in addresses.items()}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=[subscribe, number])
            for number in range(2)
            for subscribe in (self._tcp, self._websocket)
        ]
        self.welcomed: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> "Subscribers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, subscribe: Callable[[str], None], number: int) -> None:
        for count in itertools.count():
            if self._stop.is_set():
                return
            try:
                subscribe(f"k{number}-{count}")
            except (OSError, AssertionError) as error:
                self.failures.append(f"{subscribe.__name__}: {error!r}")
            else:
                self.welcomed[subscribe.__name__] += 1

    def _tcp(self, key: str) -> None:
        asked = request("sub", key, "30", "", "2")
        assert self._first_line("comet.tcp", asked) == BEAT

    def _websocket(self, key: str) -> None:
        target, host = (
            f"/sub?key={key}&heartbeat=30&ver=2",
            f"127.0.0.1:{self._ports['comet.websocket']}",
        )
        asked = HANDSHAKE.format(target=target, host=host).encode()
        assert self._first_line("comet.websocket", asked).startswith(b"HTTP/1.1 101 ")

    def _first_line(self, listener: str, asked: bytes) -> bytes:
        where = "127.0.0.1", self._ports[listener]
        with socket.create_connection(where, timeout=PATIENCE) as client:
            client.sendall(asked)
            return client.makefile("rb").readline()


@pytest.mark.slow
def test_clients_subscribe_while_workers_are_rolled_and_die(tmp_path: Path) -> None:
    """Over a roll nobody fails; over SIGKILL only whom the dead one had accepted already."""
    with cluster(tmp_path) as comet:
        shared = comet.until("ready", node="c1")["addresses"]
        before = comet.workers()
        assert set(before) == {"c1-1", "c1-2"}

        with Subscribers(shared) as subscribers:
            comet.signal(signal.SIGHUP)
            comet.until("rolled")
        assert subscribers.failures == []
        assert min(subscribers.welcomed["_tcp"], subscribers.welcomed["_websocket"]) > 0
        rolled = comet.workers()
        assert not set(before.values()) & set(rolled.values())

        with Subscribers(shared) as subscribers:
            os.kill(rolled["c1-1"], signal.SIGKILL)
            comet.until("worker ready", worker="c1-1")
        assert [failure for failure in subscribers.failures if "refused" in failure] == []
        assert len(subscribers.failures) <= 4  # one of each thread
        assert comet.workers()["c1-1"] != rolled["c1-1"]


@pytest.mark.slow
def test_a_worker_is_a_node_of_the_ring_and_says_where_it_is(tmp_path: Path) -> None:
    """Clients that ask web first are sent to its own port; others may come to any worker."""
    with cluster(tmp_path) as comet:
        shared = comet.until("ready", node="c1")["addresses"]
        own = {name: comet.announced(name)["comet.tcp"] for name in ("c1-1", "c1-2")}

        listed = subprocess.run(
            [*APPMSG, "node", "list", "--json", "--config", "cluster.toml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

        comets = {node["name"]: node for node in json.loads(listed) if node["role"] == "comet"}
        assert {name: node["state"] for name, node in comets.items()} == {
            "c1-1": "ready",
            "c1-2": "ready",
        }
        assert {name: f"tcp://{node['tcp'][0]}" for name, node in comets.items()} == own
        assert shared["comet.tcp"] not in own.values()
