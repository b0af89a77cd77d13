r"""What all calls of Mpush's HTTP side (2246) have in common: methods, fields, CORS, and how it says no.

    seed           HTTP/1.1 200 OK, text/plain              ok\n
                   HTTP/1.1 400, 401, 403, 405, 413 ...     title: got [...], expected a text\n
    version 2.2    HTTP/1.1 200 OK, application/json        {"cmd":"MESSAGE_REPLY",...}
                   the same statuses                        {"cmd":"INFO","data":"mid property is required"}
    Accept: application/json                                JSON for the seed's calls too; problems as /v2 has them

Query and body are one set of fields; where both have one, the body's counts. The body of a GET is ignored.

Source: spec/mpush.md 7 and 11.5. Differences: a refusal has a status of its own, and says which field was wrong (the
originals: 200, 500, or the end of the process); every answer has a type and says `no-store`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from appmodel.core.mpush_tokens import Grant, Right
from appmodel.core.origins import Origins
from appmodel.errors import BadInput, Forbidden, PushError, Unauthorized
from appmodel.protocol.http import Headers, Request, Response
from web.api.replies import NOSNIFF
from web.core.mpush_drafts import KNOWN, TOKEN
from web.core.mpush_fields import Fields, read_body, read_query
from web.core.mpush_frames import info
from web.core.mpush_paths import Aim, Wanted, read_path
from web.core.problems import MEDIA_TYPE, problem, retry_after
from web.services.mpush_access import MpushAccess

METHODS = frozenset({"GET", "POST", "PUT"})
NO_STORE = ("Cache-Control", "no-store")
TEXT = ("Content-Type", "text/plain; charset=utf-8")
JSON = ("Content-Type", "application/json; charset=utf-8")
FORM_FIELDS = KNOWN | {TOKEN}

_encode = msgspec.json.Encoder().encode


class MethodRefused(PushError):
    """A method that means nothing here."""

    status = 405
    code = "method"
    title = "Method not allowed"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, read."""

    request: Request
    aim: Aim
    fields: Fields
    access: MpushAccess

    @property
    def wants_json(self) -> bool:
        """It says so in its Accept header."""
        return _wants_json(self.request)

    def grant(self, right: Right) -> Grant:
        """What the caller may do, if that is `right` at all: `?token=`, or Authorization, bare or with "Bearer".

        Raises:
            Unauthorized: no token, or a bad one.
            LimitReached: too many bad ones from there.
            Forbidden: it does not allow this with any name.
        """
        token = self.text(TOKEN) or _authorization(self.request.headers)
        grant = self.access.check(self.request, token, right)
        if not grant.covers(right, None):
            raise Forbidden(f"token: it does not allow to {right}")
        return grant

    def text(self, name: str) -> str:
        """A field that is there once, "" if it is not there. Raises BadInput."""
        value = self.fields.get(name, "")
        if not isinstance(value, str):
            raise BadInput(name, "********" if name == TOKEN else value, "one text")
        return value


def confirm(grant: Grant, right: Right, names: Iterable[str]) -> None:
    """Whether it covers all of them (of groups: `as_group`). Raises Forbidden."""
    for name in names:
        if not grant.covers(right, name):
            raise Forbidden(f"token: it does not allow to {right} {name[:80]!r}")


Handle = Callable[[Call], Awaitable[Response]]


class MpushFrame:
    """Every request of the listener: serves what its parts do."""

    def __init__(
        self,
        access: MpushAccess,
        origins: Origins,
        parts: Mapping[Wanted, Handle],
        commands: Handle,
        *,
        line_feed: bool,
    ) -> None:
        """
        Args:
            parts: what does what a path wants.
            commands: the JSON commands of version 2.2, on any path.
            line_feed: behind refusals too.
        """
        self._access, self._origins = access, origins
        self._parts, self._commands = parts, commands
        self._end = "\n" if line_feed else ""

    async def serve(self, request: Request) -> Response:
        """The answer to any request. Raises PushError: see `refuse`."""
        if request.method == "OPTIONS":
            return self._preflight(request)
        aim = _aim(request)
        self._origins.check(request.headers, by_link=aim.wanted is not Wanted.PUSH)
        fields: Any = read_query(request.query_string)
        handle = self._parts[aim.wanted]
        if request.method in {"POST", "PUT"}:
            said = read_body(request.body, request.headers.get("content-type", ""), FORM_FIELDS)
            if "cmd" in said and _is_object(request):
                handle = self._commands
            fields = {**fields, **said} if fields else said
        response = await handle(Call(request, aim, fields, self._access))
        response.headers = [*response.headers, *self._common(request)]
        return response

    async def serve_command(self, request: Request, cmd: str) -> Response:
        """The answer to this JSON command, whatever the path; to nothing else. Raises PushError."""
        self._origins.check(request.headers, by_link=False)
        said = read_body(request.body, "application/json", FORM_FIELDS)
        if said.get("cmd") != cmd:
            raise BadInput(
                "cmd", said.get("cmd"), f"{cmd}: other commands are for the port of Mpush"
            )
        aim = Aim(Wanted.PUSH, "", ())
        response = await self._commands(Call(request, aim, said, self._access))
        response.headers = [*response.headers, *self._common(request)]
        return response

    def refuse(self, error: PushError, request: Request) -> Response:
        """The `render_error` of the listener."""
        status = 400 if isinstance(error, BadInput) else error.status
        if _wants_json(request):
            body = _encode(problem(error, status=status))
            response = Response(headers=[("Content-Type", MEDIA_TYPE)], body=body)
        elif _is_version_2(request):
            response = Response(headers=[JSON], body=info(str(error)))
        else:
            response = Response(headers=[TEXT], body=f"{error}{self._end}".encode())
        response.status = status
        response.headers += self._common(request)
        if isinstance(error, MethodRefused):
            response.headers.append(("Allow", ", ".join(sorted(METHODS))))
        if isinstance(error, Unauthorized):
            response.headers.append(("WWW-Authenticate", "Bearer"))
        response.headers += retry_after(error)
        return response

    def _preflight(self, request: Request) -> Response:
        allowed = self._origins.cors_preflight(request.headers)
        return Response(status=200 if allowed else 403, headers=[NO_STORE, *allowed])

    def _common(self, request: Request) -> list[tuple[str, str]]:
        return [NO_STORE, NOSNIFF, *self._origins.cors(request.headers)]


def _aim(request: Request) -> Aim:
    method, upgrade = request.method, request.headers.get("upgrade", "")
    if upgrade.lower() == "websocket":  # else it would be a push of nothing
        raise BadInput("upgrade", upgrade, "none: devices connect to comet.mpush.port, 2245")
    aim = read_path(method, request.path)
    if method not in METHODS and not (aim.wanted is Wanted.CANCEL and aim.whole):
        expected = "GET, POST or PUT; DELETE takes back what is delayed: /name/delayed/<id>"
        raise MethodRefused(f"method: got {method!r}, expected {expected}")
    return aim


def _authorization(headers: Headers) -> str:
    value = headers.get("authorization", "").strip()
    scheme, _, credential = value.partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else value


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _is_object(request: Request) -> bool:
    return request.body.lstrip()[:1] == b"{"


def _is_version_2(request: Request) -> bool:
    """Of a request that may not be readable."""
    if _is_object(request) and b'"cmd"' in request.body[:1000]:
        return True
    return request.path.endswith((".send", ".group"))
