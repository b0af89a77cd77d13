"""The routes of 8093 about departments and tenants.

    device/getOrgInfo        user   ognizationMemberList, userOgnization, starMemberCount, starMemberList
    device/getOrgUserList    user   memberCount, memberList
    app/syncOrg              app
    app/syncTenant           app
    app/getOrgUserList       app    memberCount, memberList
    app/getOrgList           app    orgCount, orgList
    app/addOrgUser           app    successed
    app/removeOrgUser        app    successed

Applications that change something need permission SYNC, and change their own tenant only.

Source: appmsgsrv app/org.go, app/tenant.go; spec/appmsgsrv.md 4.4 (19, 20), 4.5 (37, 39, 45 to 48). Differences:
device/getOrgUserList asks for a token (W10); `userOgnization` is the department that sorts first; linking twice
is linking once; what cannot be linked has a `ret` beside `successed`; `tenant` is taken for `tennat` too.
"""

from collections.abc import Iterable
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from appmodel.core.departments import DepartmentRow
from appmodel.errors import BadInput, Forbidden, NotFound
from appmodel.orm.link_queries import MemberRow
from appmodel.orm.tenant_queries import TenantRow
from web.api.app_frame import ANY_METHOD, Answer, AppFrame, Body, Call
from web.core.fields import id_of, known_id, number_of, text_of
from web.core.members import member_of
from web.core.organisation import (
    MAX_CODE,
    MAX_DEPARTMENT_NAME,
    MAX_SHORT_NAME,
    MAX_TENANT_NAME,
    Department,
)
from web.core.principals import AppCaller, UserCaller
from web.services.department_members import DepartmentMembers
from web.services.departments import Departments
from web.services.tenants import Tenants

CallerT = TypeVar("CallerT", UserCaller, AppCaller)


class OfDepartment(Body):
    """A body that names a department."""

    orgid: str


class OfUser(Body):
    """A body that names a user."""

    uid: str


class OfLink(Body):
    """A body that names a user and a department."""

    orgid: str
    uid: str


class OrgObject(msgspec.Struct, rename="camel"):
    """A department, as applications deliver it. A `location` is not looked at."""

    id: str
    name: str
    short_name: str
    parent_id: str
    tenant_id: str
    sort: int | float


class OfOrg(Body):
    """The body of syncOrg."""

    org: OrgObject


class TenantObject(msgspec.Struct, rename="camel"):
    """A tenant, as applications deliver it."""

    id: str
    code: str
    name: str
    customer_id: str
    status: int | float


class OfTenant(Body):
    """The body of syncTenant: the original's spelling, or the right one."""

    tennat: TenantObject | UnsetType = UNSET
    tenant: TenantObject | UnsetType = UNSET


class OrgShown(msgspec.Struct, rename="camel"):
    """An element of orgList."""

    id: str
    name: str
    short_name: str
    parent_id: str
    tenant_id: str
    location: str
    sort: int


