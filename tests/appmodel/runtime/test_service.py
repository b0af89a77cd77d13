"""The life of a process, told by real processes of parts that do as they are told (fake_node.py)."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appmodel.errors import ConfigError
from appmodel.runtime.config import AuthConfig, NodeConfig, Secret, load_secret
from appmodel.runtime.service import credentials_secret, find_parts
from appmodel.runtime.settings import Settings

FAKE_NODE = Path(__file__).with_name("fake_node.py")
SECRET = "0123456789" * 4


class Process:
    """A running fake node."""

    def __init__(self, parts: list[str], settings: tuple[str, ...], line: int | None) -> None:
        handed = {"APPMSG_WORKER": json.dumps({"sockets": {}, "line": line})}
        self._process = subprocess.Popen(
            [sys.executable, str(FAKE_NODE), *parts, "--", *settings],
            env=os.environ | (handed if line is not None else {}),
            pass_fds=[line] if line is not None else [],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_lower_the_limit,
        )

    def read_until(self, words: str) -> list[str]:
        """The lines up to the first that begins with `words`."""
        assert self._process.stdout is not None
        seen: list[str] = []
        for line in self._process.stdout:
            seen.append(line.rstrip())
            if line.startswith(words):
                return seen
        raise AssertionError(f"ended without {words!r}: {seen}")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, list[str], str]:
        """Wait for its end: exit code, the rest of stdout, stderr."""
        out, err = self._process.communicate(timeout=30)
        return self._process.returncode, out.splitlines(), err

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def _lower_the_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes: start("message=good", "comet=hangs", "node.drain_timeout=1s").

    `line`: a descriptor that makes it a worker.
    """
    started: list[Process] = []

    def start_one(*arguments: str, line: int | None = None) -> Process:
        parts = [argument for argument in arguments if "." not in argument.partition("=")[0]]
        process = Process(parts, tuple(a for a in arguments if a not in parts), line)
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_parts_start_in_order_and_stop_in_reverse(start: Start, number: int) -> None:
    """A part that answers needs those before it, so it comes last and goes first; then exit 0.

    On the way /readyz says why this process must not get requests.
    """
    process = start("message=good", "comet=good", "web=good")
    before = process.read_until("ready")

    process.signal(number)

    code, after, _ = process.end()
    assert before == [
        "message opens {'node': 'starting'}",
        "comet opens {'node': 'starting'}",
        "web opens {'node': 'starting'}",
        "ready tcp://message tcp://comet tcp://web",
    ]
    assert after == [
        "web stops {'node': 'stopping'}",
        "web closed",
        "comet stops {'node': 'stopping'}",
        "comet closed",
        "message stops {'node': 'stopping'}",
        "message closed",
    ]
    assert code == 0


def test_a_part_that_does_not_stop_in_time_is_cut_off_and_named(start: Start) -> None:
    """The others still get their turn, and the exit code tells that something was cut."""
    process = start("message=good", "comet=hangs", "web=good", "node.drain_timeout=100ms")
    process.read_until("ready")

    process.signal(signal.SIGTERM)

    code, after, err = process.end()
    assert code == 1
    assert after[-2:] == ["message stops {'node': 'stopping'}", "message closed"]
    assert '"event":"did not stop in time"' in err
    assert '"part":"comet"' in err
    assert '"cut_off":["comet"]' in err


def test_a_second_signal_waits_for_nobody(start: Start) -> None:
    """Who presses Ctrl-C twice means it, whatever the drain timeout."""
    process = start("message=good", "comet=hangs", "node.drain_timeout=1h")
    process.read_until("ready")
    process.signal(signal.SIGINT)
    process.read_until("comet stops")

    process.signal(signal.SIGINT)

    code, after, err = process.end()
    assert code == 1
    assert set(after) == {"comet closed", "message closed"}
    assert '"cut_off":["message","comet"]' in err


def test_a_part_can_ask_the_process_to_stop(start: Start) -> None:
    """As after SIGTERM: its node was drained by an operator. What starts is ready first; then exit 0."""
    process = start("message=good", "comet=asks_to_leave", "web=good")

    code, lines, err = process.end()

    assert [line for line in lines if "stops" in line or "ready" in line] == [
        "ready tcp://message tcp://comet tcp://web",
        *(f"{name} stops {{'node': 'stopping'}}" for name in ("web", "comet", "message")),
    ]
    assert code == 0
    assert err.count('"event":"leaving"') == 1
    assert '"reason":"it was drained"' in err


def test_a_signal_after_that_is_the_first_one(start: Start) -> None:
    """A service manager that stops a node which drains already is not impatient."""
    process = start("message=good", "comet=asks_to_leave", "web=hangs", "node.drain_timeout=1s")
    process.read_until("web stops")

    process.signal(signal.SIGTERM)

    code, after, err = process.end()
    assert '"cut_off":["web"]' in err
    assert "comet stops {'node': 'stopping'}" in after
    assert code == 1


