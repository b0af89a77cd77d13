"""Logins of the application REST.

    POST /app/client/device/login          {"baseRequest":{"uid","deviceID","deviceType","token"},"userName","password"}
                                           {"baseResponse":{...},"uid":"u1","token":"u1_01...","member":{...}}
    POST /app/client/device/delToken       {"baseRequest":{...},"delToken":"u1_01..."}
    POST /app/client/device/validateToken  {"validToken":"u1_01..."}                     1001 if it is none
    POST /app/client/app/user/auth         {"baseRequest":{...},"token":"u1_01...","uid":"u1"}
    any  /app/client/appweb/login          baseRequest[uid]=u1&password=...              JSONP

Devices other than iOS and Android log in with an application's token in `baseRequest.token`, and then as users of
its tenant only.

Source: appmsgsrv app/org.go, token.go; spec/appmsgsrv.md 4.4 (14, 32, 33), 4.5 (44), 4.6 (12). Differences: the password
is compared, and none is answered (W1, W2); only own tokens can be deleted (W4); browser logins are answered
(C5); `user/auth` takes the token that came with a message too (W16), and knows the application's tenant only.
"""

import msgspec

from appmodel.core.addresses import Addresses
from appmodel.core.origins import Origins
from appmodel.core.people import Account
from appmodel.errors import Forbidden, LoginRefused, Unauthorized
from appmodel.protocol.http import Request, Response, Route
from web.api.app_frame import ANY_METHOD, Answer, AppFrame, Body, Call, Nobody
from web.api.browser_forms import answer_page, fields_of, required
from web.core.devices import apns_token
from web.core.members import member_of
from web.core.principals import AppCaller, Authenticating, Permission, UserCaller
from web.core.quota import PHONES, Consumer, device_kind
from web.services.accounts import Accounts, Attempt, LoggedIn
from web.services.quotas import Quotas


class LoginBase(msgspec.Struct):
    """`baseRequest` of a login. All of it must be there; `token` may be empty."""

    uid: str | int
    device_id: str = msgspec.field(name="deviceID")
    device_type: str = msgspec.field(name="deviceType")
    token: str


class Login(msgspec.Struct, rename="camel"):
    """The body of device/login."""

    base_request: LoginBase
    user_name: str
    password: str
    apns_token: str = ""


class TokenToDelete(Body):
    """The body of delToken."""

    del_token: str


class TokenToValidate(msgspec.Struct, rename="camel"):
    """The body of validateToken."""

    valid_token: str


class TokenToProve(Body):
    """The body of user/auth."""

    token: str
    uid: str


class UnknownToken(Unauthorized):
    """validateToken says so in a way of its own."""

    ret = 1001


class WrongLogin(LoginRefused):
    """appweb/login too."""

    ret = 65534


class AppAccounts:
    """The handlers."""

    def __init__(
        self,
        accounts: Accounts,
        authenticating: Authenticating,
        quotas: Quotas,
        addresses: Addresses,
        origins: Origins,
    ) -> None:
        self._accounts, self._authenticating = accounts, authenticating
        self._quotas, self._addresses, self._origins = quotas, addresses, origins

    def add_to(self, frame: AppFrame) -> None:
        """Add the routes."""
        frame.anybody("/app/client/device/login", Login, self.log_in)
        frame.user("/app/client/device/delToken", TokenToDelete, self.delete_token)
        frame.anybody("/app/client/device/validateToken", TokenToValidate, self.validate_token)
        frame.application("/app/client/app/user/auth", TokenToProve, self.prove_user)
        for method in ANY_METHOD:
            path = "/app/client/appweb/login"
            frame.add(Route(method=method, path=path, handler=self.log_in_from_page))

    async def log_in(self, call: Call[Login, Nobody]) -> Answer:
        """14"""
        body, base = call.body, call.body.base_request
        if body.apns_token:
            apns_token("apnsToken", body.apns_token)
        application = None
        if base.device_type.lower() not in PHONES:
            application = await self._application(base.token)

        async def admit(account: Account) -> None:
            consumer = _consumer(account, base.device_type, application)
            await self._quotas.take_call(consumer, call.request.path)

        attempt = Attempt(
            name=body.user_name,
            password=body.password,
            origin=self._addresses.origin_of(call.request),
            tenant_id=application.tenant_id if application else None,
            device_id=base.device_id,
            device_type=base.device_type,
            apns_token=body.apns_token,
        )
        return _answer(await self._accounts.log_in(attempt, admit))

    async def delete_token(self, call: Call[TokenToDelete, UserCaller]) -> Answer:
        """32"""
        await self._accounts.log_out(call.caller, call.body.del_token)
        return Answer()

    async def validate_token(self, call: Call[TokenToValidate, Nobody]) -> Answer:
        """33"""
        try:
            await self._authenticating.user(call.body.valid_token)
        except Unauthorized as error:
            raise UnknownToken(f"validToken: {error}") from None
        return Answer()

    async def prove_user(self, call: Call[TokenToProve, AppCaller]) -> Answer:
        """44"""
        call.caller.require(Permission.AUTH)
        try:
            uid = await self._accounts.prove_to(call.caller, call.body.token)
        except (Unauthorized, Forbidden):
            uid = None
        if uid is None or uid != call.body.uid:
            raise Unauthorized("auth failure")
        return Answer()

    async def log_in_from_page(self, request: Request) -> Response:
        """12"""
        return await answer_page(request, self._origins, self._log_in_from_page)

    async def _log_in_from_page(self, request: Request) -> Answer:
        fields = fields_of(request)
        uid = fields.get("baseRequest[uid]", "")
        attempt = Attempt(
            name=uid or required(fields, "userName"),
            password=required(fields, "password"),
            origin=self._addresses.origin_of(request),
            device_id=fields.get("baseRequest[deviceID]", ""),
            device_type=fields.get("baseRequest[deviceType]", ""),
            is_uid=bool(uid),
        )
        try:
            return _answer(await self._accounts.log_in(attempt))
        except LoginRefused as error:
            raise WrongLogin(str(error)) from None

    async def _application(self, token: str) -> AppCaller:
        try:
            return await self._authenticating.application(token)
        except Unauthorized:
            expected = "ios or android; for others, an application's token in baseRequest.token"
            raise LoginRefused(
                f"Auth failure: baseRequest.deviceType: expected {expected}"
            ) from None


def _consumer(account: Account, device_type: str, application: AppCaller | None) -> Consumer:
    if application is not None:
        return Consumer.of_application(application)
    kind = device_kind(device_type)
    return Consumer(account.customer_id, account.tenant_id, account.uid, kind)


def _answer(login: LoggedIn) -> Answer:
    person = login.person
    return Answer({"uid": person.uid, "token": login.token, "member": member_of(person)})
