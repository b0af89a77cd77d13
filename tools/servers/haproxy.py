"""HAProxy (Debian package haproxy) with our example, conf/haproxy.cfg, on other addresses."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tools.servers.daemon import Daemon, accepts, find, running

EXAMPLE = Path(__file__).parents[2] / "conf/haproxy.cfg"


def check_configuration(file: Path) -> str:
    """What `haproxy -c` has to say against it, warnings included; nothing if it is right.

    Raises:
        Missing: HAProxy is not installed.
    """
    command = [find("haproxy", "haproxy"), "-c", "-q", "-f", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr or ("" if done.returncode == 0 else f"exit code {done.returncode}")


@contextmanager
def running_haproxy(folder: Path, changes: Mapping[str, str], *, port: int) -> Iterator[Daemon]:
    """The example with these texts (old: new) changed, for the length of the block.

    Args:
        port: of loopback, where it listens after the changes.

    Raises:
        Missing: HAProxy is not installed.
    """
    text = EXAMPLE.read_text()
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in {EXAMPLE.name}"
        text = text.replace(old, new)
    file = folder / EXAMPLE.name
    file.write_text(text)
    command = [find("haproxy", "haproxy"), "-db", "-f", str(file)]
    with running(command, log=folder / "haproxy.log", ready=lambda: accepts(port)) as daemon:
        yield daemon