def test_a_worker_stops_when_its_line_ends(start: Start) -> None:
    """Its supervisor asks for it, or is gone; a signal beside that is no impatience either."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = start("comet=good", line=theirs.fileno())
        process.read_until("ready")
        assert ours.recv(100) == b"ready\n"

        process.signal(signal.SIGTERM)
        ours.shutdown(socket.SHUT_WR)

        code, after, _ = process.end()
        assert code == 0
        assert after == ["comet stops {'node': 'stopping'}", "comet closed"]


def test_a_worker_that_leaves_says_so(start: Start) -> None:
    """Or its supervisor would start it again."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = start("comet=asks_to_leave", line=theirs.fileno())

        assert process.end()[0] == 0
        assert ours.makefile("rb").read().split() == [b"leaving", b"ready"]


def test_what_cannot_even_be_cancelled_ends_with_the_process(start: Start) -> None:
    """A thread or a shielded wait must not keep a dying process: it shows where it stands, and ends."""
    process = start("message=good", "comet=hangs_for_good", "node.drain_timeout=100ms")
    process.read_until("ready")

    process.signal(signal.SIGTERM)

    code, after, err = process.end()
    assert code == 1
    assert "message closed" in after
    assert "Timeout (" in err
    assert "trio/_core/_run.py" in err


@pytest.mark.parametrize(
    ("behaviour", "event"),
    [("crashes", "ZeroDivisionError: a bug"), ("leaves", "'comet' ended although nobody asked")],
)
def test_a_part_that_fails_ends_the_process(start: Start, behaviour: str, event: str) -> None:
    """With its traceback and the name of the part, and not with 0: a supervisor restarts it."""
    process = start("message=good", f"comet={behaviour}")

    code, lines, err = process.end()

    assert code == 1
    assert "message closed" in lines
    assert '"event":"crashed"' in err
    assert event in err
    assert "'comet'" in err


def test_a_part_that_cannot_start_says_why(start: Start) -> None:
    """What was started before is closed again, and there is no traceback to read through."""
    process = start("message=good", "comet=refuses", "web=good")

    code, lines, err = process.end()

    assert code == 3
    assert lines == [
        "message opens {'node': 'starting'}",
        "comet opens {'node': 'starting'}",
        "comet closed",
        "message closed",
        "refused: comet.port = 80: expected a port that is free",
    ]
    assert "Traceback" not in err


def test_a_part_that_is_never_ready_is_not_waited_for(start: Start) -> None:
    """node.start_timeout bounds the start, so a supervisor sees it fail."""
    process = start("message=good", "comet=never_ready", "node.start_timeout=200ms")

    code, lines, _ = process.end()

    assert code == 3
    assert lines[-1] == "refused: comet was not ready within 0.2 s"


def test_a_signal_during_the_start_ends_it(start: Start) -> None:
    """Nobody is served yet, so there is nobody to wait for."""
    process = start("message=good", "comet=never_ready")
    process.read_until("comet opens")

    process.signal(signal.SIGTERM)

    code, lines, _ = process.end()
    assert code == 0
    assert set(lines) == {"comet closed", "message closed"}


def test_descriptors_are_raised_to_what_is_allowed(start: Start) -> None:
    """A login shell gives 1,024; a comet needs one for each client."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    process = start("comet=tells_limit", f"node.open_files={hard + 1}")

    assert process.read_until("limits")[-1] == f"limits {hard} {hard}"
    process.signal(signal.SIGTERM)
    assert '"key":"node.open_files"' in process.end()[2]


def test_the_installed_parts_are_found_in_the_order_of_their_start() -> None:
    """By entry point: no package imports another."""
    assert [(name, part.name) for name, part in find_parts().items()] == [
        ("message", "message"),
        ("comet", "comet"),
        ("web", "web"),
    ]


def test_a_process_imports_only_the_parts_that_it_runs() -> None:
    """But it reads the sections of all: they may share a file. A comet is spared web's 40 MB."""
    script = (
        "import sys; from appmodel.runtime.service import find_parts, find_sections\n"
        "print(*find_parts(['comet', 'message']), *find_sections(), 'web.app' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["message", "comet", "message", "comet", "web", "False"]


def test_a_home_node_makes_its_secret_once(tmp_path: Path) -> None:
    """With auth on and nothing configured, trying it out needs no command of its own."""
    file = tmp_path / "secret"
    settings = Settings.of(auth=AuthConfig(mode="on", secret_file=file))

    made = credentials_secret(settings)

    assert made == load_secret("auth", Secret(), file)
    assert credentials_secret(settings) == made


def test_a_real_node_needs_a_secret(tmp_path: Path) -> None:
    """Each node making its own would refuse the others' tickets."""
    auth = AuthConfig(mode="on", secret_file=tmp_path / "secret")
    settings = Settings.of(auth=auth, node=NodeConfig(home=False))

    with pytest.raises(ConfigError, match=r"^auth\.secret = '': .*auth\.secret_file"):
        credentials_secret(settings)
    assert not auth.secret_file.exists()


def test_without_auth_nothing_is_written(tmp_path: Path) -> None:
    """What is not checked needs no secret on disk; each process signs with one of its own."""
    settings = Settings.of(auth=AuthConfig(mode="off", secret_file=tmp_path / "secret"))

    first, second = credentials_secret(settings), credentials_secret(settings)

    assert first != second
    assert list(tmp_path.iterdir()) == []
