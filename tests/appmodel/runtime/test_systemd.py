"""What systemd hears, on a datagram socket as it has one."""

import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from appmodel.runtime.systemd import notify_ready, notify_reloading, notify_stopping

Listening = tuple[Mapping[str, str], socket.socket]


@pytest.fixture(params=["a file", "an abstract name"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listening]:
    """A service manager: what it puts into the environment, and its socket."""
    path = str(tmp_path / "notify") if request.param == "a file" else f"@{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path.replace("@", "\0", 1) if path.startswith("@") else path)
        yield {"NOTIFY_SOCKET": path}, listening


@pytest.mark.parametrize(
    ("notify", "state"), [(notify_ready, b"READY=1"), (notify_stopping, b"STOPPING=1")]
)
def test_a_state_is_one_datagram(
    systemd: Listening, notify: Callable[[Mapping[str, str]], None], state: bytes
) -> None:
    """sd_notify(3)."""
    environ, listening = systemd

    notify(environ)

    assert listening.recv(100) == state


def test_a_reload_says_when(systemd: Listening) -> None:
    """Type=notify-reload needs the time, to know which reload is meant."""
    environ, listening = systemd

    notify_reloading(environ)

    state, when = listening.recv(100).decode().splitlines()
    assert state == "RELOADING=1"
    assert int(when.removeprefix("MONOTONIC_USEC=")) > 0


def test_without_a_service_manager_nothing_happens(tmp_path: Path) -> None:
    """And one that does not listen is no reason to fail."""
    notify_ready({})
    notify_ready({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
