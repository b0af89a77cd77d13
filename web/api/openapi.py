"""The OpenAPI 3.1 document of /v2. Shapes come from the structs that the handlers use.

A test calls every operation here and holds its answers against what this says.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from appmodel.errors import ConfigError, PushError
from web.core.payloads import (
    DeletedAnswer,
    MessagesAnswer,
    PresenceAnswer,
    PresenceRequest,
    PushAnswer,
    PushRequest,
    StreamError,
    TicketAnswer,
    TicketRequest,
)
from web.core.problems import MEDIA_TYPE, Problem

Json = dict[str, Any]

_STRUCTS = (
    PushRequest,
    PushAnswer,
    StreamError,
    MessagesAnswer,
    DeletedAnswer,
    PresenceRequest,
    PresenceAnswer,
    TicketRequest,
    TicketAnswer,
    Problem,
)

INTRODUCTION = """\
Push JSON to names; read what is kept; see who is online; let clients in.

Every call carries `Authorization: Bearer <access token>`, unless the node runs with auth off on
loopback. The token decides the realm, and its scopes decide what it may do. Refusals are problem
documents (RFC 9457): `code` is for programs, `detail` for people, `field` says what to repair.
"""

REFUSALS = {
    "401": "No credential, or one that is wrong, expired or revoked",
    "403": "The credential does not grant this, or a web page of another site asks",
    "413": "Something is over its size limit",
    "422": "A field is missing or wrong; nothing was changed",
    "429": "A limit is reached; come back later",
    "503": "A node or the store is away; nothing was done",
    "504": "The deadline passed; it may or may not have happened",
}


def document() -> Json:
    """The whole document, ready for JSON."""
    _, schemas = msgspec.json.schema_components(
        _STRUCTS, ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "appmsgsrv", "version": "2", "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {
            "/v2/push": {"post": _push()},
            "/v2/push/stream": {"post": _stream()},
            "/v2/messages": {"get": _get_messages(), "delete": _delete_messages()},
            "/v2/presence": {"get": _get_presence(), "post": _post_presence()},
            "/v2/tickets": {"post": _issue_ticket(), "delete": _revoke_tickets()},
            "/v2/openapi.json": {"get": _get_document()},
        },
        "components": {
            "schemas": schemas,
            "responses": {status: _problem(text) for status, text in REFUSALS.items()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token; for reading a key's messages also its ticket.",
                }
            },
        },
        "x-problems": _problems(),
    }


def _problems() -> list[Json]:
    """Each `code` with its status and its meaning: the tree of errors.py, without what ends a start."""
    classes = [cls for cls in _tree(PushError) if cls is not ConfigError]
    return [
        {"code": cls.code, "status": cls.status, "description": _first_line(cls)} for cls in classes
    ]


def _tree(cls: type[PushError]) -> Iterator[type[PushError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.code != cls.code:
            yield from _tree(child)


def _first_line(cls: type[PushError]) -> str:
    if cls is PushError:
        return "A fault of the node; it is in its log."
    return (cls.__doc__ or "").partition("\n")[0]


def _push() -> Json:
    return _operation(
        "push",
        "Push a message to one or many names",
        "Scope `push`. What has a ttl is stored before this answers. Names that failed have an "
        "`error`; if all failed, the call fails. With an `idempotency_key` the same call within "
        "24 h returns the first answer, and another push under it is refused with 409.",
        body=_json("PushRequest", example=EXAMPLE_PUSH),
        answers={"200": ("What became of it", _json("PushAnswer"))},
        also={"409": _problem("The idempotency key was used for another push")},
        refusals="401 403 413 422 429 503 504",
    )


def _stream() -> Json:
    lines = {"type": "string", "description": "One JSON text per line: PushRequest"}
    answers = {"type": "string", "description": "One per line: PushAnswer or StreamError"}
    return _operation(
        "pushStream",
        "Push many messages over one request",
        "Scope `push`. Lines in, lines out, in order; blank lines are skipped, a bad line is "
        "answered with its error and its number. Send and read at the same time: a sender that "
        "does not read is made to wait.",
        body={"application/x-ndjson": {"schema": lines}},
        answers={"200": ("The answers", {"application/x-ndjson": {"schema": answers}})},
        refusals="401 403",
    )


def _get_messages() -> Json:
    return _operation(
        "getMessages",
        "Read what is kept for a key",
        "The key's ticket, or scope `read`. Pass `next` as `after` to go on; it is null at the end.",
        parameters=[
            _query("key", "Whose messages", required=True),
            _query("after", "Only ids above this one; default 0", type_="integer"),
            _query("limit", "At most so many; default 100", type_="integer"),
            _query("token", "The key's ticket, if it is not in the header"),
        ],
        answers={"200": ("A page, ids ascending", _json("MessagesAnswer"))},
        refusals="401 403 422 503 504",
    )


def _delete_messages() -> Json:
    return _operation(
        "deleteMessages",
        "Delete messages of a key",
        "Scope `admin`.",
        parameters=[
            _query("key", "Whose messages", required=True),
            _query("ids", "Only these, joined by commas; default all"),
        ],
        answers={"200": ("How many there were", _json("DeletedAnswer"))},
        refusals="401 403 422 503 504",
    )


def _get_presence() -> Json:
    return _operation(
        "getPresence",
        "Who is online",
        "Scope `read` or `push`.",
        parameters=[_query("key", "Repeat it for more keys", required=True)],
        answers={"200": ("One result per key", _json("PresenceAnswer"))},
        refusals="401 403 413 422 503 504",
    )


def _post_presence() -> Json:
    return _operation(
        "postPresence",
        "Who is online, for many keys",
        "Scope `read` or `push`.",
        body=_json("PresenceRequest", example={"keys": ["u1@user", "u2@user"]}),
        answers={"200": ("One result per key", _json("PresenceAnswer"))},
        refusals="401 403 413 422 503 504",
    )


def _issue_ticket() -> Json:
    return _operation(
        "issueTicket",
        "Let a client subscribe to a key",
        "Scope `ticket`. The client sends the ticket as `token` when it connects.",
        body=_json("TicketRequest", example={"key": "u1@user", "ttl": "1h"}),
        answers={"201": ("The ticket", _json("TicketAnswer"))},
        refusals="401 403 413 422",
    )


def _revoke_tickets() -> Json:
    return _operation(
        "revokeTickets",
        "Void all tickets of a key, or one credential",
        "Scope `ticket` for a key, `admin` for an id. In force everywhere within about a second.",
        parameters=[
            _query("key", "All tickets of this key that were issued until now"),
            _query("id", "The one ticket or access token with this id"),
        ],
        answers={"204": ("Done", None)},
        refusals="401 403 422 503 504",
    )


def _get_document() -> Json:
    schema = {"application/json": {"schema": {"type": "object"}}}
    operation = _operation(
        "getDocument", "This document", "For everybody.", answers={"200": ("OpenAPI 3.1", schema)}
    )
    return operation | {"security": []}


EXAMPLE_PUSH = {"to": ["u1@user"], "msg": {"text": "hello"}, "ttl": "10m"}


def _operation(
    name: str,
    summary: str,
    description: str,
    *,
    answers: dict[str, tuple[str, Json | None]],
    parameters: list[Json] | None = None,
    body: Json | None = None,
    also: Json | None = None,
    refusals: str = "",
) -> Json:
    operation: Json = {"operationId": name, "summary": summary, "description": description}
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    responses: Json = {
        status: {"description": text} | ({"content": content} if content else {})
        for status, (text, content) in answers.items()
    }
    responses |= also or {}
    responses |= {s: {"$ref": f"#/components/responses/{s}"} for s in refusals.split()}
    return operation | {"responses": responses}


def _json(schema: str, example: Any = None) -> Json:
    content: Json = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        content["example"] = example
    return {"application/json": content}


def _problem(text: str) -> Json:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}


def _query(name: str, text: str, *, required: bool = False, type_: str = "string") -> Json:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": text,
        "schema": {"type": type_},
    }
