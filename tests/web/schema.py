"""As much of JSON Schema as the OpenAPI document of /v2 uses, and an error for the rest."""

from typing import Any

KNOWN = {
    "$ref", "anyOf", "type", "properties", "required", "items", "additionalProperties", "title",
    "description", "default", "enum", "examples",
}  # fmt: skip
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def mismatch(document: Any, schema: Any, value: Any, at: str = "$") -> str | None:
    """Where `value` is not what `schema` says, and why; None if it is."""
    assert schema.keys() <= KNOWN, f"this validator does not know {schema.keys() - KNOWN}"
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return mismatch(document, document["components"]["schemas"][name], value, at)
    if "anyOf" in schema:
        found = [mismatch(document, one, value, at) for one in schema["anyOf"]]
        return None if None in found else f"{at}: none of {found}"
    kind = schema.get("type")
    if kind is not None and not isinstance(value, TYPES[kind]):
        return f"{at}: {value!r} is no {kind}"
    if kind != "boolean" and kind is not None and isinstance(value, bool):
        return f"{at}: {value!r} is no {kind}"
    if kind == "array":
        found = [mismatch(document, schema["items"], v, f"{at}[{i}]") for i, v in enumerate(value)]
        return next(filter(None, found), None)
    if kind == "object":
        return _members(document, schema, value, at)
    return None


def _members(document: Any, schema: Any, value: Any, at: str) -> str | None:
    properties = schema.get("properties")
    if properties is None:
        return None
    for name in schema.get("required", []):
        if name not in value:
            return f"{at}: lacks {name}"
    for name, member in value.items():
        if name not in properties:
            return f"{at}: has {name}"
        if wrong := mismatch(document, properties[name], member, f"{at}.{name}"):
            return wrong
    return None
