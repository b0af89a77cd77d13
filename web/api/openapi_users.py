"""The operations of /v2 about users, logins, devices and client versions, as the OpenAPI document shows them."""

from web.api.openapi import PAGING, Json, content, operation, query

TENANT = query("tenant", "Whose; only operators name another one than their own")
READ = "For everybody of the tenant, and operators."
SYNC = "Permission `sync`, of an application or a role; or an operator."
OWN = "For users, about themselves."
OPERATOR = "For operators: an access token with scope `admin`."
CREATED = "What was created"
FOUND = "What was found"
CHANGED = "What it is now"
GONE = "Done"

EXAMPLE_USER = {"name": "ann", "nickname": "Ann", "email": "ann@shop.example", "password": "..."}
EXAMPLE_VERSION = {"type": "Android", "code": 12, "name": "1.2", "url": "https://shop.example/a"}


def list_users() -> Json:
    """GET /v2/users"""
    return operation(
        "listUsers",
        "List the users of a tenant",
        f"{READ} By id.",
        parameters=[TENANT, query("q", "Only those whose nickname contains this"), *PAGING],
        answers={"200": (FOUND, content("UsersAnswer"))},
        refusals="401 403 422 503",
    )


def create_user() -> Json:
    """POST /v2/users"""
    return operation(
        "createUser",
        "Create a user",
        f"{SYNC} 409: the id is taken, or in the tenant the name or the e-mail address.",
        body=content("NewUser", example=EXAMPLE_USER),
        answers={"201": (CREATED, content("User"))},
        refusals="401 403 409 413 422 429 503",
    )


def get_user() -> Json:
    """GET /v2/users/<user_id>"""
    return operation(
        "getUser",
        "Read a user",
        READ,
        parameters=[TENANT],
        answers={"200": (FOUND, content("User"))},
        refusals="401 403 404 422 503",
    )


def change_user() -> Json:
    """PATCH /v2/users/<user_id>"""
    return operation(
        "changeUser",
        "Change or disable a user",
        f"{SYNC} Users may change themselves, but not name, email, role and disabled. What is left "
        "out stays. `disabled: true` logs the user out everywhere.",
        parameters=[TENANT],
        body=content("UserChange", example={"nickname": "Ann"}),
        answers={"200": (CHANGED, content("User"))},
        refusals="401 403 404 409 413 422 503 504",
    )


def delete_user() -> Json:
    """DELETE /v2/users/<user_id>"""
    return operation(
        "deleteUser",
        "Delete a user",
        f"{SYNC} With all logins and devices, and out of all departments and groups; a group that "
        "the user owned goes to another member.",
        parameters=[TENANT],
        answers={"204": (GONE, None)},
        refusals="401 403 404 422 503 504",
    )


def set_password() -> Json:
    """POST /v2/users/<user_id>/password"""
    return operation(
        "setPassword",
        "Change or reset a password",
        f"Users their own, with the old one; wrong tries are counted as at a login. {SYNC} All "
        "logins of the user end.",
        parameters=[TENANT],
        body=content("PasswordChange", example={"old_password": "...", "new_password": "..."}),
        answers={"204": (GONE, None)},
        refusals="401 403 404 413 422 429 503 504",
    )


def end_logins() -> Json:
    """DELETE /v2/users/<user_id>/tokens"""
    return operation(
        "endLogins",
        "Log a user out everywhere",
        f"Users themselves. {SYNC} In force everywhere within about a second.",
        parameters=[TENANT],
        answers={"204": (GONE, None)},
        refusals="401 403 404 422 503 504",
    )


def get_me() -> Json:
    """GET /v2/me"""
    return operation(
        "getMe",
        "Who the token is of",
        OWN,
        answers={"200": (FOUND, content("User"))},
        refusals="401 422 503",
    )


def log_in() -> Json:
    """POST /v2/tokens"""
    described = operation(
        "logIn",
        "Log in",
        "For everybody. 401: the name, the password or the account is wrong; nobody learns which. "
        "429: too many wrong tries, or the tenant's quota of calls is used up.",
        body=content("Login", example={"name": "ann", "password": "..."}),
        answers={"201": ("A token", content("LoginAnswer"))},
        refusals="401 413 422 429 503",
    )
    return described | {"security": []}


def log_out() -> Json:
    """DELETE /v2/tokens/current"""
    return operation(
        "logOut",
        "Log out",
        f"{OWN} The token that calls is void, and the tickets that it bought; everywhere within "
        "about a second.",
        answers={"204": (GONE, None)},
        refusals="401 422 503 504",
    )


def list_devices() -> Json:
    """GET /v2/devices"""
    return operation(
        "listDevices",
        "List my devices that can be notified",
        OWN,
        answers={"200": (FOUND, content("DevicesAnswer"))},
        refusals="401 422 503",
    )


def register_device() -> Json:
    """POST /v2/devices"""
    return operation(
        "registerDevice",
        "Let a device be notified",
        f"{OWN} A device that was another user's is the caller's now. Of more than 20 at a provider "
        "the oldest go.",
        body=content("NewDevice", example={"provider": "fcm", "token": "...", "device_id": "d1"}),
        answers={"201": (CREATED, content("Device"))},
        refusals="401 413 422 503",
    )


def forget_device() -> Json:
    """DELETE /v2/devices/<device>"""
    return operation(
        "forgetDevice",
        "Notify a device no more",
        OWN,
        answers={"204": (GONE, None)},
        refusals="401 404 422 503",
    )


def list_versions() -> Json:
    """GET /v2/client-versions"""
    return operation(
        "listClientVersions",
        "List the versions of client programs",
        "For everybody with a credential. By (type, code).",
        parameters=[query("type", "Only of this program"), *PAGING],
        answers={"200": (FOUND, content("ClientVersionsAnswer"))},
        refusals="401 403 422 503",
    )


def create_version() -> Json:
    """POST /v2/client-versions"""
    return operation(
        "createClientVersion",
        "Publish a version of a client program",
        f"{OPERATOR} 409: there is one of that type and code.",
        body=content("NewClientVersion", example=EXAMPLE_VERSION),
        answers={"201": (CREATED, content("ClientVersion"))},
        refusals="401 403 409 413 422 503",
    )


def get_version() -> Json:
    """GET /v2/client-versions/<version>"""
    return operation(
        "getClientVersion",
        "Read a version",
        "For everybody with a credential.",
        answers={"200": (FOUND, content("ClientVersion"))},
        refusals="401 403 404 422 503",
    )


def change_version() -> Json:
    """PATCH /v2/client-versions/<version>"""
    return operation(
        "changeClientVersion",
        "Change a version",
        OPERATOR,
        body=content("ClientVersionChange", example={"url": "https://shop.example/b"}),
        answers={"200": (CHANGED, content("ClientVersion"))},
        refusals="401 403 404 409 413 422 503",
    )


def delete_version() -> Json:
    """DELETE /v2/client-versions/<version>"""
    return operation(
        "deleteClientVersion",
        "Remove a version",
        OPERATOR,
        answers={"204": (GONE, None)},
        refusals="401 403 404 422 503",
    )
