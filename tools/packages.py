"""Debian packages with the servers that tests and `make cluster` start: what is missing is installed.

    python -m tools.packages test | cluster

That takes root and apt-get. Without them it says what is missing, and what will not run for that. No
service of the system is started: our servers run in folders of their own, on ports of loopback.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")  # asked by Debian's packages whether to start a service
FORBID = "#!/bin/sh\nexit 101\n"
JAVA = "/usr/share/java"
POSTGRES = "/usr/lib/postgresql"


@dataclass(frozen=True)
class Package:
    """A Debian package, how to see that it is there, and who needs it."""

    name: str
    shows: str  # a program, or a pattern of files
    loses: str  # what does not run without it
    cluster: bool = False  # `make cluster` needs it too

    @property
    def is_there(self) -> bool:
        """Whether it is installed."""
        if self.shows.startswith("/"):
            return any(Path("/").glob(self.shows[1:]))
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])
        return shutil.which(self.shows, path=path) is not None


PACKAGES = [
    Package("zookeeper", f"{JAVA}/zookeeper.jar", "the registry of a cluster", cluster=True),
    Package("default-jre-headless", "java", "ZooKeeper", cluster=True),
    Package("redis-server", "redis-server", "the store on Redis", cluster=True),
    Package("postgresql", f"{POSTGRES}/*/bin/postgres", "the store on PostgreSQL", cluster=True),
    Package("nginx", "nginx", "the way in through nginx", cluster=True),
    Package("redis-sentinel", "redis-sentinel", "fail-over of Redis"),
    Package("mariadb-server", "mariadbd", "the store on MariaDB"),
    Package("haproxy", "haproxy", "the way in through HAProxy"),
    Package("iproute2", "ip", "networks that fall apart"),
    Package("faketime", "faketime", "clocks that are wrong"),
    Package("chromium", "chromium", "the pages in a browser"),
    Package("nodejs", "node", "the JavaScript client"),
]


def main(arguments: Sequence[str]) -> int:
    """The exit code is 0, whatever could be installed: who needs a package says so itself."""
    if list(arguments) not in (["test"], ["cluster"]):
        print("usage: python -m tools.packages test | cluster", file=sys.stderr)
        return 2
    wanted = [p for p in PACKAGES if arguments == ["test"] or p.cluster]
    missing = [package for package in wanted if not package.is_there]
    if missing and _may_install():
        print("Installing", " ".join(package.name for package in missing), "...", flush=True)
        _install([package.name for package in missing])
    for package in missing:
        if not package.is_there:
            print(f"{package.name} is not installed and will be missed: {package.loses}")
    return 0


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(names: Sequence[str]) -> None:
    """All at once, or each by itself if that fails: one that a system does not have spoils only itself."""
    with _no_service_starts():
        _apt("update")
        if len(names) > 1 and _apt("install", *names):
            return
        for name in names:
            _apt("install", name)


def _apt(action: str, *names: str) -> bool:
    command = ["apt-get", "-qq", action]
    command += ["-y", "--no-install-recommends", *names] if names else []
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        print(f"apt-get {action} {' '.join(names)}: {last}")
    return done.returncode == 0


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's way to install servers without starting them; a policy of the machine's own stays."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text(FORBID)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
