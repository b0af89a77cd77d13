"""Safe listeners, and secrets in files."""

import stat
from pathlib import Path

import pytest

from appmodel.errors import ConfigError
from appmodel.runtime.config import (
    AuthConfig,
    Secret,
    is_loopback,
    load_secret,
    make_secret,
    require_safe,
)

SECRET = "0123456789" * 4


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_home_is_open_on_loopback(host: str) -> None:
    """Nobody but this machine can reach it, so no credential is asked."""
    assert is_loopback(host)

    require_safe("comet.tcp", host, AuthConfig(mode="off"))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.7", "push.example", "", "127.0.0.1.x"]
)
def test_an_open_listener_refuses_to_leave_loopback(host: str) -> None:
    """Design law 10: the error says which keys to set; with auth on the same listener is fine."""
    assert not is_loopback(host)

    with pytest.raises(ConfigError, match=r'^comet\.tcp\.host = .*auth\.mode = "on".*auth\.secret'):
        require_safe("comet.tcp", host, AuthConfig(mode="off"))
    require_safe("comet.tcp", host, AuthConfig(mode="on"))


def test_a_secret_comes_from_its_key_or_its_file(tmp_path: Path) -> None:
    """The key wins; a file that is not there is no secret; the line end of an editor is no part of it."""
    file = tmp_path / "secret"
    assert load_secret("auth", Secret(), file) == ""
    assert load_secret("auth", Secret(), None) == ""

    file.write_text(f"{SECRET}\n")

    assert load_secret("auth", Secret(), file) == SECRET
    assert load_secret("auth", Secret("x" * 32), file) == "x" * 32


@pytest.mark.parametrize("content", [b"short-one", b"\xff" * 40])
def test_a_bad_secret_file_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    """Too short to sign with, or not a text: the error names the file alone."""
    file = tmp_path / "secret"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"rpc\.secret_file = .*at least 32 bytes") as refused:
        load_secret("rpc", Secret(), file)

    assert "short-one" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_no_missing_secret(tmp_path: Path) -> None:
    """Else a wrong path to a directory would quietly mean another secret."""
    with pytest.raises(ConfigError, match="Is a directory"):
        load_secret("auth", Secret(), tmp_path)


def test_a_made_secret_is_for_its_owner_and_stays(tmp_path: Path) -> None:
    """Mode 0600 from the first moment; a second one never replaces it: tickets would turn void."""
    file = tmp_path / "var" / "secret"

    secret = make_secret(file)

    assert len(secret) >= Secret.MIN_SIZE
    assert load_secret("auth", Secret(), file) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        make_secret(file)
