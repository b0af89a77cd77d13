"""A server that outlives its starter: whoever comes later finds it by its file, and ends nobody else."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.servers.daemon import Daemon
from tools.servers.kept import Kept

PATIENCE = 40.0  # seconds
SLEEPER = "import signal, time; {}; open({!r}, 'w').close(); time.sleep(600)"
Make = Callable[..., Daemon]
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "server.pid")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Processes that do nothing; they are ready once their signals are as `words` say."""
    made = []

    def make(words: str = "0", ready: Callable[[], bool] | None = None) -> Daemon:
        mark = tmp_path / "ready"
        command = [sys.executable, "-c", SLEEPER.format(words, str(mark))]
        made.append(Daemon(command, log=tmp_path / "log", ready=ready or mark.exists))
        return made[-1]

    yield make
    for daemon in made:
        daemon.kill()


def test_it_is_found_by_its_file_alone(tmp_path: Path, kept: Kept, make: Make) -> None:
    """Another command has nothing else to go by."""
    kept.start(daemon := make())

    assert Kept(tmp_path / "server.pid").pid == daemon.pid
    assert Kept(tmp_path / "server.pid").stop(PATIENCE)
    assert kept.pid is None
    assert not daemon.is_running


def test_who_does_not_hear_is_killed(kept: Kept, make: Make) -> None:
    """And that is told."""
    kept.start(daemon := make(DEAF))

    assert not kept.stop(0.2)
    assert daemon.stop() == -signal.SIGKILL


def test_who_is_frozen_is_woken_to_end(kept: Kept, make: Make) -> None:
    """A stopped process takes no SIGTERM."""
    kept.start(daemon := make())
    daemon.signal(signal.SIGSTOP)

    assert kept.stop(PATIENCE)


def test_another_process_under_the_same_id_is_left_alone(tmp_path: Path, kept: Kept) -> None:
    """Ids come again: the file also says when ours began."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (tmp_path / "server.pid").write_text(f"{stranger.pid} 1\n")

        assert kept.pid is None
        assert kept.stop(0)
        assert stranger.poll() is None
        stranger.communicate(b"\n")


@pytest.mark.parametrize("text", ["", "12", "x y\n", "999999999 5\n"])
def test_a_file_that_says_nothing_is_nobody(tmp_path: Path, kept: Kept, text: str) -> None:
    """A machine that lost power leaves such files."""
    (tmp_path / "server.pid").write_text(text)

    assert kept.pid is None


def test_who_does_not_get_ready_is_not_left_behind(tmp_path: Path, kept: Kept) -> None:
    """The log says why, and no process stays."""
    command = [sys.executable, "-c", "raise SystemExit('no such setting')"]

    with pytest.raises(RuntimeError, match="no such setting"):
        kept.start(Daemon(command, log=tmp_path / "log", ready=lambda: False))
    assert kept.pid is None


def test_an_interrupted_start_leaves_nobody(kept: Kept, make: Make) -> None:
    """Ctrl-C while it is waited for."""

    def interrupted() -> bool:
        raise KeyboardInterrupt

    daemon = make(ready=interrupted)

    with pytest.raises(KeyboardInterrupt):
        kept.start(daemon)
    assert not daemon.is_running
    assert kept.pid is None
