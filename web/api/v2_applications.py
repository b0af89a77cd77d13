"""Applications and their menus of /v2.

GET    /v2/applications?tenant=T          {"items":[{"id","name","permissions","disabled",...}],"next":...}
POST   /v2/applications  {"name":"Shop"}  201 {"application":{"id",...},"token":"5f0c..."}
GET    /v2/applications/A                 PATCH {"disabled":true}       DELETE 204
POST   /v2/applications/A/token           201 {"application":...,"token":"9a41..."}: the one before is void
GET    /v2/applications/A/operations      {"items":[{"id","content","action","parent_id",...}]}
POST   /v2/applications/A/operations      201
PATCH, DELETE /v2/applications/A/operations/O
"""

import msgspec
from quart import Response as QuartResponse

from web.api import openapi_applications as described
from web.api.v2_frame import Rule, body, headers, json_answer, no_content, query, tenant_of
from web.core.applications import (
    Application,
    ApplicationChange,
    ApplicationsAnswer,
    NewApplication,
    NewOperation,
    NewToken,
    Operation,
    OperationChange,
    OperationsAnswer,
)
from web.core.decoding import decode
from web.core.fields import known_id
from web.core.paging import PARAMETERS, paging_of
from web.core.principals import Principal
from web.services.applications import Applications
from web.services.callers import Callers
from web.services.menus import Menus

_NEW = msgspec.json.Decoder(NewApplication)
_CHANGE = msgspec.json.Decoder(ApplicationChange)
_NEW_OPERATION = msgspec.json.Decoder(NewOperation)
_OPERATION_CHANGE = msgspec.json.Decoder(OperationChange)


class ApplicationsPart:
    """The handlers."""

    structs = (
        Application,
        NewApplication,
        ApplicationChange,
        ApplicationsAnswer,
        NewToken,
        Operation,
        NewOperation,
        OperationChange,
        OperationsAnswer,
    )

    def __init__(self, callers: Callers, applications: Applications, menus: Menus) -> None:
        self._callers, self._applications, self._menus = callers, applications, menus
        every, one = "/v2/applications", "/v2/applications/<app_id>"
        menu, entry = f"{one}/operations", f"{one}/operations/<operation_id>"
        self.rules = (
            Rule("GET", every, self.list_applications, described.list_applications()),
            Rule("POST", every, self.create, described.create_application()),
            Rule("GET", one, self.get, described.get_application()),
            Rule("PATCH", one, self.change, described.change_application()),
            Rule("DELETE", one, self.delete, described.delete_application()),
            Rule("POST", f"{one}/token", self.rotate, described.rotate_token()),
            Rule("GET", menu, self.get_menu, described.list_operations()),
            Rule("POST", menu, self.add_entry, described.add_operation()),
            Rule("PATCH", entry, self.change_entry, described.change_operation()),
            Rule("DELETE", entry, self.remove_entry, described.remove_operation()),
        )

    async def list_applications(self) -> QuartResponse:
        """A page of a tenant's."""
        caller = await self._caller()
        asked = query("tenant", *PARAMETERS)
        paging = paging_of(asked, str)
        items, after = await self._applications.page(caller, paging, tenant_of(asked))
        return json_answer(ApplicationsAnswer(items=items, next=after))

    async def create(self) -> QuartResponse:
        """A new one, and its token."""
        caller = await self._callers.operator(headers())
        query()
        wanted = decode(_NEW, await body())
        return json_answer(await self._applications.create(caller, wanted), 201)

    async def get(self, app_id: str) -> QuartResponse:
        """One."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        return json_answer(await self._applications.get(caller, known_id("app", app_id), tenant))

    async def change(self, app_id: str) -> QuartResponse:
        """Change one."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        wanted = decode(_CHANGE, await body())
        app_id = known_id("app", app_id)
        return json_answer(await self._applications.change(caller, app_id, wanted, tenant))

    async def delete(self, app_id: str) -> QuartResponse:
        """Delete one."""
        caller = await self._callers.operator(headers())
        tenant = tenant_of(query("tenant"))
        await self._applications.delete(caller, known_id("app", app_id), tenant)
        return no_content()

    async def rotate(self, app_id: str) -> QuartResponse:
        """A new token for one."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        made = await self._applications.rotate(caller, known_id("app", app_id), tenant)
        return json_answer(made, 201)

    async def get_menu(self, app_id: str) -> QuartResponse:
        """Its menu."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        items = await self._menus.of_application(caller, known_id("app", app_id), tenant)
        return json_answer(OperationsAnswer(items=items))

    async def add_entry(self, app_id: str) -> QuartResponse:
        """Add to its menu."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        wanted = decode(_NEW_OPERATION, await body())
        added = await self._menus.add(caller, known_id("app", app_id), wanted, tenant)
        return json_answer(added, 201)

    async def change_entry(self, app_id: str, operation_id: str) -> QuartResponse:
        """Change an entry."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        wanted = decode(_OPERATION_CHANGE, await body())
        app_id, entry_id = known_id("app", app_id), known_id("operation", operation_id)
        return json_answer(await self._menus.change(caller, app_id, entry_id, wanted, tenant))

    async def remove_entry(self, app_id: str, operation_id: str) -> QuartResponse:
        """Remove an entry."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        app_id, entry_id = known_id("app", app_id), known_id("operation", operation_id)
        await self._menus.remove(caller, app_id, entry_id, tenant)
        return no_content()

    async def _caller(self) -> Principal:
        return await self._callers.principal(headers(), "admin")
