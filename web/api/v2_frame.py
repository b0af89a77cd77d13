"""What all parts of /v2 that Quart answers have in common: the application, and how it says no.

A part is a list of rules: method, path, handler, and what the OpenAPI document says of it.

    Rule("GET", "/v2/users/<uid>", self.get_user, operation("getUser", ...))

A handler is `async (...) -> QuartResponse`; it raises PushError for what it refuses. Status codes mean
what they say; refusals are problem documents (web/core/problems.py).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import msgspec
from quart import Response as QuartResponse
from quart import has_request_context, request
from quart.routing import QuartRule
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from appmodel.core.origins import Origins
from appmodel.errors import BadInput, PushError, TooLarge
from appmodel.protocol.http import Headers
from web.api.openapi import Described, Json, document, operation
from web.core.fields import known_id
from web.core.problems import MEDIA_TYPE, Problem, problem, problem_headers

BODY_TIMEOUT = 30  # seconds for a client to send a body
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Rule:
    """One operation of a part."""

    method: str
    path: str  # as Quart takes it: /v2/users/<uid>
    view: Callable[..., Awaitable[QuartResponse]]
    operation: Json


class Part(Protocol):
    """Some operations of /v2, and the structs that their descriptions name."""

    @property
    def rules(self) -> Sequence[Rule]:
        """Each path and method once."""

    @property
    def structs(self) -> Sequence[type]:
        """By their names the descriptions know them."""


class _Path(QuartRule):
    """A path that is matched only. The functions that build URLs of paths take 25 ms to make; nobody calls them."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _build_nothing


def _build_nothing(*_: object, **__: object) -> tuple[str, str]:
    raise NotImplementedError("no URL of /v2 is built from its rule")


class V2:
    """All parts together. `app` is the ASGI application."""

    def __init__(
        self,
        parts: Iterable[Part],
        origins: Origins,
        *,
        max_body: int,
        elsewhere: Iterable[Described] = (),
        structs: Iterable[type] = (),
    ) -> None:
        """`elsewhere`, `structs`: operations that the front door answers, for the document."""
        self._origins = origins
        parts = list(parts)
        rules = [rule for part in parts for rule in part.rules]
        rules.append(Rule("GET", "/v2/openapi.json", self.get_document, _document_operation()))
        self._described = [*elsewhere, *(Described(r.method, r.path, r.operation) for r in rules)]
        self._shapes = dict.fromkeys([*structs, *(one for part in parts for one in part.structs)])
        self.app = self._make_app(rules, max_body)

    def _make_app(self, rules: Sequence[Rule], max_body: int) -> QuartTrio:
        app = QuartTrio("web", static_folder=None)
        app.url_rule_class = _Path
        app.config["MAX_CONTENT_LENGTH"] = max_body
        app.config["BODY_TIMEOUT"] = BODY_TIMEOUT
        for rule in rules:
            name = rule.operation["operationId"]
            app.add_url_rule(rule.path, name, rule.view, methods=[rule.method])
        app.before_request(self._check_origin)
        app.before_request(_read_body)
        app.after_request(self._finish)
        app.register_error_handler(PushError, _refuse)
        app.register_error_handler(HTTPException, _refuse_http)
        return app

    @cached_property
    def _document(self) -> bytes:
        return _ENCODER.encode(document(self._described, self._shapes))

    async def get_document(self) -> QuartResponse:
        """This API, as OpenAPI 3.1."""
        return QuartResponse(self._document, content_type="application/json")

    async def _check_origin(self) -> QuartResponse | None:
        given = headers()
        self._origins.check(given)
        if request.method == "OPTIONS" and request.routing_exception is None:
            preflight = QuartResponse(b"", status=204)
            preflight.headers.extend(self._origins.cors_preflight(given))
            return preflight
        return None

    async def _finish(self, response: QuartResponse) -> QuartResponse:
        for name, value in (SECURITY | {"Cache-Control": "no-store"}).items():
            response.headers.setdefault(name, value)
        if request.method != "OPTIONS":
            response.headers.extend(self._origins.cors(headers()))
        return response


def _document_operation() -> Json:
    schema = {"application/json": {"schema": {"type": "object"}}}
    described = operation(
        "getDocument", "This document", "For everybody.", answers={"200": ("OpenAPI 3.1", schema)}
    )
    return described | {"security": []}


async def _read_body() -> None:
    """Before anything is refused: what stays in the socket costs the client its connection."""
    await body()


def headers() -> Headers:
    """Of the request, as the front door gives them."""
    return {name.lower(): value for name, value in request.headers.items()}


def query(*allowed: str) -> dict[str, str]:
    """The query's parameters, the first of a repeated one.

    Raises:
        BadInput: one that does not exist: a mistyped name must not mean a default.
    """
    found: dict[str, str] = request.args.to_dict()
    for name, value in found.items():
        if name not in allowed:
            expected = f"one of {', '.join(allowed)}" if allowed else "no parameters"
            raise BadInput(name, value, expected)
    return found


def id_in(asked: Mapping[str, str], name: str) -> str | None:
    """The id in a parameter; None = it is not there, "" = it is empty. Raises BadInput for no id."""
    value = asked.get(name)
    return known_id(name, value) if value else value


def tenant_of(asked: Mapping[str, str]) -> str | None:
    """Whose things a call is about, as far as it says so; see `tenant_for`. Raises BadInput."""
    return id_in(asked, "tenant")


def flag(asked: Mapping[str, str], name: str) -> bool:
    """A parameter that is true or false; false if it is not there. Raises BadInput."""
    text = asked.get(name, "false")
    if text not in {"true", "false"}:
        raise BadInput(name, text, "true or false")
    return text == "true"


async def body() -> bytes:
    """Of the request."""
    data = await request.get_data()
    assert isinstance(data, bytes)  # it is text only if asked for
    return data


def json_answer(answer: msgspec.Struct, status: int = 200) -> QuartResponse:
    """A struct as an answer."""
    return QuartResponse(_ENCODER.encode(answer), status=status, content_type="application/json")


def no_content() -> QuartResponse:
    """It is done, and there is nothing to say."""
    return QuartResponse(b"", status=204)


async def _refuse(error: PushError) -> QuartResponse:
    body = _ENCODER.encode(problem(error))
    response = QuartResponse(body, status=error.status)
    response.headers.update(problem_headers(error))
    return response


async def _refuse_http(error: HTTPException) -> QuartResponse:
    """What Quart itself refuses: 404, 405, 413 and so on."""
    status = error.code or 500
    if status == TooLarge.status:
        return await _refuse(TooLarge("body: over the limit"))
    said = Problem(
        type="about:blank",
        title=error.name,
        status=status,
        code=f"http_{status}",
        detail=_what(error),
    )
    response = QuartResponse(_ENCODER.encode(said), status=status, content_type=MEDIA_TYPE)
    allow = getattr(error, "valid_methods", None)
    if allow:
        response.headers["Allow"] = ", ".join(sorted(allow))
    return response


def _what(error: HTTPException) -> str:
    """The call that was refused, and how. A WebSocket handshake on this port has no request."""
    said = error.name.lower()
    return f"{request.method} {request.path}: {said}" if has_request_context() else said
