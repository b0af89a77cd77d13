"""A system clock that can be stepped, for one process: install it before anything else is imported.

    python -c "from tests.cluster.stepped import install; install('c4.clock'); ..."

Only what asks for the time of day is wrong, `time.time` and its kin; time that passes stays true.
libfaketime would be the obvious tool, but with it (0.9.10) `time.sleep` of Python 3.11 fails with
EINVAL: it does not know clock_nanosleep with an absolute time.
"""

import os
import time
from pathlib import Path

SIZE = 16  # bytes of the file: seconds, as text


class Clock:
    """The other end: from the test."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.step(0)

    def step(self, seconds: int) -> None:
        """From now on the clock is wrong by so much. In one write: nobody reads half of it."""
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT)
        os.pwrite(descriptor, f"{seconds:+0{SIZE}d}".encode(), 0)
        os.close(descriptor)


def install(file: str) -> None:
    """Steps written to `file` hold at once. For the life of the process."""
    descriptor = os.open(file, os.O_RDONLY)
    true_time, true_time_ns = time.time, time.time_ns

    def offset() -> int:
        return int(os.pread(descriptor, SIZE, 0))

    def stepped_time() -> float:
        return true_time() + offset()

    def stepped_time_ns() -> int:
        return true_time_ns() + offset() * 1_000_000_000

    time.time, time.time_ns = stepped_time, stepped_time_ns
