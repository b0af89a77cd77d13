"""Departments of /v2, and who is in them.

    GET    /v2/departments?parent_id=P               {"items":[{"id","tenant_id","name",...}],"next":...}
    POST   /v2/departments      {"name":"Sales"}     201 {"id",...}
    GET    /v2/departments/D                         PATCH {"parent_id":"d2"} moves it with all below it
    DELETE /v2/departments/D?cascade=true            204
    GET    /v2/department-tree                       {"tenant_id","name","children":[{...,"children":[...]}]}
    GET    /v2/departments/D/members?deep=true       {"items":[{"id","name","nickname",...}],"next":...}
    POST   /v2/departments/D/members                 {"user_ids":["u1","u2"],"sort":0}      204
    PATCH  /v2/departments/D/members/U  {"sort":3}   204
    DELETE /v2/departments/D/members/U               204
    GET    /v2/users/U/departments                   {"items":[...]}

Everybody reads his tenant's; permission SYNC is for changes. `?tenant=T`: operators say whose.
"""

import msgspec
from quart import Response as QuartResponse

from web.api import openapi_organisation as described
from web.api.v2_frame import Rule, body, flag, headers, json_answer, no_content, query, tenant_of
from web.core.decoding import decode
from web.core.fields import known_id
from web.core.organisation import (
    Department,
    DepartmentChange,
    DepartmentMembersAnswer,
    DepartmentsAnswer,
    DepartmentsOfUser,
    DepartmentTree,
    LinkChange,
    NewDepartment,
    NewLinks,
)
from web.core.paging import PARAMETERS, paging_of
from web.core.principals import Principal
from web.services.callers import Callers
from web.services.department_members import DepartmentMembers
from web.services.departments import Departments

_NEW = msgspec.json.Decoder(NewDepartment)
_CHANGE = msgspec.json.Decoder(DepartmentChange)
_NEW_LINKS = msgspec.json.Decoder(NewLinks)
_LINK_CHANGE = msgspec.json.Decoder(LinkChange)


class DepartmentsPart:
    """The handlers."""

    structs = (
        Department,
        NewDepartment,
        DepartmentChange,
        DepartmentsAnswer,
        DepartmentTree,
        DepartmentMembersAnswer,
        DepartmentsOfUser,
        NewLinks,
        LinkChange,
    )

    def __init__(
        self, callers: Callers, departments: Departments, members: DepartmentMembers
    ) -> None:
        self._callers = callers
        self._departments = departments
        self._members = members
        every, one = "/v2/departments", "/v2/departments/<department_id>"
        people, person = f"{one}/members", f"{one}/members/<user_id>"
        self.rules = (
            Rule("GET", every, self.list_departments, described.list_departments()),
            Rule("POST", every, self.create, described.create_department()),
            Rule("GET", "/v2/department-tree", self.get_tree, described.get_tree()),
            Rule("GET", one, self.get, described.get_department()),
            Rule("PATCH", one, self.change, described.change_department()),
            Rule("DELETE", one, self.delete, described.delete_department()),
            Rule("GET", people, self.list_members, described.list_members()),
            Rule("POST", people, self.add_members, described.add_members()),
            Rule("PATCH", person, self.sort_member, described.sort_member()),
            Rule("DELETE", person, self.remove_member, described.remove_member()),
            Rule("GET", "/v2/users/<user_id>/departments", self.of_user, described.of_user()),
        )

    async def list_departments(self) -> QuartResponse:
        """A page of the tenant's departments."""
        caller = await self._caller()
        asked = query("tenant", "parent_id", *PARAMETERS)
        parent_id = asked.get("parent_id")
        if parent_id:
            known_id("parent_id", parent_id)
        items, after = await self._departments.page(
            caller, paging_of(asked, str), tenant_of(asked), parent_id
        )
        return json_answer(DepartmentsAnswer(items, after))

    async def create(self) -> QuartResponse:
        """A new one."""
        caller = await self._caller()
        query()
        wanted = decode(_NEW, await body())
        if wanted.tenant_id:
            known_id("tenant_id", wanted.tenant_id)
        return json_answer(await self._departments.create(caller, wanted), 201)

    async def get_tree(self) -> QuartResponse:
        """All that hang together."""
        caller = await self._caller()
        company = await self._departments.company(caller, tenant_of(query("tenant")))
        return json_answer(company.tree)

    async def get(self, department_id: str) -> QuartResponse:
        """One."""
        caller = await self._caller()
        asked, department_id = query("tenant"), known_id("department", department_id)
        return json_answer(await self._departments.get(caller, department_id, tenant_of(asked)))

    async def change(self, department_id: str) -> QuartResponse:
        """Change or move one."""
        caller = await self._caller()
        asked, department_id = query("tenant"), known_id("department", department_id)
        wanted = decode(_CHANGE, await body())
        changed = await self._departments.change(caller, department_id, wanted, tenant_of(asked))
        return json_answer(changed)

    async def delete(self, department_id: str) -> QuartResponse:
        """Delete an empty one, or with `cascade` all from it down."""
        caller = await self._caller()
        asked, department_id = query("tenant", "cascade"), known_id("department", department_id)
        cascade = flag(asked, "cascade")
        await self._departments.delete(caller, department_id, tenant_of(asked), cascade=cascade)
        return no_content()

    async def list_members(self, department_id: str) -> QuartResponse:
        """A page of those who are in it."""
        caller = await self._caller()
        asked = query("tenant", "deep", *PARAMETERS)
        department_id, deep = known_id("department", department_id), flag(asked, "deep")
        paging = paging_of(asked, str) if deep else paging_of(asked, int, str)
        items, after = await self._members.page(
            caller, department_id, paging, tenant_of(asked), deep=deep
        )
        return json_answer(DepartmentMembersAnswer(items, after))

    async def add_members(self, department_id: str) -> QuartResponse:
        """Put users into it."""
        caller = await self._caller()
        asked, department_id = query("tenant"), known_id("department", department_id)
        wanted = decode(_NEW_LINKS, await body())
        await self._members.add(caller, department_id, wanted, tenant_of(asked))
        return no_content()

    async def sort_member(self, department_id: str, user_id: str) -> QuartResponse:
        """Give a user another place in it."""
        caller = await self._caller()
        asked, department_id = query("tenant"), known_id("department", department_id)
        wanted, uid = decode(_LINK_CHANGE, await body()), known_id("user", user_id)
        await self._members.sort(caller, department_id, uid, wanted, tenant_of(asked))
        return no_content()

    async def remove_member(self, department_id: str, user_id: str) -> QuartResponse:
        """Take a user out of it."""
        caller = await self._caller()
        asked, department_id = query("tenant"), known_id("department", department_id)
        await self._members.remove(
            caller, department_id, known_id("user", user_id), tenant_of(asked)
        )
        return no_content()

    async def of_user(self, user_id: str) -> QuartResponse:
        """In which a user is."""
        caller = await self._caller()
        asked, uid = query("tenant"), known_id("user", user_id)
        found = await self._members.departments_of(caller, uid, tenant_of(asked))
        return json_answer(DepartmentsOfUser(found))

    async def _caller(self) -> Principal:
        return await self._callers.principal(headers(), "admin")
