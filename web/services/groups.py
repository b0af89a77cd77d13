"""Groups: made, changed and left by users, and kept by whoever keeps their tenant.

    caller ─> one transaction: lock the group, who is in it, may the caller, change, note ─> notices, in one batch

A change that was made is never answered with an error: notices that cannot be sent are logged and counted.
Cancelling before the commit leaves everything as it was, cancelling behind it loses the notices.

Source: appmsgsrv app/qun.go; spec/appmsgsrv.md 4.4 and 8.6. Differences: web/core/group_rules.py.
"""

from collections.abc import Sequence

import structlog
from msgspec import UNSET
from msgspec.structs import asdict
from sqlalchemy.orm import Session

from appmodel.core.groups import Role
from appmodel.core.people import Person
from appmodel.errors import BadInput, ConfigError, Conflict, Forbidden, LimitReached, PushError
from appmodel.io.database import Database
from appmodel.orm import group_queries as rows
from appmodel.orm.changes import note_change
from appmodel.orm.groups import Qun
from appmodel.orm.people_queries import find_people
from web.config import GroupsConfig
from web.core.fields import known_id
from web.core.group_rules import Act, check_room, check_size, is_keeper, removal_of
from web.core.groups import GroupChange, NewGroup, checked_ids
from web.core.notices import Announcer, Notice, Notices, Scene
from web.core.paging import Paging
from web.core.principals import Permission, Principal, UserCaller
from web.services.group_entry import (
    Entered,
    enter,
    name_of,
    names_of,
    people_of,
    seen,
    without,
)

log = structlog.get_logger(__name__)


