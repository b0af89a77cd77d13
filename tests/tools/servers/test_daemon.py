"""Servers of tests end with who has started them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tools.servers.daemon import running

ROOT = Path(__file__).parents[3]
PATIENCE = 40.0  # seconds
OWNER = """
import sys
from pathlib import Path
from tools.servers.daemon import Daemon
daemon = Daemon(["sleep", "1000"], log=Path(sys.argv[1]), ready=lambda: True)
daemon.start()
print(daemon.pid, flush=True)
input()
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def commands() -> Iterator[str]:
    """Of all processes."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            yield file.read_text(errors="replace").replace("\0", " ")


def test_a_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    """A run of tests that is cut off leaves nobody behind."""
    command = [sys.executable, "-c", OWNER, str(tmp_path / "log")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert lives(pid)

        owner.kill()

        end = time.monotonic() + PATIENCE
        while lives(pid):
            assert time.monotonic() < end, "it lives on"
            time.sleep(0.01)


def test_who_was_ended_leaves_nothing(tmp_path: Path) -> None:
    """However it ended: not the one who watches over it either."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with running(["sleep", "1000"], log=tmp_path / "log", ready=lambda: True) as daemon:
            pid = daemon.pid
            os.kill(pid, number)
        assert not lives(pid)

    assert not any(f"KILL -- -{pid}" in line for line in commands())
