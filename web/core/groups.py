"""Groups, contacts and mutes, as /v2 shows and takes them. Widths are the columns'.

What is left out of a change stays as it is; what a struct does not know is refused.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appmodel.errors import BadInput
from web.core.fields import known_id, number_of, text_of
from web.core.paging import Next

MAX_NAME = 45  # characters: qun.name
MAX_LINE = 255  # characters: qun.description, qun.avatar, shield_msg.memo
MAX_REMARK = 45  # characters: user_user.remark_name
AT_ONCE = 1000  # users who are added or removed in one call

RoleName = Literal["owner", "admin", "member"]
GroupName = Annotated[str, Meta(description=f"Up to {MAX_NAME} characters")]
Line = Annotated[str, Meta(description=f"Up to {MAX_LINE} characters")]
TenantId = Annotated[str, Meta(description="Only operators name another one than their own")]
UserIds = Annotated[list[str], Meta(description=f"Up to {AT_ONCE:,} users of the tenant")]
MaxMember = Annotated[int, Meta(description="How many members it may have")]
Instant = Annotated[float | None, Meta(description="Unix seconds; null: not known")]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group."""

    id: str
    tenant_id: str
    name: str
    description: str
    avatar: str
    owner_id: Annotated[str, Meta(description="The user who owns it")]
    max_member: MaxMember
    created_at: Instant
    role: Annotated[RoleName, Meta(description="In a list of one's own groups")] | UnsetType = UNSET


class NewGroup(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A group to create. Who owns it is a member, whether listed or not."""

    name: GroupName
    description: Line = ""
    avatar: Line = ""
    user_ids: UserIds = []
    max_member: MaxMember | None = None
    owner_id: (
        Annotated[str, Meta(description="A user owns what he creates; only keepers name another")]
        | None
    ) = None
    tenant_id: TenantId | None = None

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        _check_texts(self)


class GroupChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a group."""

    name: GroupName | UnsetType = UNSET
    description: Line | UnsetType = UNSET
    avatar: Line | UnsetType = UNSET
    max_member: MaxMember | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        _check_texts(self)


class GroupsAnswer(msgspec.Struct, frozen=True):
    """Groups, by id."""

    items: list[Group]
    next: Next


class GroupMember(msgspec.Struct, frozen=True, kw_only=True):
    """A user in a group."""

    id: str
    name: Annotated[str, Meta(description="For the login")]
    nickname: str
    avatar: str
    disabled: bool
    role: RoleName
    joined_at: Instant


class GroupMembersAnswer(msgspec.Struct, frozen=True):
    """Who is in a group, by id."""

    items: list[GroupMember]
    next: Next


class NewGroupMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Users to add to a group: all of them, or none."""

    user_ids: UserIds


class Invited(msgspec.Struct, frozen=True):
    """Who is new in a group; the others of the call were in it already."""

    added: list[str]


class RoleChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member shall be. The owner is changed by a transfer."""

    role: Literal["admin", "member"]


class NewOwner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The member who shall own the group."""

    user_id: str


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A starred user."""

    id: str
    name: Annotated[str, Meta(description="For the login")]
    nickname: str
    avatar: str
    disabled: bool
    remark: Annotated[str, Meta(description="What I call him")]
    sort: Annotated[int, Meta(description="Contacts are sorted by it, then by id")]


class ContactChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What I keep of a user whom I star."""

    remark: (
        Annotated[str, Meta(description=f"Up to {MAX_REMARK} characters; default empty")]
        | UnsetType
    ) = UNSET
    sort: Annotated[int, Meta(description="Default 0")] | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.remark is not UNSET:
            text_of("remark", self.remark, MAX_REMARK)
        if self.sort is not UNSET:
            number_of("sort", self.sort)


class ContactsAnswer(msgspec.Struct, frozen=True):
    """Starred users, by (sort, id)."""

    items: list[Contact]
    next: Next


class Mute(msgspec.Struct, frozen=True):
    """Somebody or something that I do not want to hear."""

    name: Annotated[str, Meta(description="u1@user, a1@app or g1@qun")]
    memo: str


class MuteChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What I note about it."""

    memo: Line | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.memo is not UNSET:
            text_of("memo", self.memo, MAX_LINE)


class MutesAnswer(msgspec.Struct, frozen=True):
    """Mutes: users, applications, groups, each by id."""

    items: list[Mute]
    next: Next


def checked_ids(field: str, user_ids: list[str]) -> list[str]:
    """Each once, in their order.

    Raises:
        BadInput: too many, or one is no id.
    """
    if len(user_ids) > AT_ONCE:
        raise BadInput(field, f"{len(user_ids)} of them", f"at most {AT_ONCE}")
    return list(dict.fromkeys(known_id(f"{field}[{n}]", uid) for n, uid in enumerate(user_ids)))


def _check_texts(group: NewGroup | GroupChange) -> None:
    for field, most in {"name": MAX_NAME, "description": MAX_LINE, "avatar": MAX_LINE}.items():
        value = getattr(group, field)
        if value is not UNSET:
            text_of(field, value, most)
