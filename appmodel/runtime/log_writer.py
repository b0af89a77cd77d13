"""Where log lines wait for whoever reads them, so that nobody else has to wait.

    log.info(...) -> LineWriter.write -> at most [log] backlog bytes -> a thread -> stderr

The thread lets lines gather for a moment: to wake it for each would cost as much as the line.

A pipe holds 64 KiB. Written directly, a reader that has stopped reading stops the whole node with the next
line. Here lines that find no room are dropped and counted; the count is logged when there is room again.
Several processes may share the descriptor: no line is torn, as long as it is not longer than PIECE.

Source: pipe(7), on writes of at most PIPE_BUF bytes.
"""

import atexit
import os
import select
import threading
import time
from collections import deque

PIECE = select.PIPE_BUF  # bytes: a pipe takes so many whole, or makes the writer wait
GATHER = 0.01  # seconds; a process that is killed has not written so much
FLUSH = 1.0  # seconds for what is still waiting, when the process ends or has something else to say


class LineWriter:
    """Takes lines, and never blocks.

    Args:
        descriptor: open as long as this is used; blocking.
        backlog: bytes that may wait.
    """

    def __init__(self, descriptor: int, backlog: int) -> None:
        self.descriptor = descriptor
        self.backlog = backlog
        self._lines: deque[bytes] = deque()
        self._waiting = 0  # bytes, those that are being written included
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.untold = 0  # lines that were dropped and not told of
        self.dropped = 0  # lines, so far

    def write(self, text: str) -> None:
        """Take one or several whole lines, or drop them."""
        line = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._waiting + len(line) > self.backlog:
                self._drop(1)
                return
            self._lines.append(line)
            self._waiting += len(line)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
                atexit.register(self.flush, FLUSH)

    def flush(self, timeout: float = 0.0) -> None:
        """Wait until everything is written, for at most `timeout` seconds; logging itself waits not at all."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout)

    def take_untold(self) -> int:
        """How many lines were dropped since this was last asked; 0 while there is no room to tell."""
        with self._changed:
            if self._waiting > self.backlog // 2:
                return 0
            untold, self.untold = self.untold, 0
            return untold

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
            time.sleep(GATHER)
            while lines := self._take_lines():
                written = self._write(b"".join(lines))
                with self._changed:
                    self._waiting -= sum(map(len, lines))
                    if not written:
                        self._drop(len(lines))
                    self._changed.notify_all()

    def _take_lines(self) -> list[bytes]:
        """As many as are written whole; at least one, if there is any."""
        with self._changed:
            lines: list[bytes] = []
            size = 0
            while self._lines and (not lines or size + len(self._lines[0]) <= PIECE):
                size += len(self._lines[0])
                lines.append(self._lines.popleft())
        return lines

    def _write(self, data: bytes) -> bool:
        """Write all of it; False if the reader has gone."""
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except OSError:
            return False
        return True

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self.untold += lines
