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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import appmsg_client
import httpx
import pytest
import trio

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
socketio.port = 0
mpush.port = 0
stat.port = 0
rpc.port = 0
limits.per_key = 100_000
[web]
public.port = 0
admin.port = 0
app.port = 0
api.port = 0
lightpush.port = 0
mpush.port = 0
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
def process(part: str, name: str, folder: Path) -> Iterator[Process]:
    """`appmsg PART` until the block ends; it stops in order."""
    running = Process(part, name, folder)
    try:
        yield running
    except BaseException:
        running.end()
        raise
    assert running.end() == 0


@dataclass(frozen=True)
class Cluster:
    """A message node, a web node and the supervisor of two workers."""

    folder: Path
    comet: Process
    shared: dict[str, str]  # URLs of the comets by listener
    api: str  # URL of web


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests here: each leaves two workers that serve."""
    folder = tmp_path_factory.mktemp("cluster")
    roots = new_roots()
    hosts = json.dumps(list(shared_server().hosts))
    (folder / "cluster.toml").write_text(
        CONFIG.format(hosts=hosts, comet=roots.comet, message=roots.message, web=roots.web)
    )
    with (
        process("message", "m1", folder) as message,
        process("comet", "c1", folder) as comet,
        process("web", "w1", folder) as web,
    ):
        message.until("ready", node="m1")
        shared = comet.until("ready", node="c1")["addresses"]
        api = web.until("ready", node="w1")["addresses"]["web.api"]
        yield Cluster(folder, comet, shared, api)


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
def test_a_worker_is_a_node_of_the_ring_and_says_where_it_is(cluster: Cluster) -> None:
    """Clients that ask web first are sent to its own port; others may come to any worker."""
    own = {name: cluster.comet.announced(name)["comet.tcp"] for name in ("c1-1", "c1-2")}

    command = [*APPMSG, "node", "list", "--json", "--config", "cluster.toml"]
    ran = subprocess.run(command, cwd=cluster.folder, capture_output=True, text=True, check=True)

    listed = [node for node in json.loads(ran.stdout) if node["role"] == "comet"]
    assert {node["name"]: f"tcp://{node['tcp'][0]}" for node in listed} == own
    assert {node["state"] for node in listed} == {"ready"}
    assert cluster.shared["comet.tcp"] not in own.values()


@pytest.mark.slow
def test_clients_subscribe_while_workers_are_rolled_and_die(cluster: Cluster) -> None:
    """Over a roll nobody fails; over SIGKILL only whom the dead one had accepted already."""
    comet = cluster.comet
    before = comet.workers()

    with Subscribers(cluster.shared) as subscribers:
        comet.signal(signal.SIGHUP)
        comet.until("rolled")
    assert subscribers.failures == []
    assert min(subscribers.welcomed["_tcp"], subscribers.welcomed["_websocket"]) > 0
    rolled = comet.workers()
    assert not set(before.values()) & set(rolled.values())

    with Subscribers(cluster.shared) as subscribers:
        os.kill(rolled["c1-1"], signal.SIGKILL)
        comet.until("worker ready", worker="c1-1")
    assert [failure for failure in subscribers.failures if "refused" in failure] == []
    assert len(subscribers.failures) <= 4  # one of each thread
    assert comet.workers()["c1-1"] != rolled["c1-1"]


def ask(url: str, session: dict[str, str], body: str | None = None) -> str:
    """A request on a connection of its own, as from a balancer that keeps none: whichever worker takes it."""
    with httpx.Client(timeout=PATIENCE, trust_env=False) as http:
        query = {"EIO": "4", "transport": "polling", **session}
        answer = (
            http.get(url, params=query)
            if body is None
            else http.post(url, params=query, content=body)
        )
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.slow
def test_polling_works_with_several_workers_behind_one_port(cluster: Cluster) -> None:
    """A client of Socket.IO that never leaves polling joins a key, and gets what is pushed to it."""
    url = cluster.shared["comet.socketio"]
    sessions = [{"sid": json.loads(ask(url, {})[1:])["sid"]} for _ in range(4)]
    for number, session in enumerate(sessions):
        assert ask(url, session, "40/appmsg,") == "ok"
        assert ask(url, session).startswith("40/appmsg,")
        assert ask(url, session, f'42/appmsg,1["join","poller{number}"]') == "ok"
        assert ask(url, session).startswith('43/appmsg,1[{"ok":true')

    for turn in range(3):
        for number, session in enumerate(sessions):
            order = {"to": f"poller{number}", "msg": turn}
            answer = httpx.post(f"{cluster.api}/v2/push", json=order, trust_env=False)
            assert answer.status_code == 200, answer.text
            assert f'"msg":{turn}' in ask(url, session)


class Mail:
    """Messages to numbered keys: which were accepted, and which have arrived."""

    def __init__(self, keys: int) -> None:
        self.accepted: dict[str, list[int]] = {f"k{number}": [] for number in range(keys)}
        self.received: dict[str, list[int]] = {key: [] for key in self.accepted}
        self.is_over = False
        self._arrived = trio.Event()

    async def listen(self, key: str, server: str) -> None:
        """A client that resumes."""
        async with appmsg_client.subscribe(key, server=server, mid=0) as messages:
            async for message in messages:
                assert isinstance(message.msg, int)
                self.received[key].append(message.msg)
                self._arrived.set()
                self._arrived = trio.Event()

    async def push(self, url: str) -> None:
        """To one key after the other, without a pause, until it is over."""
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as http:
            for number, key in enumerate(itertools.cycle(self.accepted)):
                if self.is_over:
                    return
                order = {"to": key, "msg": number, "ttl": 600}
                answer = await http.post("/v2/push", json=order)
                assert answer.status_code == 200, answer.text
                self.accepted[key].append(number)

    async def until_all_arrived(self) -> None:
        """Everything that was accepted, at its client."""
        while any(set(self.accepted[key]) - set(self.received[key]) for key in self.accepted):
            await self._arrived.wait()


@pytest.mark.slow
async def test_a_roll_loses_no_message_and_brings_none_twice(cluster: Cluster) -> None:
    """Clients go from the old process to the new one while pushes go on, and each push is accepted."""
    mail = Mail(keys=20)
    with trio.fail_after(2 * PATIENCE):
        async with trio.open_nursery() as clients:
            for key in mail.accepted:
                clients.start_soon(mail.listen, key, cluster.shared["comet.websocket"])
            async with trio.open_nursery() as callers:
                callers.start_soon(mail.push, cluster.api)
                cluster.comet.signal(signal.SIGHUP)
                await trio.to_thread.run_sync(cluster.comet.until, "rolled")
                mail.is_over = True
            await mail.until_all_arrived()
            clients.cancel_scope.cancel()

    assert mail.received == mail.accepted
    assert sum(map(len, mail.accepted.values())) > 0
