"""The settings as text."""

import tomllib
from enum import StrEnum
from pathlib import Path

import pytest

from appmodel.core.units import Duration, Size
from appmodel.runtime.config import Port, Secret, Section
from appmodel.runtime.reference import (
    defaults_markdown,
    defaults_toml,
    field_comments,
    show_toml,
    toml,
)
from appmodel.runtime.settings import SHARED, load_settings

SECRET = "0123456789" * 4


class Place(Section, frozen=True):
    """A place."""

    host: str = "127.0.0.1"  # where it is


class Inner(Place, frozen=True):
    """[outer.inner]. What is inside,
    on two lines.
    """

    port: Port = 1  # 0 = any; "#" is no comment
    # above the field,
    # on two lines
    size: Size = Size(1)
    time: Duration = Duration(1)
    """Below the field."""
    path: Path = Path("#x")
    many: tuple[Place, ...] = ()  # several | of them
    plain: int = 1


class Outer(Section, frozen=True):
    """[outer]."""

    need: str  # must be there
    maybe: Path | None = None
    inner: Inner = Inner()
    other: Inner = Inner(port=9)


def test_the_comment_at_a_field_is_its_documentation() -> None:
    """Behind it, above it, or below it as a text; inherited fields keep theirs; a # in a text is none."""
    assert field_comments(Inner) == {
        "host": "where it is",
        "port": '0 = any; "#" is no comment',
        "size": "above the field, on two lines",
        "time": "Below the field.",
        "path": "",
        "many": "several | of them",
        "plain": "",
    }


def test_defaults_are_a_file_to_start_from() -> None:
    """What `config defaults` prints is TOML, loads again, and changes nothing."""
    text = defaults_toml(SHARED)

    parsed = tomllib.loads(text)

    assert list(parsed) == list(SHARED)
    assert parsed["node"]["drain_timeout"] == "8s"
    assert 'name = "node1"  # unique in the cluster' in text
    assert "# [[registry.nodes]]\n# role =  # required: one of" in text


def test_every_key_is_on_the_page() -> None:
    """Sections by their path, a row per key; required keys and lists of sections are marked."""
    page = defaults_markdown({"outer": Outer})

    assert "## [outer]\n\n| key" in page
    assert "| `need` | required | a text | must be there |" in page
    assert "| `maybe` |  | a path |  |" in page
    assert "## [outer.inner]\n\nWhat is inside, on two lines.\n" in page
    assert '| `size` | `"1B"` | a size | above the field, on two lines |' in page
    assert "| `many` | `[]` | a list, each a table with host | several \\| of them |" in page
    assert "## [[outer.inner.many]]\n\nA place.\n" in page


def test_a_default_of_a_section_is_its_own() -> None:
    """A section used twice shows the values of its place, not those of its class."""
    page = defaults_markdown({"outer": Outer})

    other = page.partition("## [outer.other]")[2]

    assert "| `port` | `9` |" in other


def test_what_is_in_force_names_its_origin_and_no_secret(tmp_path: Path) -> None:
    """`config show` may be pasted into a bug report."""
    file = tmp_path / "a.toml"
    file.write_text(f'[auth]\nsecret = "{SECRET}"\n[outer]\nneed = "x"')
    flags = ["outer.inner.many=[{host='h'}]", "node.name=n7"]

    text = show_toml(load_settings({"outer": Outer}, files=[file], environ={}, overrides=flags))

    assert SECRET not in text
    assert f'secret = "********"  # set by {file}' in text
    assert 'many = [{host = "h"}]  # set by --set' in text
    parsed = tomllib.loads(text)
    assert parsed["node"]["name"] == "n7"
    assert parsed["outer"]["inner"]["path"] == "#x"


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Duration(0), '"0s"'),
        (Duration(0.5), '"500ms"'),
        (Duration(0.1), '"100ms"'),
        (Duration(90), '"90s"'),
        (Duration(120), '"2m"'),
        (Duration(86400 * 30), '"30d"'),
        (Duration(0.0005), '"0.0005s"'),
        (Size(0), '"0B"'),
        (Size(1000), '"1000B"'),
        (Size(65536), '"64KiB"'),
        (Size(2**30), '"1GiB"'),
        (True, "true"),
        (1.5, "1.5"),
        ('a"b\n', '"a\\"b\\n"'),
        (("a", 1), '["a", 1]'),
        ({"a": Secret(SECRET)}, '{a = "********"}'),
        (Colour.RED, '"red"'),
        (Secret(), '""'),
    ],
)
def test_values_are_written_as_they_are_read(value: object, text: str) -> None:
    """Durations and sizes in the largest unit that leaves a whole number; it is TOML, whatever it is."""
    assert toml(value) == text

    tomllib.loads(f"value = {text}")


@pytest.mark.parametrize("kind", [Duration, Size])
@pytest.mark.parametrize("number", [0, 1, 59, 60, 1024, 3600, 86400, 10**6])
def test_units_survive_a_round(kind: type[Duration] | type[Size], number: int) -> None:
    """What is printed means the same when it is set."""
    assert kind.parse(tomllib.loads(f"v = {toml(kind(number))}")["v"]) == number
