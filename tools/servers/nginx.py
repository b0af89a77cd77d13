"""nginx (Debian package nginx) with one of our configurations, on other ports.

    with running_nginx(folder, ports={9080: free_port(), 7068: comet_port}) as nginx:
        nginx.signal(signal.SIGHUP)      reload: old workers serve their connections to the end

What runs is a copy of conf/, so that a test breaks when the files that operators copy are wrong.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tools.servers.daemon import Daemon, accepts, find, running

CONF = Path(__file__).parents[2] / "conf"
EXAMPLE = Path("cluster/nginx.conf")  # in CONF


def nginx_command(configuration: Path, folder: Path) -> list[str]:
    """nginx in the foreground; relative paths of the configuration lie in `folder`.

    Raises:
        Missing: nginx is not installed.
    """
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    program = find("nginx", "nginx")
    return [program, "-p", str(folder), "-c", str(configuration), "-g", "daemon off;"]


def copy_configuration(folder: Path, ports: Mapping[int, int], *changes: tuple[str, str]) -> Path:
    """The example with these ports (old: new) and these texts (old, new); where it lies now."""
    unused = dict(changes)
    for path in [EXAMPLE, *sorted(file.relative_to(CONF) for file in CONF.glob("nginx/*.conf"))]:
        text = (CONF / path).read_text()
        for old, new in changes:
            if old in text:
                unused.pop(old, None)
                text = text.replace(old, new)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(_with_ports(text, ports))
    assert not unused, f"conf/ does not say {list(unused)}"
    return folder / EXAMPLE


def _with_ports(text: str, ports: Mapping[int, int]) -> str:
    def new(found: re.Match[str]) -> str:
        return str(ports.get(int(found[0]), found[0]))

    return re.sub(r"(?<=127\.0\.0\.1:)\d+", new, text)


def check_configuration(configuration: Path, folder: Path) -> str:
    """What `nginx -t` has to say against it; nothing if it is right."""
    command = [*nginx_command(configuration, folder)[:-2], "-t", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr or ("" if done.returncode == 0 else f"exit code {done.returncode}")


@contextmanager
def running_nginx(
    folder: Path, ports: Mapping[int, int], *changes: tuple[str, str]
) -> Iterator[Daemon]:
    """The example for the length of the block; `ports` says where it listens (9080).

    Raises:
        Missing: nginx is not installed.
    """
    configuration = copy_configuration(folder, ports, *changes)
    command = nginx_command(configuration, folder)
    with running(command, log=folder / "nginx.log", ready=lambda: accepts(ports[9080])) as daemon:
        yield daemon
