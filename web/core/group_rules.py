"""Who may do what in a group, and how many fit into it.

    act                      member   admin   owner   keeper of the tenant
    see it and its members     x        x       x       x
    rename it, invite          x        x       x       x
    description, avatar                 x       x       x
    remove a member                     x       x       x
    remove an admin                             x       x
    size, roles, transfer                       x       x
    dissolve it                                 x       x
    leave it                   x        x       x

Strangers may nothing. A keeper is an operator, an application with permission `sync`, or a user whose role
in the tenant grants that; it need not be a member. The last owner's place goes to the oldest admin, else to the
oldest member; a group without members is dissolved.

Source: spec/appmsgsrv.md 4.4 and 13 (W8, C8). The original lets strangers do all but removing; that any member may
rename and invite is kept, for its clients show it to everybody.
"""

import enum
from collections.abc import Collection

from appmodel.core.groups import Role
from appmodel.errors import BadInput, Forbidden, LimitReached, NotMember
from web.core.principals import Operator, Permission, Principal


class Act(enum.Enum):
    """What can be done to a group, and the least role that may."""

    SEE = ("see the group", Role.MEMBER)
    RENAME = ("rename the group", Role.MEMBER)
    INVITE = ("invite into the group", Role.MEMBER)
    EDIT = ("change description or avatar", Role.ADMIN)
    REMOVE = ("remove a member", Role.ADMIN)
    REMOVE_ADMIN = ("remove an admin", Role.OWNER)
    RESIZE = ("change the size of the group", Role.OWNER)
    APPOINT = ("give roles", Role.OWNER)
    TRANSFER = ("transfer the group", Role.OWNER)
    DISSOLVE = ("dissolve the group", Role.OWNER)

    def __init__(self, what: str, least: Role) -> None:
        self.what, self.least = what, least


def is_keeper(principal: Principal) -> bool:
    """Whether it keeps the tenant's data, groups included."""
    if isinstance(principal, Operator):
        return True
    try:
        principal.require(Permission.SYNC)
    except Forbidden:
        return False
    return True


def check_act(act: Act, role: Role | None) -> None:
    """Pass who may.

    Args:
        role: of the caller in the group; None = no member.

    Raises:
        NotMember: a stranger.
        Forbidden: the role does not grant it.
    """
    if role is None:
        raise NotMember(f"group: only its members may {act.what}")
    if role > act.least:
        raise Forbidden(f"role: {role.name.lower()!r} may not {act.what}")


def removal_of(roles: Collection[Role]) -> Act:
    """What it is to remove members of these roles."""
    return Act.REMOVE if all(role is Role.MEMBER for role in roles) else Act.REMOVE_ADMIN


def check_room(members: int, more: int, max_member: int) -> None:
    """Pass what fits.

    Raises:
        LimitReached: it does not.
    """
    if more and members + more > max_member:
        full = f"group: has {members} members, {more} more exceed max_member = {max_member}"
        raise LimitReached(full)


def check_size(max_member: int, members: int, most: int) -> None:
    """Pass a size that a group may be given.

    Raises:
        BadInput: fewer than it has members, or above the configuration's `most`.
    """
    least = max(members, 1)
    if not least <= max_member <= most:
        raise BadInput("max_member", max_member, f"{least} to {most}")
