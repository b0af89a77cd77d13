r"""What a caller of Mpush wrote, as fields: a query, a form, a JSON object, or a bare text that is the message.

    title=a&content=b%26c+d        {"title": "a", "content": "b&c d"}      decoded once; "100%" is "100%"
    title=a&title=b                {"title": ["a", "b"]}
    {"title":"a","tags":["x"]}     {"title": "a", "tags": ["x"]}
    backup done                    {"content": "backup done"}

What a body is:

    Content-Type     begins with "{"       has "="                  else
    *json*           a JSON object, or 400
    a form           JSON, if it is some   a form (but see below)   a text       curl -d says "form" whatever it sends
    none             JSON, if it is some   as any other             a text
    multipart        415
    any other        a text                a form, if all its       a text       browsers' fetch says text/plain
                                           fields are known         of the seed's forms

Source: spec/mpush.md 7.1 and 9. The seed reads every body as a form, decodes it twice (`%2541` became `A`) and ends at
`100%`; what is no UTF-8 was destroyed there and is refused here.
"""

from collections.abc import Container, Mapping
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from appmodel.errors import BadInput, PushError

MAX_FIELDS = 100  # of a query or a form
FORM = "application/x-www-form-urlencoded"

Fields = Mapping[str, Any]
"""By name: a text, or a list of them if it was given more than once; of a JSON object any value."""


class Unreadable(PushError):
    """A body of a kind that nobody here can read."""

    status = 415
    code = "media_type"
    title = "Unsupported media type"


def read_query(text: str) -> Fields:
    """A query or a form. A percent sign that begins no sequence is one; bytes that are no UTF-8 become U+FFFD.

    Raises:
        BadInput: more than MAX_FIELDS.
    """
    fields: dict[str, str | list[str]] = {}
    if not text:
        return fields
    pairs = text.split("&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        raise BadInput("query", f"more than {MAX_FIELDS} fields", f"at most {MAX_FIELDS}")
    for pair in pairs:
        if pair:
            name, _, value = map(_decoded, pair.partition("="))
            known = fields.get(name)
            if known is None:
                fields[name] = value
            else:
                fields[name] = [*known, value] if isinstance(known, list) else [known, value]
    return fields


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def read_body(body: bytes, content_type: str, known: Container[str]) -> Fields:
    """The fields of a body. `known`: names that make a form of what does not say that it is one.

    Raises:
        BadInput: no UTF-8, no JSON object where one was promised, too many fields.
        Unreadable: multipart.
    """
    if not body:
        return {}
    kind = content_type.partition(";")[0].strip().lower()
    if "json" in kind:
        return _object(body)
    if kind.startswith("multipart/"):
        expected = "a form (application/x-www-form-urlencoded), JSON, or text"
        raise Unreadable(f"Content-Type: got {content_type[:80]!r}, expected {expected}")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadInput("body", _shown(body), "text in UTF-8") from None
    says_little = kind in ("", FORM)
    if says_little and body.lstrip().startswith(b"{"):
        try:
            return _object(body)
        except BadInput:
            pass  # a text that begins with a brace
    is_form = "=" in text and _is_form(text, known, says_so=kind == FORM)
    return read_query(text) if is_form else {"content": text}


def _object(body: bytes) -> Fields:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("body", _shown(body), f"a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise BadInput("body", _shown(body), "a JSON object")
    return value


def _is_form(text: str, known: Container[str], *, says_so: bool) -> bool:
    """Whether every field has a name that is known, and a value; or it says so and looks like one."""
    pairs = [pair.partition("=") for pair in text.split("&", MAX_FIELDS) if pair]
    if all(equals and name in known for name, equals, _ in pairs):
        return True
    is_prose = not any(name in known for name, _, _ in pairs) and len(text.split(None, 1)) > 1
    return says_so and not is_prose


def _shown(body: bytes) -> str:
    """The beginning of a body, for an error; not of one that may have a token in it."""
    return "********" if b"token" in body.lower() else body[:80].decode(errors="replace")
