"""Pins every dependency, with hashes: what is installed is what was tested.

    requirements.lock       to run a node, and to install the checkout itself
    requirements-dev.lock   the same, and what tests and checks need

    python tools/lock.py            the newest versions that pyproject.toml allows
    python tools/lock.py --check    fail if pyproject.toml asks for something else than the locks say

The locks hold for every platform and every Python that we support. They name no index: pip's own
configuration says where packages come from, and uv is told the same.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUN, DEV = "requirements.lock", "requirements-dev.lock"
ARGUMENTS = {
    RUN: ["--group", "build"],
    DEV: ["--group", "dev", "--constraint", RUN],
}
HEADER = "# Made by `make lock` from pyproject.toml. Do not edit.\n"


def main() -> int:
    """The exit code: 1 if the locks are out of date, or could not be made."""
    if "--check" not in sys.argv:
        return _compile(ROOT, ["--upgrade"])
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for file in (RUN, DEV, "pyproject.toml"):
            shutil.copy(ROOT / file, place)
        if _compile(
            place, []
        ):  # starts from the pins that are there: newer versions change nothing
            return 1
        stale = [f for f in (RUN, DEV) if (place / f).read_text() != (ROOT / f).read_text()]
    for file in stale:
        print(f"{file} does not fit pyproject.toml: run `make lock`")
    return 1 if stale else 0


def _compile(place: Path, more: list[str]) -> int:
    for file, arguments in ARGUMENTS.items():
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml"]
        command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"]
        command += ["--quiet", "--output-file", file, *arguments, *more]
        done = subprocess.run(command, cwd=place, env=_environment(), check=False)
        if done.returncode:
            return done.returncode
        text = (place / file).read_text().removeprefix(HEADER)
        (place / file).write_text(HEADER + text)
    return 0


def _environment() -> dict[str, str]:
    """uv's variables, from pip's settings where it has some: uv does not read those itself."""
    asked = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    lines = (line.split("=", 1) for line in listed.splitlines() if "=" in line)
    settings = {key.replace("-", "_"): value for key, value in lines}
    found = {}
    for key, name in {"index_url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}.items():
        for place in ("global", "install", ":env:"):  # the later wins, as with pip
            value = settings.get(f"{place}.{key}")
            if value is not None:
                found[name] = str(ast.literal_eval(value))
    return found | os.environ


if __name__ == "__main__":
    sys.exit(main())
