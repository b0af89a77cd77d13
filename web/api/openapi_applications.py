"""The operations of /v2 about applications, menus and push credentials, as the OpenAPI document shows them."""

from web.api.openapi import PAGING, Json, content, operation, query

TENANT = query("tenant", "Whose; only operators name another one than their own")
READ = "For everybody of the tenant, and operators."
OPERATOR = "For operators: an access token with scope `admin`."
OWNER = "For operators, and the application itself."
KEEPER = "For operators, and applications with permission `sync`."


def list_applications() -> Json:
    """GET /v2/applications"""
    return operation(
        "listApplications",
        "List the applications of a tenant",
        f"{READ} By id.",
        parameters=[TENANT, *PAGING],
        answers={"200": ("A page", content("ApplicationsAnswer"))},
        refusals="401 403 422 503",
    )


def create_application() -> Json:
    """POST /v2/applications"""
    return operation(
        "createApplication",
        "Create an application",
        f"{OPERATOR} The answer has its token: it is shown this once. Without `permissions` it "
        "has push, sessions and auth. 409: the id is taken.",
        body=content("NewApplication", example={"name": "Shop", "tenant_id": "t1"}),
        answers={"201": ("The application, and its token", content("NewToken"))},
        refusals="401 403 409 413 422 503",
    )


def get_application() -> Json:
    """GET /v2/applications/<app_id>"""
    return operation(
        "getApplication",
        "Read an application",
        READ,
        parameters=[TENANT],
        answers={"200": ("The application", content("Application"))},
        refusals="401 403 404 422 503",
    )


def change_application() -> Json:
    """PATCH /v2/applications/<app_id>"""
    return operation(
        "changeApplication",
        "Change or disable an application",
        f"{OWNER} `permissions` and `disabled` for operators only. What is left out stays.",
        parameters=[TENANT],
        body=content("ApplicationChange", example={"disabled": True}),
        answers={"200": ("What it is now", content("Application"))},
        refusals="401 403 404 413 422 503",
    )


def delete_application() -> Json:
    """DELETE /v2/applications/<app_id>"""
    return operation(
        "deleteApplication",
        "Delete an application",
        f"{OPERATOR} Its menu goes with it; what it did stays counted.",
        parameters=[TENANT],
        answers={"204": ("Done", None)},
        refusals="401 403 404 422 503",
    )


def rotate_token() -> Json:
    """POST /v2/applications/<app_id>/token"""
    return operation(
        "rotateApplicationToken",
        "Replace an application's token",
        f"{OWNER} The token before is void from now on; the new one is shown this once.",
        parameters=[TENANT],
        answers={"201": ("The application, and its new token", content("NewToken"))},
        refusals="401 403 404 422 503",
    )


def list_operations() -> Json:
    """GET /v2/applications/<app_id>/operations"""
    return operation(
        "listOperations",
        "Read an application's menu",
        f"{READ} Two levels, all in one answer; nothing if there is no such application.",
        parameters=[TENANT],
        answers={"200": ("The menu", content("OperationsAnswer"))},
        refusals="401 403 422 503",
    )


def add_operation() -> Json:
    """POST /v2/applications/<app_id>/operations"""
    example = {"content": "Orders", "action": "https://shop.example/orders"}
    return operation(
        "addOperation",
        "Add an entry to a menu",
        f"{OWNER} `parent_id`: an entry at the top. 409: the id is taken. 429: the menu is full.",
        parameters=[TENANT],
        body=content("NewOperation", example=example),
        answers={"201": ("What was added", content("Operation"))},
        refusals="401 403 404 409 413 422 429 503",
    )


def change_operation() -> Json:
    """PATCH /v2/applications/<app_id>/operations/<operation_id>"""
    return operation(
        "changeOperation",
        "Change an entry of a menu",
        OWNER,
        parameters=[TENANT],
        body=content("OperationChange", example={"sort": 2}),
        answers={"200": ("What it is now", content("Operation"))},
        refusals="401 403 404 413 422 503",
    )


def remove_operation() -> Json:
    """DELETE /v2/applications/<app_id>/operations/<operation_id>"""
    return operation(
        "removeOperation",
        "Remove an entry of a menu",
        f"{OWNER} Those below it go too.",
        parameters=[TENANT],
        answers={"204": ("Done", None)},
        refusals="401 403 404 422 503",
    )


def list_push_credentials() -> Json:
    """GET /v2/push-credentials"""
    return operation(
        "listPushCredentials",
        "List what a tenant notifies phones and browsers with",
        f"{KEEPER} Without the contents: nobody sees them again.",
        parameters=[TENANT, *PAGING],
        answers={"200": ("A page", content("PushCredentialsAnswer"))},
        refusals="401 403 422 503",
    )


def create_push_credential() -> Json:
    """POST /v2/push-credentials"""
    example = {
        "provider": "apns",
        "kind": "p8",
        "topic": "com.shop.app",
        "content": '{"key_id":"ABC123DEFG","team_id":"DEF123GHIJ","key":"-----BEGIN PRIVATE KEY..."}',
    }
    return operation(
        "createPushCredential",
        "Let a tenant notify phones or browsers",
        f"{KEEPER} The content is checked: keys and certificates in PEM, JSON of the provider. "
        "409: there is one for this provider, topic and environment.",
        body=content("NewPushCredential", example=example),
        answers={"201": ("The credential, without its content", content("PushCredential"))},
        refusals="401 403 409 413 422 503",
    )


def delete_push_credential() -> Json:
    """DELETE /v2/push-credentials/<credential_id>"""
    return operation(
        "deletePushCredential",
        "Notify no longer by a credential",
        KEEPER,
        parameters=[TENANT],
        answers={"204": ("Done", None)},
        refusals="401 403 404 422 503",
    )
