"""Versions of client programs, as /v2 shows and takes them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from web.core.fields import number_of, text_of
from web.core.paging import Next

MAX_TYPE, MAX_NAME, MAX_URL, MAX_FILE = 45, 45, 255, 45  # characters: columns
MAX_DESCRIPTION = 16_384

Code = Annotated[int, Meta(description="The highest of a type is its newest version")]
Type = Annotated[str, Meta(description="Which program: what its checkUpdate sends")]
Url = Annotated[str, Meta(description="Where it is downloaded")]


class ClientVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a program."""

    id: str
    type: Type
    code: Code
    name: str
    description: str
    url: Url
    file_name: str


class NewClientVersion(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A version that users can get from now on."""

    type: Type
    code: Code
    name: str
    description: str = ""
    url: Url = ""
    file_name: str = ""

    def columns(self) -> dict[str, Any]:
        """Of its row. Raises BadInput for what none can hold."""
        text_of("type", self.type, MAX_TYPE, least=1)
        return {"type": self.type, **_columns(self)}


class ClientVersionChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a version."""

    code: Code | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    file_name: str | UnsetType = UNSET

    def columns(self) -> dict[str, Any]:
        """Of its row, as far as they change. Raises BadInput for what none can hold."""
        return _columns(self)


class ClientVersionsAnswer(msgspec.Struct, frozen=True):
    """Versions by (type, code)."""

    items: list[ClientVersion]
    next: Next


_TEXTS = {
    "name": ("ver_name", MAX_NAME, 1),
    "url": ("download_url", MAX_URL, 0),
    "file_name": ("file_name", MAX_FILE, 0),
}


def _columns(given: NewClientVersion | ClientVersionChange) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given.code is not UNSET:
        found["ver_code"] = number_of("code", given.code)
    for field, (column, most, least) in _TEXTS.items():
        value = getattr(given, field)
        if value is not UNSET:
            found[column] = text_of(field, value, most, least=least)
    if given.description is not UNSET:
        lines = given.description.replace("\r\n", "\n").replace("\n", " ").replace("\t", " ")
        text_of("description", lines, MAX_DESCRIPTION)  # the only text here that may have lines
        found["ver_description"] = given.description
    return found
