"""docs/operations.md tells of the program as it is: its metrics, log lines, settings, checks and commands."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from appmodel.runtime.cli import app

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/operations.md").read_text()
CODE = "".join(
    path.read_text()
    for package in ("appmodel", "comet", "message", "migrations", "web")
    for path in sorted((ROOT / package).rglob("*.py"))
)
WORDS = set(re.findall(r"`([^`\n]+)`", PAGE))


def section(title: str) -> str:
    """The text under a heading, to the next one that is as high."""
    _, heading, rest = re.split(
        rf"^(#+ {re.escape(title)})\n", PAGE, maxsplit=1, flags=re.MULTILINE
    )
    level = heading.count("#")
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> set[str]:
    """What stands in backticks in the first column of the tables."""
    cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_every_metric_is_explained_and_no_other() -> None:
    """What is counted is of use to somebody, or it need not be counted."""
    registered = set(
        re.findall(r"^\s+(?:\w+\.)*(?:counter|gauge)\(\s*\"(\w+)\"", CODE, re.MULTILINE)
    )
    only_an_example = {"comet_connections"}  # in a docstring
    labels = {"why", "reason", "class", "way"}
    watch = section("What to watch").partition("###")[0]

    assert first_column(watch) - labels == registered - only_an_example


def test_every_log_line_exists() -> None:
    """Who searches for it finds the place."""
    lines = first_column(section("When something goes wrong").partition("| question |")[0])

    assert len(lines) > 20
    assert [line for line in lines if f'"{line}"' not in CODE] == []


def test_every_text_of_a_check_exists() -> None:
    """As far as it does not depend on the moment."""
    rows = re.findall(r"^\| `[\w.]+`[^|]*\| ([^|]*) \|", section("What /readyz says"), re.MULTILINE)
    texts = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]

    assert len(texts) > 5
    assert [text for text in texts if re.split(r"[+'.]", text)[0].strip() not in CODE] == []


def test_every_setting_exists() -> None:
    """Those that are named by their path. A check of /readyz has such a name, too."""
    known = (ROOT / "docs/configuration.md").read_text()
    tables = dict(
        re.findall(r"^## \[+([a-z.]+)\]+\n(.*?)(?=^## |\Z)", known, re.MULTILINE | re.DOTALL)
    )
    others = set(re.findall(r"health\.add\(\s*\"([\w.]+)\"", CODE)) | set(tables)
    named = re.compile(rf"({'|'.join(tables)})\.([a-z_]+)(?=$| =)")
    for word in sorted(WORDS - others):
        found = named.match(word)
        if found and f"{found[1]}.{found[2]}" not in tables:
            assert f"| `{found[2]}` |" in tables[found[1]], word


@pytest.mark.parametrize(
    "command", sorted({" ".join(word.split()[1:3]) for word in WORDS if word.startswith("appmsg ")})
)
def test_every_command_exists(command: str) -> None:
    """With its second word, where it has one."""
    words = [word for word in command.split() if word.isalpha() and word.islower()]

    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0, command


def test_every_file_exists() -> None:
    """Also those that are named by a pattern."""
    for word in WORDS:
        if re.match(r"(?:conf|docs|bench)/[\w./*@-]+$", word):
            assert list(ROOT.glob(word.rstrip("/"))), word
