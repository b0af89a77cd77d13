"""The operations of the messages part of /v2, as the OpenAPI document shows them."""

from web.api.openapi import Json, content, operation, problem_response, query

EXAMPLE_PUSH = {"to": ["u1@user"], "msg": {"text": "hello"}, "ttl": "10m"}


def push() -> Json:
    """POST /v2/push"""
    return operation(
        "push",
        "Push a message to one or many names",
        "Scope `push`. What has a ttl is stored before this answers. Names that failed have an "
        "`error`; if all failed, the call fails. With an `idempotency_key` the same call within "
        "24 h returns the first answer, and another push under it is refused with 409.",
        body=content("PushRequest", example=EXAMPLE_PUSH),
        answers={"200": ("What became of it", content("PushAnswer"))},
        also={"409": problem_response("The idempotency key was used for another push")},
        refusals="401 403 413 422 429 503 504",
    )


def stream() -> Json:
    """POST /v2/push/stream"""
    lines = {"type": "string", "description": "One JSON text per line: PushRequest"}
    answers = {"type": "string", "description": "One per line: PushAnswer or StreamError"}
    return operation(
        "pushStream",
        "Push many messages over one request",
        "Scope `push`. Lines in, lines out, in order; blank lines are skipped, a bad line is "
        "answered with its error and its number. Send and read at the same time: a sender that "
        "does not read is made to wait.",
        body={"application/x-ndjson": {"schema": lines}},
        answers={"200": ("The answers", {"application/x-ndjson": {"schema": answers}})},
        refusals="401 403",
    )


def get_messages() -> Json:
    """GET /v2/messages"""
    return operation(
        "getMessages",
        "Read what is kept for a key",
        "The key's ticket, or scope `read`; a user's token for his inbox and his sessions, an "
        "application's for its inbox. Pass `next` as `after` to go on; it is null at the end.",
        parameters=[
            query("key", "Whose messages", required=True),
            query("after", "Only ids above this one; default 0", type_="integer"),
            query("limit", "At most so many; default 100", type_="integer"),
            query("token", "The credential, if it is not in the header"),
        ],
        answers={"200": ("A page, ids ascending", content("MessagesAnswer"))},
        refusals="401 403 422 503 504",
    )


def delete_messages() -> Json:
    """DELETE /v2/messages"""
    return operation(
        "deleteMessages",
        "Delete messages of a key",
        "Scope `admin`.",
        parameters=[
            query("key", "Whose messages", required=True),
            query("ids", "Only these, joined by commas; default all"),
        ],
        answers={"200": ("How many there were", content("DeletedAnswer"))},
        refusals="401 403 422 503 504",
    )


def get_presence() -> Json:
    """GET /v2/presence"""
    return operation(
        "getPresence",
        "Who is online",
        "Scope `read` or `push`.",
        parameters=[query("key", "Repeat it for more keys", required=True)],
        answers={"200": ("One result per key", content("PresenceAnswer"))},
        refusals="401 403 413 422 503 504",
    )


def post_presence() -> Json:
    """POST /v2/presence"""
    return operation(
        "postPresence",
        "Who is online, for many keys",
        "Scope `read` or `push`.",
        body=content("PresenceRequest", example={"keys": ["u1@user", "u2@user"]}),
        answers={"200": ("One result per key", content("PresenceAnswer"))},
        refusals="401 403 413 422 503 504",
    )


def issue_ticket() -> Json:
    """POST /v2/tickets"""
    return operation(
        "issueTicket",
        "Let a client subscribe to a key",
        "Scope `ticket`; or a user for his inbox and his sessions, an application for its inbox. The "
        "client sends the ticket as `token` when it connects. That of a user ends with his login.",
        body=content("TicketRequest", example={"key": "u1@user", "ttl": "1h"}),
        answers={"201": ("The ticket", content("TicketAnswer"))},
        refusals="401 403 413 422 503",
    )


def revoke_tickets() -> Json:
    """DELETE /v2/tickets"""
    return operation(
        "revokeTickets",
        "Void all tickets of a key, or one credential",
        "Scope `ticket` for a key, `admin` for an id. In force everywhere within about a second.",
        parameters=[
            query("key", "All tickets of this key that were issued until now"),
            query("id", "The one ticket or access token with this id"),
        ],
        answers={"204": ("Done", None)},
        refusals="401 403 422 503 504",
    )
