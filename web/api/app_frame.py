"""What all routes of the application REST (8093) have in common.

    POST /app/client/device/getMember
    {"baseRequest":{"uid":"u1","deviceID":"d1","deviceType":"iOS","token":"u1_..."},"userName":"u2@user"}

    HTTP/1.1 200 OK
    Content-Type: application/json

    {"baseResponse":{"errMsg":"","ret":0},"member":{...}}

Status 200 always, the verdict in `ret`. The caller proves itself before anything else of the body is
looked at. A field that is missing or of the wrong type is 65534, named in `errMsg`, and nothing is done.

Source: appmsgsrv app/*.go; spec/appmsgsrv.md 1.1 to 2. Differences: the original answers 0 to most malformed
bodies, or hangs up (C1); `uid` of baseRequest may be a number, as its guide writes it, for nobody reads it.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from appmodel.core.origins import Origins
from appmodel.errors import LoginRefused, PushError, Unauthorized
from appmodel.protocol.envelope import escape
from appmodel.protocol.http import Request, Response, Route
from web.api.replies import NOSNIFF
from web.core.decoding import decode
from web.core.principals import AppCaller, Authenticating, UserCaller

JSON = ("Content-Type", "application/json")
NO_STORE = ("Cache-Control", "no-store")
ANY_METHOD = ("POST", "GET", "PUT")
"""Of routes that the original does not check. A GET with a body is what some of its callers send."""


class BaseRequest(msgspec.Struct):
    """Who says it calls, and from which device. Only `token` proves anything."""

    uid: str | int = ""
    device_id: str = msgspec.field(default="", name="deviceID")
    device_type: str = msgspec.field(default="", name="deviceType")
    token: str = ""


class Body(msgspec.Struct, rename="camel"):
    """Base of all bodies. Attributes in snake_case are read in camelCase; unknown members are ignored."""

    base_request: BaseRequest


class Nobody(msgspec.Struct):
    """The caller of a route that asks for no token."""


BodyT = TypeVar("BodyT", bound=msgspec.Struct)
CallerT = TypeVar("CallerT")
Members: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, CallerT]):
    """One call, decoded, its caller known."""

    body: BodyT
    caller: CallerT
    request: Request
    now: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `error`: what did not work, beside what did."""

    members: Members = field(default_factory=dict)
    text: str = ""  # errMsg of a success: some of the original's routes have one
    error: PushError | None = None


class AppFrame:
    """Collects the routes of all parts of the application REST."""

    def __init__(self, authenticating: Authenticating, origins: Origins, *, max_body: int) -> None:
        self._authenticating = authenticating
        self._origins = origins
        self._max_body = max_body
        self._credential = msgspec.json.Decoder(Body)
        self.routes: list[Route] = []

    def user(
        self,
        path: str,
        body: type[BodyT],
        handler: Callable[[Call[BodyT, UserCaller]], Awaitable[Answer]],
        *,
        methods: Sequence[str] = ("POST",),
        counted: bool = False,
    ) -> None:
        """A route for users.

        Args:
            counted: one whose calls the original counts; who is not known there gets 65539, not 65533.
        """

        async def prove(request: Request) -> UserCaller:
            try:
                return await self._authenticating.user(self._token(request))
            except Unauthorized as error:
                if counted:
                    raise LoginRefused(str(error)) from None
                raise

        self._add(path, body, prove, handler, methods)

    def application(
        self,
        path: str,
        body: type[BodyT],
        handler: Callable[[Call[BodyT, AppCaller]], Awaitable[Answer]],
        *,
        methods: Sequence[str] = ("POST",),
    ) -> None:
        """A route for applications."""

        async def prove(request: Request) -> AppCaller:
            return await self._authenticating.application(self._token(request))

        self._add(path, body, prove, handler, methods)

    def either(
        self,
        path: str,
        body: type[BodyT],
        handler: Callable[[Call[BodyT, UserCaller | AppCaller]], Awaitable[Answer]],
        *,
        methods: Sequence[str] = ("POST",),
    ) -> None:
        """A route for both: deviceType ios or android means a user's token, anything else an application's."""

        async def prove(request: Request) -> UserCaller | AppCaller:
            base = decode(self._credential, request.body).base_request
            if base.device_type.lower() in {"ios", "android"}:
                return await self._authenticating.user(base.token)
            return await self._authenticating.application(base.token)

        self._add(path, body, prove, handler, methods)

    def anybody(
        self,
        path: str,
        body: type[BodyT],
        handler: Callable[[Call[BodyT, Nobody]], Awaitable[Answer]],
        *,
        methods: Sequence[str] = ("POST",),
    ) -> None:
        """A route without a token: login and validateToken."""

        async def prove(_: Request) -> Nobody:
            return Nobody()

        self._add(path, body, prove, handler, methods)

    def add(self, route: Route) -> None:
        """A route that does all by itself."""
        self.routes.append(route)

    def refuse(self, error: PushError, request: Request) -> Response:
        """The `render_error` of the listener."""
        response = render(Answer(error=error))
        response.headers += self._origins.cors(request.headers)
        return response

    def _token(self, request: Request) -> str:
        return decode(self._credential, request.body).base_request.token

    def _add(
        self,
        path: str,
        body: type[BodyT],
        prove: Callable[[Request], Awaitable[CallerT]],
        handler: Callable[[Call[BodyT, CallerT]], Awaitable[Answer]],
        methods: Sequence[str],
    ) -> None:
        decoder = msgspec.json.Decoder(body)

        async def handle(request: Request) -> Response:
            self._origins.check(request.headers)
            caller = await prove(request)
            wanted = decode(decoder, request.body)
            response = render(await handler(Call(wanted, caller, request, time.time())))
            response.headers += self._origins.cors(request.headers)
            return response

        for method in methods:
            route = Route(method=method, path=path, handler=handle, max_body=self._max_body)
            self.routes.append(route)


def render(answer: Answer) -> Response:
    """The envelope, members in alphabetical order as Go's maps are written."""
    error = answer.error
    base = {"ret": 0, "errMsg": answer.text}
    if error is not None:
        base = {"ret": error.ret, "errMsg": str(error)}
    text = msgspec.json.encode({**answer.members, "baseResponse": base}, order="sorted")
    return Response(headers=[JSON, NOSNIFF, NO_STORE], body=escape(text))
