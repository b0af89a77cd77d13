"""What is missing is installed by root, and told to everybody else. apt-get is a script here."""

import os
from pathlib import Path

import pytest

from tools import packages
from tools.packages import Package, main

APT = """#!/bin/sh
echo "$@" >> {log}
test -e {policy} || echo "services would start" >> {log}
case "$*" in *install*broken*) echo "E: Unable to locate package broken" >&2; exit 100;; esac
case "$*" in *install*good*) : > {folder}/good-program; chmod +x {folder}/good-program;; esac
"""
GOOD = Package("good", "good-program", "the good tests", cluster=True)
BROKEN = Package("broken", "broken-program", "the broken tests")
THERE = Package("dash", "/bin/s*h", "everything")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What apt-get was asked, on a machine that lacks both packages."""
    log, policy, folder = tmp_path / "log", tmp_path / "policy-rc.d", tmp_path / "bin"
    folder.mkdir()
    apt = folder / "apt-get"
    apt.write_text(APT.format(log=log, policy=policy, folder=folder))
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(packages, "POLICY", policy)
    monkeypatch.setattr(packages, "PACKAGES", [GOOD, BROKEN, THERE])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log.touch()
    return log


def test_one_that_cannot_be_had_spoils_only_itself(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is installed, and what will be missed is told. No service starts meanwhile."""
    assert main(["test"]) == 0

    assert [line.split()[-1] for line in log.read_text().splitlines()] == [
        "update",
        "broken",  # both at once
        "good",
        "broken",
    ]
    assert GOOD.is_there
    shown = capsys.readouterr().out
    assert "E: Unable to locate package broken" in shown
    assert "broken is not installed and will be missed: the broken tests" in shown
    assert not packages.POLICY.exists()


def test_only_what_a_cluster_needs_is_installed_for_it(log: Path) -> None:
    """`make cluster` needs no browser."""
    assert main(["cluster"]) == 0

    assert "good" in log.read_text()
    assert "broken" not in log.read_text()


def test_a_policy_of_the_machine_stays(log: Path) -> None:
    """It is not ours to remove."""
    packages.POLICY.write_text("theirs")

    main(["cluster"])

    assert packages.POLICY.read_text() == "theirs"


def test_who_is_not_root_is_told_what_is_missing(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is tried."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert main(["test"]) == 0

    assert log.read_text() == ""
    assert capsys.readouterr().out.splitlines() == [
        "good is not installed and will be missed: the good tests",
        "broken is not installed and will be missed: the broken tests",
    ]


def test_another_word_is_refused(log: Path) -> None:
    """Before anything happens."""
    assert main(["everything"]) == 2
    assert log.read_text() == ""
