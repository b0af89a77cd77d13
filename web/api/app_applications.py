"""The routes of 8093 about applications and quotas.

    device/getApplicationList     user   memberList, memberCount
    device/getAppOperationList    user   operationList (each with its own operationList), operationCount
    app/syncQuota                 app    permission QUOTA

Source: appmsgsrv app/application.go, app/quota.go; spec/appmsgsrv.md 4.4 (30, 31), 4.5 (40). Differences: users see
the applications of their tenant that are not disabled; an application sets quotas of its own tenant only
(W9), its `quota` is taken for `quata` too, and one that could mean nothing is refused.
"""

import msgspec
from msgspec import UNSET, UnsetType

from appmodel.errors import BadInput, Forbidden
from web.api.app_frame import Answer, AppFrame, Body, Call
from web.core.applications import Operation
from web.core.fields import known_id
from web.core.members import member_of_application
from web.core.principals import AppCaller, UserCaller
from web.core.quota import Period
from web.core.quota_keeping import NewQuota
from web.services.applications import Applications
from web.services.menus import Menus
from web.services.quota_keeping import QuotaKeeping

SUFFIX = "@app"
FIELDS = {"tenant_id": "tenantId", "api_name": "apiName"}  # as callers of syncQuota know them


class OfMenu(Body):
    """A body that names an application; `username` with a lower-case n, as the original reads it."""

    username: str


class QuotaObject(msgspec.Struct, rename="camel"):
    """A quota, as applications deliver it. `period` is ours."""

    customer_id: str
    tenant_id: str
    api_name: str
    type: str
    value: str
    period: str = Period.TOTAL.value


class OfQuota(Body):
    """The body of syncQuota: the original's spelling, or the right one."""

    quata: QuotaObject | UnsetType = UNSET
    quota: QuotaObject | UnsetType = UNSET


class OperationShown(msgspec.Struct, rename="camel"):
    """An element of operationList. What is below the second level is never shown."""

    id: str
    app_id: str
    content: str
    action: str
    operation_type: str
    sort: int
    operation_list: list["OperationShown"] | None = None


class ApplicationRoutes:
    """The handlers."""

    def __init__(self, applications: Applications, menus: Menus, quotas: QuotaKeeping) -> None:
        self._applications = applications
        self._menus = menus
        self._quotas = quotas

    def add_to(self, frame: AppFrame) -> None:
        """All of them."""
        device = "/app/client/device"
        frame.user(f"{device}/getApplicationList", Body, self.get_applications)
        frame.user(f"{device}/getAppOperationList", OfMenu, self.get_menu)
        frame.application("/app/client/app/syncQuota", OfQuota, self.put_quota)

    async def get_applications(self, call: Call[Body, UserCaller]) -> Answer:
        """getApplicationList: those of the caller's tenant, as members."""
        members = [
            member_of_application(
                each.id,
                each.name,
                tenant_id=each.tenant_id,
                sort=each.sort,
                avatar=each.avatar,
                description=each.description,
                py_initial=each.name_py,
                py_quanpin=each.name_quanpin,
            )
            for each in await self._applications.everybody(call.caller)
        ]
        return Answer({"memberList": members, "memberCount": len(members)})

    async def get_menu(self, call: Call[OfMenu, UserCaller]) -> Answer:
        """getAppOperationList: the menu of an application, two levels."""
        username = call.body.username
        if not username.endswith(SUFFIX):
            raise Forbidden(
                f"username: got {username[:80]!r}, expected a name that ends in {SUFFIX}"
            )
        app_id = known_id("username", username.removesuffix(SUFFIX))
        entries = await self._menus.of_application(call.caller, app_id, None)
        top = _nested(app_id, entries)
        return Answer({"operationList": top, "operationCount": len(top)})

    async def put_quota(self, call: Call[OfQuota, AppCaller]) -> Answer:
        """syncQuota: set a limit of the application's own tenant."""
        given = call.body.quota if call.body.quata is UNSET else call.body.quata
        if given is UNSET:
            raise BadInput("quata", None, "an object")
        wanted = NewQuota(
            tenant_id=given.tenant_id,
            api_name=given.api_name,
            type=given.type,
            period=given.period,
            value=given.value,
        )
        try:
            await self._quotas.put(call.caller, wanted, given.customer_id)
        except BadInput as error:
            name = FIELDS.get(error.field or "", error.field)
            raise BadInput(f"quata.{name}", error.value, error.expected) from None
        return Answer()


def _nested(app_id: str, entries: list[Operation]) -> list[OperationShown]:
    top = {each.id: _shown(app_id, each) for each in entries if each.parent_id is None}
    for entry in entries:
        above = top.get(entry.parent_id) if entry.parent_id is not None else None
        if above is not None and above.operation_list is not None:
            below = _shown(app_id, entry)
            below.operation_list = None  # the third level is never read
            above.operation_list.append(below)
    return list(top.values())


def _shown(app_id: str, entry: Operation) -> OperationShown:
    return OperationShown(
        entry.id, app_id, entry.content, entry.action, entry.operation_type, entry.sort, []
    )
