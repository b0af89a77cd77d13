"""The checkout itself: what the README promises, what the lock pins, what no file may contain."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from typer.testing import CliRunner

from appmodel.runtime.cli import app
from appmodel.runtime.reference import defaults_markdown
from appmodel.runtime.service import find_sections
from appmodel.runtime.settings import SHARED, load_settings

ROOT = Path(__file__).parent.parent
BUILD_FILES = [
    "Makefile",
    ".ci/run",
    "pyproject.toml",
    "requirements.lock",
    "requirements-dev.lock",
]
PINNED = re.compile(r"^([a-z0-9-]+)==([^ ]+?)(?: ; [^\\]+)? \\$((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?$)+)", re.MULTILINE)  # fmt: skip


def tracked(pattern: str = "") -> list[Path]:
    """The files of the project, without what lies around in this checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: which files belong to the project is not known")
    command = ["git", "ls-files", pattern or "."]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content:
            yield path, content.decode("utf-8", "replace")


def pins(lock: str) -> dict[str, Version]:
    found = PINNED.findall((ROOT / lock).read_text())
    return {name: Version(version) for name, version, _ in found}


def requirements(*groups: str) -> list[Requirement]:
    """What pyproject.toml asks for: the dependencies, and those of these groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for group in groups:
        wanted += [line for line in project["dependency-groups"][group] if isinstance(line, str)]
    return [Requirement(line) for line in wanted]


@pytest.mark.parametrize(
    ("lock", "groups"),
    [("requirements.lock", ["build"]), ("requirements-dev.lock", ["build", "dev"])],
)
def test_the_lock_pins_what_the_project_asks_for(lock: str, groups: list[str]) -> None:
    """`make check` compares with the index; this holds without one: no requirement is forgotten."""
    pinned = pins(lock)

    for requirement in requirements(*groups):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_everything_in_the_lock_has_a_hash(lock: str) -> None:
    """What is installed is what was tested, whatever the index answers."""
    lines = (ROOT / lock).read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith((" ", "#"))]

    assert len(packages) == len(pins(lock))


def test_what_runs_is_what_is_tested() -> None:
    """The environment of `make test` is that of `make run`, and more."""
    running, tested = pins("requirements.lock"), pins("requirements-dev.lock")

    assert running.items() <= tested.items()


def test_what_builds_the_project_names_no_index() -> None:
    """pip's own configuration says where packages come from, on every machine."""
    for name in [*BUILD_FILES, *(str(path) for path in tracked("*package.json"))]:
        assert "://" not in (ROOT / name).read_text(), name


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    """It works from any directory, or it does not work."""
    place = re.compile(r"(?<![\w./:])/(?:work|opt|root|home)/|/tmp/[a-z]")

    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts()
        if path != Path(__file__) and (match := place.search(text))
    ]

    assert found == []


def test_the_page_of_settings_is_current() -> None:
    """`make docs` writes it; so every key is documented, and no key that is gone."""
    kinds = {**SHARED, **find_sections()}

    assert (ROOT / "docs/configuration.md").read_text() == defaults_markdown(kinds)


def test_the_settings_of_the_checkout_are_right() -> None:
    """An example that does not start is worse than none."""
    for path in tracked("conf/*.toml"):
        assert load_settings(find_sections(), files=[path], environ={}).origins, path


def commands(page: str) -> list[list[str]]:
    """The command lines in the fenced blocks of a page."""
    blocks = re.findall(
        r"^```(?:sh|console)?\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    lines = [
        re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line) for block in blocks for line in block.splitlines()
    ]
    return [line.split() for line in lines if line and not line.startswith("#")]


def test_the_commands_of_the_readme_exist() -> None:
    """A newcomer pastes them: every `make` target and every `appmsg` command with its options."""
    makefile = (ROOT / "Makefile").read_text()
    seen = set()
    for words in commands("README.md"):
        seen.add(words[0])
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words
        elif words[0].endswith("appmsg"):
            names = [word for word in words[1:3] if word.isalpha()]
            names = names if names[0] in {"config", "node", "token"} else names[:1]
            shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"})
            assert shown.exit_code == 0, words
            assert all(word in shown.stdout for word in words if word.startswith("--")), words
    assert {"make", ".venv/bin/appmsg", "curl"} <= seen


def test_make_explains_itself() -> None:
    """`make` alone lists the targets, and starts nothing."""
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    targets = re.findall(r"^make (\w+)", shown, re.MULTILINE)
    assert {"run", "test", "check", "bench", "lock", "clean"} <= set(targets)
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
