"""A supervisor as a real process (fake_crew.py), and what a test does to it.

    with running_crew(tmp_path, workers=2) as crew:
        crew.ready()                                     all workers serve
        os.kill(crew.pid_of("fake-1"), signal.SIGKILL)
        crew.until("worker ready", worker="fake-1")      the next line of its log that says so

Nothing sleeps: a test goes on when the supervisor has said something, or when a process has ended.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FAKE_CREW = Path(__file__).with_name("fake_crew.py")
PATIENCE = 60.0  # seconds for one thing to happen: the machine may be busy


class Crew:
    """A supervisor and its workers."""

    def __init__(self, folder: Path, environment: dict[str, str], settings: dict[str, Any]) -> None:
        self._file = folder / "fake.toml"
        self.configure(**settings)
        self.process = subprocess.Popen(
            [sys.executable, str(FAKE_CREW), str(self._file)],
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # what a terminal sends, a test can send to all of it
        )
        self.log: list[dict[str, Any]] = []
        self._unread: deque[dict[str, Any]] = deque()  # the supervisor's own lines
        self.said: list[str] = []  # on stderr, beside the log
        self.pids: dict[str, int] = {}

    def configure(self, **settings: Any) -> None:
        """Write the settings: `node__name` is node.name, `desk__port` is fake.desk.port."""
        lines = []
        for name, value in {"node__name": "fake", **settings}.items():
            path = name.replace("__", ".")
            path = path if path.startswith("node.") else f"fake.{path}"
            lines.append(f"{path} = {json.dumps(value)}\n")
        self._file.write_text("".join(lines))

    def spoil(self) -> None:
        """Settings that nobody can read."""
        self._file.write_text("fake.workers = 'many'")

    def until(self, event: str, **fields: object) -> dict[str, Any]:
        """The next line of the supervisor's log with this event and these fields."""
        while True:
            while self._unread:
                line = self._unread.popleft()
                if line["event"] == event and fields.items() <= line.items():
                    return line
            if not self._read():
                raise AssertionError(f"no {event!r} {fields} in {self.log} {self.said}")

    def ready(self) -> int:
        """Wait until all workers serve; the port that they share."""
        line = self.until("ready")
        return int(line["addresses"]["fake.door"].rpartition(":")[2])

    def pid_of(self, worker: str) -> int:
        """The process of a worker that was started last, as far as the log was read."""
        return self.pids[worker]

    def own_port(self, worker: str, listener: str = "door") -> int:
        """What a worker announces that is ready. Its own line may come later than its supervisor's."""
        while len(self._events("ready", node=worker)) < len(
            self._events("worker ready", worker=worker)
        ):
            assert self._read(), f"{worker} has announced nothing"
        announced = self._events("ready", node=worker)[-1]["addresses"][listener]
        return int(announced.rpartition(":")[2])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the end of the supervisor; its exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        """One more line of the supervisor's log; False at its end."""
        assert self.process.stderr is not None
        for text in self.process.stderr:
            if not text.startswith("{"):
                self.said.append(text.rstrip())
                continue
            line = json.loads(text)
            self.log.append(line)
            if line["event"] == "worker started":
                self.pids[line["worker"]] = line["pid"]
            if line["logger"] == "appmodel.runtime.supervisor":
                self._unread.append(line)
            return True
        return False

    def _events(self, event: str, **fields: object) -> list[dict[str, Any]]:
        return [
            line for line in self.log if line["event"] == event and fields.items() <= line.items()
        ]


@contextmanager
def running_crew(
    folder: Path, environment: dict[str, str] | None = None, **settings: Any
) -> Iterator[Crew]:
    """A supervisor that is killed at the end of the block, with whoever is left."""
    crew = Crew(folder, environment or {}, settings)
    watched: set[int] = set()
    try:
        yield crew
    finally:
        crew.process.kill()
        watched.update(crew.pids.values())
        crew.process.communicate(timeout=PATIENCE)


def ends(pid: int) -> bool:
    """Wait for the end of a process that is not ours to wait for; False if it does not."""
    try:
        watching = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watching], [], [], PATIENCE)[0])
    finally:
        os.close(watching)


def greeting(port: int) -> str:
    """What a worker says who accepts there: `<name> <pid>`. Raises OSError if it was refused."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        said = client.makefile("rb").readline()
        if not said:
            raise ConnectionResetError("the worker hung up without a word")
        return said.decode().strip()


class Callers:
    """Threads that connect without a pause, to one port, until the block ends."""

    def __init__(self, port: int, threads: int = 2) -> None:
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(threads)]
        self._lock = threading.Condition()
        self.answers: Counter[str] = Counter()  # by `<name> <pid>`
        self.failures: list[str] = []

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def until_answered(self, by: str) -> None:
        """Until one that has this name or process has answered."""
        with self._lock:
            heard = self._lock.wait_for(
                lambda: any(by in answer.split() for answer in self.answers), PATIENCE
            )
        assert heard, f"{by} did not answer: {self.answers}"

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                answer = greeting(self._port)
            except OSError as error:
                self.failures.append(repr(error))
            else:
                with self._lock:
                    self.answers[answer] += 1
                    self._lock.notify_all()


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)