class OrganisationRoutes:
    """The handlers."""

    def __init__(
        self, departments: Departments, members: DepartmentMembers, tenants: Tenants
    ) -> None:
        self._departments = departments
        self._members = members
        self._tenants = tenants

    def add_to(self, frame: AppFrame) -> None:
        """All of them."""
        device, app = "/app/client/device", "/app/client/app"
        frame.user(f"{device}/getOrgInfo", Body, self.get_tree)
        frame.user(f"{device}/getOrgUserList", OfDepartment, self.get_members, methods=ANY_METHOD)
        frame.application(f"{app}/syncOrg", OfOrg, self.put_department, methods=ANY_METHOD)
        frame.application(f"{app}/syncTenant", OfTenant, self.put_tenant)
        frame.application(f"{app}/getOrgUserList", OfDepartment, self.get_members)
        frame.application(f"{app}/getOrgList", OfUser, self.get_departments)
        frame.application(f"{app}/addOrgUser", OfLink, self.link)
        frame.application(f"{app}/removeOrgUser", OfLink, self.unlink)

    async def get_tree(self, call: Call[Body, UserCaller]) -> Answer:
        """getOrgInfo: the departments of the caller's tenant, and his starred contacts."""
        company = await self._departments.company(call.caller, None)
        around = await self._members.surroundings(call.caller)
        starred = [member_of(person) for person in around.starred]
        own = {} if around.department_id is None else {"userOgnization": around.department_id}
        return Answer(
            {
                "ognizationMemberList": company.member,
                "starMemberCount": len(starred),
                "starMemberList": starred,
                **own,
            }
        )

    async def get_members(self, call: Call[OfDepartment, CallerT]) -> Answer:
        """getOrgUserList, of both audiences: who is in a department itself."""
        orgid = known_id("orgid", call.body.orgid)
        return _members(await self._members.everybody(call.caller, orgid))

    async def put_department(self, call: Call[OfOrg, AppCaller]) -> Answer:
        """syncOrg: create or change a department; another parent moves it with all below it."""
        row = _department_row(call.body.org, call.caller)
        try:
            await self._departments.put(call.caller, row)
        except BadInput as error:
            if error.field == "parent_id":
                raise BadInput("org.parentId", error.value, error.expected) from None
            raise
        return Answer()

    async def put_tenant(self, call: Call[OfTenant, AppCaller]) -> Answer:
        """syncTenant: rename the application's own tenant."""
        wanted = call.body.tenant if call.body.tennat is UNSET else call.body.tennat
        if wanted is UNSET:
            raise BadInput("tennat", None, "an object")
        await self._tenants.put(call.caller, _tenant_row(wanted))
        return Answer()

    async def get_departments(self, call: Call[OfUser, AppCaller]) -> Answer:
        """getOrgList: in which departments a user is."""
        uid = known_id("uid", call.body.uid)
        found = await self._members.departments_of(call.caller, uid, None)
        return Answer({"orgCount": len(found), "orgList": [_shown(each) for each in found]})

    async def link(self, call: Call[OfLink, AppCaller]) -> Answer:
        """addOrgUser: put a user into a department."""
        orgid, uid = known_id("orgid", call.body.orgid), known_id("uid", call.body.uid)
        try:
            await self._members.link(call.caller, orgid, uid)
        except NotFound as error:
            return Answer({"successed": False}, error=error)
        return Answer({"successed": True})

    async def unlink(self, call: Call[OfLink, AppCaller]) -> Answer:
        """removeOrgUser: take a user out of a department."""
        orgid, uid = known_id("orgid", call.body.orgid), known_id("uid", call.body.uid)
        try:
            await self._members.remove(call.caller, orgid, uid, None)
        except NotFound as error:
            return Answer({"successed": False}, error=error)
        return Answer({"successed": True})


def _members(rows: Iterable[MemberRow]) -> Answer:
    members = [member_of(row.person, sort=row.sort) for row in rows]
    return Answer({"memberCount": len(members), "memberList": members})


def _department_row(org: OrgObject, caller: AppCaller) -> DepartmentRow:
    if org.tenant_id not in {"", caller.tenant_id}:
        raise Forbidden("org.tenantId: the application is of another tenant")
    return DepartmentRow(
        id=id_of("org.id", org.id),
        name=text_of("org.name", org.name, MAX_DEPARTMENT_NAME),
        short_name=text_of("org.shortName", org.short_name, MAX_SHORT_NAME),
        parent_id=known_id("org.parentId", org.parent_id) if org.parent_id else "",
        location="",
        tenant_id=caller.tenant_id,
        sort=number_of("org.sort", org.sort),
    )


def _tenant_row(tenant: TenantObject) -> TenantRow:
    return TenantRow(
        id=known_id("tennat.id", tenant.id),
        code=text_of("tennat.code", tenant.code, MAX_CODE),
        name=text_of("tennat.name", tenant.name, MAX_TENANT_NAME),
        status=number_of("tennat.status", tenant.status),
        customer_id=known_id("tennat.customerId", tenant.customer_id) if tenant.customer_id else "",
    )


def _shown(department: Department) -> OrgShown:
    return OrgShown(**msgspec.structs.asdict(department))
