"""Versions of client programs, in /v2.

    GET    /v2/client-versions?type=Android            {"items":[{"id","type","code","name","url",...}],"next":...}
    POST   /v2/client-versions     {"type","code",...} 201 {"id",...}
    GET    /v2/client-versions/V                       PATCH {"url":"..."}     DELETE 204

Everybody with a credential reads them; operators keep them.
"""

import msgspec
from quart import Response as QuartResponse

from web.api import openapi_users as described
from web.api.v2_frame import Rule, body, headers, json_answer, no_content, query
from web.core.decoding import decode
from web.core.paging import PARAMETERS, paging_of
from web.core.versions import (
    ClientVersion,
    ClientVersionChange,
    ClientVersionsAnswer,
    NewClientVersion,
)
from web.services.callers import Callers
from web.services.versions import Versions

_NEW = msgspec.json.Decoder(NewClientVersion)
_CHANGE = msgspec.json.Decoder(ClientVersionChange)


class ClientVersionsPart:
    """The handlers."""

    structs = (ClientVersion, NewClientVersion, ClientVersionChange, ClientVersionsAnswer)

    def __init__(self, callers: Callers, versions: Versions) -> None:
        self._callers, self._versions = callers, versions
        every, one = "/v2/client-versions", "/v2/client-versions/<version>"
        self.rules = (
            Rule("GET", every, self.list_versions, described.list_versions()),
            Rule("POST", every, self.create, described.create_version()),
            Rule("GET", one, self.get, described.get_version()),
            Rule("PATCH", one, self.change, described.change_version()),
            Rule("DELETE", one, self.delete, described.delete_version()),
        )

    async def list_versions(self) -> QuartResponse:
        """A page of them."""
        await self._callers.principal(headers(), "read")
        asked = query("type", *PARAMETERS)
        page = await self._versions.page(paging_of(asked, str, int, str), asked.get("type"))
        return json_answer(ClientVersionsAnswer(*page))

    async def create(self) -> QuartResponse:
        """A new one."""
        caller = await self._callers.operator(headers())
        query()
        wanted = decode(_NEW, await body())
        return json_answer(await self._versions.create(caller, wanted), 201)

    async def get(self, version: str) -> QuartResponse:
        """One."""
        await self._callers.principal(headers(), "read")
        query()
        return json_answer(await self._versions.get(version))

    async def change(self, version: str) -> QuartResponse:
        """Change one."""
        caller = await self._callers.operator(headers())
        query()
        wanted = decode(_CHANGE, await body())
        return json_answer(await self._versions.change(caller, version, wanted))

    async def delete(self, version: str) -> QuartResponse:
        """Remove one."""
        caller = await self._callers.operator(headers())
        query()
        await self._versions.delete(caller, version)
        return no_content()
