"""Logins of /v2, and the devices of a user that can be notified.

POST   /v2/tokens           {"name":"ann","password":"..."}     201 {"token","expires_in","user":{...}}
DELETE /v2/tokens/current                                       204: this login is over
GET    /v2/devices                                              {"items":[{"id","provider","device_id"}]}
POST   /v2/devices          {"provider":"fcm","token":"..."}    201 {"id","provider","device_id"}
DELETE /v2/devices/D                                            204
"""

import msgspec
from quart import Response as QuartResponse
from quart import request

from appmodel.core.addresses import Addresses
from appmodel.core.people import Account
from web.api import openapi_users as described
from web.api.v2_frame import Rule, body, headers, json_answer, no_content, query
from web.core.decoding import decode
from web.core.devices import Device, DevicesAnswer, NewDevice
from web.core.fields import known_id
from web.core.logins import Login, LoginAnswer
from web.core.quota import Consumer, device_kind
from web.services.accounts import Accounts, Attempt
from web.services.callers import Callers
from web.services.devices import Devices
from web.services.people import user_of
from web.services.quotas import Quotas

_LOGIN = msgspec.json.Decoder(Login)
_DEVICE = msgspec.json.Decoder(NewDevice)


class LoginsPart:
    """The handlers."""

    structs = (Login, LoginAnswer, NewDevice, Device, DevicesAnswer)

    def __init__(
        self,
        callers: Callers,
        accounts: Accounts,
        devices: Devices,
        quotas: Quotas,
        addresses: Addresses,
    ) -> None:
        self._callers, self._accounts, self._devices = callers, accounts, devices
        self._quotas, self._addresses = quotas, addresses
        self.rules = (
            Rule("POST", "/v2/tokens", self.log_in, described.log_in()),
            Rule("DELETE", "/v2/tokens/current", self.log_out, described.log_out()),
            Rule("GET", "/v2/devices", self.list_devices, described.list_devices()),
            Rule("POST", "/v2/devices", self.register, described.register_device()),
            Rule("DELETE", "/v2/devices/<device>", self.forget, described.forget_device()),
        )

    async def log_in(self) -> QuartResponse:
        """A name and a password for a token. For everybody."""
        query()
        wanted = decode(_LOGIN, await body())
        if wanted.tenant_id:
            known_id("tenant_id", wanted.tenant_id)

        async def admit(account: Account) -> None:
            kind = device_kind(wanted.device_type)
            consumer = Consumer(account.customer_id, account.tenant_id, account.uid, kind)
            await self._quotas.take_call(consumer, "/v2/tokens")

        forwarded = headers().get("x-forwarded-for", "")
        attempt = Attempt(
            name=wanted.name,
            password=wanted.password,
            origin=self._addresses.origin(request.remote_addr or "", forwarded),
            tenant_id=wanted.tenant_id,
            device_id=wanted.device_id,
            device_type=wanted.device_type,
        )
        login = await self._accounts.log_in(attempt, admit)
        ttl = self._accounts.ttl
        answer = LoginAnswer(token=login.token, expires_in=ttl, user=user_of(login.person))
        return json_answer(answer, 201)

    async def log_out(self) -> QuartResponse:
        """The login of the token that calls is over."""
        caller = await self._callers.user(headers())
        query()
        await self._accounts.end_login(caller)
        return no_content()

    async def list_devices(self) -> QuartResponse:
        """All of the caller's."""
        caller = await self._callers.user(headers())
        query()
        return json_answer(DevicesAnswer(await self._devices.of_user(caller)))

    async def register(self) -> QuartResponse:
        """A device is the caller's now."""
        caller = await self._callers.user(headers())
        query()
        wanted = decode(_DEVICE, await body())
        return json_answer(await self._devices.register(caller, wanted), 201)

    async def forget(self, device: str) -> QuartResponse:
        """Remove one."""
        caller = await self._callers.user(headers())
        query()
        await self._devices.forget(caller, device)
        return no_content()
