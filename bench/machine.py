"""The machine that the numbers belong to, and what a process has used of it.

CPU time is read from the kernel's clock of the process: nanoseconds, all its threads, user and system.
On loopback it includes what the kernel does for the receiver inside the sender's system call.
"""

import os
import platform
import resource
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

YARDS = 20_000  # sends and reads of the yardstick: 20 to 40 ms
SYNCS, SYNCED = 100, 8192  # of the disk's yardstick: times, bytes
OPEN_FILES = 1 << 17  # asked for; what the machine allows is what we get


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core is whose. With a single core both share it, and the report says so."""

    server: frozenset[int]
    load: frozenset[int]
    all: frozenset[int]

    @classmethod
    def split(cls) -> "Cores":
        """The last two of the cores that we may use: one for the server, one for the load."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(frozenset(usable[-2:-1] or usable), frozenset(usable[-1:]), frozenset(usable))


@contextmanager
def running_on(cores: frozenset[int]) -> Iterator[None]:
    """This process is on these cores for the block; those that it starts there stay on them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Bystanders:
    """What else went on since this was made: how much went to others, and how fast the machine was.

    A virtual machine is not always the same one: the yardstick tells when its host gave it less.
    """

    def __init__(self) -> None:
        self._yardstick = yardstick()
        self._start = time.monotonic()
        self._ours = _cpu_of_us()
        self._busy, self._stolen = _cpu_of_all()

    def __str__(self) -> str:
        seconds = time.monotonic() - self._start
        busy, stolen = _cpu_of_all()
        others = max(0.0, busy - self._busy - (_cpu_of_us() - self._ours))
        return (
            f"Meanwhile other processes used {others / seconds:.2f} cores "
            f"and the host took {(stolen - self._stolen) / seconds:.2f}; "
            f"the yardstick was {self._yardstick:.2f} µs, then {yardstick():.2f} µs."
        )


def describe() -> str:
    """One line: processor, cores, memory, kernel, Python, and how busy it was when we came."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f} at the start"
    )


def raise_open_files() -> int:
    """Allow as many open sockets as the machine lets us have; return how many. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, max(hard, OPEN_FILES)))
    except (ValueError, OSError):  # not root: the hard limit is the limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has used since its start, with the threads that have ended."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9  # clock_getcpuclockid(3): CPUCLOCK_SCHED


def resident_bytes(pid: int) -> int:
    """Bytes of memory that a process holds in RAM (Rss of smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no Rss line")


def kernel_bytes() -> int:
    """Bytes that the kernel holds in slabs: sockets live there, and in no process's Rss."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * 1024
    raise ValueError("/proc/meminfo has no Slab line")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def yardstick() -> float:
    """CPU microseconds that a byte costs through a socket pair, there and back into Python."""
    near, far = socket.socketpair()
    with near, far:
        before = time.process_time()
        for _ in range(YARDS):
            near.send(b"x")
            far.recv(1)
        return (time.process_time() - before) / YARDS * 1e6


def disk_yardstick() -> list[float]:
    """Seconds that each of 100 syncs takes, of 8 KB in the middle of a temporary file: as a database's log has it."""
    took = []
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(bytes(SYNCS * SYNCED))
        os.fsync(file.fileno())
        for number in range(SYNCS):
            os.pwrite(file.fileno(), b"x" * SYNCED, number * SYNCED)
            before = time.monotonic()
            os.fdatasync(file.fileno())
            took.append(time.monotonic() - before)
    return took


def _cpu_of_us() -> float:
    """CPU seconds of this process and of those it has started and seen end."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in usage)


def _cpu_of_all() -> tuple[float, float]:
    """CPU seconds since boot: of all processes and interrupts; and what the host kept for itself."""
    ticks = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _wait, interrupt, soft, steal = ticks
    hertz = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + interrupt + soft) / hertz, steal / hertz
