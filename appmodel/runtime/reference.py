"""The settings as text: what is in force, and what there is.

    appmsg config show                  [comet.tcp]
                                        port = 7000  # set by APPMSG_COMET__TCP__PORT
    appmsg config defaults              port = 6969  # tcp.bind
    appmsg config defaults --markdown   docs/configuration.md

A key is documented by the comment at its field in config.py, so there is one place to write it, and
the page cannot name a key that does not exist.
"""

import ast
import enum
import inspect
import io
import json
import textwrap
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from appmodel.core.units import Duration, Size
from appmodel.runtime.config import Secret
from appmodel.runtime.schema import describe, section_in
from appmodel.runtime.settings import Settings

PREFACE = """\
# Configuration

Written by `appmsg config defaults --markdown`; the text at each key is the comment in its `config.py`.

Settings are found in three layers, the later one wins key by key:

1. TOML: `conf/appmsg.toml` if it exists, or each `--config FILE` in order;
2. the environment: `APPMSG_COMET__TCP__PORT=7000` is `[comet.tcp] port` (two underscores between names);
3. flags: `--set comet.tcp.port=7000`.

`appmsg config show` prints what is in force and where each value was set, `appmsg config check` only
checks. An unknown key or a wrong value is an error that says what is allowed; nothing starts then.
Secrets are never printed. Durations and sizes have units: `"500ms"`, `"30s"`, `"10m"`, `"24h"`, `"7d"`;
`"512B"`, `"64KiB"`, `"1MiB"`, `"1GiB"`.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key: its value, and what may be said of it."""

    name: str
    kind: Any
    value: Any
    required: bool
    comment: str


@dataclass(frozen=True, slots=True)
class Table:
    """One section; `many` if it is an element of a list, such as [[registry.nodes]]."""

    path: str
    title: str
    entries: list[Entry]
    many: bool = False


def show_toml(settings: Settings) -> str:
    """The settings in force, secrets masked, with the origin of each that was set."""
    lines = []
    for name, section in settings.sections.items():
        for table in _tables(name, type(section), section):
            if not table.many:
                lines += ["", f"[{table.path}]"]
                for entry in table.entries:
                    origin = settings.origins.get(f"{table.path}.{entry.name}")
                    lines.append(_toml_line(entry, f"set by {origin}" if origin else ""))
    return "\n".join(lines[1:]) + "\n"


def defaults_toml(kinds: Mapping[str, type[msgspec.Struct]]) -> str:
    """All keys with their defaults and comments, as a file to start from."""
    lines = []
    for name, kind in kinds.items():
        for table in _tables(name, kind, None):
            header, mark = (f"[[{table.path}]]", "# ") if table.many else (f"[{table.path}]", "")
            lines += ["", f"# {table.title}"] if table.title else [""]
            lines.append(mark + header)
            for entry in table.entries:
                line = _toml_line(entry, entry.comment)
                lines.append(line if line.startswith("#") else mark + line)
    return "\n".join(lines[1:]) + "\n"


def defaults_markdown(kinds: Mapping[str, type[msgspec.Struct]]) -> str:
    """The page docs/configuration.md."""
    lines = [PREFACE]
    for name, kind in kinds.items():
        for table in _tables(name, kind, None):
            header = f"[[{table.path}]]" if table.many else f"[{table.path}]"
            lines += [f"## {header}", ""]
            if table.title:
                lines += [table.title, ""]
            if table.entries:
                lines += ["| key | default | may be | |", "|---|---|---|---|"]
                lines += [_markdown_row(entry) for entry in table.entries] + [""]
    return "\n".join(lines)


def _tables(path: str, kind: type[msgspec.Struct], value: Any) -> Iterator[Table]:
    """The section itself, then those inside. Without a `value`: the defaults."""
    comments = field_comments(kind)
    entries, inner = [], []
    for field in msgspec.structs.fields(kind):
        shown = _default(field) if value is None else getattr(value, field.name)
        below = f"{path}.{field.encode_name}"
        section, container = section_in(field.type)
        if section is not None and container is None:
            inner.append(_tables(below, section, shown))
            continue
        if section is not None:
            inner.append(_elements(below, section))
        comment = comments.get(field.name, "")
        entries.append(Entry(field.encode_name, field.type, shown, field.required, comment))
    yield Table(path, _title(kind), entries)
    for tables in inner:
        yield from tables


def _elements(path: str, kind: type[msgspec.Struct]) -> Iterator[Table]:
    (table,) = _tables(path, kind, None)
    yield Table(path, table.title, table.entries, many=True)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


def _title(kind: type[msgspec.Struct]) -> str:
    """Its docstring on one line, without the "[section]." that is in front."""
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
    if text.startswith("["):
        text = text.partition("]")[2].lstrip("].:, ")
    return text[:1].upper() + text[1:]


def field_comments(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The comment of each field: behind it, above it, or the text literal below it."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            found |= _comments_in(textwrap.dedent(inspect.getsource(base)))
    return found


def _comments_in(source: str) -> dict[str, str]:
    """Of one class: `name: type = value  # comment`, perhaps on several lines."""
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        match following:
            case ast.Expr(value=ast.Constant(value=str(text))):
                found[statement.target.id] = " ".join(text.split())
            case _:
                found[statement.target.id] = _comment_at(comments, source, statement)
    return found


def _comment_at(comments: Mapping[int, str], source: str, statement: ast.AnnAssign) -> str:
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    behind = [comments[number] for number in range(first, last + 1) if number in comments]
    if behind:
        return " ".join(behind)
    lines = source.splitlines()
    above: list[str] = []
    while first > 1 and lines[first - 2].lstrip().startswith("#"):
        first -= 1
        above.insert(0, comments[first])
    return " ".join(above)


def _toml_line(entry: Entry, comment: str) -> str:
    if entry.value is None and entry.required:
        line = f"# {entry.name} =  # required: {describe(entry.kind)}"
    elif entry.value is None:
        line = f"# {entry.name} ="
    else:
        line = f"{entry.name} = {toml(entry.value)}"
    return f"{line}  # {comment}" if comment else line


def _markdown_row(entry: Entry) -> str:
    if entry.required:
        default = "required"
    else:
        default = "" if entry.value is None else f"`{toml(entry.value)}`"
    allowed = describe(entry.kind).partition(" such as ")[0]  # the preface has the examples
    cells = [f"`{entry.name}`", default, allowed, entry.comment]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def toml(value: Any) -> str:
    """A value as TOML writes it; a secret as asterisks."""
    match value:
        case Secret():
            return '"********"' if value else '""'
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return toml(value.value)
        case Duration():
            return _in_units(value, {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}, "s")
        case Size():
            return _in_units(value, {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}, "B")
        case int() | float():
            return repr(value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case tuple() | list():
            return "[" + ", ".join(toml(item) for item in value) + "]"
        case dict():
            return _inline(value)
        case msgspec.Struct():
            return _inline(msgspec.structs.asdict(value))
    raise NotImplementedError(f"no setting can have the value {value!r}")


def _inline(table: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name} = {toml(value)}" for name, value in table.items()) + "}"


def _in_units(value: float, units: Mapping[str, float], smallest: str) -> str:
    """In the largest unit that leaves a whole number."""
    for unit, size in units.items():
        count = value / size
        if round(count) >= 1 and abs(count - round(count)) < 1e-9:
            return f'"{round(count)}{unit}"'
    return f'"{value:g}{smallest}"'
