"""Users, as /v2 shows and takes them. What is left out of a change stays as it is; widths are the columns'."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appmodel.errors import BadInput
from web.core.fields import text_of, uid_of
from web.core.paging import Next
from web.core.principals import ROLES

WIDTHS: Mapping[str, int] = {
    "name": 45,
    "nickname": 45,
    "avatar": 255,
    "name_py": 45,
    "name_quanpin": 255,
    "email": 64,
    "mobile": 32,
    "area": 128,
}
"""Characters of the texts."""

OWN = ("nickname", "avatar", "name_py", "name_quanpin", "mobile", "area")
"""What users may change of themselves: not what they log in with, and not what they may do."""

NewUid = Annotated[str, Meta(description="1 to 64 of A-Z a-z 0-9 . -; default: one is made up")]
Login = Annotated[str, Meta(description="For the login, beside the e-mail address")]
Initials = Annotated[str, Meta(description="Initials of the name's pinyin")]
Pinyin = Annotated[str, Meta(description="The name's pinyin")]
TenantId = Annotated[str, Meta(description="Only operators name another one than their own")]
RoleName = Annotated[str, Meta(description="One of member, announcer, admin")]
Disabled = Annotated[bool, Meta(description="May not log in, and is logged out everywhere")]
Secret = Annotated[str, Meta(description="Never shown again")]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user."""

    id: str
    tenant_id: str
    name: Login
    nickname: str
    avatar: str
    name_py: Initials
    name_quanpin: Pinyin
    email: str
    mobile: str
    area: str
    role: RoleName
    disabled: bool


class NewUser(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A user to create. Without a password he cannot log in until he is given one."""

    name: Login
    id: NewUid | UnsetType = UNSET
    tenant_id: TenantId | None = None
    password: Secret = ""
    nickname: str = ""
    avatar: str = ""
    name_py: Initials = ""
    name_quanpin: Pinyin = ""
    email: str = ""
    mobile: str = ""
    area: str = ""
    role: RoleName = "member"
    disabled: Disabled = False

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.id is not UNSET:
            uid_of("id", self.id)
        _check(self)
        text_of("name", self.name, WIDTHS["name"], least=1)


class UserChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a user."""

    name: Login | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    name_py: Initials | UnsetType = UNSET
    name_quanpin: Pinyin | UnsetType = UNSET
    email: str | UnsetType = UNSET
    mobile: str | UnsetType = UNSET
    area: str | UnsetType = UNSET
    role: RoleName | UnsetType = UNSET
    disabled: Disabled | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        _check(self)
        if self.name is not UNSET:
            text_of("name", self.name, WIDTHS["name"], least=1)

    def beyond_own(self) -> str | None:
        """The first field that users may not change of themselves."""
        return next((name for name in self.columns() if name not in OWN), None)

    def columns(self) -> dict[str, Any]:
        """What is given, by name."""
        given = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in given if value is not UNSET}


class UsersAnswer(msgspec.Struct, frozen=True):
    """Users of a tenant, by id."""

    items: list[User]
    next: Next


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new password. Users prove that they know the old one; who keeps the tenant need not."""

    new_password: Secret
    old_password: Secret | UnsetType = UNSET


class DeliveredUser(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A user as another system delivers him: `member` of syncUser. All fields must be there."""

    uid: str
    name: str
    nick_name: str
    py_initial: str = msgspec.field(name="pYInitial")
    py_quanpin: str = msgspec.field(name="pYQuanPin")
    status: str
    avatar: str
    password: str
    tenant_id: str
    email: str
    mobile: str
    area: str

    NAMES: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "nickname": "nickName",
        "avatar": "avatar",
        "name_py": "pYInitial",
        "name_quanpin": "pYQuanPin",
        "email": "email",
        "mobile": "mobile",
        "area": "area",
    }

    def columns(self) -> dict[str, Any]:
        """Its columns, without id, tenant and password.

        Raises:
            BadInput: what no row can hold.
        """
        values = {
            "name": self.name,
            "nickname": self.nick_name,
            "avatar": self.avatar,
            "name_py": self.py_initial,
            "name_quanpin": self.py_quanpin,
            "email": self.email,
            "mobile": self.mobile,
            "area": self.area,
        }
        for name, value in values.items():
            text_of(f"member.{self.NAMES[name]}", value, WIDTHS[name])
        return {**values, "status": _status(self.status)}


def _check(fields: NewUser | UserChange) -> None:
    for name, most in WIDTHS.items():
        value = getattr(fields, name)
        if value is not UNSET:
            text_of(name, value, most)
    if fields.role is not UNSET and fields.role not in ROLES:
        raise BadInput("role", fields.role, f"one of {', '.join(ROLES)}")


def _status(text: str) -> int:
    if not text:
        return 0
    if text.removeprefix("-").isdecimal() and text.isascii() and len(text) <= 9:
        return int(text)
    raise BadInput("member.status", text, "a whole number as a text, or an empty one")
