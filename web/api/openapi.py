"""The OpenAPI 3.1 document of /v2. Shapes come from the structs that the handlers use.

Each part of /v2 describes its own operations with the builders here. A test calls every operation and
holds its answers against what the document says.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from appmodel.errors import ConfigError, PushError
from web.core.problems import MEDIA_TYPE, Problem

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Described:
    """An operation: where it is, and what the document says of it."""

    method: str
    path: str  # /v2/users/<uid>
    operation: Json


INTRODUCTION = """\
Push JSON to names; read what is kept; see who is online; let clients in. Keep users, groups, departments
and applications.

Every call carries `Authorization: Bearer <token>`, unless the node runs with auth off on loopback: an
access token of the cluster, an application's token, or a user's. The token decides realm and tenant, and
what it may do. Refusals are problem documents (RFC 9457): `code` is for programs, `detail` for people,
`field` says what to repair. Lists come in pages: pass `next` as `after` to go on.
"""

REFUSALS = {
    "401": "No credential, or one that is wrong, expired or revoked",
    "403": "The credential does not grant this, or a web page of another site asks",
    "404": "There is nothing of that name, or not for this caller",
    "409": "It contradicts what there is, such as a name that is taken",
    "413": "Something is over its size limit",
    "422": "A field is missing or wrong; nothing was changed",
    "429": "A limit is reached; come back later",
    "503": "A node or the store is away; nothing was done",
    "504": "The deadline passed; it may or may not have happened",
}


def document(operations: Iterable[Described], structs: Iterable[type]) -> Json:
    """The whole document, ready for JSON."""
    _, schemas = msgspec.json.schema_components(
        [Problem, *structs], ref_template="#/components/schemas/{name}"
    )
    paths: Json = {}
    for one in operations:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _with_places(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "appmsgsrv", "version": "2", "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {status: problem_response(text) for status, text in REFUSALS.items()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, an application's or a user's token; "
                    "for reading a key's messages also its ticket.",
                }
            },
        },
        "x-problems": _problems(),
    }


def _with_places(one: Described) -> Json:
    """The operation with the parameters that stand in its path."""
    places = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"<(?:\w+:)?(\w+)>", one.path)
    ]
    if not places:
        return one.operation
    return one.operation | {"parameters": places + one.operation.get("parameters", [])}


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


def operation(
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
    """One operation. `answers`: status -> (text, content); `refusals`: statuses joined by blanks."""
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


def content(schema: str, example: Any = None) -> Json:
    """JSON of a struct, by its name."""
    content: Json = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        content["example"] = example
    return {"application/json": content}


def problem_response(text: str) -> Json:
    """A refusal that is special to an operation."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}


def query(name: str, text: str, *, required: bool = False, type_: str = "string") -> Json:
    """A parameter of the query."""
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": text,
        "schema": {"type": type_},
    }


PAGING = [
    query("limit", "Rows of a page, 1 to 1000; default 100", type_="integer"),
    query("after", "The `next` of the page before"),
]
"""Parameters of a list; see web/core/paging.py."""
