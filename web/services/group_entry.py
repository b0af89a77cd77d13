"""What every change of a group begins and ends with, inside its transaction.

entered = enter(session, caller, tenant, group_id, Act.INVITE)     the group is ours until the commit
people = people_of(session, uids, tenant)                          they are there
scene, owner = without(session, entered, gone)                     they are out, and it has an owner
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from appmodel.core.groups import Role
from appmodel.core.people import Person
from appmodel.errors import NotFound
from appmodel.orm import group_queries as rows
from appmodel.orm.changes import note_change
from appmodel.orm.groups import Qun
from appmodel.orm.people_queries import find_people
from web.core.fields import known_id
from web.core.group_rules import Act, check_act, is_keeper
from web.core.notices import Scene
from web.core.principals import Principal, UserCaller


@dataclass(frozen=True, slots=True)
class Entered:
    """A group that is locked, and what the caller is in it."""

    group: Qun
    members: dict[str, Role]  # the oldest first
    caller: Principal
    role: Role | None  # a keeper's is OWNER; None: a stranger

    def scene(self, member_ids: Iterable[str] | None = None) -> Scene:
        """For notices. `member_ids`: who is in it now, if that changed."""
        group = self.group
        ids = tuple(self.members if member_ids is None else member_ids)
        return Scene(group.tenant_id, group.id, group.name, ids, self.caller)

    def check(self, act: Act) -> None:
        """Raise NotMember or Forbidden unless the caller may."""
        check_act(act, self.role)

    def check_member(self, uid: str) -> None:
        """Raise NotFound unless the user is in the group."""
        if uid not in self.members:
            raise NotFound(f"uid: {uid!r} is not in the group")


def enter(session: Session, caller: Principal, tenant: str, group_id: str, act: Act) -> Entered:
    """Lock a group and look who is in it, if the caller may do this.

    Raises:
        NotFound, NotMember, Forbidden.
    """
    group = rows.lock(session, known_id("group", group_id), tenant)
    if group is None:
        raise unknown(group_id)
    members = rows.roles(session, group.id, tenant)
    entered = Entered(group, members, caller, _role(caller, members))
    entered.check(act)
    return entered


def seen(session: Session, caller: Principal, tenant: str, group_id: str) -> Qun:
    """A group, if the caller may see it. Raises NotFound, NotMember."""
    group = rows.find(session, known_id("group", group_id), tenant)
    if group is None:
        raise unknown(group_id)
    if not is_keeper(caller):
        uid = caller.uid if isinstance(caller, UserCaller) else ""
        check_act(Act.SEE, rows.role_in(session, group_id, uid))
    return group


def people_of(session: Session, uids: Collection[str], tenant: str) -> dict[str, Person]:
    """Users of a tenant. Raises NotFound naming the first who is none."""
    if not uids:
        return {}
    found = find_people(session, uids)
    for uid in uids:
        if uid not in found or found[uid].tenant_id != tenant:
            raise NotFound(f"uid: there is no user {uid!r}")
    return {uid: found[uid] for uid in uids}


def without(
    session: Session, entered: Entered, gone: Collection[str]
) -> tuple[Scene, Person | None]:
    """Members out of their group, and another owner in if he was among them. Notes the change.

    Returns:
        The scene after it, and the new owner, if there is one.
    """
    group = entered.group
    left = {uid: role for uid, role in entered.members.items() if uid not in gone}
    rows.remove_members(session, group.id, gone)
    note_change(session, f"{group.id}@qun")
    if Role.OWNER in left.values():
        return entered.scene(left), None
    owner_id = rows.settle(session, [group.id]).get(group.id)
    if owner_id is None:
        return entered.scene(left), None
    return entered.scene(left), find_people(session, [owner_id])[owner_id]


def names_of(people: Mapping[str, Person]) -> dict[str, str]:
    """What others call them, by uid."""
    return {uid: name_of(person) for uid, person in people.items()}


def name_of(person: Person) -> str:
    """What others call a user."""
    return person.nickname or person.login or person.uid


def unknown(group_id: str) -> NotFound:
    """There is no such group, or not in this tenant."""
    return NotFound(f"group: there is no group {group_id!r}")


def _role(caller: Principal, members: Mapping[str, Role]) -> Role | None:
    if is_keeper(caller):
        return Role.OWNER
    return members.get(caller.uid) if isinstance(caller, UserCaller) else None
