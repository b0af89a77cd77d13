"""`appmsg migrate`: what operators see, and what scripts get."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appmodel.runtime import cli
from migrations import REVISIONS
from migrations.running import alone
from tests.databases import KINDS, a_new_database, limits

UP = "".join(f"up to {name}\n" for name in REVISIONS)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `appmsg migrate` in an empty directory: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["appmsg", "migrate", *arguments])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return run_command


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without tables."""
    with a_new_database(str(request.param)) as url:
        yield url


def test_up_is_what_it_does_unless_told_otherwise(run: Run, url: str) -> None:
    """It says each step and what the database is then; a second time there are no steps."""
    where = f"--set=database.url={url}"

    code, out, _ = run(where)

    assert code == 0
    assert out.startswith(UP)
    assert out.endswith("is up to date (0006_lightpush_turns)\n")
    assert "secret" not in out
    code, out, _ = run("up", where)
    assert (code, out.count("\n")) == (0, 1)


def test_status_changes_nothing_and_its_exit_code_tells(run: Run, url: str) -> None:
    """For scripts: 1 if there is something to do."""
    where = f"--set=database.url={url}"

    code, out, _ = run("status", where)
    assert code == 1
    assert out.endswith("has no tables yet: run `appmsg migrate`\n")

    run(where)
    assert run("status", where)[0] == 0

    run("down", where)
    code, out, _ = run("status", where)
    assert code == 1
    assert out.endswith("is behind this version: run `appmsg migrate` (0005_mpush_keys)\n")


def test_status_does_not_wait_for_a_migration(run: Run, url: str) -> None:
    """It only looks."""
    with alone(limits(url), print):
        code, _, _ = run("status", f"--set=database.url={url}")

    assert code == 1


def test_a_home_node_without_settings_has_its_file(run: Run, tmp_path: Path) -> None:
    """The one that it would use."""
    assert run()[0] == 0

    assert (tmp_path / "var/app.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["adopt"], 1, "has no tables yet: run `appmsg migrate`"),
        (["down"], 1, "has no tables yet"),
        (["sideways"], 2, "sideways"),
        (["--wait", "0"], 1, "--wait: got '0'"),
        (["--set", "database.url=oracle://x/y"], 2, "database.url"),
        (["--set", "database.url=postgresql://me:hidden@127.0.0.1:1/x"], 1, "refused"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run, arguments: list[str], code: int, message: str
) -> None:
    """On stderr, without a traceback and without the password."""
    found, _, err = run(*arguments)

    assert found == code
    assert message in err
    assert "Traceback" not in err
    assert "hidden" not in err


def test_two_processes_at_once_both_succeed(url: str, tmp_path: Path) -> None:
    """Nodes of a cluster that are started by the same script."""
    command = [sys.executable, "-c", "from appmodel.runtime.cli import main; main()", "migrate"]
    both = [
        subprocess.Popen(
            [*command, f"--set=database.url={url}", "--set=database.timeout=40s"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    said = [process.communicate(timeout=60) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(UP in out for out, _ in said) == [False, True]
