"""Users of /v2, and their passwords.

    GET    /v2/users?q=an                          {"items":[{"id","tenant_id","name","nickname",...}],"next":...}
    POST   /v2/users          {"name":"ann",...}   201 {"id",...}
    GET    /v2/users/U                             PATCH {"nickname":"Ann"}     DELETE 204
    POST   /v2/users/U/password                    {"old_password","new_password"}   204, and all logins end
    DELETE /v2/users/U/tokens                      204: logged out everywhere
    GET    /v2/me                                  the user who calls

Everybody reads his tenant's; permission SYNC is for changes, and a user may change some of himself.
`?tenant=T`: operators say whose.
"""

import msgspec
from quart import Response as QuartResponse
from quart import request

from appmodel.core.addresses import Addresses
from web.api import openapi_users as described
from web.api.v2_frame import Rule, body, headers, json_answer, no_content, query, tenant_of
from web.core.decoding import decode
from web.core.fields import known_id, text_of
from web.core.paging import PARAMETERS, paging_of
from web.core.principals import Principal
from web.core.users import WIDTHS, NewUser, PasswordChange, User, UserChange, UsersAnswer
from web.services.callers import Callers
from web.services.people import People

_NEW = msgspec.json.Decoder(NewUser)
_CHANGE = msgspec.json.Decoder(UserChange)
_PASSWORD = msgspec.json.Decoder(PasswordChange)


class UsersPart:
    """The handlers."""

    structs = (User, NewUser, UserChange, UsersAnswer, PasswordChange)

    def __init__(self, callers: Callers, people: People, addresses: Addresses) -> None:
        self._callers, self._people, self._addresses = callers, people, addresses
        every, one = "/v2/users", "/v2/users/<user_id>"
        self.rules = (
            Rule("GET", every, self.list_users, described.list_users()),
            Rule("POST", every, self.create, described.create_user()),
            Rule("GET", one, self.get, described.get_user()),
            Rule("PATCH", one, self.change, described.change_user()),
            Rule("DELETE", one, self.delete, described.delete_user()),
            Rule("POST", f"{one}/password", self.set_password, described.set_password()),
            Rule("DELETE", f"{one}/tokens", self.end_logins, described.end_logins()),
            Rule("GET", "/v2/me", self.get_me, described.get_me()),
        )

    async def list_users(self) -> QuartResponse:
        """A page of the tenant's users."""
        caller = await self._caller()
        asked = query("tenant", "q", *PARAMETERS)
        text = text_of("q", asked.get("q", ""), WIDTHS["nickname"])
        paging = paging_of(asked, str)
        return json_answer(
            UsersAnswer(*await self._people.page(caller, paging, tenant_of(asked), text))
        )

    async def create(self) -> QuartResponse:
        """A new one."""
        caller = await self._caller()
        query()
        wanted = decode(_NEW, await body())
        if wanted.tenant_id:
            known_id("tenant_id", wanted.tenant_id)
        return json_answer(await self._people.create(caller, wanted), 201)

    async def get(self, user_id: str) -> QuartResponse:
        """One."""
        caller = await self._caller()
        return json_answer(await self._people.get(caller, user_id, tenant_of(query("tenant"))))

    async def change(self, user_id: str) -> QuartResponse:
        """Change one."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        wanted = decode(_CHANGE, await body())
        return json_answer(await self._people.change(caller, user_id, wanted, tenant))

    async def delete(self, user_id: str) -> QuartResponse:
        """Delete one, with all that is his."""
        caller = await self._caller()
        await self._people.delete(caller, user_id, tenant_of(query("tenant")))
        return no_content()

    async def set_password(self, user_id: str) -> QuartResponse:
        """Change one's own, or give a user another one."""
        caller = await self._caller()
        tenant = tenant_of(query("tenant"))
        wanted = decode(_PASSWORD, await body())
        forwarded = headers().get("x-forwarded-for", "")
        origin = self._addresses.origin(request.remote_addr or "", forwarded)
        await self._people.set_password(caller, user_id, wanted, tenant, origin)
        return no_content()

    async def end_logins(self, user_id: str) -> QuartResponse:
        """Log a user out everywhere."""
        caller = await self._caller()
        await self._people.end_logins(caller, user_id, tenant_of(query("tenant")))
        return no_content()

    async def get_me(self) -> QuartResponse:
        """The user who calls."""
        caller = await self._callers.user(headers())
        query()
        return json_answer(await self._people.get(caller, caller.uid, None))

    async def _caller(self) -> Principal:
        return await self._callers.principal(headers(), "admin")
