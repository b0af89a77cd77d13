"""Push credentials of /v2.

GET    /v2/push-credentials?tenant=T     {"items":[{"id","provider","topic","environment",...}],"next":...}
POST   /v2/push-credentials              201, without the content that was sent
DELETE /v2/push-credentials/C            204
"""

import msgspec
from quart import Response as QuartResponse

from web.api import openapi_applications as described
from web.api.v2_frame import Rule, body, headers, json_answer, no_content, query, tenant_of
from web.core.decoding import decode
from web.core.fields import known_id
from web.core.paging import PARAMETERS, paging_of
from web.core.principals import Principal
from web.core.push_credentials import NewPushCredential, PushCredential, PushCredentialsAnswer
from web.services.callers import Callers
from web.services.push_credentials import PushCredentials

_NEW = msgspec.json.Decoder(NewPushCredential)


class PushCredentialsPart:
    """The handlers."""

    structs = (PushCredential, NewPushCredential, PushCredentialsAnswer)

    def __init__(self, callers: Callers, credentials: PushCredentials) -> None:
        self._callers, self._credentials = callers, credentials
        every, one = "/v2/push-credentials", "/v2/push-credentials/<credential_id>"
        self.rules = (
            Rule("GET", every, self.list_credentials, described.list_push_credentials()),
            Rule("POST", every, self.create, described.create_push_credential()),
            Rule("DELETE", one, self.delete, described.delete_push_credential()),
        )

    async def list_credentials(self) -> QuartResponse:
        """A page of a tenant's."""
        caller = await self._caller()
        asked = query("tenant", *PARAMETERS)
        items, after = await self._credentials.page(caller, paging_of(asked, str), tenant_of(asked))
        return json_answer(PushCredentialsAnswer(items=items, next=after))

    async def create(self) -> QuartResponse:
        """A new one."""
        caller = await self._caller()
        query()
        wanted = decode(_NEW, await body())
        return json_answer(await self._credentials.create(caller, wanted), 201)

    async def delete(self, credential_id: str) -> QuartResponse:
        """Remove one."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        await self._credentials.delete(caller, known_id("credential", credential_id), tenant)
        return no_content()

    async def _caller(self) -> Principal:
        return await self._callers.principal(headers(), "admin")
