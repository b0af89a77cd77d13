"""Groups of /v2.

    GET    /v2/groups                           {"items":[{"id","name","owner_id",...,"role"}],"next":...}
    POST   /v2/groups        {"name":"Lunch","user_ids":["u2"]}              201 {"id",...}
    GET    /v2/groups/G                         PATCH {"name":"Dinner"}      DELETE dissolves it: 204
    GET    /v2/groups/G/members                 {"items":[{"id","nickname",...,"role"}],"next":...}
    POST   /v2/groups/G/members                 {"user_ids":["u2","u3"]}     {"added":["u3"]}
    PATCH  /v2/groups/G/members/U               {"role":"admin"}
    DELETE /v2/groups/G/members/U               204
    POST   /v2/groups/G/owner                   {"user_id":"u2"}             transfers it
    POST   /v2/groups/G/leave                   204

Users do what they may in their groups (web/core/group_rules.py). Who keeps the tenant's data may all of it:
permission SYNC, or an operator, who says whose by `?tenant=T`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from quart import Response as QuartResponse

from appmodel.core.groups import Role
from appmodel.core.people import DISABLED
from appmodel.orm.group_queries import Seat
from appmodel.orm.groups import Qun
from web.api import openapi_groups as described
from web.api.v2_frame import Rule, body, flag, headers, json_answer, no_content, query, tenant_of
from web.core.decoding import decode
from web.core.fields import known_id
from web.core.groups import (
    Group,
    GroupChange,
    GroupMember,
    GroupMembersAnswer,
    GroupsAnswer,
    Invited,
    NewGroup,
    NewGroupMembers,
    NewOwner,
    RoleChange,
    RoleName,
)
from web.core.paging import PARAMETERS, Paging, cut, paging_of
from web.core.principals import Permission, Principal, UserCaller, tenant_for
from web.services.callers import Callers
from web.services.groups import Groups

_NEW = msgspec.json.Decoder(NewGroup)
_CHANGE = msgspec.json.Decoder(GroupChange)
_MEMBERS = msgspec.json.Decoder(NewGroupMembers)
_ROLE = msgspec.json.Decoder(RoleChange)
_OWNER = msgspec.json.Decoder(NewOwner)

ROLE_NAMES: Mapping[Role, RoleName] = {
    Role.OWNER: "owner",
    Role.ADMIN: "admin",
    Role.MEMBER: "member",
}
ROLES = {name: role for role, name in ROLE_NAMES.items()}


class GroupsPart:
    """The handlers."""

    structs = (
        Group,
        NewGroup,
        GroupChange,
        GroupsAnswer,
        GroupMember,
        GroupMembersAnswer,
        NewGroupMembers,
        Invited,
        RoleChange,
        NewOwner,
    )

    def __init__(self, callers: Callers, groups: Groups) -> None:
        self._callers = callers
        self._groups = groups
        every, one = "/v2/groups", "/v2/groups/<group_id>"
        members, member = f"{one}/members", f"{one}/members/<user_id>"
        self.rules: Sequence[Rule] = (
            Rule("GET", every, self.list_groups, described.list_groups()),
            Rule("POST", every, self.create, described.create_group()),
            Rule("GET", one, self.get, described.get_group()),
            Rule("PATCH", one, self.change, described.change_group()),
            Rule("DELETE", one, self.dissolve, described.dissolve_group()),
            Rule("GET", members, self.list_members, described.list_members()),
            Rule("POST", members, self.add_members, described.add_members()),
            Rule("PATCH", member, self.appoint, described.appoint()),
            Rule("DELETE", member, self.remove, described.remove_member()),
            Rule("POST", f"{one}/owner", self.transfer, described.transfer()),
            Rule("POST", f"{one}/leave", self.leave, described.leave()),
        )

    async def list_groups(self) -> QuartResponse:
        """A page of one's own, or of the tenant's."""
        caller = await self._caller()
        asked = query("tenant", "all", *PARAMETERS)
        paging, tenant = paging_of(asked, str), tenant_for(caller, tenant_of(asked))
        if isinstance(caller, UserCaller) and not flag(asked, "all"):
            return await self._mine(caller, paging)
        caller.require(Permission.SYNC)
        found = await self._groups.of_tenant(tenant, paging)
        groups, after = cut(found, paging, lambda group: (group.id,))
        return json_answer(GroupsAnswer([_shown(group) for group in groups], after))

    async def _mine(self, user: UserCaller, paging: Paging) -> QuartResponse:
        found = await self._groups.mine(user, paging)
        groups, after = cut(found, paging, lambda each: (each[0].id,))
        return json_answer(GroupsAnswer([_shown(group, role) for group, role in groups], after))

    async def create(self) -> QuartResponse:
        """A new one."""
        caller = await self._caller()
        query()
        wanted = decode(_NEW, await body())
        if wanted.tenant_id:
            known_id("tenant_id", wanted.tenant_id)
        tenant = tenant_for(caller, wanted.tenant_id)
        return json_answer(_shown(await self._groups.create(caller, tenant, wanted)), 201)

    async def get(self, group_id: str) -> QuartResponse:
        """One."""
        caller, tenant = await self._asked()
        return json_answer(_shown(await self._groups.see(caller, tenant, group_id)))

    async def change(self, group_id: str) -> QuartResponse:
        """Change what is given."""
        caller, tenant = await self._asked()
        wanted = decode(_CHANGE, await body())
        return json_answer(_shown(await self._groups.update(caller, tenant, group_id, wanted)))

    async def dissolve(self, group_id: str) -> QuartResponse:
        """No group any more."""
        caller, tenant = await self._asked()
        await self._groups.dissolve(caller, tenant, group_id)
        return no_content()

    async def list_members(self, group_id: str) -> QuartResponse:
        """A page of those who are in it."""
        caller = await self._caller()
        asked = query("tenant", *PARAMETERS)
        paging, tenant = paging_of(asked, str), tenant_for(caller, tenant_of(asked))
        found = await self._groups.seats_page(caller, tenant, group_id, paging)
        seats, after = cut(found, paging, lambda seat: (seat.person.uid,))
        return json_answer(GroupMembersAnswer([_member(seat) for seat in seats], after))

    async def add_members(self, group_id: str) -> QuartResponse:
        """Put users into it."""
        caller, tenant = await self._asked()
        wanted = decode(_MEMBERS, await body())
        _, new = await self._groups.invite(caller, tenant, group_id, wanted.user_ids)
        return json_answer(Invited(new))

    async def appoint(self, group_id: str, user_id: str) -> QuartResponse:
        """Give a member another role."""
        caller, tenant = await self._asked()
        role = ROLES[decode(_ROLE, await body()).role]
        uid = known_id("user_id", user_id)
        return json_answer(_member(await self._groups.appoint(caller, tenant, group_id, uid, role)))

    async def remove(self, group_id: str, user_id: str) -> QuartResponse:
        """Take a member out of it."""
        caller, tenant = await self._asked()
        await self._groups.remove(caller, tenant, group_id, [user_id])
        return no_content()

    async def transfer(self, group_id: str) -> QuartResponse:
        """Give it to another member."""
        caller, tenant = await self._asked()
        uid = known_id("user_id", decode(_OWNER, await body()).user_id)
        return json_answer(_shown(await self._groups.transfer(caller, tenant, group_id, uid)))

    async def leave(self, group_id: str) -> QuartResponse:
        """Out of it, for users."""
        user = await self._callers.user(headers())
        query()
        await self._groups.leave(user, group_id)
        return no_content()

    async def _caller(self) -> Principal:
        return await self._callers.principal(headers(), "admin")

    async def _asked(self) -> tuple[Principal, str]:
        """Who calls, and of which tenant the group is. No other parameter is there."""
        caller = await self._caller()
        return caller, tenant_for(caller, tenant_of(query("tenant")))


def _shown(group: Qun, role: Role | None = None) -> Group:
    return Group(
        id=group.id,
        tenant_id=group.tenant_id,
        name=group.name,
        description=group.description,
        avatar=group.avatar,
        owner_id=group.creator_id,
        max_member=group.max_member,
        created_at=_instant(group.created),
        role=msgspec.UNSET if role is None else ROLE_NAMES[role],
    )


def _member(seat: Seat) -> GroupMember:
    person = seat.person
    return GroupMember(
        id=person.uid,
        name=person.login,
        nickname=person.nickname,
        avatar=person.avatar,
        disabled=person.status == DISABLED,
        role=ROLE_NAMES[seat.role],
        joined_at=_instant(seat.joined),
    )


def _instant(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
