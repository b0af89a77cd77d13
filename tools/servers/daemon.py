"""Real servers on loopback for tests, benchmarks and `make cluster`: start one, wait for it, end it.

    with running(["redis-server", ...], ready=answers_ping, log=folder / "redis.log") as redis:
        redis.pid                       to stop, continue or kill it: only ever by its own id

A server lives in a folder of its own, listens on a free port of loopback (ports.py), and is gone after the block.
Each server has a module here that knows its command line; what is not installed is `Missing`.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_TIMEOUT = 100.0  # seconds; most take one, but the machine may be busy
STOP_TIMEOUT = 60.0


class Missing(Exception):
    """The server is not installed here, and which Debian package has it."""


class Daemon:
    """A process that was started here."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> None:
        """`ready()` is asked until it is true; it may raise OSError meanwhile."""
        self._command, self._log, self._ready = list(command), log, ready
        self._user = user
        self._environment = {**os.environ, **(environment or {})}
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._heir: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, the same command at the same place, and wait until it serves.

        It does not outlive this process, even if that is killed.
        """
        self.spawn()
        self._heir = _heir_of(self.pid)
        self.wait_ready()

    def spawn(self) -> None:
        """Start it, and do not wait. It may outlive this process."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
                start_new_session=True,  # Ctrl-C is for us: we end it in our order
            )

    def wait_ready(self) -> None:
        """Wait until it serves.

        Raises:
            RuntimeError: it has ended, or takes too long and is killed; with the end of its log.
        """
        end = time.monotonic() + START_TIMEOUT
        while not self._is_ready():
            if not self.is_running or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{self._command[0]} did not start:\n{self._tail()}")
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP, SIGCONT, SIGHUP. See `send`."""
        send(number, [self.pid])

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it is doing."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; one that hangs is killed. Its exit code."""
        return self._end(self._stop_signal)

    def _end(self, number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # one that was stopped hears nothing else
        try:
            return process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            self._dismiss_heir()

    def _dismiss_heir(self) -> None:
        heir, self._heir = self._heir, None
        if heir is not None:
            heir.kill()  # before its pipe is closed: another process may have that id by now
            heir.wait()
            assert heir.stdin is not None
            heir.stdin.close()

    def _is_ready(self) -> bool:
        try:
            return self._ready()
        except OSError:
            return False

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    ready: Callable[[], bool],
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    stop_signal: int = signal.SIGTERM,
) -> Iterator[Daemon]:
    """A daemon that runs for the length of the block, unless somebody ends it before."""
    daemon = Daemon(
        command, log=log, ready=ready, user=user, environment=environment, stop_signal=stop_signal
    )
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def _heir_of(pid: int) -> "subprocess.Popen[bytes]":
    """Somebody who kills a session when this process is gone: then the pipe between them is closed."""
    command = ["sh", "-c", f"read _; kill -s KILL -- -{pid}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def send(number: int, pids: Sequence[int]) -> None:
    """Send all of them a signal; who is gone is passed over. After SIGSTOP none of their threads runs any more.

    The kernel only asks for that: on a busy machine a thread goes on for some milliseconds, and answers.
    """
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    if number == signal.SIGSTOP:
        end = time.monotonic() + STOP_TIMEOUT
        while not all(map(_stands_still, pids)):
            if time.monotonic() > end:
                raise RuntimeError(f"{pids} did not stop within {STOP_TIMEOUT:g} s")
            time.sleep(0.001)


def _stands_still(pid: int) -> bool:
    """Whether all threads of a process are stopped; one that has ended stands still, too."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if task.read_text().rpartition(")")[2].split()[0] not in "TtZX":
                return False
    return True


def accepts(port: int) -> bool:
    """Whether somebody listens on that port of loopback. Raises OSError if not."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def find(program: str, package: str, *folders: str) -> str:
    """The path of an installed program.

    Raises:
        Missing: it is not there.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin", *folders])
    found = shutil.which(program, path=path)
    if found is None:
        raise Missing(f"{program} is not installed (Debian package {package})")
    return found
