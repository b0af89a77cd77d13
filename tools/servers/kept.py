"""A server that outlives the command that started it: its process id lies in a file.

    var/cluster/comet1.pid      "4711 8123456\n": the process, and when it began (clock ticks after boot)

An id alone says little once its process has ended: another one may have it by now. So who is to be
stopped is known by both numbers, and nobody else is ever sent a signal.
"""

import os
import signal
import time
from pathlib import Path

from tools.servers.daemon import Daemon

STOP_PAUSE = 0.05  # seconds between two looks whether it has ended


class Kept:
    """What a file remembers of a server."""

    def __init__(self, file: Path, *, stop_signal: int = signal.SIGTERM) -> None:
        self._file = file
        self._stop_signal = stop_signal

    @property
    def pid(self) -> int | None:
        """Of its process; None if it does not run."""
        try:
            pid, began = map(int, self._file.read_text().split())
        except (FileNotFoundError, ValueError):  # never started, or cut off while it was written
            return None
        return pid if _began(pid) == began else None

    def start(self, daemon: Daemon) -> None:
        """Start it and wait until it serves. Whoever interrupts that ends it.

        Raises:
            RuntimeError: it did not start; with the end of its log.
        """
        daemon.spawn()
        try:
            self._file.write_text(f"{daemon.pid} {_began(daemon.pid)}\n")
            daemon.wait_ready()
        except BaseException:
            daemon.kill()
            self._file.unlink(missing_ok=True)
            raise

    def stop(self, patience: float) -> bool:
        """Ask it to end, and kill it after `patience` seconds; whether it ended by itself."""
        pid = self.pid
        deadline = time.monotonic() + patience
        asked = pid is not None and _signal(pid, self._stop_signal, signal.SIGCONT)
        while asked and self.pid is not None and time.monotonic() < deadline:
            time.sleep(STOP_PAUSE)
        killed = (pid := self.pid) is not None and _signal(pid, signal.SIGKILL)
        self._file.unlink(missing_ok=True)
        return not killed


def _signal(pid: int, *numbers: int) -> bool:
    try:
        for number in numbers:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _began(pid: int) -> int | None:
    """When a process began; None if there is none, or only its exit code is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
