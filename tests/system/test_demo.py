"""The tour that `appmsg demo` prints, typed word by word into a shell, against a real node."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.node import Node, running_node

SECRET = "a secret of the tests, long enough to sign with"
PATIENCE = 60.0  # seconds after which a test has failed

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def shell(script: str, folder: Path) -> str:
    """What it prints. `appmsg` is the one of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def demo(node: Node, folder: Path) -> list[str]:
    """The lines of the tour, with everything filled in."""
    ports = [
        f"--set {name}.port={urlsplit(node.url(name)).port}"
        for name in ("web.app", "web.api", "web.public")
    ]
    out = shell(f"appmsg demo {' '.join(ports)}", folder)
    return out.partition("# log in")[2].splitlines()[1:]


@pytest.mark.parametrize("mode", ["off", "on"])
def test_the_tour_of_the_demo_works_as_it_is_printed(tmp_path: Path, mode: str) -> None:
    """Log in, push to a person, a group and a department, and see all of it on the device."""
    settings = {"APPMSG_AUTH__MODE": mode, "APPMSG_AUTH__SECRET": SECRET}
    with running_node(tmp_path, settings) as node:
        lines = [line for line in demo(node, tmp_path) if line and not line.startswith("#")]
        lines[-1] += " --count 3"

        *answers, heard = _split(shell("\n".join(lines), tmp_path))

    assert [answer["results"][0]["name"] for answer in answers] == [
        "ann@user",
        "acme-lunch@qun",
        "acme-all@org/**",
    ]
    assert [message["msg"] for message in heard] == [{"text": "hello"}] * 3


def _split(out: str) -> list[Any]:
    """The answers of three pushes, and the messages that were heard."""
    decoder, rest = json.JSONDecoder(), out.strip()
    values: list[Any] = []
    while rest:
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:].strip()
    return [*values[:3], values[3:]]
