"""`make cluster` as a newcomer uses it: start, paste what it says, break something, stop.

It runs in a copy of the checkout, with the ports that it always has: skipped if somebody has them.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.packages import PACKAGES
from tools.servers.daemon import accepts
from tools.topology import topology

ROOT = Path(__file__).parents[2]
PATIENCE = 240  # seconds for one command; the slowest takes 15, but the machine may be busy
MEMBERS = [member for stage in topology("redis").starting for member in stage]


class Checkout:
    """A copy of the files that it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("conf", "tools"):
            shutil.copytree(ROOT / name, folder / name)

    def cluster(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m tools.cluster ...`"""
        return self.run([sys.executable, "-m", "tools.cluster", *arguments])

    def paste(self, command: str) -> str:
        """What a command of the tour prints."""
        done = self.run(["bash", "-c", command])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}:{ROOT}"
        return subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def pids(self) -> dict[str, int]:
        """Whoever runs, by the files."""
        shown = self.cluster("status").stdout
        return {name: int(pid) for name, pid in re.findall(r"(\w+) .* pid (\d+)", shown)}

    def logs(self) -> str:
        """Of all nodes."""
        return "".join(
            path.read_text() for path in (self.folder / "var/cluster").glob("*[0-9].log")
        )


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    missing = [package.name for package in PACKAGES if package.cluster and not package.is_there]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    with (
        the_ports(),
        tempfile.TemporaryDirectory() as name,
    ):  # where PostgreSQL's user may go, not in tmp_path
        folder = Path(name)
        folder.chmod(0o755)
        made = Checkout(folder)
        try:
            yield made
        finally:
            made.cluster("stop")


@contextmanager
def the_ports() -> Iterator[None]:
    """They are for one run of these tests at a time. Skips the test if somebody has them."""
    with socket.socket(socket.AF_UNIX) as note:
        try:
            note.bind("\0appmsg/make cluster")  # an abstract name, which the kernel forgets with us
        except OSError:
            pytest.skip("another run of the tests has the ports")
        taken = [member.port for member in MEMBERS if is_taken(member.port)]
        if taken:
            pytest.skip(f"somebody has the ports {taken}: a cluster that runs?")
        yield


def is_taken(port: int) -> bool:
    try:
        return accepts(port)
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_from_start_to_stop(checkout: Checkout) -> None:
    """What the tour says works when it is pasted; what dies comes back; and nothing is left."""
    began = checkout.cluster("start")
    assert began.returncode == 0, began.stdout + began.stderr + checkout.logs()[-5000:]
    pids = checkout.pids()
    assert set(pids) == {member.name for member in MEMBERS}
    commands = tour(began.stdout)

    pushed = checkout.paste(commands["curl"])
    heard = checkout.paste(commands["listen"] + " --count 1")
    listed = checkout.paste(commands["node list"])
    company = checkout.paste(f"{commands['export']}; {commands['demo']}")
    people = checkout.paste(f"{company.partition('# log in as Ann')[2].strip()} --count 3")
    checkout.paste(commands["kill"])
    mended = checkout.cluster("start")
    again = checkout.cluster("start", "--store", "sql")
    stopped = checkout.cluster("stop")

    assert '"stored":true' in pushed
    assert '"text": "hello"' in heard
    assert listed.count("ready") == 7
    assert people.count('"text": "hello"') == 3
    assert re.findall(r"^  (\w+) ", mended.stdout, re.MULTILINE) == ["comet1"]
    assert again.returncode == 1
    assert "it runs with its messages in redis" in again.stderr
    assert stopped.stdout.count("stopped after") == len(MEMBERS), stopped.stdout
    assert not any(map(is_alive, pids.values()))
    assert "Traceback" not in checkout.logs()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_messages_can_be_in_postgresql(checkout: Checkout) -> None:
    """Its database is made; and a second start, which need not say it again, finds everybody there."""
    began = checkout.cluster("start", "--store", "sql")
    assert began.returncode == 0, began.stdout + began.stderr + checkout.logs()[-5000:]

    pushed = checkout.paste(tour(began.stdout)["curl"])
    again = checkout.cluster("start")

    assert '"stored":true' in pushed
    assert again.stdout.startswith("The cluster runs already.")


def tour(text: str) -> dict[str, str]:
    """The commands that it shows, by what they do; a line that ends in \\ goes on."""
    lines = [
        line for line in text.replace("\\\n", "").splitlines() if line[:1] not in ("#", " ", "")
    ]
    kinds = ("curl", "listen", "export", "demo", "node list", "kill")
    return {kind: next(line for line in lines if f"{kind} " in line) for kind in kinds}


def test_a_stranger_at_a_port_is_named(checkout: Checkout) -> None:
    """Nobody is started, he least of all is touched, and the text says which port it is about."""
    with socket.create_server(("127.0.0.1", 6479)):
        began = checkout.cluster("start")

    assert began.returncode == 1
    assert "port 6479 of redis" in began.stderr
    assert checkout.pids() == {}
    assert checkout.cluster("stop").stdout == "The cluster does not run.\n"
