"""The operations of /v2 about sessions, as the OpenAPI document shows them."""

from web.api.openapi import PAGING, Json, content, operation, query

TENANT = query("tenant", "Whose; only operators name another one than their own")
WHO = "A user: his own. An application of the tenant: with permission `sessions`. Operators."


def list_sessions() -> Json:
    """GET /v2/sessions"""
    return operation(
        "listSessions",
        "Who is there: the sessions of a user",
        f"{WHO} Each device that holds a connection, by id; a session is there as long as it does.",
        parameters=[query("user", "The user's id", required=True), TENANT, *PAGING],
        answers={"200": ("A page, perhaps empty", content("UserSessionsAnswer"))},
        refusals="401 403 422 503",
    )


def change_session() -> Json:
    """PATCH /v2/sessions/<session_id>"""
    return operation(
        "changeSession",
        "Say whether a session is active",
        f"{WHO} Senders may address active or inactive sessions only. The state is lost with the "
        "session.",
        parameters=[TENANT],
        body=content("UserSessionChange", example={"state": "inactive"}),
        answers={"200": ("The session", content("UserSession"))},
        refusals="401 403 404 413 422 503",
    )
