"""The operations of /v2/files, as the OpenAPI document shows them."""

from web.api.openapi import Described, Json, content, operation, query

BYTES = {"application/octet-stream": {"schema": {"type": "string"}}}
ANY = {"*/*": {"schema": {"type": "string"}}}
TENANT = query("tenant", "For operators: whose it is; default the people without a tenant")


def upload() -> Described:
    """POST /v2/files, which the front door answers."""
    described = operation(
        "uploadFile",
        "Keep a file",
        "The body is the file. For users, applications and operators. What comes back goes into a message of "
        "type 2, as `objectContent.responseUpload` with `fid`, `fileName`, `fileUrl`, `size`. Pictures, sound "
        "and video keep their type; all else is handed out as a download. 413: it is too large; 429: the "
        "tenant has no room, or too many come at once.",
        parameters=[query("name", "As people see it", required=True), TENANT],
        body=ANY,
        answers={"201": ("It is kept", content("FileAnswer"))},
        refusals="401 403 413 422 429 503",
    )
    return Described("POST", "/v2/files", described)


def read() -> Json:
    """GET /v2/files/<fid>"""
    described = operation(
        "readFile",
        "Read a file",
        "With the `url` of the upload, until it expires, for whoever has it; or with a credential of the same "
        "tenant, as long as the file is kept.",
        parameters=[
            query("expires", "From the address", type_="integer"),
            query("sign", "From the address"),
            TENANT,
        ],
        answers={"200": ("The bytes, with their type", BYTES)},
        refusals="401 403 404 422 503",
    )
    return described | {"security": [{"token": []}, {}]}


def delete() -> Json:
    """DELETE /v2/files/<fid>"""
    return operation(
        "deleteFile",
        "Delete a file",
        "For whoever uploaded it, operators, and those with permission `sync`.",
        parameters=[TENANT],
        answers={"204": ("Done", None)},
        refusals="401 403 404 422 503",
    )
