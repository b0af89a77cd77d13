"""What a supervisor sees of the world: processes that it started, and signals that it gets.

    selector.register(signals, EVENT_READ)       a signal came
    selector.register(child.line, EVENT_READ)    the child has said something, or its line has ended

What a child is handed, and what it says, is in worker.py.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from types import FrameType, TracebackType
from typing import Self

import msgspec

from appmodel.runtime import systemd, worker
from appmodel.runtime.crew import Opened, Place

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
PIECE = 4096  # bytes read at once: words and signals are few


class Child:
    """One process of a worker."""

    def __init__(self, place: Place, command: Sequence[str], of_process: Opened) -> None:
        """Start it.

        Args:
            of_process: sockets for it alone, beside those of the place.

        Raises:
            OSError: it cannot be started.
        """
        self.name = place.name
        self.of_process = of_process
        self.began = time.monotonic()
        self.ready_at = inf
        self.due = inf  # when it is killed
        self.is_leaving = False  # by the wish of an operator
        self.is_stopping = False  # by ours
        self.line, other = socket.socketpair()
        self.line.setblocking(False)
        try:
            with other:
                self._process = _start(place, command, of_process, other)
        except BaseException:
            self.line.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it has said that it serves."""
        return self.ready_at < inf

    def ended(self) -> int | None:
        """Its exit code, or minus the number of the signal that ended it; None while it lives."""
        return self._process.poll()

    def hear(self) -> list[str] | None:
        """What it has said since; None at the end."""
        try:
            said = self.line.recv(PIECE)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return said.decode("ascii", "replace").split() if said else None

    def stop(self, due: float) -> None:
        """Ask it to drain and end until `due`, a time of `time.monotonic()`."""
        if not self.is_stopping:
            self.is_stopping = True
            self.due = due
            with suppress(OSError):
                self.line.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """SIGKILL."""
        self.due = inf
        self._process.kill()


def _start(
    place: Place, command: Sequence[str], of_process: Opened, line: socket.socket
) -> "subprocess.Popen[bytes]":
    opened = {**place.sockets, **of_process}
    handed = worker.Handed(
        {path: tuple(each.fileno() for each in sockets) for path, sockets in opened.items()},
        line.fileno(),
    )
    settings = [word for text in place.settings(of_process) for word in ("--set", text)]
    plain = {name: value for name, value in os.environ.items() if name != systemd.VARIABLE}
    return subprocess.Popen(  # noqa: S603  # ourselves, from our own command line
        [*command, *settings],
        env=plain | {worker.VARIABLE: msgspec.json.encode(handed).decode()},
        pass_fds=handed.descriptors,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


class Signals:
    """The signals that arrive inside the block, readable like a socket. For the main thread."""

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._handlers = {number: signal.signal(number, _take_note) for number in SIGNALS}
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """For a selector."""
        return self._reader.fileno()

    def read(self) -> list[signal.Signals]:
        """Those that came since."""
        try:
            return [signal.Signals(number) for number in self._reader.recv(PIECE)]
        except BlockingIOError:
            return []


def _take_note(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor tells; without a handler there would be nothing to tell."""
