"""Sections as types: checking what was given, and describing what may be.

    type                        given                  described as
    Annotated[int, Meta(ge=1)]  30                     an integer >= 1
    Duration, Size              "30s", "64KiB"         a duration such as "500ms", "30s", ...
    Literal["off", "on"]        "on"                   one of "off", "on"
    tuple[str, ...]             ["a", "b"]             a list, each a text
    tuple[S, ...], dict[str, S] [[tables]], [tables]   with S a section, S | None is one that may be missing

Every value is converted by itself, so that an error can name its path. One sentence per type serves
the errors and docs/configuration.md.
"""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from appmodel.errors import ConfigError
from appmodel.runtime.config import Secret

StructT = TypeVar("StructT", bound=msgspec.Struct)
KeyPath = tuple[str, ...]


class Raw(str):
    """A text from the environment or a flag: the type of its key decides what it means."""

    __slots__ = ()

    def value(self) -> object:
        """As TOML would read it; the text itself if it would not."""
        try:
            document = tomllib.loads(f"value = {self}")
        except (ValueError, RecursionError):
            return str(self)
        return document["value"] if len(document) == 1 else str(self)


class Decoder:
    """Makes sections from tables.

    Args:
        origin_of: where the value at a path was set, for errors; "" if unknown.
    """

    def __init__(self, origin_of: Callable[[KeyPath], str]) -> None:
        self._origin_of = origin_of

    def table(self, kind: type[StructT], given: object, path: KeyPath) -> StructT:
        """A `kind` from a table.

        Raises:
            ConfigError: a key is unknown or missing, or a value is wrong.
        """
        table = given.value() if isinstance(given, Raw) else given
        if not isinstance(table, dict):
            raise self._wrong(path, given, kind)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        self.refuse_unknown(table, fields, path)
        for name, field in fields.items():
            if field.required and name not in table:
                missing = f"{dotted((*path, name))}: missing, expected {describe(field.type)}"
                raise ConfigError.with_message(missing)
        values = {
            fields[name].name: self._value(fields[name].type, value, (*path, name))
            for name, value in table.items()
        }
        try:
            return kind(**values)
        except ValueError as error:  # a __post_init__ that compares two keys
            raise ConfigError.with_message(f"[{dotted(path)}]: {error}") from None

    def refuse_unknown(self, table: Iterable[str], known: Iterable[str], path: KeyPath) -> None:
        """Raise ConfigError for the first key that is not `known`.

        Its value is not shown: it may be a secret under a mistyped name.
        """
        names = sorted(known)
        for name in table:
            if name not in names:
                here = (*path, name)
                close = difflib.get_close_matches(name, names, n=1)
                hint = f", did you mean {close[0]!r}?" if close else "."
                raise ConfigError.with_message(
                    f"{dotted(here)}{self._set_by(here)}: unknown key{hint} "
                    f"Known here: {', '.join(names)}"
                )

    def _value(self, kind: Any, given: object, path: KeyPath) -> object:
        section, container = section_in(kind)
        if section is None:
            return self._leaf(kind, given, path)
        if container is None:
            return self.table(section, given, path)
        value = given.value() if isinstance(given, Raw) else given
        if container is dict and isinstance(value, dict):
            return {name: self.table(section, item, (*path, name)) for name, item in value.items()}
        if container is tuple and isinstance(value, list):
            return tuple(
                self.table(section, item, (*path[:-1], f"{path[-1]}[{i}]"))
                for i, item in enumerate(value)
            )
        raise self._wrong(path, given, kind)

    def _leaf(self, kind: Any, given: object, path: KeyPath) -> object:
        """A text that fits is taken as it is; only then it is read as TOML: a name may be "7"."""
        readings = [str(given), given.value()] if isinstance(given, Raw) else [given]
        for reading in readings:
            try:
                return msgspec.convert(reading, kind, dec_hook=_parse)
            except msgspec.ValidationError:
                continue
        raise self._wrong(path, given, kind)

    def _wrong(self, path: KeyPath, given: object, kind: Any) -> ConfigError:
        shown = str(given) if isinstance(given, Raw) else given
        if _holds_secret(kind):
            shown = Secret("hidden")
        return ConfigError(dotted(path), shown, f"expected {describe(kind)}{self._set_by(path)}")

    def _set_by(self, path: KeyPath) -> str:
        origin = self._origin_of(path)
        return f" (set by {origin})" if origin else ""


def dotted(path: KeyPath) -> str:
    """A path as it is written: comet.tcp.port."""
    return ".".join(path)


def section_in(kind: Any) -> tuple[type[msgspec.Struct] | None, type | None]:
    """The section that a field holds, and in what: S, S | None, tuple[S, ...] or dict[str, S]."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind, None
    container, arguments = get_origin(kind), get_args(kind)
    if container in (Union, UnionType):
        kinds = [argument for argument in arguments if argument is not type(None)]
        return section_in(kinds[0]) if len(kinds) == 1 else (None, None)
    if container in (tuple, dict):
        section, _ = section_in(arguments[0 if container is tuple else 1])
        return section, container if section else None
    return None, None


def describe(kind: Any) -> str:
    """What a value of this type looks like."""
    return _sentence(inspect.type_info(kind))


def _parse(kind: type, value: object) -> object:
    """For types of ours that are written as text: they have `parse` and `EXPECTED`."""
    if kind is Path:
        return Path(msgspec.convert(value, str))
    parse: Callable[[object], object] = kind.parse  # type: ignore[attr-defined]  # else a bug in a config.py
    return parse(value)


def _holds_secret(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return any(_holds_secret(field.type) for field in msgspec.structs.fields(kind))
    if isinstance(kind, type) and issubclass(kind, Secret):
        return True
    return any(_holds_secret(argument) for argument in get_args(kind))


def _sentence(info: inspect.Type) -> str:
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            return _number(info)
        case inspect.StrType(pattern=pattern):
            return f"a text that matches {pattern}" if pattern else "a text"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(f'"{value}"' for value in values)
        case inspect.EnumType(cls=cls):
            return "one of " + ", ".join(f'"{member.value}"' for member in cls)
        case inspect.CustomType(cls=cls):
            return str(getattr(cls, "EXPECTED", "a path"))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return f"a list, each {_sentence(item)}"
        case inspect.DictType(value_type=item):
            return f"a table, each value {_sentence(item)}"
        case inspect.StructType(fields=fields):
            return "a table with " + ", ".join(field.encode_name for field in fields)
        case inspect.UnionType(types=types):
            kinds = [kind for kind in types if not isinstance(kind, inspect.NoneType)]
            return " or ".join(_sentence(kind) for kind in kinds)
    raise NotImplementedError(f"no setting can have the type {info}")


def _number(info: inspect.IntType | inspect.FloatType) -> str:
    word = "an integer" if isinstance(info, inspect.IntType) else "a number"
    if info.ge is not None and info.le is not None:
        return f"{word} from {info.ge} to {info.le}"
    bounds: Mapping[str, float | None] = {
        ">=": info.ge,
        ">": info.gt,
        "<=": info.le,
        "<": info.lt,
    }
    limits = [f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None]
    return " ".join([word, " and ".join(limits)]) if limits else word
