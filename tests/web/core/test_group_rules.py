"""Who may do what in a group."""

import pytest

from appmodel.core.credentials import Caller
from appmodel.core.groups import Role
from appmodel.errors import BadInput, Forbidden, LimitReached, NotMember
from tests.web.group_people import user
from web.core.group_rules import Act, check_act, check_room, check_size, is_keeper, removal_of
from web.core.principals import AppCaller, Operator, Permission

MAY = {
    Role.MEMBER: {Act.SEE, Act.RENAME, Act.INVITE},
    Role.ADMIN: {Act.SEE, Act.RENAME, Act.INVITE, Act.EDIT, Act.REMOVE},
    Role.OWNER: set(Act),
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("act", Act)
def test_a_role_grants_what_the_table_says(act: Act, role: Role) -> None:
    """And names itself where it does not."""
    if act in MAY[role]:
        check_act(act, role)
    else:
        with pytest.raises(Forbidden, match=f"'{role.name.lower()}' may not {act.what}"):
            check_act(act, role)


@pytest.mark.parametrize("act", Act)
def test_strangers_may_nothing(act: Act) -> None:
    """W8: the original asks nobody whether he is in the group."""
    with pytest.raises(NotMember):
        check_act(act, None)


def test_admins_do_not_remove_one_another() -> None:
    """Only the owner removes an admin; nobody but a keeper removes an owner, and that is the same right."""
    assert removal_of([Role.MEMBER, Role.MEMBER]) is Act.REMOVE
    assert removal_of([Role.MEMBER, Role.ADMIN]) is Act.REMOVE_ADMIN
    assert removal_of([Role.OWNER]) is Act.REMOVE_ADMIN


def test_who_keeps_a_tenant() -> None:
    """Operators, and whoever has permission sync."""
    synced = AppCaller("a1", "A", "t1", "", frozenset({Permission.SYNC}))
    pushing = AppCaller("a1", "A", "t1", "", frozenset({Permission.PUSH}))

    assert is_keeper(Operator(Caller("x", "", frozenset({"admin"}), "", 0, 1)))
    assert is_keeper(synced)
    assert is_keeper(user("ann", role="admin"))
    assert not is_keeper(pushing)
    assert not is_keeper(user("ann"))


def test_room() -> None:
    """The last seat is free until it is taken; nobody more is always no problem."""
    check_room(99, 1, 100)
    check_room(120, 0, 100)  # an adopted group may be over its size
    with pytest.raises(LimitReached, match="has 99 members, 2 more exceed max_member = 100"):
        check_room(99, 2, 100)


@pytest.mark.parametrize(("size", "members"), [(0, 0), (4, 5), (101, 5), (-1, 1)])
def test_sizes_that_a_group_may_not_have(size: int, members: int) -> None:
    """Below its members, or above what the configuration allows."""
    check_size(100, 5, most=100)
    with pytest.raises(BadInput, match="max_member"):
        check_size(size, members, most=100)