class Groups:
    """The use cases. A group of another tenant is not found; `tenant` is the caller's own, or what it may name."""

    def __init__(
        self, database: Database, notices: Notices, announcer: Announcer, limits: GroupsConfig
    ) -> None:
        """
        Raises:
            ConfigError: the usual size is above the largest one.
        """
        if limits.max_member > limits.most_members:
            expected = f"at most web.groups.most_members ({limits.most_members})"
            raise ConfigError("web.groups.max_member", limits.max_member, expected)
        self._database = database
        self._notices = notices
        self._announcer = announcer
        self._limits = limits
        self.untold = 0  # notices that were not sent

    async def create(self, caller: Principal, tenant: str, wanted: NewGroup) -> Qun:
        """A new group.

        Raises:
            BadInput: a text that does not fit, a size out of range, a keeper who names no owner.
            Forbidden: an owner who is not the caller.
            NotFound: a member who is not in the tenant.
            LimitReached: more members than it takes, or the owner has too many groups.
        """
        wanted.check()
        owner_id = _owner_of(caller, wanted)
        members = [u for u in checked_ids("user_ids", wanted.user_ids) if u != owner_id]
        size = self._limits.max_member if wanted.max_member is None else wanted.max_member
        check_size(size, 1, self._limits.most_members)
        check_room(1, len(members), size)

        def make(session: Session) -> Qun:
            people_of(session, [owner_id, *members], tenant)
            if rows.count_owned(session, owner_id) >= self._limits.owned:
                raise LimitReached(f"owner_id: owns {self._limits.owned} groups already")
            group = Qun(
                name=wanted.name,
                description=wanted.description,
                avatar=wanted.avatar,
                max_member=size,
                creator_id=owner_id,
                tenant_id=tenant,
            )
            rows.add_group(session, group, owner_id, members)
            note_change(session, f"{group.id}@qun")
            return group

        group = await self._database.write(make)
        scene = Scene(tenant, group.id, group.name, (owner_id, *members), caller)
        await self._tell(self._announcer.created(scene, owner_id))
        return group

    async def see(self, caller: Principal, tenant: str, group_id: str) -> Qun:
        """A group. Raises NotFound, NotMember."""

        def look(session: Session) -> Qun:
            return seen(session, caller, tenant, group_id)

        return await self._database.read(look)

    async def seats(self, group: Qun) -> list[rows.Seat]:
        """All members of a group that the caller was allowed to see: owner, admins, members."""
        return await self._database.read(lambda s: rows.seats(s, group.id, group.tenant_id))

    async def seats_page(
        self, caller: Principal, tenant: str, group_id: str, paging: Paging
    ) -> list[rows.Seat]:
        """A page of its members, by uid. Raises as `see`."""

        def look(session: Session) -> list[rows.Seat]:
            group = seen(session, caller, tenant, group_id)
            return rows.seats_page(session, group.id, tenant, paging.after, paging.limit)

        return await self._database.read(look)

    async def mine(self, user: UserCaller, paging: Paging) -> list[tuple[Qun, Role]]:
        """A page of the groups that a user is in, by id, with what he is there."""
        uid, tenant = user.uid, user.tenant_id
        return await self._database.read(
            lambda s: rows.groups_of(s, uid, tenant, paging.after, paging.limit)
        )

    async def of_tenant(self, tenant: str, paging: Paging) -> list[Qun]:
        """A page of all groups, for a keeper."""
        return await self._database.read(
            lambda s: rows.groups_in(s, tenant, paging.after, paging.limit)
        )

    async def update(
        self, caller: Principal, tenant: str, group_id: str, wanted: GroupChange
    ) -> Qun:
        """Change what is set. Raises BadInput, NotFound, NotMember, Forbidden."""
        wanted.check()
        new = {field: value for field, value in asdict(wanted).items() if value is not UNSET}

        def change(session: Session) -> tuple[Entered, bool]:
            entered = enter(session, caller, tenant, group_id, Act.SEE)
            group = entered.group
            for field in new:
                entered.check(_ACTS[field])
            if wanted.max_member is not UNSET:
                check_size(wanted.max_member, len(entered.members), self._limits.most_members)
            renamed = wanted.name not in (UNSET, group.name)
            for field, value in new.items():
                setattr(group, field, value)
            note_change(session, f"{group_id}@qun")
            return entered, renamed

        entered, renamed = await self._database.write(change)
        if renamed:
            await self._tell(self._announcer.renamed(entered.scene()))
        return entered.group

    async def invite(
        self, caller: Principal, tenant: str, group_id: str, uids: list[str]
    ) -> tuple[Qun, list[str]]:
        """Add users; those who are in already stay as they are.

        Returns:
            The group, and who is new.

        Raises:
            BadInput, NotFound, NotMember, Forbidden, LimitReached: and nobody was added.
        """
        wanted = dict.fromkeys(checked_ids("user_ids", uids))

        def add(session: Session) -> tuple[Entered, dict[str, str]]:
            entered = enter(session, caller, tenant, group_id, Act.INVITE)
            people = people_of(session, [u for u in wanted if u not in entered.members], tenant)
            check_room(
                len(entered.members),
                len(people),
                entered.group.max_member or self._limits.max_member,
            )
            rows.add_members(session, group_id, dict.fromkeys(people, Role.MEMBER))
            note_change(session, f"{group_id}@qun")
            return entered, names_of(people)

        entered, new = await self._database.write(add)
        scene = entered.scene([*entered.members, *new])
        await self._tell(self._announcer.invited(scene, new))
        return entered.group, list(new)

    async def remove(self, caller: Principal, tenant: str, group_id: str, uids: list[str]) -> Qun:
        """Remove members; who is none is passed over. The caller among them leaves.

        Raises:
            BadInput, NotFound, NotMember, Forbidden: and nobody was removed.
        """
        wanted = set(checked_ids("user_ids", uids))
        own = caller.uid if isinstance(caller, UserCaller) else None

        def drop(session: Session) -> tuple[Entered, list[Notice]]:
            entered = enter(session, caller, tenant, group_id, Act.SEE)
            gone = [uid for uid in entered.members if uid in wanted]
            others = [uid for uid in gone if uid != own]
            if others or not gone:
                entered.check(removal_of([entered.members[uid] for uid in others]))
            names = names_of(find_people(session, others)) if others else {}
            scene, owner = without(session, entered, gone)
            notices = (
                self._announcer.removed(scene, names, left=own in gone)
                if others
                else self._announcer.left(scene)
            )
            return entered, (notices if gone else []) + self._inherited(scene, owner)

        entered, notices = await self._database.write(drop)
        await self._tell(notices)
        return entered.group

    async def leave(self, user: UserCaller, group_id: str) -> Qun:
        """Out of a group; see web/core/group_rules.py for who owns it then. Raises NotFound, NotMember."""
        return await self.remove(user, user.tenant_id, group_id, [user.uid])

    async def appoint(
        self, caller: Principal, tenant: str, group_id: str, uid: str, role: Role
    ) -> rows.Seat:
        """Make a member an admin, or an admin a member.

        Raises:
            NotFound, NotMember, Forbidden.
            Conflict: it is the owner, or OWNER is asked for: that is `transfer`.
        """

        def give(session: Session) -> rows.Seat:
            entered = enter(session, caller, tenant, group_id, Act.APPOINT)
            if Role.OWNER in (role, entered.members.get(uid)):
                raise Conflict("role: the owner is changed by transferring the group")
            entered.check_member(uid)
            rows.appoint(session, group_id, uid, role)
            note_change(session, f"{group_id}@qun")
            return _seat(session, entered, uid)

        return await self._database.write(give)

    async def transfer(self, caller: Principal, tenant: str, group_id: str, uid: str) -> Qun:
        """Another member owns the group; who did is an admin. Raises NotFound, NotMember, Forbidden."""

        def hand_over(session: Session) -> tuple[Entered, Person | None]:
            entered = enter(session, caller, tenant, group_id, Act.TRANSFER)
            entered.check_member(uid)
            if entered.members[uid] is Role.OWNER:
                return entered, None
            rows.hand_over(session, entered.group, uid)
            note_change(session, f"{group_id}@qun")
            return entered, _seat(session, entered, uid).person

        entered, owner = await self._database.write(hand_over)
        if owner is not None:
            await self._tell(self._inherited(entered.scene(), owner))
        return entered.group

    async def dissolve(self, caller: Principal, tenant: str, group_id: str) -> None:
        """The group is no more. Raises NotFound, NotMember, Forbidden."""

        def end(session: Session) -> Entered:
            entered = enter(session, caller, tenant, group_id, Act.DISSOLVE)
            rows.dissolve(session, [group_id])
            note_change(session, f"{group_id}@qun")
            return entered

        entered = await self._database.write(end)
        await self._tell(self._announcer.dissolved(entered.scene()))

    def _inherited(self, scene: Scene, owner: Person | None) -> list[Notice]:
        return [] if owner is None else self._announcer.owned(scene, owner.uid, name_of(owner))

    async def _tell(self, notices: Sequence[Notice]) -> None:
        """C8: the change is done, so the answer says so."""
        if not notices:
            return
        try:
            await self._notices.send(notices)
        except PushError as error:
            self.untold += len(notices)
            log.warning("notices not sent", group=notices[0].group_id, error=str(error))


_ACTS = {
    "name": Act.RENAME,
    "description": Act.EDIT,
    "avatar": Act.EDIT,
    "max_member": Act.RESIZE,
}


def _owner_of(caller: Principal, wanted: NewGroup) -> str:
    """Who will own a new group."""
    own = caller.uid if isinstance(caller, UserCaller) else None
    if not is_keeper(caller):
        if own is None:
            caller.require(Permission.SYNC)
        if wanted.owner_id not in (None, own):
            raise Forbidden("owner_id: a user owns what he creates")
    owner_id = wanted.owner_id or own
    if owner_id is None:
        raise BadInput("owner_id", None, "the user who will own the group")
    return known_id("owner_id", owner_id)


def _seat(session: Session, entered: Entered, uid: str) -> rows.Seat:
    group = entered.group
    seat = rows.seat(session, group.id, group.tenant_id, uid)
    assert seat is not None, "the group is locked"
    return seat
