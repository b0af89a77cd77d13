r"""What callers of the light-push REST write, and what refusals look like: plain values, no network.

    Authorization: Basic L2RlbW86MTIzOjQ1Ng==      namespace "/demo", password "123:456"
    Authorization: L2RlbW86MTIzOjQ1Ng==            the same: its console sends it bare
    ?room=r1&room=r2&detail=true                   Asked: rooms in their order; any text that is not empty is "yes"
    {"room":"r1","pushData":{...}}                 a JSON object; a form or no body at all is one of texts

    HTTP/1.1 400 Bad Request
    Content-Type: text/plain; charset=utf-8

    {"code": 9999,"msg": "room can not be empty"}

Source: spec/liutian-push.md 5.1. Differences: a password may contain ":" (W42); texts inside of an error are
escaped, so that the body is JSON whatever a caller wrote (W33); a body that begins with "{" is JSON whatever
its Content-Type says, as `curl -d` sends it.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from appmodel.core.lightpush_records import Hidden
from appmodel.errors import BadInput, PushError, TooLarge

CODE = 9999  # the only one that the original ever answers
MAX_FIELDS = 1000  # of a query or a form; rooms may be repeated
MAX_FORM = 56 * 1024  # bytes; the original's limit of forms and texts
FORM = "application/x-www-form-urlencoded"

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Spoken(PushError):
    """A refusal whose text is the whole body."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def refusal(error: PushError) -> tuple[int, str]:
    """Status and body of the answer to a call that was refused."""
    if isinstance(error, Spoken):
        return error.status, str(error)
    status = 400 if isinstance(error, BadInput) else error.status
    text = msgspec.json.encode(str(error)).decode()
    return status, f'{{"code": {CODE},"msg": {text}}}'


class Credential(NamedTuple):
    """Who a caller says it is, and what is to prove it."""

    name: str
    password: Hidden


def credential(header: str | None) -> Credential:
    """What an Authorization header says; what cannot be read is nobody.

    Raises:
        Spoken: there is none.
    """
    if not header:
        raise Spoken(400, "need authorization")
    scheme, space, rest = header.strip().partition(" ")
    text = rest.strip() if space and scheme.lower() == "basic" else header.strip()
    try:
        plain = b64decode(_padded(text), validate=True).decode()
    except (binascii.Error, ValueError):  # a UnicodeError is a ValueError
        return Credential("", Hidden())
    name, _, password = plain.partition(":")
    return Credential(name, Hidden(password))


class Asked:
    """A query: the first value of each field, and all of those that may be repeated."""

    def __init__(self, query_string: str) -> None:
        """Raises BadInput: not UTF-8, or too many fields."""
        self._pairs = _pairs(query_string, "query")

    def first(self, name: str) -> str | None:
        """Its first value, None if it was not given."""
        return next((value for each, value in self._pairs if each == name), None)

    def text(self, name: str) -> str:
        """The same, "" if it was not given."""
        return self.first(name) or ""

    def texts(self, name: str) -> list[str]:
        """All its values that are not empty, in their order."""
        return [value for each, value in self._pairs if each == name and value]

    def says(self, name: str) -> bool:
        """Whether it was given with any text: "false" is one, too."""
        return self.text(name) != ""

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number; above `most` counts as `most`.

        Raises:
            BadInput: it is none, or below `least`.
        """
        text = self.text(name)
        if not text:
            return default
        expected = f"a whole number, {least} or more"
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            raise BadInput(name, text, expected)
        if int(text) < least:
            raise BadInput(name, text, expected)
        return min(int(text), most)


def read_body(body: bytes, content_type: str) -> Mapping[str, Any]:
    """The fields of a body.

    Raises:
        Spoken: it is no JSON object.
        TooLarge, BadInput: a form that is too large, or not UTF-8.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body.strip():
        return {}
    if kind == FORM and not body.lstrip().startswith(b"{"):
        if len(body) > MAX_FORM:
            raise TooLarge(f"body: a form of {len(body)} bytes, at most {MAX_FORM}")
        return dict(reversed(_pairs(body.decode(errors="replace"), "body")))
    try:
        fields = msgspec.json.decode(body)
    except _NOT_JSON:
        fields = None
    if not isinstance(fields, dict):
        raise Spoken(400, "Bad Request")
    return fields


def _pairs(text: str, field: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except UnicodeDecodeError:
        raise BadInput(field, text[:80], "percent-encoded UTF-8") from None
    except ValueError:
        raise BadInput(field, text[:80], f"at most {MAX_FIELDS} fields") from None


def _padded(text: str) -> bytes:
    """Both alphabets of base64, with and without padding: Node reads them all."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    return (plain + "=" * (-len(plain) % 4)).encode()
