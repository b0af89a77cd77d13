"""Applications and their menus, as /v2 and `appmsg app` show and take them.

    application    a back end of a tenant, with an account `<id>@app` that users can write to
    operation      an entry of its menu, of two levels

What is left out of a change stays as it is; what a struct does not know is refused. Widths are the columns'.
A token is in one answer only: that of who creates or rotates it.
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appmodel.errors import BadInput
from web.core.fields import id_of, known_id, number_of, text_of
from web.core.paging import Next
from web.core.permissions import permissions_text

MAX_NAME = 45  # characters, as the next ones
MAX_LINK = 255
MAX_TEXT = 4096
MAX_OPERATIONS = 200  # in one menu

NewId = Annotated[str, Meta(description="1 to 64 of A-Z a-z 0-9 . _ -; default: one is made up")]
Permissions = Annotated[
    list[str],
    Meta(description="Some of push, push_org, push_tenant, sync, sessions, auth, quota"),
]
Disabled = Annotated[bool, Meta(description="Its token proves nothing, and users do not see it")]
Sort = Annotated[int, Meta(description="Lists are sorted by it, then by name")]
Type = Annotated[str, Meta(pattern="^[12]$", description='"1" opens a page, "2" returns JSON')]


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """An application."""

    id: str
    tenant_id: str
    name: str
    type: str
    avatar: str
    description: str
    follow: str
    sort: Sort
    level: int
    name_py: str
    name_quanpin: str
    permissions: Permissions
    disabled: Disabled


class NewApplication(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An application to create."""

    name: str
    id: NewId | UnsetType = UNSET
    tenant_id: str = ""
    type: str = ""
    avatar: str = ""
    description: str = ""
    follow: str = ""
    sort: Sort = 0
    level: int = 0
    name_py: str = ""
    name_quanpin: str = ""
    permissions: Permissions | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.id is not UNSET:
            id_of("id", self.id)
        if self.tenant_id:
            known_id("tenant_id", self.tenant_id)
        check_columns(self)


class ApplicationChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of an application. Permissions and `disabled` are the operators'."""

    name: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    follow: str | UnsetType = UNSET
    sort: Sort | UnsetType = UNSET
    level: int | UnsetType = UNSET
    name_py: str | UnsetType = UNSET
    name_quanpin: str | UnsetType = UNSET
    permissions: Permissions | UnsetType = UNSET
    disabled: Disabled | UnsetType = UNSET

    @property
    def is_of_rights(self) -> bool:
        """Whether it changes what the application may do."""
        return self.permissions is not UNSET or self.disabled is not UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        check_columns(self)


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """An application with its new token, which is shown this once."""

    application: Application
    token: str


class ApplicationsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of applications, by id."""

    items: list[Application]
    next: Next


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a menu."""

    id: str
    content: Annotated[str, Meta(description="What is shown")]
    action: Annotated[str, Meta(description="A URL")]
    operation_type: str
    sort: Sort
    parent_id: Annotated[str | None, Meta(description="The entry above; null = at the top")]


class NewOperation(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An entry to add."""

    content: str
    action: str = ""
    operation_type: Type = "1"
    sort: Sort = 0
    parent_id: str | None = None
    id: NewId | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.id is not UNSET:
            id_of("id", self.id)
        if self.parent_id is not None:
            known_id("parent_id", self.parent_id)
        check_columns(self)


class OperationChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of an entry."""

    content: str | UnsetType = UNSET
    action: str | UnsetType = UNSET
    operation_type: Type | UnsetType = UNSET
    sort: Sort | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        check_columns(self)


class OperationsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole menu: entries at the top first, each level by sort."""

    items: list[Operation]


Written: TypeAlias = NewApplication | ApplicationChange | NewOperation | OperationChange

WIDTHS = {
    "name": MAX_NAME,
    "type": MAX_NAME,
    "avatar": MAX_LINK,
    "name_py": MAX_NAME,
    "name_quanpin": MAX_NAME,
    "content": MAX_NAME,
    "action": MAX_LINK,
}
LEAST = {"name": 1, "content": 1}
LONG = ("description", "follow")
LINES = str.maketrans("\n\r\t", "   ")  # control characters that a long text may have


def check_columns(wanted: Written) -> None:
    """Raise BadInput for a text that is too long, or a number that no column holds."""
    for field, value in columns_of(wanted).items():
        if field in WIDTHS:
            text_of(field, value, WIDTHS[field], least=LEAST.get(field, 0))
        elif field in LONG:
            _long_text(field, value)
        elif field in {"sort", "level"}:
            number_of(field, value)
        elif field == "permissions":
            permissions_text(value)


def columns_of(wanted: Written) -> dict[str, Any]:
    """What was given, by its name."""
    given = msgspec.structs.asdict(wanted)
    return {field: value for field, value in given.items() if value is not UNSET}


def _long_text(field: str, value: str) -> None:
    """Lines are welcome."""
    if len(value) > MAX_TEXT:
        raise BadInput(field, value, f"at most {MAX_TEXT} characters")
    text_of(field, value.translate(LINES), MAX_TEXT)
