"""JSON of a caller into typed structs, with errors that name the field and what it held."""

import re
from typing import Any, TypeVar

import msgspec

from appmodel.errors import BadInput

T = TypeVar("T", bound=msgspec.Struct)

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_AT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_QUOTED = re.compile(r"Object (?:missing required|contains unknown) field `(.*?)`", re.DOTALL)
_SECRET = re.compile(r"password|token|secret", re.IGNORECASE)  # fields that no error shows
_STEP = re.compile(r"\[(\d+)\]|([^.\[]+)")


def decode(decoder: "msgspec.json.Decoder[T]", raw: bytes) -> T:
    """The struct in `raw`.

    Raises:
        BadInput: not JSON, not UTF-8, nested too deeply, or not of the struct's shape.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error), raw) from None
    except _NOT_JSON as error:
        raise _not_json(raw, error) from None


def _not_json(raw: bytes, error: Exception) -> BadInput:
    return BadInput("body", raw[:80].decode(errors="replace"), f"a JSON object ({error})")


def _wrong_field(message: str, raw: bytes) -> BadInput:
    try:
        document = msgspec.json.decode(raw)
    except _NOT_JSON as error:  # the first fault was of its shape, and there is a worse one behind
        return _not_json(raw, error)
    located = _AT.fullmatch(message)
    what, path = (located[1], located[2]) if located else (message, "")
    quoted = _QUOTED.match(what)
    if quoted:
        field = f"{path}.{quoted[1]}" if path else quoted[1]
        expected = "a value" if "missing" in what else "no such field"
        return BadInput(field, _value(document, field), expected)
    expected = what.removeprefix("Expected ").replace("`", "")
    return BadInput(path or "body", _value(document, path), expected)


def _value(document: Any, path: str) -> Any:
    """What the caller wrote at `path`, as far as it exists and is no secret."""
    if _SECRET.search(path.rpartition(".")[2]):
        return "********" if _found(document, path) is not None else None
    return _found(document, path)


def _found(document: Any, path: str) -> Any:
    value = document
    for index, name in _STEP.findall(path):
        if index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        elif name and isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return None
    return value
