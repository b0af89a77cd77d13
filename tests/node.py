"""A node as a real process: start it, kill it, start it again at the same addresses.

    with running_node(tmp_path) as node:        all in one; part="comet": that part alone
        node.url("web.api")        http://127.0.0.1:34567
        node.kill()                SIGKILL: nothing is said, nothing is written any more
        node.start()               the same ports, the same store

It listens on ports of loopback that nobody else is given, keeps everything in the folder that it is
given, and asks for no credential unless its settings say so. All of this blocks: from trio call it in a thread.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tools.servers.ports import free_ports, give_back

START_TIMEOUT = 80.0  # seconds; it takes one, but the machine may be busy
STOP_TIMEOUT = 60.0
LISTENERS = {  # how the ready line names them, and where their port is set
    "comet.websocket": "APPMSG_COMET__WEBSOCKET__PORT",
    "comet.tcp": "APPMSG_COMET__TCP__PORT",
    "comet.socketio": "APPMSG_COMET__SOCKETIO__PORT",
    "comet.mpush": "APPMSG_COMET__MPUSH__PORT",
    "comet.rpc": "APPMSG_COMET__RPC__PORT",
    "comet.stat": "APPMSG_COMET__STAT__PORT",
    "message.rpc": "APPMSG_MESSAGE__RPC__PORT",
    "message.ops": "APPMSG_MESSAGE__OPS__PORT",
    "web.public": "APPMSG_WEB__PUBLIC__PORT",
    "web.admin": "APPMSG_WEB__ADMIN__PORT",
    "web.app": "APPMSG_WEB__APP__PORT",
    "web.api": "APPMSG_WEB__API__PORT",
    "web.lightpush": "APPMSG_WEB__LIGHTPUSH__PORT",
    "web.mpush": "APPMSG_WEB__MPUSH__PORT",
}


class Node:
    """One `appmsg up`, or another part. Its log's last lines are in `log`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, part: str = "up") -> None:
        """`settings` are environment variables, APPMSG_SECTION__KEY."""
        self.log: deque[str] = deque(maxlen=1000)
        self._folder, self._part = folder, part
        self._settings = dict(settings)
        self._addresses: dict[str, str] = {}
        self._is_ready = False  # it said so, in this life
        self._given = free_ports(len(LISTENERS))  # the same in all its lives
        self._ports = dict(zip(LISTENERS.values(), map(str, self._given), strict=True))
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def url(self, listener: str) -> str:
        """Where a listener is, by its name in LISTENERS; the same after every start."""
        return self._addresses[listener]

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither killed nor stopped."""
        return self._process is not None

    def start(self) -> None:
        """Start it and wait until it is ready. Fails with its log if that takes too long."""
        plain = {
            name: value for name, value in os.environ.items() if not name.startswith("APPMSG_")
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from appmodel.runtime.cli import main; main()", self._part],
            cwd=self._folder,
            env=plain | {"APPMSG_LOG__FORMAT": "json"} | self._ports | self._settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        ready, self._is_ready = threading.Event(), False
        self._reader = threading.Thread(target=self._read_log, args=[self._process, ready])
        self._reader.start()
        ready.wait(START_TIMEOUT)
        if not self._is_ready:
            self.kill()
            raise AssertionError("the node did not start:\n" + "\n".join(self.log))

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it is doing."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM: it drains. Returns its exit code; one that hangs is killed."""
        return self._end(signal.SIGTERM)

    def retire(self) -> None:
        """Stop it for good: its ports may be given to others."""
        self.stop()
        give_back(self._given)

    def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            code = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        assert self._reader is not None
        self._reader.join()
        assert process.stderr is not None
        process.stderr.close()
        return code

    def _read_log(self, process: "subprocess.Popen[str]", ready: threading.Event) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(line.rstrip())
            if not ready.is_set() and '"event":"ready"' in line:
                self._addresses = json.loads(line)["addresses"]
                self._is_ready = True
                ready.set()
        ready.set()  # it ended, ready or not


@contextmanager
def running_node(
    folder: Path, settings: Mapping[str, str] | None = None, *, part: str = "up"
) -> Iterator[Node]:
    """A node that runs for the length of the block, unless the test stops it before."""
    node = Node(folder, settings or {}, part=part)
    node.start()
    try:
        yield node
    finally:
        node.retire()
